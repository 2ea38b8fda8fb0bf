"""What the user's code refers to by name and keeps in its classes: a copy without it differs, reached or not."""

from __future__ import annotations

import collections
import enum
import math
import operator
import os
import random
import sys
import types

import numpy as np
import pytest
import torch

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

OWN = [__name__.partition(".")[0], "settings_of_mine", "package_of_mine"]
SCALE = 1
TABLE = {"mean": 0.0}
DRAWN = random.Random(3)
GENERATOR = np.random.default_rng(3)
WEIGHTS = torch.zeros(2)
ACTIVATION = math.exp
BY_TEXT = 1
FOLDER = os.path.dirname(__file__)
LATER = None


def helper(x):
    return x * SCALE


class Colour(enum.Enum):
    RED = 1


class Part:
    __slots__ = ()
    _registry: dict = {}


class Model(torch.nn.Module):
    """Its methods are described, not called."""

    _made = 0
    __hidden = ()
    __scale__ = 1

    def rarely(self, x):
        def inner():
            return [TABLE["mean"] for _ in range(2)]

        return inner(), DRAWN.random(), GENERATOR.normal(), ACTIVATION(x), WEIGHTS, helper(x), Part, Colour

    def looks_up(self):
        return globals()["BY_TEXT"], os.environ.get("A_VARIABLE_OF_MINE"), FOLDER, LATER

    def imports(self):
        import settings_of_mine

        return settings_of_mine.inside.LIMIT, round(1.5)


def described():
    return snapshot_model(Model(), own_modules=OWN)


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    module, inside = types.ModuleType("settings_of_mine"), types.ModuleType("settings_of_mine.inside")
    module.inside, inside.LIMIT = inside, 3
    monkeypatch.setitem(sys.modules, "settings_of_mine", module)
    return inside


def rebind(name, value):
    return lambda patch: patch.setattr(sys.modules[__name__], name, value)


def of_class(cls, name, value):
    return lambda patch: patch.setattr(cls, name, value, raising=False)


RARELY, HELPER = "model.__class__.rarely.__globals__", "model.__class__.rarely.__globals__['helper'].__globals__"
LOOKS_UP, IMPORTS = "model.__class__.looks_up.__globals__", "model.__class__.imports.__globals__"
CHANGES = {
    "rebound number": (rebind("SCALE", 2), f"{HELPER}['SCALE']"),
    "entry of a table": (lambda patch: patch.setitem(TABLE, "mean", 1.0), f"{RARELY}['TABLE']['mean']"),
    "other generator": (rebind("DRAWN", random.Random(4)), f"{RARELY}['DRAWN'].getstate()"),
    "numpy's generator": (rebind("GENERATOR", np.random.default_rng(4)), f"{RARELY}['GENERATOR'].bit_generator"),
    "tensor": (rebind("WEIGHTS", torch.ones(2)), f"{RARELY}['WEIGHTS']"),
    "library's function": (rebind("ACTIVATION", math.log), f"{RARELY}['ACTIVATION']"),
    "object in a function's place": (rebind("helper", operator.itemgetter(1)), f"{RARELY}['helper']"),
    "found by a text": (rebind("BY_TEXT", 2), f"{LOOKS_UP}['BY_TEXT']"),
    "bound later": (rebind("LATER", collections.Counter(a=1)), f"{LOOKS_UP}['LATER']"),
    "environment": (lambda patch: patch.setenv("A_VARIABLE_OF_MINE", "1"), f"{LOOKS_UP}.os.environ['A_VARIABLE_OF_"),
    "builtin": (lambda patch: patch.setattr("builtins.round", math.ceil), f"{IMPORTS}['round']"),
    "private attribute": (of_class(Model, "_made", 3), "model.__class__._made"),
    "mangled attribute": (of_class(Model, "_Model__hidden", (1,)), "model.__class__._Model__hidden"),
    "attribute of four underscores": (of_class(Model, "__scale__", 2), "model.__class__.__scale__"),
    "annotation": (lambda patch: patch.setitem(Part.__annotations__, "new", int), f"{RARELY}['Part']"),
    "registry": (lambda patch: patch.setitem(Part._registry, "a", 1), f"{RARELY}['Part']._registry['a']"),
    "attribute of an enumeration": (of_class(Colour, "_names", {1: "red"}), f"{RARELY}['Colour']._names"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_where_it_is(change, monkeypatch):
    do, path = CHANGES[change]
    before = described()
    assert compare(before, described()) == []
    do(monkeypatch)
    differences = compare(before, described())
    assert differences
    assert all(difference.path.startswith(path) for difference in differences), differences


def test_an_own_module_that_is_imported_inside(settings):
    before = described()
    settings.LIMIT = 4
    assert [one.path for one in compare(before, described())] == [f"{IMPORTS}['settings_of_mine'].inside.LIMIT"]


def test_where_the_code_lies_is_no_difference(monkeypatch, tmp_path):
    before = described()
    monkeypatch.setattr(sys.modules[__name__], "FOLDER", str(tmp_path))
    assert compare(before, described()) == []
    monkeypatch.setattr(sys.modules[__name__], "FOLDER", "/somewhere/else")  # where nothing is
    (difference,) = compare(before, described())
    assert difference.path.endswith("['FOLDER'].exists()")


@pytest.mark.parametrize(("value", "seen"), [(round, False), (math.ceil, True)])
def test_a_builtin_written_down_among_the_globals_is_no_difference(value, seen, monkeypatch):
    """dill does so for functions by value."""
    before = described()
    monkeypatch.setattr(sys.modules[__name__], "round", value, raising=False)
    assert bool(compare(before, described())) is seen


def test_a_global_that_the_model_holds_too_is_one_object():
    model = Model()
    model.table = TABLE
    before = snapshot_model(model, own_modules=OWN)
    model.table = dict(TABLE)
    assert [one.kind for one in compare(before, snapshot_model(model, own_modules=OWN))] == ["identity"]
