"""What the parts of a codec's state may be: each check alone, by a direct call."""

from __future__ import annotations

import json_spec_things as things
import numpy as np
import pytest

from backends.json_spec.codec import atom, exactly, list_of, vector, wholes

ONE = np.int64(1)
FITTING = [
    (exactly(int, type(None)), [1, None]),
    (atom, [None, "a", 1, 1.5, True, b"a", np.float32(1), (), ("a", 1), (("a",), 2)]),
    (wholes(2), [(1, 2), (-1, 0)]),
    (list_of(exactly(int)), [[], [1, 2]]),
    (vector, [np.arange(3), np.arange(0), np.arange(6)[::2], np.arange(3)[::-1], np.broadcast_to(ONE, (0,))]),
]
OTHERS = [
    (exactly(int), [True, 1.0, "1", things.Level(1), None]),
    (atom, [[1], {}, ("a", [1]), ([1], "a"), (("a", []),), things.Text("a"), things.Version((1,)), np.arange(2), int]),
    (wholes(2), [(1,), (1, 2, 3), [1, 2], (1, True), (1.0, 2), things.Version((1, 2)), 2]),
    (list_of(exactly(int)), [(1, 2), [1, "a"], ["a", 1], things.Row([1]), None]),
    (vector, [np.array(1), np.eye(2), np.broadcast_to(ONE, (5,)), [1], ONE, np.arange(3).view(np.recarray)]),
]


@pytest.mark.parametrize("number", range(len(FITTING)))
def test_what_fits_and_what_does_not(number):
    check, values = FITTING[number]
    assert [bool(check(value)) for value in values] == [True] * len(values)
    check, values = OTHERS[number]
    assert [bool(check(value)) for value in values] == [False] * len(values)
