"""What a model reaches outside itself: a copy that lacks it differs. Taken away, each describer turns a test red."""

from __future__ import annotations

import colorsys
import contextvars
import copy
import decimal
import json
import math
import string
import textwrap
import threading
import time
import weakref

import numpy as np
import pandas as pd
import pytest
import torch

from harness.compare import compare
from harness.snapshot import describe_reached
from harness.snapshot.builder import snapshot_model
from tests.compare import asking

OFFSET = contextvars.ContextVar("offset", default=0.5)
UNSET = contextvars.ContextVar("unset")
HELD = threading.local()


class Reaches(torch.nn.Module):
    def __init__(self, *parts):
        super().__init__()
        self.net, self.parts = torch.nn.Linear(2, 2), parts
        torch.nn.init.zeros_(self.net.weight)
        torch.nn.init.zeros_(self.net.bias)

    def preprocess(self, x):
        return x * math.tau + OFFSET.get() + UNSET.get(0) + getattr(HELD, "scale", 1)

    def rarely(self):
        import colorsys

        return (
            string.digits,
            json.encoder.FLAGS,
            getattr(colorsys, "SCALE", None),
            getattr(colorsys, "SCALE_version", 1),
        )

    def postprocess(self, x):
        return decimal.Decimal(1) / decimal.Decimal(x)


def described(*parts):
    return snapshot_model(Reaches(*parts), own_modules=[__name__.partition(".")[0]])


def found(before, *parts):
    return [(difference.path, difference.kind) for difference in compare(before, described(*parts))]


PREPROCESS, POSTPROCESS = "model.__class__.preprocess", "model.__class__.postprocess"


def test_nothing_differs_where_nothing_changed():
    assert found(described(OFFSET, HELD), OFFSET, HELD) == []


def test_a_context_variable_that_code_reads():
    before = described()
    token = OFFSET.set(2.0)
    try:
        assert found(before) == [(f"{PREPROCESS}.__globals__['OFFSET'].get()", "extra")]
    finally:
        OFFSET.reset(token)
    assert found(before) == []
    without = contextvars.ContextVar("offset", default=0.25)
    assert [kind for _, kind in found(described(OFFSET), without)] == ["value", "identity"]


def test_what_a_thread_holds():
    before, by_code = described(HELD), described()
    HELD.scale = 3
    try:
        assert len(found(before, HELD)) == 1
        assert found(by_code) == [(f"{PREPROCESS}.__globals__['HELD'].scale", "extra")]
    finally:
        del HELD.scale
    assert found(by_code) == []


def test_the_context_of_decimal_where_code_uses_decimal():
    before = described()
    with decimal.localcontext() as context:
        context.prec = 6
        assert found(before) == [(f"{POSTPROCESS}.__globals__.decimal.getcontext().prec", "value")]


def test_the_context_that_decimal_copies_where_code_uses_decimal():
    before, was = described(), decimal.DefaultContext.prec
    try:
        decimal.DefaultContext.prec = 3
        assert found(before) == [(f"{POSTPROCESS}.__globals__.decimal.DefaultContext.prec", "value")]
    finally:
        decimal.DefaultContext.prec = was


class Settings(dict):
    """Whose keys are its attributes: one that it lacks raises KeyError."""

    __getattr__ = dict.__getitem__


SETTINGS = Settings(scale=2)


def reads_settings(self):
    return SETTINGS.scale


def test_a_global_whose_attributes_are_its_keys(monkeypatch):
    before = snapshot_model(asking.model(reads_settings, step=SETTINGS), own_modules=asking.OWN)
    assert {node["kind"] for node in before["nodes"]}.isdisjoint({"unreadable"})
    monkeypatch.setitem(SETTINGS, "scale", 3)
    after = snapshot_model(asking.model(reads_settings, step=SETTINGS), own_modules=asking.OWN)
    assert [difference.kind for difference in compare(before, after)] == ["value"]


class Stepping:
    """An object with a `step`."""


def test_an_attribute_step_whose_attributes_are_its_keys():
    one = Stepping()
    one.step = SETTINGS
    assert not any(node["kind"] == "unreadable" for node in snapshot_model(one, own_modules=asking.OWN)["nodes"])


@pytest.mark.parametrize("kind", ["number", "function"])
def test_an_attribute_of_a_librarys_module(kind, monkeypatch):
    before = described()
    monkeypatch.setattr(math, "tau", 3.0 if kind == "number" else lambda: 3.0)
    (path, _), *more = found(before)
    assert path.startswith(f"{PREPROCESS}.__globals__['math'].tau") and not more


def test_what_a_librarys_module_holds(monkeypatch):
    """Texts and plain containers, in a module inside it, looked up by a text; no versions, no places."""
    before = described()
    changes = [(string, "digits", "01"), (json.encoder, "FLAGS", [1]), (colorsys, "SCALE", (1, 2))]
    for module, name, value in changes:
        monkeypatch.setattr(module, name, value, raising=False)
        (path, _), *more = found(before)
        assert path.endswith(f".{name}") or f".{name}[" in path, path
        assert not more
        monkeypatch.undo()
    for name, value in (("digits", "/a/place"), ("SCALE_version", "2"), ("SCALE", [object()])):
        monkeypatch.setattr(colorsys, name, value, raising=False)
    assert found(before) == []


@pytest.mark.parametrize(
    "part", [described, Reaches().rarely, Reaches(), Reaches, asking], ids=lambda part: type(part).__name__
)
def test_what_of_the_users_was_put_in_a_librarys_module(part, monkeypatch):
    before = described()
    monkeypatch.setattr(colorsys, "rgb_to_hsv", part)  # which the model's code does not name
    assert "rgb_to_hsv" in found(before)[0][0]


def test_what_was_set_on_a_class_of_torch(monkeypatch):
    before = described()
    monkeypatch.setattr(torch.nn.Linear, "__constants__", ["in_features"])
    assert {path for path, _ in found(before)} == {"model.net.__class__.__constants__"}
    monkeypatch.undo()
    monkeypatch.setattr(torch.nn.Linear, "scales", [2], raising=False)
    assert found(before) == [("model.net.__class__.scales", "extra")]
    monkeypatch.undo()
    monkeypatch.setattr(torch.nn.Linear, "scale", 2, raising=False)
    assert found(before) == [("model.net.__class__.scale", "extra")]
    monkeypatch.undo()
    monkeypatch.setattr(torch.nn.Linear, "extra_repr", lambda self: "mine")
    by_code = "model.__class__.__init__.__globals__['torch'].nn.Linear.extra_repr"
    assert sorted(found(before)) == [(by_code, "extra"), ("model.net.__class__.extra_repr", "extra")]
    monkeypatch.undo()
    monkeypatch.setattr(torch.Tensor, "double", lambda self: self)
    assert ("model.net.weight.__class__.double", "extra") in found(before)
    monkeypatch.undo()
    assert found(before) == []


class Units:
    """Tables have one as an attribute."""

    def __init__(self, table):
        self.table = table


def test_an_accessor_of_tables():
    table = pd.DataFrame({"a": [1.0]})
    before = described(table)
    pd.api.extensions.register_dataframe_accessor("units")(Units)
    after = found(before, table)
    del pd.DataFrame.units
    pd.DataFrame._accessors.discard("units")
    assert after == [("model.parts[0].__class__.units", "extra")]


def test_a_namespace_is_unchanged_where_it_holds_the_very_same():
    one, other = [1], [1]
    assert describe_reached.is_unchanged({"a": one, "b": 2}, {"a": one, "b": 2})
    for now in ({"a": other, "b": 2}, {"a": one}, {"a": one, "b": 2, "c": 3}, {"a": one, "c": 2}, {"b": one, "a": 2}):
        assert not describe_reached.is_unchanged(now, {"a": one, "b": 2})


def test_how_many_hooks_the_process_had_is_no_difference():
    model = torch.nn.Linear(1, 1)
    model.handle = model.register_forward_hook(print)
    before = snapshot_model(model, own_modules=[__name__])
    torch.nn.Linear(1, 1).register_forward_hook(print)
    assert compare(before, snapshot_model(model, own_modules=[__name__])) == []


class Kept:
    """A descriptor with a table of its own."""

    def __init__(self):
        self.table = weakref.WeakKeyDictionary()

    def __get__(self, owner, cls):
        return self if owner is None else self.table.get(owner, 0)

    def __set__(self, owner, value):
        self.table[owner] = value


class Descends(torch.nn.Module):
    _threshold = Kept()


def test_what_a_private_descriptor_of_the_users_keeps():
    own = [__name__.partition(".")[0]]
    model = Descends()
    before = snapshot_model(model, own_modules=own)
    model._threshold = 5
    changed = compare(before, snapshot_model(model, own_modules=own))
    assert [difference.path.partition("._threshold")[0] for difference in changed] == ["model.__class__"]


def test_copies_that_libraries_make_a_little_different_are_equal():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()  # a copy of a parameter has no gradient
    for original in (optimizer, np.polynomial.Polynomial([1.0, 2.0])):
        assert compare(snapshot_model([original]), snapshot_model([copy.deepcopy(original)])) == []
    assert compare(
        snapshot_model(np.polynomial.Polynomial([1.0])), snapshot_model(np.polynomial.Polynomial([1.0], domain=[0, 2]))
    )


class Curve(np.polynomial.Polynomial):
    """One that says what it is for."""


def test_an_attribute_of_a_polynomial_of_the_users():
    first, second = Curve([1.0, 2.0]), Curve([1.0, 2.0])
    first.unit = "cm"
    described = [snapshot_model(one, own_modules=[__name__.partition(".")[0]]) for one in (first, first, second)]
    assert compare(described[0], described[1]) == []
    assert [one.path for one in compare(described[0], described[2])] == ["model.unit"]


def test_an_attribute_that_the_program_set_on_a_function_of_a_library(monkeypatch):
    """Whatever reads it: the function comes back by its name, and without it."""

    def described():
        return snapshot_model(asking.model(asking.nothing, wrap=textwrap.dedent), own_modules=asking.OWN)

    before = described()
    monkeypatch.setattr(textwrap.dedent, "limit", 3, raising=False)
    assert compare(described(), described()) == []
    assert [(one.path, one.kind) for one in compare(described(), before)] == [("model.wrap.limit", "missing")]


def noon():
    return 43200.0


def tells_the_time(x):
    return time.time()


def test_a_clock_of_the_programs_own(monkeypatch):
    def described(rarely):
        return snapshot_model(asking.model(rarely), own_modules=[__name__.partition(".")[0]])

    before = [described(rarely) for rarely in (tells_the_time, asking.nothing)]
    monkeypatch.setattr(time, "time", noon)
    after = [described(rarely) for rarely in (tells_the_time, asking.nothing)]
    assert [one.path for one in compare(before[0], after[0])] == ["model.rarely.__globals__['time'].time"]
    assert compare(before[1], after[1]) == []
