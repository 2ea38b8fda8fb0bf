"""The comparer is code too: it must see each of these mutations, where it is and of which kind, and nothing else."""

from __future__ import annotations

import copy
import datetime
import enum
import functools
import math
import pickle
import re
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from harness.compare import Tolerance, compare, verdict
from harness.snapshot import snapshot_model, snapshot_value

OWN = (__name__.partition(".")[0],)
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


def clip(x, low=0):
    return x


def relu(x, low=0):
    return x


def differences(before, after, snapshot=snapshot_value):
    a, b = (pickle.loads(pickle.dumps(snapshot(value, own_modules=OWN))) for value in (before, after))
    assert compare(a, a) == []
    return compare(a, b, root="x" if snapshot is snapshot_value else "model")


def tensor(*values, **options):
    return torch.tensor(values, **options)


VALUES = [
    # before, after, path, kind
    (1, 2, "x", "value"),
    (1, True, "x", "type"),
    (1, 1.0, "x", "type"),
    (None, 0, "x", "type"),
    ("a", "b", "x", "value"),
    ("a", b"a", "x", "type"),
    (0.1, math.nextafter(0.1, 1), "x", "value"),
    (0.0, -0.0, "x", "value"),
    (float("nan"), 0.0, "x", "value"),
    (float("inf"), float("-inf"), "x", "value"),
    (1j, 2j, "x", "value"),
    (10**30, 10**30 + 1, "x", "value"),
    ([1, 2, 3], [1, 99, 3], "x[1]", "value"),
    ([1, 2, 3], [1, 2, 99], "x[2]", "value"),
    ([1, 2], [1, 2, 3], "x", "length"),
    ([1, 2], (1, 2), "x", "type"),
    ((1,), [1], "x", "type"),
    ({"a": 1}, {"a": 2}, "x['a']", "value"),
    ({"a": 1}, {}, "x['a']", "missing"),
    ({}, {"a": 1}, "x['a']", "extra"),
    ({0: "cat"}, {"0": "cat"}, "x[0]", "missing"),
    ({1: "a"}, {True: "a"}, "x[1]", "missing"),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "x", "order"),
    ({"a": 1}, OrderedDict(a=1), "x", "type"),
    (Counter("aab"), {"a": 2, "b": 1}, "x", "type"),
    (defaultdict(list, a=[]), defaultdict(set, a=[]), "x.default_factory", "value"),
    (deque([1], maxlen=2), deque([1], maxlen=3), "x", "value"),
    ({1, 2}, {1, 3}, "x", "value"),
    ({1, 2}, frozenset({1, 2}), "x", "type"),
    (Point(1, 2), (1, 2), "x", "type"),
    (Point(1, 2), Pair(1, 2), "x", "type"),
    (Point(1, 2), Point(1, 3), "x[1]", "value"),
    (Setting(3), Setting(4), "x.width", "value"),
    (Setting(3), {"width": 3}, "x", "type"),
    (Colour.RED, Colour.BLUE, "x", "value"),
    (Colour.RED, 1, "x", "type"),
    (Plain(a=1), Plain(a=1, b=2), "x.b", "extra"),
    (Plain(a=1), Plain(), "x.a", "missing"),
    (range(3), range(4), "x", "value"),
    (slice(1, 2), slice(1, 3), "x", "value"),
    (datetime.date(2026, 1, 1), datetime.date(2026, 1, 2), "x", "value"),
    (Path("a"), Path("b"), "x", "value"),
    (Path("a"), "a", "x", "type"),
    (re.compile("a"), re.compile("a", re.I), "x", "value"),
    (torch.float32, torch.float64, "x", "value"),
    (torch.Size([1]), (1,), "x", "type"),
    (clip, relu, "x", "code"),
    (clip, None, "x", "type"),
    (functools.partial(clip, low=1), functools.partial(clip, low=2), "x.keywords['low']", "value"),
    (int, float, "x", "value"),
    (np.float32(1), np.float64(1), "x", "type"),
    (np.array([1, 2]), np.array([1, 3]), "x", "value"),
    (np.array([1], dtype="int32"), np.array([1], dtype="int64"), "x", "dtype"),
    (np.array([1.0]), [1.0], "x", "type"),
    (pd.Series([1, 2]), pd.Series([1, 3]), "x.values[1]", "value"),
    (pd.Series([1], index=["a"]), pd.Series([1], index=["b"]), "x.index.values[0]", "value"),
    (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]}), "x[0].dtype", "value"),
    (pd.Series(["u"], dtype="category"), pd.Series(["u"]), "x.dtype", "value"),
    (Image.new("L", (2, 2), 3), Image.new("L", (2, 2), 4), "x", "value"),
    (tensor(1.0, 2.0), tensor(1.0, 2.5), "x", "value"),
    (tensor(0.0), tensor(-0.0), "x", "value"),
    (tensor(float("nan")), tensor(1.0), "x", "value"),
    (tensor(1.0), tensor(1.0, dtype=torch.float64), "x", "dtype"),
    (tensor(1.0), tensor([1.0]), "x", "shape"),
    (tensor(1.0, dtype=torch.bfloat16), tensor(1.01, dtype=torch.bfloat16), "x", "value"),
    (tensor(1.0).to(torch.float8_e4m3fn), tensor(2.0).to(torch.float8_e4m3fn), "x", "value"),
    (tensor(1j), tensor(1j).conj(), "x", "value"),
    (tensor(1), tensor(2), "x", "value"),
    (tensor(True), tensor(False), "x", "value"),
    (tensor(0.0, 1.0).to_sparse(), tensor(0.0, 2.0).to_sparse(), "x[1]", "value"),
    (tensor(0.0, 1.0).to_sparse(), tensor(0.0, 1.0), "x", "layout"),
    (nn.Parameter(tensor(1.0)), tensor(1.0), "x", "type"),
    (tensor(1.0, requires_grad=True), tensor(1.0), "x", "requires_grad"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "path", "kind"), VALUES)
def test_a_mutated_value_is_seen(before, after, path, kind):
    found = differences(before, after)
    assert (path, kind) in [(difference.path, difference.kind) for difference in found]
    assert differences(copy.deepcopy(before), before) == []


def test_sharing_is_part_of_the_structure():
    shared = [1]
    (found,) = differences({"a": shared, "b": shared}, {"a": [1], "b": [1]})
    assert (found.path, found.kind) == ("x['b']", "identity")
    (found,) = differences({"a": [1], "b": [1]}, {"a": shared, "b": shared})
    assert found.kind == "identity"


def test_cycles_end():
    loop: list = [1]
    loop.append(loop)
    assert differences(copy.deepcopy(loop), loop) == []
    assert differences(loop, [1, [1]]) != []


def test_deep_nesting():
    def nest(leaf):
        for _ in range(200):
            leaf = [leaf]
        return leaf

    (found,) = differences(nest(1), nest(2))
    assert found.path.count("[0]") == 200


def counter(shared: bool):
    count, other = 0, 0

    def add():
        nonlocal count
        count += 1

    def read():
        return count if shared else other

    return [add, read]


def test_closures():
    assert differences(counter(True), counter(True)) == []
    moved = counter(True)
    moved[0]()
    (found,) = differences(counter(True), moved)
    assert (found.path, found.kind) == ("x[0].<closure>.count", "value")
    assert differences(counter(True), counter(False)) != []


# --- modules ----------------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("passing", torch.arange(2.0), persistent=False)
        self.loose = torch.arange(4.0)
        self.view = self.loose[1:3]
        self.names = {0: "zero", 1: "one"}
        self.act = clip
        self.rnn = nn.GRU(2, 2)
        self.twice = [self.a]
        self.a.register_forward_hook(hook)


def hook(module, arguments, output):
    return None


def untie(net):
    net.b.weight = nn.Parameter(net.b.weight.detach().clone())


def untie_view(net):
    net.view = net.view.clone()


def nudge(net):
    with torch.no_grad():
        weight = net.rnn.weight_ih_l0
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))


def stride(net):
    net.a.weight.data = net.a.weight.data.t().contiguous().t()


MODULES = [
    (untie, "model.b.weight", "identity"),
    (untie_view, "model.loose", "aliasing"),
    (nudge, "model.rnn.weight_ih_l0", "value"),
    (stride, "model.a.weight", "stride"),
    (lambda net: net.a.train(False), "model.a", "training"),
    (lambda net: net.a.requires_grad_(False), "model.a.bias", "requires_grad"),
    (lambda net: net._non_persistent_buffers_set.clear(), "model", "buffer_persistence"),
    (lambda net: delattr(net, "kept"), "model.kept", "missing"),
    (lambda net: net.register_buffer("new", torch.zeros(1)), "model.new", "extra"),
    (lambda net: setattr(net, "loose", None), "model.loose", "type"),
    (lambda net: delattr(net, "loose"), "model.loose", "missing"),
    (lambda net: setattr(net, "names", {"0": "zero", "1": "one"}), "model.names[0]", "missing"),
    (lambda net: net.names.pop(1), "model.names[1]", "missing"),
    (lambda net: setattr(net, "act", None), "model.act", "type"),
    (lambda net: setattr(net, "act", relu), "model.act", "code"),
    (lambda net: net.a._forward_hooks.clear(), "model.a._forward_hooks", "hooks"),
    (lambda net: setattr(net, "twice", [copy.deepcopy(net.a)]), "model.twice[0]", "identity"),
    (lambda net: setattr(net, "kept", net.kept.double()), "model.kept", "dtype"),
    (lambda net: net._modules.update(a=net._modules.pop("a")), "model", "order"),
    (lambda net: setattr(net, "rnn", nn.LSTM(2, 2)), "model.rnn", "type"),
    (lambda net: net._parameters.update(p=None), "model.p", "extra"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "path", "kind"), MODULES)
def test_a_mutated_module_is_seen(change, path, kind):
    before, after = Net(), Net()
    assert differences(before, after, snapshot_model) == []
    change(after)
    found = differences(before, after, snapshot_model)
    assert (path, kind) in [(difference.path, difference.kind) for difference in found]


def test_a_parameter_that_became_a_buffer():
    before, after = Net(), Net()
    value = after.a.bias.detach()
    del after.a.bias
    after.a.register_buffer("bias", value)
    assert "role" in [difference.kind for difference in differences(before, after, snapshot_model)]


# --- numbers ----------------------------------------------------------------------------------------------------


def numeric(a, b, **tolerance):
    return compare(snapshot_value(a), snapshot_value(b), Tolerance(**tolerance), "x")


def test_sizes_and_tolerance():
    one = torch.ones(4)
    near = one.clone()
    near[2] = torch.nextafter(near[2], torch.tensor(2.0))
    (found,) = numeric(one, near)
    assert found.max_ulp == 1
    assert found.max_abs == pytest.approx(2**-23)
    assert found.close
    assert verdict([found]) == "close"
    assert verdict(numeric(one, near, rtol=0, atol=0)) == "different"
    assert verdict(numeric(one, one * 1.1)) == "different"
    assert verdict([]) == "equal"


def test_a_bfloat16_ulp_is_its_own():
    a = torch.tensor([1.0], dtype=torch.bfloat16)
    (found,) = numeric(a, torch.nextafter(a, torch.tensor([2.0], dtype=torch.bfloat16)))
    assert found.max_ulp == 1


def test_zero_changing_its_sign_is_never_close():
    assert verdict(numeric(torch.tensor([0.0, 1.0]), torch.tensor([-0.0, 1.0]))) == "different"


def test_nan_is_close_to_nan_only():
    a = torch.tensor([math.nan, 1.0])
    assert numeric(a, a.clone()) == []
    assert verdict(numeric(a, torch.tensor([math.nan, 1.0 + 1e-7]))) == "close"
    assert verdict(numeric(a, torch.tensor([1.0, 1.0]))) == "different"
    assert verdict(numeric(torch.tensor([math.inf]), torch.tensor([1e30]))) == "different"


def test_differences_are_json():
    import json

    for before, after, _, _ in VALUES:
        json.dumps([difference.to_dict() for difference in differences(before, after)], allow_nan=False)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
keys = st.integers() | st.text() | st.booleans()
trees = st.recursive(
    leaves | st.frozensets(st.integers()) | st.lists(st.floats(width=32)).map(torch.tensor),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(trees)
def test_a_copy_is_equal(tree):
    assert differences(tree, copy.deepcopy(tree)) == []


@settings(max_examples=60, deadline=None)
@given(trees, trees)
def test_equal_snapshots_mean_equal_values(one, other):
    if differences(one, other) == []:
        assert pickle.dumps(snapshot_value(one)) == pickle.dumps(snapshot_value(other)) or "nan" in repr((one, other))
