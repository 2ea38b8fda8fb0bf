"""Generated values, and the comparer's own promises."""

from __future__ import annotations

import copy
import math
import random
import weakref
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from compare_things import Setting, differences, seen
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness import compare as compare_module
from harness.compare import compare
from harness.snapshot.builder import snapshot_model, snapshot_value

# --- the rest


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
    """By its bytes, and by the walk that comes where the bytes differ."""
    assert differences(tree, copy.deepcopy(tree)) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare_module, "_is_equal", lambda expected, actual: False)
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
