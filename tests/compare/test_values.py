"""The comparer is code too: it must see each of these mutations, where it is and of which kind, and nothing else.

Every row builds a value twice and a mutated one once: the two builds must compare as equal, the mutation must give
exactly the differences that the row lists. Snapshots pass through pickle, as they do between processes.
"""

from __future__ import annotations

import datetime
import decimal
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
import struct
import threading
import time
import types
import uuid
import weakref
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path, PurePosixPath
from typing import Optional

import numpy as np
import pandas as pd
import pytest
import torch
from compare_things import (
    Colour,
    Half,
    Names,
    Pair,
    Plain,
    Point,
    Setting,
    Slotted,
    Tagged,
    Text,
    attributed,
    clip,
    differences,
    f_names,
    f_scale,
    f_small,
    fp8,
    frame,
    hiding,
    moved,
    nested,
    per_channel,
    quantised,
    raising,
    relu,
    seen,
    shared,
    t,
)
from PIL import Image
from torch import nn

from harness.compare import KINDS, Difference

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
    (lambda: zoneinfo.ZoneInfo("UTC"), lambda: zoneinfo.ZoneInfo.no_cache("UTC"), "x", "cached"),
    (
        lambda: [zone := zoneinfo.ZoneInfo.no_cache("UTC"), zone],
        lambda: [zoneinfo.ZoneInfo.no_cache("UTC"), zoneinfo.ZoneInfo.no_cache("UTC")],
        "x[1]",
        "identity",
    ),
    (lambda: datetime.timedelta(1), lambda: datetime.timedelta(1, 0, 1), "x", "value"),
    (lambda: decimal.Decimal("1.0"), lambda: decimal.Decimal("1.00"), "x", "value"),
    (lambda: fractions.Fraction(1, 3), lambda: fractions.Fraction(2, 3), "x", "value"),
    (lambda: uuid.UUID(int=1), lambda: uuid.UUID(int=2), "x", "value"),
    (
        lambda: time.struct_time((2020, 1, 1, 0, 0, 0, 0, 1, 0), {"tm_zone": "GMT"}),
        lambda: time.struct_time((2020, 1, 1, 0, 0, 0, 0, 1, 0)),
        "x.tm_zone",
        "type",
    ),
    (lambda: uuid.UUID(int=1), lambda: uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe), "x", "is_safe"),
    (lambda: Path("a"), lambda: Path("b"), "x", "value"),
    (lambda: Path("a"), lambda: PurePosixPath("a"), "x", "type"),
    (lambda: Path("a"), lambda: "a", "x", "type"),
    (lambda: re.compile("a"), lambda: re.compile("b"), "x", "value"),
    (lambda: re.compile("a"), lambda: re.compile("a", re.I), "x", "flags"),
    (lambda: re.compile(b"a"), lambda: re.compile(b"b"), "x", "value"),
    (lambda: re.match("a", "ab"), lambda: re.match("a", "ac"), "x.string", "value"),
    (lambda: re.match("a", "aa"), lambda: re.compile("a").match("aa", 1), "x", "span"),
    (lambda: re.match("a", "a"), lambda: re.match("[a]", "a"), "x.re", "value"),
    (lambda: struct.Struct("<f"), lambda: struct.Struct(">f"), "x", "value"),
    (lambda: io.BytesIO(b"ab"), lambda: io.BytesIO(b"ac"), "x", "value"),
    (lambda: attributed(io.BytesIO(), note=1), lambda: io.BytesIO(), "x.note", "missing"),
    (lambda: attributed(random.Random(1), note=1), lambda: random.Random(1), "x.note", "missing"),
    (lambda: hiding(1), lambda: hiding(2), "x.Hidden.x", "value"),
    (lambda: io.BytesIO(b"ab"), lambda: moved(io.BytesIO(b"ab"), 1), "x", "position"),
    (lambda: logging.getLogger("a"), lambda: logging.getLogger("b"), "x", "value"),
    (lambda: itertools.count(1), lambda: itertools.count(2), "x.__reduce__()[1][0]", "value"),
    (lambda: operator.itemgetter(1), lambda: operator.itemgetter(2), "x.__reduce__()[1][0]", "value"),
    (
        lambda: operator.methodcaller("split", sep="a"),
        lambda: operator.methodcaller("split", sep="b"),
        "x.__reduce__()[0].keywords['sep']",
        "value",
    ),
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
    (lambda: np.dtype("f4", metadata={"unit": "K"}), lambda: np.dtype("f4"), "x.metadata", "missing"),
    (lambda: np.dtype((np.record, [("a", "i4")])), lambda: np.dtype([("a", "i4")]), "x", "value"),
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
    (lambda: pd.Period("2026", "Y-MAR"), lambda: pd.Period("2026", "Y-DEC"), "x", "freq"),
    (lambda: pd.DateOffset(1, months=1), lambda: pd.DateOffset(2, months=1), "x.__reduce__()[2]['n']", "value"),
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
    for make in (lambda: operator.attrgetter("a"), lambda: operator.itemgetter(1), lambda: operator.methodcaller("a")):
        assert seen([make()] * 2, [make(), make()]) == []


@pytest.mark.parametrize("names", ["set list", "list set"])
def test_elements_that_look_alike_are_known_by_where_else_they_are(names):
    def group(*, copied=0):
        parts = [Plain() for _ in range(30)]
        listed = [Plain() for _ in parts[:copied]] + parts[copied:]
        return {name: set(parts) if name == "set" else listed for name in names.split()}

    assert seen(group(), group()) == []
    assert [kind for _, kind in seen(group(), group(copied=1))] == ["identity"]


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


def test_differences_are_json_and_their_kinds_are_known():
    facts = {"dtype", "shape", "requires_grad", "device", "maxlen", "flags", "fold", "position", "size", "is_safe"}
    facts |= {"span", "freq", "cached"}
    for before, after, _, _ in VALUES:
        found = differences(before(), after())
        json.dumps([difference.to_dict() for difference in found], allow_nan=False)
        assert {difference.kind for difference in found} <= KINDS.keys() | facts
    assert Difference("x", "value", "", max_abs=math.inf).to_dict()["max_abs"] is None
