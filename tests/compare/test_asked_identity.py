"""Texts and numbers that the user's code compares as the objects that they are: elsewhere an equal one is the same."""

from __future__ import annotations

import collections
import decimal
import math

import numpy as np

from harness.compare import compare
from tests.compare.asking import described, nothing, seen

PAD = "<pad>"
PAIR = collections.namedtuple("PAIR", "first")(PAD)


def another(text):
    return "".join(list(text))


def compares_global(x):
    return x is PAD


def compares_inside(x):
    return [part for part in x if (lambda: part is PAD)()]


def compares_part_of_a_global(x):
    return x.pad is PAIR.first


def compares_attribute(x):
    return x.fill is not np.nan


def compares_two(x):
    return x.first is x.second


def compares_closed(value):
    return lambda x: x is value


def equals(x):
    return x == PAD or x is None or x is True


def test_a_text_that_code_compares_by_is():
    same, copied = {"pad": PAD}, {"pad": another(PAD)}
    assert seen(described(equals, **same), described(equals, **copied)) == []
    assert seen(described(compares_global, **same), described(compares_global, **same)) == []
    for pair in ((same, copied), (copied, same)):
        (difference,) = compare(*(described(compares_global, **parts) for parts in pair))
        assert (difference.path, difference.kind) == ("model.pad", "identity")
        assert PAD in difference.message
    assert seen(described(compares_inside, **same), described(compares_inside, **copied)) == [("model.pad", "identity")]
    assert seen(described(compares_part_of_a_global, **same), described(compares_part_of_a_global, **same)) == []
    closed = compares_closed(PAD)
    assert seen(described(closed, **same), described(closed, **copied)) == [("model.pad", "identity")]


def test_numbers_that_code_compares_by_is():
    parts = {"fill": np.nan}
    assert seen(described(compares_attribute, **parts), described(compares_attribute, **parts)) == []
    (difference,) = compare(described(compares_attribute, **parts), described(compares_attribute, fill=float("nan")))
    assert difference.kind == "identity"
    big = 10**30
    together, apart = {"first": big, "second": big}, {"first": big, "second": int("1" + "0" * 30)}
    assert seen(described(compares_two, **together), described(compares_two, **apart))
    assert not seen(described(nothing, **together), described(nothing, **apart))
    small = {"first": 3, "second": 3}
    assert seen(described(compares_two, **small), described(compares_two, **small)) == []


def finds(x):
    return math.nan in x.skip


def test_a_nan_that_is_found_again():
    """As a key or in a set, and in a list where code seeks it: a NaN is found as the object that it is, and only so."""
    nan, other = float("nan"), float("nan")
    for make in (lambda key: {key: 1, 2.0: 3}, lambda key: {key, 2.0}, lambda key: {(2, 1): {key: 1}}):
        before = described(nothing, missing=nan, table=make(nan))
        assert seen(before, described(nothing, missing=other, table=make(other))) == []
        assert [kind for _, kind in seen(before, described(nothing, missing=nan, table=make(other)))]
    assert seen(described(nothing, skip=[nan]), described(nothing, skip=[other])) == []
    assert seen(described(finds, skip=[math.nan]), described(finds, skip=[math.nan])) == []
    assert seen(described(finds, skip=[math.nan]), described(finds, skip=[nan])) == [("model.skip[0]", "identity")]


def finds_attribute(x):
    return x.missing in x.known


def finds_place(x):
    return x.known.index(x.missing)


def equals_another(x):
    return x.best == x.last


def equals_argument(x):
    return x == x.best


def test_a_nan_that_is_an_attribute_and_is_found_again():
    """Where code seeks the one in a list, or compares two lists that have it: lists look for the object first."""
    nan, other = float("nan"), float("nan")
    for finds_it in (finds_attribute, finds_place):
        before = described(finds_it, missing=nan, known=[1.0, nan])
        assert seen(before, described(finds_it, missing=other, known=[1.0, other])) == []
        assert seen(before, described(finds_it, missing=nan, known=[1.0, other])) == [("model.known[1]", "identity")]
    parts = {"best": [nan], "last": (1, [nan])}
    before = described(equals_another, **parts)
    assert seen(before, described(equals_another, **parts)) == []
    assert seen(before, described(equals_another, best=[nan], last=(1, [other]))) == [("model.last[1][0]", "identity")]
    for code in (nothing, equals, equals_argument):
        assert seen(described(code, **parts), described(code, best=[nan], last=(1, [other]))) == []


def test_a_nan_in_a_key():
    nan, other = float("nan"), float("nan")
    for make in (lambda key: {(1, key): 1}, lambda key: {(1, (key,)), 2}):
        before = described(nothing, missing=nan, table=make(nan))
        assert seen(before, described(nothing, missing=other, table=make(other))) == []
        assert [kind for _, kind in seen(before, described(nothing, missing=nan, table=make(other)))] == ["identity"]


CHOICE = ("a", "b")


def compares_choice(x):
    return x.choice is CHOICE


def compares_nothing_but_constants(x):
    return (x.first is None, None is x.second)


def test_what_cannot_change_and_is_compared_by_is():
    for make in (lambda: tuple([1, 2]), lambda: frozenset([1, 2]), lambda: decimal.Decimal("1.50")):
        one = make()
        before = described(compares_two, first=one, second=one)
        assert seen(before, described(compares_two, first=one, second=one)) == []
        apart = {"first": one, "second": make()}
        assert [kind for _, kind in seen(before, described(compares_two, **apart))] == ["identity"]
        for code in (nothing, compares_nothing_but_constants):
            assert seen(described(code, first=one, second=one), described(code, **apart)) == []
    before = described(compares_choice, choice=CHOICE)
    assert seen(before, described(compares_choice, choice=CHOICE)) == []
    assert seen(before, described(compares_choice, choice=tuple(["a", "b"])))


def test_comparing_with_none_does_not_ask_which_text_it_is():
    parts, copied = {"first": PAD, "second": PAD}, {"first": PAD, "second": another(PAD)}
    code = compares_nothing_but_constants
    assert seen(described(code, **parts), described(code, **copied)) == []
    assert seen(described(compares_two, **parts), described(compares_two, **copied))
