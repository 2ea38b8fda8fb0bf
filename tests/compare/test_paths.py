"""Dotted paths that are texts, in a configuration or in code: what they lead to is the model's."""

from __future__ import annotations

import importlib
import operator
import pkgutil
import pydoc
import sys

import pytest
import torch

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

OWN = [__name__.partition(".")[0], "parts_of_mine"]
TEXT = "LEVEL = 1\nclass Shout:\n    level = 1\n"


class Model(torch.nn.Module):
    def __init__(self, rarely, **config):
        super().__init__()
        self.rarely, self.config = rarely, config


def locate(target):
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def by_config(self):
    return locate(self.config["_target_"])


def by_text(self):
    return locate("parts_of_mine.Shout")


def by_pydoc(self):
    return pydoc.locate("parts_of_mine.Shout")


def by_pkgutil(self):
    return pkgutil.resolve_name("parts_of_mine:Shout.level")


def does_not(self):
    return self.config["_target_"], "parts_of_mine.Shout"


WAYS = [(by_config, {"_target_": "parts_of_mine.Shout"}), (by_text, {}), (by_pydoc, {}), (by_pkgutil, {})]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    (tmp_path / "parts_of_mine.py").write_text(TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "parts_of_mine.py"
    sys.modules.pop("parts_of_mine", None)


def described(code, config, **more):
    return snapshot_model(Model(code, **config), own_modules=OWN, **more)


def seen(before, after):
    return [one.path for one in compare(before, after) if "<paths>" in one.path]


@pytest.mark.parametrize(("code", "config"), WAYS)
def test_what_a_path_leads_to_as_the_program_changed_it(parts, code, config):
    module = importlib.import_module("parts_of_mine")
    same = described(code, config)
    module.Shout.level = 3
    changed = described(code, config)
    for before, count in ((same, 0), (changed, 1)):
        del sys.modules["parts_of_mine"]  # the copy has not come there yet
        assert len(seen(before, described(code, config, imported=["parts_of_mine"]))) == count
    parts.unlink()
    sys.modules.pop("parts_of_mine")
    importlib.invalidate_caches()
    (path,) = seen(same, described(code, config, imported=["parts_of_mine"]))
    assert path.startswith("model.<paths>['parts_of_mine")


@pytest.mark.parametrize(("code", "config"), WAYS)
def test_a_path_to_a_module_that_was_not_imported(parts, code, config):
    before = described(code, config)
    assert "parts_of_mine" not in sys.modules
    importlib.import_module("parts_of_mine").Shout.level = 3
    assert seen(before, described(code, config, imported=OWN[:1])) == []
    sys.modules.pop("parts_of_mine")
    parts.unlink()
    importlib.invalidate_caches()
    assert len(seen(before, described(code, config, imported=OWN[:1]))) == 1


@pytest.mark.parametrize(
    ("code", "target"),
    [(does_not, "parts_of_mine.Shout"), (by_config, "parts_of_mine.txt"), (by_config, "parts_of_mine")],
)
def test_a_text_that_leads_nowhere_or_that_nothing_resolves(parts, code, target):
    importlib.import_module("parts_of_mine")
    before = described(code, {"_target_": target})
    parts.unlink()
    sys.modules.pop("parts_of_mine")
    importlib.invalidate_caches()
    assert seen(before, described(code, {"_target_": target}, imported=["parts_of_mine"])) == []


def by_attributes(self):
    import parts_of_mine

    return operator.attrgetter("Shout.level")(parts_of_mine)


def test_names_in_a_text_that_is_a_path_of_attributes(parts):
    module = importlib.import_module("parts_of_mine")
    before = described(by_attributes, {})
    assert compare(before, described(by_attributes, {})) == []
    module.Shout.level = 3
    assert [one.kind for one in compare(before, described(by_attributes, {}))] == ["value"]
