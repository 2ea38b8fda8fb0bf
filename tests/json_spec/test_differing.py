"""`differences` reports everything that two artifacts do not share, each thing once, and nothing of equal ones."""

from __future__ import annotations

import copy
import functools
import random
from collections import Counter, OrderedDict, defaultdict, deque

import json_spec_things as things
import numpy as np
import pytest
import torch
from torch import nn

from backends.json_spec import differences, inspect, save, spec


@pytest.fixture
def told(tmp_path):
    """`told(one, other)` -> the lines for two models; nothing is told of each and itself."""

    def compare(one, other):
        folders = [tmp_path / name for name in "ab"]
        for folder, made in zip(folders, (one, other), strict=True):
            save(made, folder)
            assert differences(folder, folder) == []
            inspect(folder)
        assert bool(differences(*folders)) == bool(differences(*folders[::-1]))
        return [str(found) for found in differences(*folders)]

    return compare


def holder(value):
    return things.Holder(v=value)


# --- values

LONG = "x" * 300


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, True, ["model.v: 1 → True"]),
        (1, 1.0, ["model.v: 1 → 1.0"]),
        (0.0, -0.0, ["model.v: 0.0 → -0.0"]),
        (0j, complex(-0.0, 0), ["model.v: complex [0.0, 0.0] → complex [-0.0, 0.0]"]),
        ((1, 2), [1, 2], ["model.v: (1, 2) → [1, 2]"]),
        (slice(1), slice(True), ["model.v: slice [None, 1, None] → slice [None, True, None]"]),
        ([1] * 9, [True] * 9, ["model.v: [1, 1, 1, 1, 1, 1, 1, 1, 1] → 9 of 9 values differ"]),
        (range(3), range(4), ["model.v: range [0, 3, 1] → range [0, 4, 1]"]),
        (things.Mode.A, things.Mode.A | things.Mode.B,
         ["model.v: json_spec_things:Mode.A → json_spec_things:Mode.A|B"]),
        (things.Pair(1, 2), things.Pair(1, 3), ["model.v[1]: 2 → 3"]),
        (deque([1], 3), deque([2], 4), ["model.v.maxlen: 3 → 4", "model.v[0]: 1 → 2"]),
        (defaultdict(int, a=1), defaultdict(list, a=1), ["model.v.default_factory: int → list"]),
        (defaultdict(int, a=1), defaultdict(int, a=2), ["model.v['a']: 1 → 2"]),
        ({1: 2}, {True: 2}, ["model.v[1]: removed 2", "model.v[True]: added 2"]),
        ({"a": 1}, Counter(a=1), ["model.v: {'a': 1} → Counter({'a': 1})"]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ["model.v: keys in the order 'a', 'b' → 'b', 'a'"]),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), ["model.v: keys in the order 'a', 'b' → 'b', 'a'"]),
        ({LONG + "1": 1, 0: 0}, {LONG + "1": 2, 0: 0}, [f"model.v['{LONG[:196]}...]: 1 → 2"]),
        ({float("nan"): 1, 1.5: 2, float("-nan"): 3}, {float("nan"): 1, 1.5: 2, float("-nan"): 4},
         ["model.v[nan]: 3 → 4"]),
        (LONG + "1", LONG + "2", [f"model.v: ...{LONG[:50]}1' → ...{LONG[:50]}2'"]),
        (list(range(20)), list(range(1, 21)),
         ["model.v: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19] → 20 of 20 values differ"]),
        (list(range(8)), list(range(1, 9)), [f"model.v[{n}]: {n} → {n + 1}" for n in range(8)]),
        (np.array([1, "a"], object), np.array([1, "b"], object), ["model.v.flat[1]: 'a' → 'b'"]),
        (functools.partial(things.double, 1), functools.partial(things.double, 2), ["model.v.args[0]: 1 → 2"]),
    ],
)  # fmt: skip
def test_values(told, one, other, expected):
    assert told(holder(one), holder(other)) == expected


def test_keys_that_are_not_the_same_far_on(told):
    found = told(holder({LONG + "1": 1, LONG + "2": 2, 0: 0}), holder({LONG + "1": 1, LONG + "3": 2, 0: 0}))
    assert [line[-9:] for line in found] == ["removed 2", ": added 2"]


def test_objects_as_keys_are_looked_into(told, tmp_path):
    made = [holder({3: 4, things.Point(1, y): "far"}) for y in (2, 5)]
    assert told(*made) == ["model.v.keys[1].y: 2 → 5"]
    shown = [str(inspect(tmp_path / name)) for name in "ab"]
    assert [line.strip() for line in shown[0].splitlines()[2:]] == [
        ".keys[1]: json_spec_things:Point", "x = 1", "y = 2", "[3] = 4", "[→ model.v.keys[1]] = 'far'"
    ]  # fmt: skip
    assert "y = 5" in shown[1]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (things.Words(a=1), things.Words(a=2), "model.v['a']: 1 → 2"),
        (things.Words(a=1, b=2), things.Words(b=2, a=1), "model.v: keys in the order 'a', 'b' → 'b', 'a'"),
        (things.Row([1, 2]), things.Row([1, 3]), "model.v[1]: 2 → 3"),
        (things.Text("a"), things.Text("b"), "model.v: 'a' → 'b'"),
        (things.Level(1), things.Level(2), "model.v: 1 → 2"),
        (things.Default(int), things.Default(list), "model.v.default_factory: int → list"),
        (things.Row([torch.ones(2)]), things.Row([torch.zeros(2)]),
         "model.v[0]: float32 [2] → 2 of 2 values differ by up to 1"),
    ],
)  # fmt: skip
def test_what_stands_under_a_class(told, tmp_path, one, other, expected):
    assert told(holder(one), holder(other)) == [expected]
    shown = [str(inspect(tmp_path / name)) for name in "ab"]
    assert shown[0] != shown[1] or "float32 [2]" in shown[0]


# --- modules and calls


def ordered(first, second):
    made = nn.Sequential()
    for name in (first, second):
        made.add_module(name, nn.ReLU())
    return made


def with_hooks(*hooks, **flags):
    made = nn.ReLU()
    for hook in hooks:
        made.register_forward_hook(hook, **flags)
    return made


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (lambda: ordered("a", "b"), lambda: ordered("b", "a"), ["model: modules in the order a, b → b, a"]),
        (lambda: things.Holder(a=nn.Parameter(torch.ones(1)), b=nn.Parameter(torch.ones(1))),
         lambda: things.Holder(b=nn.Parameter(torch.ones(1)), a=nn.Parameter(torch.ones(1))),
         ["model: parameters in the order a, b → b, a"]),
        (lambda: things.Holder(a=1, b=2), lambda: things.Holder(b=2, a=1),
         ["model: attributes in the order a, b → b, a"]),
        (lambda: with_hooks(), lambda: with_hooks(things.add_one),
         ["model: hooks[0]: added {'on': 'forward', 'call': json_spec_things:add_one}"]),
        (lambda: with_hooks(things.add_one), lambda: with_hooks(things.add_one, always_call=True),
         ["model: hooks[0]['always_call']: added True"]),
        (lambda: spec(nn.ReLU)(), lambda: nn.ReLU(), ["model(): ReLU(inplace=False) → no call was noted"]),
        (lambda: spec(nn.Tanh)(), lambda: nn.Tanh(), ["model(): Tanh() → no call was noted"]),
        (lambda: things.Layer(2, a=1, b=2), lambda: things.Layer(2, b=2, a=1),
         ["model(**options): keys in the order 'a', 'b' → 'b', 'a'",
          "model.options: keys in the order 'a', 'b' → 'b', 'a'"]),
    ],
)  # fmt: skip
def test_modules_and_calls(told, one, other, expected):
    made = []
    for make in (one, other):
        torch.manual_seed(0)
        made.append(make())
    assert told(*made) == expected


def test_an_argument_that_no_attribute_holds(told):
    made = [things.Named(torch.full((1,), float(n))) for n in range(2)]
    for one in made:
        one.given = None
    assert told(*made) == ["model(of): float32 [1] → 1 of 1 values differ by up to 1"]


def test_how_far_numbers_are_apart(told):
    def lines(one, other):
        return told(holder(one), holder(other))[0].partition("→ ")[2]

    ones = torch.ones(3)
    assert lines(ones, ones + torch.tensor([0, 1e-3, 0])) == "1 of 3 values differ by up to 0.001"
    assert lines(torch.zeros(2), -torch.zeros(2)) == "2 of 2 values differ in the sign of zero"
    assert lines(ones, ones / 0 * 0) == "3 of 3 values differ"
    assert lines(torch.tensor([1, 2]), torch.tensor([1, 3])) == "1 of 2 values differ"
    assert lines(torch.tensor([1j, 2]), torch.tensor([0j, 2])) == "1 of 2 values differ by up to 1"
    assert lines(ones.bfloat16(), ones.bfloat16() * 2) == "3 of 3 values differ by up to 1"
    assert lines(*(n.to(torch.float8_e4m3fn) for n in (ones, ones * 2))) == "3 of 3 values differ"
    assert lines(np.ones(2, ">f4"), np.array([1, 3], ">f4")) == "1 of 2 values differ by up to 2"
    assert lines(np.ones(2), np.array([1, np.inf])) == "1 of 2 values differ by up to inf"
    assert lines(np.array([1j]), np.array([3j])) == "1 of 1 values differ by up to 2"
    assert lines(torch.tensor([0.0, torch.nan]), torch.tensor([-0.0, 1.0])) == "2 of 2 values differ"


# --- what is shared

SAME = "model.b: the same object as model.a → an object of its own"
MEMORY = "model.b: in the memory of model.a → in memory of its own"


@pytest.mark.parametrize(
    ("make", "copied"),
    [
        (lambda: [1, 2], list),
        (list, list),
        (lambda: {"a": 1}, dict),
        (lambda: deque([1]), deque),
        (lambda: {1}, set),
        (lambda: random.Random(0), copy.copy),
        (lambda: ([1],), lambda one: (list(one[0]),)),
        (lambda: functools.partial(things.double, 1), copy.copy),
        (lambda: torch.ones(2), torch.clone),
        (lambda: nn.Linear(1, 1), copy.deepcopy),
    ],
)
def test_an_object_that_stands_twice_and_a_copy(told, make, copied):
    one = make()
    shared, apart = things.Holder(a=one, b=one), things.Holder(a=one, b=copied(one))
    assert told(shared, apart) == [SAME]
    back = SAME.partition(": ")[2].split(" → ")
    assert told(apart, shared) == [f"model.b: {back[1]} → {back[0]}"]


def test_an_object_is_the_same_as_another_one(told):
    lists = [[1], [1]]
    made = [things.Holder(a=lists[0], b=lists[1], c=lists[n]) for n in range(2)]
    assert told(*made) == ["model.c: the same object as model.a → the same object as model.b"]


def test_a_copy_that_stands_twice_is_told_as_one_object(told):
    one, other = nn.ReLU(), nn.ReLU()
    made = things.Holder(a=one, b=one, c=one), things.Holder(a=one, b=other, c=other)
    assert told(*made) == [SAME, "model.c: the same object as model.a → the same object as model.b"]


def test_a_cycle_and_a_list_in_a_list(told):
    cycle = [1]
    cycle.append(cycle)
    expected = "model.v[1]: the same object as model.v → an object of its own"
    assert told(holder(cycle), holder([1, [1, [1]]])) == [expected]


ZEROS, DOUBLES, ARRAY = torch.zeros(6), torch.zeros(6, dtype=torch.float64), np.zeros(6)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((ZEROS, ZEROS[:2]), (ZEROS, ZEROS[:2].clone()), [MEMORY]),
        ((ZEROS, ZEROS.detach()), (ZEROS, ZEROS.clone()), [MEMORY]),
        ((ARRAY, torch.from_numpy(ARRAY)), (ARRAY, torch.from_numpy(ARRAY.copy())), [MEMORY]),
        ((ARRAY, ARRAY[1:]), (ARRAY, ARRAY[1:].copy()),
         ["model.b: in the memory of model.a, +8 bytes → in memory of its own"]),
        ((ZEROS, ZEROS[2:4]), (ZEROS, ZEROS[:2]),
         ["model.b: in the memory of model.a, +8 bytes → in the memory of model.a"]),
        ((ZEROS[2:4], ZEROS[:2]), (ZEROS[3:5], ZEROS[1:3]), []),
        ((ZEROS, ZEROS[2:]), (DOUBLES, DOUBLES[2:]),
         ["model.a: float32 [6] → float64 [6]", "model.b: float32 [4] → float64 [4]"]),
        ((ZEROS, ZEROS[2:]), (DOUBLES, DOUBLES[2:].clone()),
         ["model.a: float32 [6] → float64 [6]", "model.b: float32 [4] → float64 [4]",
          "model.b: in the memory of model.a, +8 bytes → in memory of its own"]),
    ],
)  # fmt: skip
def test_tensors_in_the_memory_of_others(told, one, other, expected):
    assert told(*(things.Holder(a=a, b=b) for a, b in (one, other))) == expected
    assert len(told(*(things.Holder(a=a, b=b) for a, b in (other, one)))) == len(expected)


def test_three_tensors_in_two_memories(told):
    other = torch.zeros(6)
    made = [things.Holder(a=ZEROS, b=other, c=(ZEROS, other)[n][:2]) for n in range(2)]
    assert told(*made) == ["model.c: in the memory of model.a → in the memory of model.b"]


# --- source

SOURCE = """
from torch import nn

LIMIT = 1


class Net(nn.Module):
    def forward(self, x):
        return x * LIMIT
"""


def test_source_that_was_edited_between_two_saves(tmp_path, monkeypatch):
    import importlib
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    folders = {}
    edits = {"a": ("", ""), "comment": ("= 1", "= 1  # at most"), "b": ("= 1", "= 2"), "without": ("* LIMIT", "* 1")}
    for name, edit in edits.items():
        (tmp_path / "edited_between.py").write_text(SOURCE.replace(*edit))
        sys.modules.pop("edited_between", None)
        importlib.invalidate_caches()
        folders[name] = tmp_path / name
        save(importlib.import_module("edited_between").Net(), folders[name])
    sys.modules.pop("edited_between")
    assert differences(folders["a"], folders["comment"]) == []
    found = differences(folders["a"], folders["b"])
    assert [(one.path, one.kind) for one in found] == [("edited_between:LIMIT", "source")]
    found = differences(folders["a"], folders["without"])
    assert [(one.path, one.kind) for one in found] == [("edited_between:Net", "source")]


def test_files_beside_carried_source_count(tmp_path, monkeypatch):
    import importlib
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    text = SOURCE + "\nfrom pathlib import Path\nWORDS = (Path(__file__).parent / 'beside_words.txt')\n"
    (tmp_path / "edited_beside.py").write_text(text.replace("* LIMIT", "* len(WORDS.name)"))
    folders = [tmp_path / name for name in "ab"]
    made = importlib.import_module("edited_beside").Net()
    for folder in folders:
        (tmp_path / "beside_words.txt").write_text(folder.name)
        save(made, folder, bundle_source=True)
    sys.modules.pop("edited_beside")
    found = differences(*folders)
    assert [(one.path, one.kind) for one in found] == [("source/beside_words.txt", "source")]
