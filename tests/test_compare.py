"""The comparer is code too: it must see each of these mutations, where it is and of which kind, and nothing else.

Every row builds a value twice and a mutated one once: the two builds must compare as equal, the mutation must give
exactly the differences that the row lists. Snapshots pass through pickle, as they do between processes.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import fractions
import functools
import io
import itertools
import json
import logging
import math
import operator
import pickle
import random
import re
import threading
import types
import uuid
import weakref
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Optional

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from harness.compare import KINDS, Difference, Tolerance, compare, verdict
from harness.snapshot import snapshot_model, snapshot_value

OWN = (__name__,)
Point = namedtuple("Point", "x y")
Pair = namedtuple("Pair", "x y")


@dataclass
class Setting:
    width: int = 3


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Plain:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Other(Plain):
    pass


class Slotted:
    __slots__ = ("__hidden", "x", "y")

    def __init__(self, x, hidden=0):
        self.x, self.__hidden = x, hidden


class Names(list):
    pass


class Text(str):
    pass


class Half(float):
    pass


class Tagged(torch.Tensor):
    pass


def clip(x, low=0):
    return x


def relu(x, low=0):
    return x


def transported(value, snapshot=snapshot_value):
    return pickle.loads(pickle.dumps(snapshot(value, own_modules=OWN)))


def differences(before, after, snapshot=snapshot_value):
    root = "x" if snapshot is snapshot_value else "model"
    return compare(transported(before, snapshot), transported(after, snapshot), root=root)


def seen(before, after, snapshot=snapshot_value):
    return [(difference.path, difference.kind) for difference in differences(before, after, snapshot)]


def t(*values, **options):
    return torch.tensor(values, **options)


def attributed(value, **fields):
    for name, part in fields.items():
        setattr(value, name, part)
    return value


def shared(*make):
    """The same object in each place."""
    part = make[0]()
    return [part, part]


def moved(stream, position):
    stream.seek(position)
    return stream


def nested(*rows, **options):
    return torch.nested.nested_tensor([torch.tensor(row) for row in rows], **options)


def quantised(scale, zero):
    return torch.quantize_per_tensor(t(0.0, scale), scale, zero, torch.quint8)


def per_channel(scale):
    parts = torch.ones(2, 2), t(scale, 0.1, dtype=torch.float64), t(0, 0)
    return torch._make_per_channel_quantized_tensor(torch.ones(2, 2, dtype=torch.int8), *parts[1:], 0)


def fp8(value, dtype=torch.float8_e4m3fn):
    return t(value).to(dtype)


def f_scale(factor):
    return [lambda x: x * 2.5, lambda x: x * 3.5][factor]


def f_names(which):
    return [lambda x: x.sum(), lambda x: x.mean()][which]


def f_small(which):
    return [lambda x: x + 1, lambda x: x + 2][which]


def raising(text):
    return ValueError(text)


def frame(**options):
    return pd.DataFrame({"a": [1, 2], "b": ["u", "v"]}, **options)


VALUES = [
    # --- simple values
    (lambda: 1, lambda: 2, "x", "value"),
    (lambda: 1, lambda: True, "x", "type"),
    (lambda: 1, lambda: 1.0, "x", "type"),
    (lambda: 0, lambda: False, "x", "type"),
    (lambda: None, lambda: 0, "x", "type"),
    (lambda: "a", lambda: "b", "x", "value"),
    (lambda: "a", lambda: b"a", "x", "type"),
    (lambda: "\ud800", lambda: "\ud801", "x", "value"),
    (lambda: 0.1, lambda: math.nextafter(0.1, 1), "x", "value"),
    (lambda: 0.0, lambda: -0.0, "x", "value"),
    (lambda: math.nan, lambda: 0.0, "x", "value"),
    (lambda: math.inf, lambda: -math.inf, "x", "value"),
    (lambda: 1j, lambda: 2j, "x", "value"),
    (lambda: complex(0.0, 0.0), lambda: complex(0.0, -0.0), "x", "value"),
    (lambda: 10**30, lambda: 10**30 + 1, "x", "value"),
    (lambda: Text("a"), lambda: "a", "x", "type"),
    (lambda: Text("a"), lambda: Text("b"), "x", "value"),
    (lambda: attributed(Text("a"), n=1), lambda: attributed(Text("a"), n=2), "x.n", "value"),
    (lambda: Half(0.5), lambda: Half(0.25), "x.value", "value"),
    (lambda: bytearray(b"a"), lambda: bytearray(b"b"), "x", "value"),
    (lambda: bytearray(b"a"), lambda: b"a", "x", "type"),
    # --- containers
    (lambda: [1, 2, 3], lambda: [1, 99, 3], "x[1]", "value"),
    (lambda: [1, 2, 3], lambda: [1, 2, 99], "x[2]", "value"),
    (lambda: [1, 2], lambda: [1, 2, 3], "x", "length"),
    (lambda: [1, 2], lambda: [1], "x", "length"),
    (lambda: [1, 2], lambda: (1, 2), "x", "type"),
    (lambda: (1,), lambda: [1], "x", "type"),
    (lambda: [], lambda: None, "x", "type"),
    (lambda: Names([1]), lambda: [1], "x", "type"),
    (lambda: attributed(Names(), n=1), lambda: attributed(Names(), n=2), "x.n", "value"),
    (lambda: attributed(Names(), n=1), lambda: Names(), "x.n", "missing"),
    (lambda: {"a": 1}, lambda: {"a": 2}, "x['a']", "value"),
    (lambda: {"a": 1}, dict, "x['a']", "missing"),
    (dict, lambda: {"a": 1}, "x['a']", "extra"),
    (lambda: {0: "cat"}, lambda: {"0": "cat"}, "x[0]", "keys"),
    (lambda: {1: "a"}, lambda: {True: "a"}, "x[1]", "keys"),
    (lambda: {1: "a"}, lambda: {1.0: "a"}, "x[1]", "keys"),
    (lambda: {(1, 2): 3}, lambda: {(1, 2): 4}, "x[(1, 2)]", "value"),
    (lambda: {"a": 1, "b": 2}, lambda: {"b": 2, "a": 1}, "x", "order"),
    (lambda: OrderedDict(a=1, b=2), lambda: OrderedDict(b=2, a=1), "x", "order"),
    (lambda: {"a": 1}, lambda: OrderedDict(a=1), "x", "type"),
    (lambda: Counter("aab"), lambda: {"a": 2, "b": 1}, "x", "type"),
    (lambda: defaultdict(list), lambda: defaultdict(set), "x.default_factory", "value"),
    (lambda: defaultdict(list), lambda: defaultdict(None), "x.default_factory", "type"),
    (lambda: deque([1], maxlen=2), lambda: deque([1], maxlen=3), "x", "maxlen"),
    (lambda: deque([1]), lambda: [1], "x", "type"),
    (lambda: {1, 2}, lambda: frozenset({1, 2}), "x", "type"),
    (lambda: {1, 2}, lambda: {1}, "x", "missing"),
    (lambda: {1}, lambda: {1, 2}, "x", "extra"),
    (lambda: {(1, "a")}, lambda: {(1, "a"), (2, "a")}, "x", "extra"),
    (lambda: {Colour.RED, Colour.BLUE}, lambda: {Colour.RED}, "x", "missing"),
    (lambda: Point(1, 2), lambda: (1, 2), "x", "type"),
    (lambda: Point(1, 2), lambda: Pair(1, 2), "x", "type"),
    (lambda: Point(1, 2), lambda: Point(1, 3), "x[1]", "value"),
    (lambda: types.MappingProxyType({1: 2}), lambda: types.MappingProxyType({1: 3}), "x[1]", "value"),
    (lambda: range(3), lambda: range(4), "x", "value"),
    (lambda: range(3), lambda: [0, 1, 2], "x", "type"),
    (lambda: slice(1, 2), lambda: slice(1, 3), "x.stop", "value"),
    (lambda: {"a": 1}.keys(), lambda: {"b": 1}.keys(), "x[0]", "value"),
    # --- objects
    (lambda: Setting(3), lambda: Setting(4), "x.width", "value"),
    (lambda: Setting(3), lambda: {"width": 3}, "x", "type"),
    (lambda: Colour.RED, lambda: Colour.BLUE, "x", "value"),
    (lambda: Colour.RED, lambda: 1, "x", "type"),
    (lambda: re.I | re.M, lambda: re.I, "x", "value"),
    (lambda: Plain(a=1), lambda: Plain(a=1, b=2), "x.b", "extra"),
    (lambda: Plain(a=1), Plain, "x.a", "missing"),
    (lambda: Plain(a=None), Plain, "x.a", "missing"),
    (lambda: Slotted(1), lambda: Slotted(2), "x.x", "value"),
    (lambda: Slotted(1), lambda: Slotted(1, hidden=1), "x._Slotted__hidden", "value"),
    (lambda: Slotted(1), lambda: attributed(Slotted(1), y=1), "x.y", "extra"),
    (lambda: types.SimpleNamespace(a=1), lambda: types.SimpleNamespace(a=2), "x.a", "value"),
    (lambda: raising("a"), lambda: raising("b"), "x.args[0]", "value"),
    (lambda: object(), lambda: None, "x", "type"),
    (lambda: ..., lambda: None, "x", "type"),
    (lambda: weakref.WeakValueDictionary(a=Colour), lambda: weakref.WeakValueDictionary(), "x['a']", "missing"),
    # --- the standard library
    (lambda: datetime.date(2026, 1, 1), lambda: datetime.date(2026, 1, 2), "x", "value"),
    (lambda: datetime.datetime(2026, 1, 1), lambda: datetime.datetime(2026, 1, 1, 1), "x", "value"),
    (lambda: datetime.datetime(2026, 1, 1, fold=0), lambda: datetime.datetime(2026, 1, 1, fold=1), "x", "fold"),
    (
        lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        lambda: datetime.datetime(2026, 1, 1),
        "x.tzinfo",
        "type",
    ),
    (lambda: zoneinfo.ZoneInfo("UTC"), lambda: zoneinfo.ZoneInfo("Etc/GMT"), "x", "value"),
    (lambda: datetime.timedelta(1), lambda: datetime.timedelta(1, 0, 1), "x", "value"),
    (lambda: decimal.Decimal("1.0"), lambda: decimal.Decimal("1.00"), "x", "value"),
    (lambda: fractions.Fraction(1, 3), lambda: fractions.Fraction(2, 3), "x", "value"),
    (lambda: uuid.UUID(int=1), lambda: uuid.UUID(int=2), "x", "value"),
    (lambda: Path("a"), lambda: Path("b"), "x", "value"),
    (lambda: Path("a"), lambda: PurePosixPath("a"), "x", "type"),
    (lambda: Path("a"), lambda: "a", "x", "type"),
    (lambda: re.compile("a"), lambda: re.compile("b"), "x", "value"),
    (lambda: re.compile("a"), lambda: re.compile("a", re.I), "x", "flags"),
    (lambda: re.compile(b"a"), lambda: re.compile(b"b"), "x", "value"),
    (lambda: io.BytesIO(b"ab"), lambda: io.BytesIO(b"ac"), "x", "value"),
    (lambda: io.BytesIO(b"ab"), lambda: moved(io.BytesIO(b"ab"), 1), "x", "position"),
    (lambda: logging.getLogger("a"), lambda: logging.getLogger("b"), "x", "value"),
    (lambda: itertools.count(1), lambda: itertools.count(2), "x.__reduce__()[1][0]", "value"),
    (lambda: operator.itemgetter(1), lambda: operator.itemgetter(2), "x.__reduce__()[1][0]", "value"),
    (threading.Lock, lambda: None, "x", "type"),
    (lambda: list[int], lambda: list[str], "x.args[0]", "value"),
    (lambda: Optional[int], lambda: Optional[str], "x.args[0]", "value"),  # noqa: UP045
    # --- code
    (lambda: clip, lambda: relu, "x", "code"),
    (lambda: clip, lambda: None, "x", "type"),
    (lambda: f_scale(0), lambda: f_scale(1), "x", "code"),
    (lambda: f_names(0), lambda: f_names(1), "x", "code"),
    (lambda: f_small(0), lambda: f_small(1), "x", "code"),
    (lambda: len, lambda: abs, "x", "code"),
    (lambda: torch.relu, lambda: torch.sigmoid, "x", "code"),
    (lambda: nn.functional.relu, lambda: nn.functional.softmax, "x", "code"),
    (lambda: json, lambda: pickle, "x", "value"),
    (lambda: int, lambda: float, "x", "value"),
    (lambda: functools.partial(clip, low=1), lambda: functools.partial(clip, low=2), "x.keywords['low']", "value"),
    (lambda: functools.partial(clip, 1), lambda: functools.partial(clip, 2), "x.args[0]", "value"),
    (lambda: functools.partial(clip), lambda: functools.partial(relu), "x.func", "code"),
    (lambda: Plain(a=1).__init__, lambda: Plain(a=2).__init__, "x.__self__.a", "value"),
    (lambda: [1].append, lambda: [2].append, "x.__self__[0]", "value"),
    # --- numpy
    (lambda: np.float32(1), lambda: 1.0, "x", "type"),
    (lambda: np.int64(1), lambda: np.int64(2), "x", "value"),
    (lambda: np.array([1, 2]), lambda: np.array([1, 3]), "x", "value"),
    (lambda: np.array([1], "int32"), lambda: np.array([1], "int64"), "x", "dtype"),
    (lambda: np.array([1], "<i4"), lambda: np.array([1], ">i4"), "x", "dtype"),
    (lambda: np.array([1, 2]), lambda: np.array([[1, 2]]), "x", "shape"),
    (lambda: np.array([1.0]), lambda: [1.0], "x", "type"),
    (lambda: np.array([0.0]), lambda: np.array([-0.0]), "x", "value"),
    (lambda: np.array(["a"]), lambda: np.array(["b"]), "x", "value"),
    (lambda: np.array([{}, 1], object), lambda: np.array([{}, 2], object), "x[1]", "value"),
    (lambda: np.array([(1, 2)], "i4,i4"), lambda: np.array([(1, 3)], "i4,i4"), "x['f1']", "value"),
    (lambda: np.array([1], "datetime64[D]"), lambda: np.array([2], "datetime64[D]"), "x", "value"),
    (lambda: np.array([1], "longdouble"), lambda: np.array([2], "longdouble"), "x.high", "value"),
    (lambda: np.ma.array([1, 2], mask=[0, 1]), lambda: np.ma.array([1, 2], mask=[1, 1]), "x.mask", "value"),
    (lambda: np.dtype("<i4"), lambda: np.dtype(">i4"), "x", "value"),
    (lambda: np.sin, lambda: np.cos, "x", "value"),
    # --- pandas and Pillow
    (lambda: pd.Series([1, 2]), lambda: pd.Series([1, 3]), "x.values", "value"),
    (lambda: pd.Series([1]), lambda: pd.Series([1], name="n"), "x.name", "type"),
    (lambda: pd.Series([1], index=["a"]), lambda: pd.Series([1], index=["b"]), "x.index.values[0]", "value"),
    (lambda: frame(), lambda: frame().astype({"a": "int32"}), "x['a']", "dtype"),
    (lambda: frame(), lambda: frame().replace({"b": {"v": "w"}}), "x['b'][1]", "value"),
    (lambda: frame(), lambda: frame(index=pd.RangeIndex(2, name="n")), "x.index.name", "type"),
    (lambda: frame().convert_dtypes(), lambda: frame(), None, None),
    (lambda: pd.Series([1, None], dtype="Int64"), lambda: pd.Series([1, 2], dtype="Int64"), "x.values[1]", "type"),
    (
        lambda: pd.Categorical(["u"], ["u", "v"]),
        lambda: pd.Categorical(["u"], ["u", "w"]),
        "x.dtype.categories.values[1]",
        "value",
    ),
    (lambda: pd.Timestamp("2026-01-01"), lambda: pd.Timestamp("2026-01-02"), "x", "value"),
    (lambda: pd.NaT, lambda: pd.NA, "x", "type"),
    (lambda: Image.new("L", (2, 2), 3), lambda: Image.new("L", (2, 2), 4), "x", "value"),
    (lambda: Image.new("L", (2, 1)), lambda: Image.new("L", (1, 2)), "x", "size"),
    # --- tensors
    (lambda: t(1.0, 2.0), lambda: t(1.0, 2.5), "x", "value"),
    (lambda: t(0.0), lambda: t(-0.0), "x", "value"),
    (lambda: t(math.nan), lambda: t(1.0), "x", "value"),
    (lambda: t(1.0), lambda: t(1.0, dtype=torch.float64), "x", "dtype"),
    (lambda: t(1), lambda: t(True), "x", "dtype"),
    (lambda: t(1.0), lambda: t([1.0]), "x", "shape"),
    (lambda: torch.zeros(0, 2), lambda: torch.zeros(0, 3), "x", "shape"),
    (lambda: t(1.0, dtype=torch.bfloat16), lambda: t(1.01, dtype=torch.bfloat16), "x", "value"),
    (lambda: t(1.0, dtype=torch.float16), lambda: t(1.01, dtype=torch.float16), "x", "value"),
    (lambda: fp8(1.0), lambda: fp8(2.0), "x", "value"),
    (lambda: fp8(1.0, torch.float8_e5m2), lambda: fp8(2.0, torch.float8_e5m2), "x", "value"),
    (lambda: fp8(1.0, torch.float8_e8m0fnu), lambda: fp8(2.0, torch.float8_e8m0fnu), "x", "value"),
    (lambda: t(1j), lambda: t(1j).conj(), "x", "value"),
    (lambda: t(1j, dtype=torch.complex32), lambda: t(2j, dtype=torch.complex32), "x", "value"),
    (lambda: t(1, dtype=torch.uint16), lambda: t(2, dtype=torch.uint16), "x", "value"),
    (lambda: t(True), lambda: t(False), "x", "value"),
    (lambda: t(1.0).to_sparse(), lambda: t(2.0).to_sparse(), "x.values()", "value"),
    (lambda: t(0.0, 1.0).to_sparse(), lambda: t(1.0, 0.0).to_sparse(), "x.indices()", "value"),
    (lambda: t([0.0, 1.0]).to_sparse_csr(), lambda: t([0.0, 2.0]).to_sparse_csr(), "x.values()", "value"),
    (lambda: t([0.0, 1.0]).to_sparse_csc(), lambda: t([0.0, 2.0]).to_sparse_csc(), "x.values()", "value"),
    (lambda: nested([1.0], [2.0, 3.0]), lambda: nested([1.0], [2.0, 4.0]), "x.unbind()[1]", "value"),
    (
        lambda: nested([1.0], [2.0, 3.0], layout=torch.jagged),
        lambda: nested([1.0], [2.0, 4.0], layout=torch.jagged),
        "x._values",
        "value",
    ),
    (lambda: quantised(0.5, 0), lambda: quantised(0.25, 0), "x.q_scale()", "value"),
    (lambda: per_channel(0.1), lambda: per_channel(0.2), "x.q_per_channel_scales()", "value"),
    (lambda: torch.zeros(1, device="meta"), lambda: torch.zeros(1), "x", "device"),
    (lambda: torch.zeros(1, device="meta"), lambda: torch.zeros(2, device="meta"), "x", "shape"),
    (lambda: t(1.0, requires_grad=True), lambda: t(1.0), "x", "requires_grad"),
    (lambda: t(1.0).as_subclass(Tagged), lambda: t(1.0), "x", "type"),
    (lambda: attributed(t(1.0), note=1), lambda: attributed(t(1.0), note=2), "x.note", "value"),
    (lambda: torch.Size([1]), lambda: (1,), "x", "type"),
    (lambda: torch.float32, lambda: torch.float64, "x", "value"),
    (lambda: torch.device("cpu"), lambda: torch.device("meta"), "x", "value"),
    (lambda: torch.Generator().manual_seed(1), lambda: torch.Generator().manual_seed(2), "x", "value"),
    (lambda: t(1.0).untyped_storage(), lambda: t(2.0).untyped_storage(), "x.bytes", "value"),
    # --- sharing
    (lambda: shared(list), lambda: [[], []], "x[1]", "identity"),
    (lambda: [[], []], lambda: shared(list), "x[1]", "identity"),
    (lambda: shared(lambda: t(1.0)), lambda: [t(1.0), t(1.0)], "x[1]", "identity"),
    (lambda: shared(bytearray), lambda: [bytearray(), bytearray()], "x[1]", "identity"),
    (lambda: shared(lambda: Plain(a=[1])), lambda: [Plain(a=[1]), Plain(a=[1])], "x[1]", "identity"),
    (lambda: shared(threading.Lock), lambda: [threading.Lock(), threading.Lock()], "x[1]", "identity"),
]


@pytest.mark.parametrize("row", range(len(VALUES)))
def test_a_mutated_value_is_seen(row):
    before, after, path, kind = VALUES[row]
    assert differences(before(), before()) == []
    found = seen(before(), after())
    assert found == [(path, kind)] if path else found


def test_immutable_values_may_or_may_not_be_one_object():
    point = Point(1, 2)
    assert seen([point, point], [Point(1, 2), Point(1, 2)]) == []


def test_what_was_lost_before_a_shared_object_is_all_that_is_told():
    part = [1]
    assert seen({"a": 0, "b": part, "c": part}, {"b": part, "c": part}) == [("x['a']", "missing")]


def test_a_copy_is_named_once_and_its_parts_are_still_compared():
    def pair(second):
        return [(part := [[1], [2]]), part if second is None else second]

    assert seen(pair(None), pair([[1], [2]])) == [("x[1]", "identity")]
    assert seen(pair(None), pair([[1], [3]])) == [("x[1]", "identity"), ("x[1][1][0]", "value")]


def test_cycles_end():
    def loop(length):
        rows = [[place] for place in range(length)]
        for row, following in zip(rows, rows[1:] + rows[:1], strict=True):
            row.append(following)
        return rows[0]

    assert seen(loop(1), loop(1)) == seen(loop(3), loop(3)) == []
    assert seen(loop(1), loop(2)) == [("x[1]", "identity"), ("x[1][0]", "value")]
    assert seen(loop(1), [0, [0]]) != []


@pytest.mark.parametrize("depth", [500, 5_000])
def test_depth_is_no_limit(depth):
    def nest(leaf):
        for _ in range(depth):
            leaf = [leaf]
        return leaf

    ((path, kind),) = seen(nest(1), nest(2))
    assert (path, kind) == ("x" + "[0]" * depth, "value")


def counter(shared_cell: bool):
    count, other = 0, 0

    def add():
        nonlocal count
        count += 1

    def read():
        return count

    if not shared_cell:  # as some formats restore it: each function with a cell of its own
        read = types.FunctionType(read.__code__, read.__globals__, "read", None, (types.CellType(other),))
        read.__qualname__ = "counter.<locals>.read"
    return [add, read]


def test_closures():
    assert seen(counter(True), counter(True)) == []
    advanced = counter(True)
    advanced[0]()
    assert seen(counter(True), advanced) == [("x[0].<closure>.count", "value")]
    assert seen(counter(True), counter(False)) == [("x[1].<closure>.count", "identity")]


def test_a_recursive_closure():
    def make():
        def factorial(n):
            return 1 if n < 2 else n * factorial(n - 1)

        return factorial

    assert seen(make(), make()) == []


def test_a_name_that_a_function_would_miss():
    def uses():
        return np.zeros(1), len("x"), missing_everywhere  # noqa: F821

    def without(**names):
        return types.FunctionType(uses.__code__, {"__name__": __name__, **names}, "uses", None, uses.__closure__)

    before, after = without(np=np), without()
    for function in (before, after):
        function.__qualname__ = "uses"
    (found,) = differences(before, after)
    assert (found.path, found.kind) == ("x", "globals")
    assert "'np'" in found.message


def test_code_across_python_versions_is_compared_by_what_they_share():
    def other_bytecode(value):
        return transported(value) | {"bytecode": "another"}

    assert compare(transported(f_small(0)), other_bytecode(f_small(1))) == []
    for before, after in ((f_scale(0), f_scale(1)), (f_names(0), f_names(1))):
        assert [difference.kind for difference in compare(transported(before), other_bytecode(after))] == ["code"]


def class_of(**body):
    """A class as the user's module would hold it, made anew."""
    cls = type("Mine", (Plain,), body)
    cls.__module__ = __name__
    return cls


def test_classes_of_the_users():
    def method(self):
        return 1

    assert seen(class_of(scale=1)(), class_of(scale=1)()) == []
    assert seen(class_of(scale=1)(), class_of(scale=2)()) == [("x.__class__.scale", "value")]
    assert seen(class_of(call=method)(), class_of()()) == [("x.__class__.call", "missing")]
    assert seen(class_of(call=f_small(0))(), class_of(call=f_small(1))()) == [
        ("x.__class__.call", "code"),
    ]
    one, twin = class_of(), class_of()
    assert seen([one(), one()], [one(), twin()]) == [("x[1].__class__", "identity")]


def test_a_renamed_or_moved_class_is_still_the_users():
    def made_in(module):
        cls = class_of()
        cls.__module__ = module
        return cls()

    def snapshot(value, *own):
        return snapshot_value(value, own_modules=own)

    first = snapshot(made_in("project.layers"), "project")
    assert compare(first, snapshot(made_in("renamed.layers"), "renamed")) == []
    assert compare(first, snapshot(made_in("__main__"))) == []
    assert compare(first, snapshot(made_in("<torch_package_0>.project.layers"), "project")) == []
    assert [found.kind for found in compare(first, snapshot(made_in("projector.layers"), "project"))] == ["type"]


# --- modules


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("passing", torch.arange(2.0), persistent=False)
        self.register_parameter("none", None)
        self.loose = torch.arange(8.0)
        self.view = self.loose[1:5]
        self.array = np.arange(8.0)
        self.slice = self.array[2:4]
        self.names = {0: "zero", 1: "one"}
        self.act = clip
        self.rnn = nn.GRU(2, 2)
        self.twice = self.a
        self.a.register_forward_hook(hook)
        self.state = 7

    def get_extra_state(self):
        return {"state": self.state}


def hook(module, arguments, output):
    return None


def other_hook(module, arguments, output):
    return output


def untie(net):
    net.b.weight = nn.Parameter(net.b.weight.detach().clone())


def nudge(net):
    with torch.no_grad():
        weight = net.rnn.weight_ih_l0
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))


def stride(net):
    net.a.weight.data = net.a.weight.data.t().contiguous().t()


def swap_hook(net):
    net.a._forward_hooks.clear()
    net.a.register_forward_hook(other_hook)


def unhook(net):
    net.a._forward_hooks.clear()


def hook_with_kwargs(net):
    net.a._forward_hooks.clear()
    net.a.register_forward_hook(hook, with_kwargs=True)


def gradient(net):
    net.a.bias.grad = torch.zeros(3)


def to_buffer(net):
    value = net.a.bias.detach()
    del net.a.bias
    net.a.register_buffer("bias", value)


def to_tensor(net):
    value = net.a.bias
    del net.a.bias
    net.a.__dict__["bias"] = value


def share(net):
    net.passing = net.loose[6:]


def reorder(net):
    net._modules["a"] = net._modules.pop("a")


def set_(name, value):
    return lambda net: setattr(net, name, value(net) if callable(value) else value)


MODULES = [
    (untie, [("model.b.weight", "identity")]),
    (lambda net: net.b.weight.data.copy_(net.b.weight.data), []),
    (set_("view", lambda net: net.view.clone()), [("model.loose", "aliasing")]),
    (set_("view", lambda net: (net.loose[2:6].copy_(net.loose[1:5].clone()), net.loose[2:6])[1]),
     [("model.loose", "value"), ("model.loose", "aliasing")]),
    (share, [("model.passing", "value"), ("model.passing", "aliasing")]),
    (set_("slice", lambda net: net.slice.copy()), [("model.array", "aliasing")]),
    (set_("array", lambda net: net.array[::-1][::-1].copy()), [("model.array", "aliasing")]),
    (nudge, [("model.rnn.weight_ih_l0", "value")]),
    (stride, [("model.a.weight", "stride")]),
    (lambda net: net.a.train(False), [("model.a", "training")]),
    (lambda net: net.a.bias.requires_grad_(False), [("model.a.bias", "requires_grad")]),
    (lambda net: net._non_persistent_buffers_set.clear(), [("model.passing", "buffer_persistence")]),
    (lambda net: net._non_persistent_buffers_set.add("kept"), [("model.kept", "buffer_persistence")]),
    (lambda net: delattr(net, "kept"), [("model.kept", "missing")]),
    (lambda net: delattr(net, "none"), [("model.none", "missing")]),
    (lambda net: net.register_buffer("new", torch.zeros(1)), [("model.new", "extra")]),
    (set_("loose", None), [("model.loose", "type")]),
    (lambda net: delattr(net, "loose"), [("model.loose", "missing")]),
    (set_("names", lambda net: {"0": "zero", "1": "one"}), [("model.names[0]", "keys"), ("model.names[1]", "keys")]),
    (lambda net: net.names.pop(1), [("model.names[1]", "missing")]),
    (set_("act", None), [("model.act", "type")]),
    (lambda net: setattr(net, "act", relu), [("model.act", "code")]),
    (unhook, [("model.a._forward_hooks", "hooks")]),
    (swap_hook, [("model.a._forward_hooks[0]", "code")]),
    (hook_with_kwargs, [("model.a", "hooks")]),
    (lambda net: net.register_forward_pre_hook(hook), [("model._forward_pre_hooks", "hooks")]),
    (lambda net: net.register_full_backward_hook(hook), [("model", "hooks"), ("model._backward_hooks", "hooks")]),
    (lambda net: net.register_state_dict_post_hook(hook), [("model._state_dict_hooks", "hooks")]),
    (lambda net: net.register_load_state_dict_pre_hook(hook), [("model._load_state_dict_pre_hooks", "hooks")]),
    (lambda net: net.a.bias.register_hook(len), [("model.a.bias._backward_hooks", "hooks")]),
    (gradient, [("model.a.bias.grad", "grad")]),
    (to_buffer, [("model.a.bias", "role"), ("model.a.bias", "type"), ("model.a.bias", "requires_grad"),
                 ("model.a.bias", "parameter")]),
    (to_tensor, [("model.a.bias", "role")]),
    (set_("twice", lambda net: copy.deepcopy(net.a)), [("model.twice", "identity")]),
    (set_("kept", lambda net: net.kept.double()), [("model.kept", "dtype")]),
    (set_("state", 8), [("model.state", "value"), ("model.get_extra_state()['state']", "value")]),
    (reorder, [("model", "order")]),
    (lambda net: net._parameters.update(p=None), [("model.p", "extra")]),
    (lambda net: setattr(net, "forward", types.MethodType(hook, net)), [("model.forward", "extra")]),
]  # fmt: skip


@pytest.mark.parametrize("row", range(len(MODULES)))
def test_a_mutated_module_is_seen(row):
    change, expected = MODULES[row]
    before, after = Net(), Net()
    assert seen(before, after, snapshot_model) == []
    change(after)
    assert seen(before, after, snapshot_model) == expected


def test_a_view_of_a_compacted_storage_is_the_same_view():
    """A format may save only the part of a storage that is used: what counts is how tensors lie to each other."""

    def pair(lead):
        whole = torch.zeros(lead + 4)
        return Plain(a=whole[lead:], b=whole[lead + 1 :])

    assert seen(pair(0), pair(3), snapshot_model) == []


def test_a_tensor_and_an_array_that_share_memory():
    def pair(copied):
        array = np.arange(4.0)
        tensor = torch.from_numpy(array)
        return Plain(array=array, tensor=tensor.clone() if copied else tensor)

    assert seen(pair(False), pair(False), snapshot_model) == []
    assert seen(pair(False), pair(True), snapshot_model) == [("model.array", "aliasing")]


def test_strides_and_storages_of_outputs_are_nobodys_affair():
    whole = torch.zeros(2, 3)
    assert seen([whole, whole.t()], [whole.t().contiguous().t(), whole.t().clone()]) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.LSTM(2, 2),
        lambda: nn.TransformerEncoderLayer(4, 2, 8),
        lambda: nn.LazyLinear(2),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)),
        lambda: nn.ModuleDict({"a-b": nn.ReLU(), "values-1": nn.Identity()}),
        lambda: nn.ParameterList([torch.ones(1)]),
        lambda: nn.Linear(2, 2, device="meta"),
        lambda: nn.DataParallel(nn.Linear(2, 2)),
        lambda: nn.Conv2d(1, 2, 3).to(memory_format=torch.channels_last),
    ],
)
def test_a_deep_copy_of_torchs_own_modules_is_equal(make):
    torch.manual_seed(0)
    model = make()
    assert seen(model, copy.deepcopy(model), snapshot_model) == []


def test_a_parametrised_weight_is_seen():
    torch.manual_seed(0)
    model = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    plain = copy.deepcopy(model)
    nn.utils.parametrize.remove_parametrizations(plain, "weight")
    assert ("model.parametrizations", "missing") in seen(model, plain, snapshot_model)


# --- numbers


def numeric(a, b, **tolerance):
    return compare(snapshot_value(a), snapshot_value(b), Tolerance(**tolerance), "x")


def test_sizes_and_tolerance():
    one = torch.ones(4)
    near = one.clone()
    near[2] = torch.nextafter(near[2], torch.tensor(2.0))
    (found,) = numeric(one, near)
    assert found.max_ulp == 1
    assert found.max_abs == 2**-23
    assert found.close
    assert verdict([found]) == "close"
    assert verdict(numeric(one, near, rtol=0, atol=0)) == "different"
    assert verdict(numeric(one, one * 1.1)) == "different"
    assert verdict([]) == "equal"
    assert verdict([found, Difference("x", "order", "")]) == "different"


def test_the_tolerance_is_relative_to_the_expected_value():
    assert verdict(numeric(t(100.0), t(110.0), rtol=0.1, atol=0)) == "close"
    assert verdict(numeric(t(110.0), t(100.0), rtol=0.095, atol=0)) == "close"
    assert verdict(numeric(t(100.0), t(110.0), rtol=0.095, atol=0)) == "different"
    assert verdict(numeric(t(1.0), t(2.0), rtol=0, atol=1.0)) == "close"
    assert verdict(numeric(t(1.0, 1.0), t(1.0, 2.0), rtol=0, atol=0.5)) == "different"


def test_floats_outside_tensors_can_be_close_and_integers_cannot():
    (found,) = numeric({"score": 0.5}, {"score": math.nextafter(0.5, 1)})
    assert (found.max_ulp, found.close) == (1, True)
    assert verdict(numeric(1 + 1j, 1 + 1.0000001j)) == "close"
    assert verdict(numeric(10**9, 10**9 + 1)) == "different"
    assert verdict(numeric(t(10**9), t(10**9 + 1))) == "different"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [1.0, -1.0, 0.0, 1e-7])
def test_an_ulp_is_the_formats_own(dtype, value):
    a = torch.tensor([value, 5.0], dtype=dtype)
    (found,) = numeric(a, torch.nextafter(a, torch.tensor([9.0, 5.0], dtype=dtype)))
    assert found.max_ulp == 1
    assert "1 of 2 values" in found.message


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]
)
def test_eight_bit_floats_are_decoded_as_torch_does(dtype):
    bits = torch.arange(256, dtype=torch.int16).to(torch.uint8)
    every = bits.view(dtype)
    for place in range(256):
        one, zero = every[place : place + 1], torch.zeros(1).to(dtype)
        value = one.float().item()
        found = numeric(zero, one)
        if math.isfinite(value) and value:
            assert found[0].max_abs == abs(value)
            assert found[0].max_ulp == (place & 127)
        elif value:
            assert (found[0].max_abs, found[0].close) == (None, False)


def test_steps_are_counted_across_zero():
    (found,) = numeric(-5e-324, 5e-324)
    assert found.max_ulp == 2


def test_complex_numbers_are_two_floats():
    a = torch.tensor([1 + 1j, 2 + 2j])
    b = a.clone()
    b.imag[1] = torch.nextafter(b.imag[1], torch.tensor(9.0))
    (found,) = numeric(a, b)
    assert (found.max_ulp, found.close) == (1, True)
    assert "1 of 2 values" in found.message


def test_large_integers_are_measured_exactly():
    assert numeric(t(2**60), t(2**60 + 1))[0].max_abs == 1
    assert numeric(t(-(2**63)), t(2**63 - 1))[0].max_abs == 2.0**64
    assert numeric(np.array([2**64 - 1], "u8"), np.array([0], "u8"))[0].max_abs == 2.0**64


def test_zero_changing_its_sign_is_never_close():
    (found,) = numeric(t(0.0, 1.0), t(-0.0, 1.0))
    assert (found.close, found.max_ulp) == (False, 0)
    assert "sign" in found.message
    assert verdict(numeric(0.0, -0.0)) == "different"


def test_nan_is_equal_to_nan_only():
    quiet, other = np.array([0x7FC00000, 0x7FC00001], "u4").view("f4")[:, None]
    assert quiet.tobytes() != other.tobytes()
    assert numeric(torch.from_numpy(quiet), torch.from_numpy(other)) == []
    assert numeric(quiet, other) == []
    assert numeric(math.nan, -math.nan) == []
    assert verdict(numeric(t(math.nan, 1.0), t(math.nan, 1.0 + 1e-7))) == "close"
    assert verdict(numeric(t(math.nan, 1.0), t(1.0, 1.0))) == "different"
    assert verdict(numeric(t(1.0), t(math.nan))) == "different"
    assert verdict(numeric(t(math.inf), t(1e30), rtol=1e9)) == "different"
    assert verdict(numeric(t(math.inf), t(-math.inf), rtol=1e9)) == "different"
    assert numeric(t(math.inf), t(math.inf)) == []


def test_a_conjugate_view_is_its_values():
    a = torch.tensor([1 + 2j])
    assert seen(a.conj(), a.conj().resolve_conj()) == []
    assert seen(a.conj().imag, a.conj().imag.resolve_neg()) == []


def test_large_tensors_are_compared_by_digest(monkeypatch):
    from harness import snapshot

    one, other = transported(t(1.0, 2.0)), transported(t(1.0, 2.5))
    monkeypatch.setattr(snapshot, "KEEP_BYTES", 4)
    large = transported(t(1.0, 2.0))
    assert "bytes" not in large["nodes"][0]["numbers"]
    assert compare(large, transported(t(1.0, 2.0))) == compare(one, large) == compare(large, one) == []
    for pair in ((large, transported(t(1.0, 3.0))), (large, other), (other, large)):
        (found,) = compare(*pair)
        assert (found.kind, found.max_abs, found.close) == ("value", None, False)


# --- the rest


def test_differences_are_json_and_their_kinds_are_known():
    facts = {"dtype", "shape", "requires_grad", "device", "maxlen", "flags", "fold", "position", "size"}
    for before, after, _, _ in VALUES:
        found = differences(before(), after())
        json.dumps([difference.to_dict() for difference in found], allow_nan=False)
        assert {difference.kind for difference in found} <= KINDS.keys() | facts
    assert Difference("x", "value", "", max_abs=math.inf).to_dict()["max_abs"] is None


def test_what_cannot_be_described_is_never_equal():
    class Broken(nn.Module):
        def get_extra_state(self):
            raise OSError("gone")

    (found,) = differences(Broken(), Broken(), snapshot_model)
    assert (found.path, found.kind) == ("model", "unreadable")
    assert "OSError: gone" in found.message
    assert [found.kind for found in differences(nn.Module(), Broken(), snapshot_model)] == ["unreadable"]


def test_a_snapshot_of_another_version_is_refused():
    with pytest.raises(ValueError, match="version 0"):
        compare(snapshot_value(1) | {"version": 0}, snapshot_value(1))


def test_paths_begin_as_asked():
    assert [found.path for found in compare(snapshot_model(1), snapshot_model(2))] == ["model"]
    assert [found.path for found in compare(snapshot_value(1, root="y"), snapshot_value(2))] == ["y"]


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
keys = st.integers() | st.text() | st.booleans() | st.tuples(st.integers(), st.text()) | st.floats()
trees = st.recursive(
    leaves | st.frozensets(keys) | st.lists(st.floats(width=32)).map(torch.tensor) | st.integers().map(Setting),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner) | inner.map(lambda x: [x, x])
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(trees)
def test_a_copy_is_equal(tree):
    assert differences(tree, copy.deepcopy(tree)) == []


def canonical(value):
    """Text that tells apart what the comparer must: written without looking at how it works."""
    if isinstance(value, torch.Tensor):
        return f"tensor{value.dtype}{[canonical(x) for x in value.tolist()]}"
    if isinstance(value, dict):
        return f"dict{[(canonical(k), canonical(v)) for k, v in value.items()]}"
    if isinstance(value, frozenset):
        return f"set{sorted(map(canonical, value))}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}{[canonical(x) for x in value]}"
    if isinstance(value, complex):
        return f"complex{canonical(value.real)},{canonical(value.imag)}"
    return f"{type(value).__name__}{value!r}"


@settings(max_examples=300, deadline=None)
@given(trees, trees, st.randoms(use_true_random=False))
def test_equal_means_equal(one, other, chance):
    """No two trees that differ in text compare as equal; a tree and a mutation of it neither."""
    mutated = copy.deepcopy(one)
    spots = [part for part in walk(mutated) if isinstance(part, list | dict) and part]
    if spots:
        spot = chance.choice(spots)
        place = chance.choice(range(len(spot)) if isinstance(spot, list) else list(spot))
        spot[place] = chance.choice([None, 0, "0", (), [], math.pi])
    for pair in ((one, other), (one, mutated)):
        if canonical(pair[0]) != canonical(pair[1]):
            assert differences(*pair) != []


def walk(tree):
    yield tree
    if isinstance(tree, list | tuple):
        for part in tree:
            yield from walk(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from walk(part)


def test_random_generators():
    for make in (random.Random, np.random.default_rng, np.random.RandomState):
        assert seen(make(0), make(0)) == []
        assert seen(make(0), make(1)) != []
        advanced = make(0)
        advanced.random()
        assert seen(make(0), advanced) != []


def test_a_dataclass_with_everything():
    @dataclass
    class Everything:
        names: list = field(default_factory=list)

    one = Everything(["a"])
    assert seen(one, copy.deepcopy(one)) == []


def test_weak_references():
    class Held:
        pass

    def pair(dead):
        held = Held()
        return [held, weakref.ref(Held() if dead else held)]

    assert seen(pair(False), pair(False)) == []
    assert seen(pair(False), pair(True)) == [("x[1]()", "type")]
