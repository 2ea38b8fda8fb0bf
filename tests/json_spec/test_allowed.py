"""The lists of names that any file may use: every line is what it claims, and none does more than compute."""

from __future__ import annotations

import contextlib
import enum
import importlib
import inspect
import re
from pathlib import Path

import fuzzing
import numpy as np
import pytest
import torch
from torch import nn

from backends.json_spec.trust import USES, allowed, canonical_names, resolve
from tests.json_spec import allowed_lists

ROOT = Path(__file__).parents[2]
MADE = {"module", "object", "enum", "namedtuple"}


def entries(*uses):
    return [entry for entry in allowed().values() if entry.uses & {*uses}]


def installed_are_pinned() -> bool:
    """Whether torch and torchvision are the versions that the lists were made with."""
    pinned = (ROOT / "constraints.txt").read_text()
    found = [importlib.import_module(name).__version__.partition("+")[0] for name in ("torch", "torchvision")]
    return all(
        re.search(rf"^{name}=={re.escape(version)}\b", pinned, re.MULTILINE)
        for name, version in zip(("torch", "torchvision"), found, strict=True)
    )


pytestmark = pytest.mark.skipif(not installed_are_pinned(), reason="the lists are those of the pinned torch")


@pytest.mark.filterwarnings("ignore")
def test_the_lists_are_what_the_rules_give():
    """Run `make allow-list` and read the difference where this fails."""
    assert allowed_lists.main(["--check"]) == 0


@pytest.mark.filterwarnings("ignore")
def test_every_line_is_what_it_claims():
    assert len(allowed()) > 600 and {use for entry in allowed().values() for use in entry.uses} == USES
    for entry in allowed().values():
        assert entry.uses <= USES and entry.name.partition(":")[0].partition(".")[0] not in (
            "os",
            "io",
            "sys",
            "subprocess",
        )
        for use in entry.uses:
            kind = use if use in MADE else "function" if use in ("function", "builder") else "class"
            thing = resolve(entry.name, kind, ())
            assert callable(thing) and isinstance(thing, type) is (kind != "function"), entry
            assert (use == "module") is (isinstance(thing, type) and issubclass(thing, nn.Module)), entry
            assert use != "enum" or issubclass(thing, enum.Enum), entry
            assert use != "namedtuple" or (issubclass(thing, tuple) and thing._fields), entry
            assert use in ("function", "builder", "value") or not hasattr(thing, "__del__"), entry
            if use in ("module", "object") and not inspect.isabstract(thing):
                assert type(object.__new__(thing)) is thing, entry


def test_public_names_are_other_names_of_the_same():
    assert len(canonical_names()) > 300 and canonical_names()["torch.nn:Linear"] == "torch.nn.modules.linear:Linear"
    for public, name in canonical_names().items():
        module, _, qualname = public.partition(":")
        kind = "function" if "builder" in allowed()[name].uses else "class"
        assert vars(importlib.import_module(module))[qualname] is resolve(name, kind, ()), public


@pytest.mark.filterwarnings("ignore")
def test_builders_fetch_nothing_by_default():
    for entry in entries("builder"):
        builder = inspect.signature(inspect.unwrap(resolve(entry.name, "function", ()))).parameters
        assert builder["weights"].default is None and "weights_backbone" not in builder, entry
        assert entry.arguments and not entry.arguments & allowed_lists.NEVER_GIVEN, entry
    assert not any(entry.arguments and entry.arguments & allowed_lists.NEVER_GIVEN for entry in allowed().values())


@pytest.mark.filterwarnings("ignore")
def test_no_listed_function_opens_imports_or_executes(tmp_path):
    """Each is called with everything that a file could hand it: paths, code, names, numbers, tensors, functions."""
    bait = tmp_path / "bait.txt"
    bait.write_text("bait")
    watch = fuzzing.Watch(tmp_path / "nothing")
    tensor = torch.ones(2, 2)
    values = [str(bait), bait, b"x", "os:system", "__import__('os')", 1, -1.5, None, [1, 2], {"a": 1}, (2, 2), tensor]
    values += [np.ones(2), len, torch.float32, "mean", ["os"], slice(None)]
    tries = [((), {}), *(((one,), {}) for one in values), *(((tensor, one), {}) for one in values)]
    tries += [(([1, 2],), {"key": len}), ((tensor,), {"out": tensor.clone()}), (("a", "b", "c"), {})]
    for watched in (False, True):  # the first time round libraries import what they need of themselves
        watch.on = watched
        for entry in entries("function"):
            function = resolve(entry.name, "function", ())
            assert type(function).__module__ in ("builtins", "numpy"), entry  # no object of a class that hides more
            for arguments, keywords in tries:
                with contextlib.suppress(Exception):  # most make no sense
                    function(*arguments, **keywords)
        watch.on = False
    assert watch.seen == []
