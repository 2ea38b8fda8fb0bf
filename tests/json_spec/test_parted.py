"""What the model holds and its code writes into by a global's name would be two things after a load."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import types

import pytest

from backends.base import UnsupportedModel
from backends.json_spec import parted, save

SOURCE = """
import torch
import parted_settings

KNOWN = {value}

class Holds(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.known = KNOWN

    def forward(self, x):
        return x + len(KNOWN) + len(parted_settings.KNOWN)

    def learn(self, x, other=None):
        {statement}
"""

WRITES = {
    "a method": ("[]", "KNOWN.append(x)"),
    "an entry": ("{}", "KNOWN[x] = 1"),
    "an entry of an entry": ("{}", "KNOWN[x][x] = 1"),
    "one that is gone": ("{'a': 1}", "del KNOWN['a']"),
    "more": ("set()", "global KNOWN; KNOWN |= {x}"),
    "a method that is handed on": ("[]", "list(map(KNOWN.append, x))"),
    "a queue": ("__import__('collections').deque(maxlen=3)", "KNOWN.appendleft(x)"),
    "in a lambda": ("set()", "return lambda: KNOWN.add(x)"),
}
READS = {
    "a reading": ("[1]", "return KNOWN[0], KNOWN.index(1), KNOWN.copy()"),
    "the model's own": ("[1]", "self.known.append(x)"),
    "another of that name": ("[1]", "KNOWN = []; KNOWN.append(x)"),
    "another's attribute": ("[1]", "other.KNOWN.append(x)"),
    "into a text": ("'abc'", "KNOWN.append(x)"),
}


@pytest.fixture
def holds(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "project")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "parted_settings.py").write_text("KNOWN = [1]\n")

    def model(value, statement):
        (tmp_path / "project" / "parted_model.py").write_text(SOURCE.format(value=value, statement=statement))
        return importlib.import_module("parted_model").Holds()

    yield model
    for name in ("parted_model", "parted_settings"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("what", WRITES)
def test_what_is_written_is_refused(tmp_path, holds, what):
    message = "model.known is parted_model:KNOWN too, and learn writes into KNOWN"
    with pytest.raises(UnsupportedModel, match=re.escape(message)):
        save(holds(*WRITES[what]), tmp_path / "artifact")


@pytest.mark.parametrize("what", READS)
def test_what_is_only_read_is_not(tmp_path, holds, what):
    save(holds(*READS[what]), tmp_path / "artifact")


def test_the_ways_out(tmp_path, holds):
    model = holds("[]", "KNOWN.append(x)")
    save(model, tmp_path / "a", unchecked=["parted_model:KNOWN"])
    model.known = list(model.known)
    save(model, tmp_path / "b")


def test_a_global_of_another_module(tmp_path, holds):
    model = holds("[]", "parted_settings.KNOWN.append(x)")
    model.known = [sys.modules["parted_settings"].KNOWN]
    with pytest.raises(
        UnsupportedModel, match=re.escape("model.known[0] is parted_settings:KNOWN too, and learn writes")
    ):
        save(model, tmp_path / "artifact")


def test_no_source_is_read_where_nothing_is_shared():
    def nothing():
        raise AssertionError("read")
        yield

    assert list(parted.parted({"m:KNOWN": [], "m:C.x": {}, "m:f": ast}, lambda thing: None, nothing())) == []
    source = types.SimpleNamespace(tree=ast.parse("def f():\n    KNOWN.append(1)\n    del x[0]"))
    found = parted.parted({"m:KNOWN": [], "m:C.x": {}, "m:x": ()}, lambda thing: "model.a", [source])
    assert list(found) == [("model.a", "m:KNOWN", "f")]
