"""Each guard of the parser alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import json
import sys

import pytest

from backends.json_spec import text
from backends.json_spec.errors import ArtifactError

TEXTS = {
    "not UTF-8": (b'"\xff"', "not valid JSON"),
    "no JSON": (b"[1,]", "not valid JSON"),
    "equal keys": (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
    "NaN": (b"[NaN]", "the literal NaN"),
    "infinity": (b"[-Infinity]", "the literal -Infinity"),
    "a large number": (b"[1e400]", "beyond the range of a double"),
    "many digits": (b"[" + b"9" * 4500 + b"]", "digits|not valid JSON"),
    "beyond 64 bits": (b"[9223372036854775808]", "beyond 64 bits"),
    "a lone surrogate": (b'["\\ud800"]', "lone surrogate"),
    "a lone surrogate as a key": (b'{"\\udc00": 1}', "lone surrogate"),
    "beyond 64 bits in an object": (b'{"a": 9223372036854775808}', "beyond 64 bits"),
    "a lone surrogate in an object": (b'{"a": "\\ud800"}', "lone surrogate"),
    "deep": (b"[" * 201 + b"]" * 201, "nested"),
    "deep objects": (b'{"a":' * 200 + b"{}" + b"}" * 200, "nested more than 200 levels"),
    "deep beside escapes": (b'["\\u0041", ' + b"[" * 200 + b"]" * 200 + b"]", "nested more than 200 levels"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_text(what):
    data, message = TEXTS[what]
    with pytest.raises(ArtifactError, match=message):
        text.parse(data, "it")


def test_text_as_deep_as_may_be():
    assert text.parse(b"[" * 200 + b"]" * 200, "it") and text.parse(b"[" * 199 + b'"\\u0041"' + b"]" * 199, "it")


def test_text_that_holds_too_many_values(monkeypatch):
    monkeypatch.setattr(text, "NODE_LIMIT", 5)
    with pytest.raises(ArtifactError, match="more than 5 values"):
        text.parse(b"[1, 2, 3, [], [], {}]", "it")


def test_texts_at_their_limit(monkeypatch):
    monkeypatch.setattr(text, "NODE_LIMIT", 6)
    assert text.parse(b"[1, 2, 3, 4, 5, 6]", "it")
    with pytest.raises(ArtifactError, match="more than 6 values"):
        text.parse(b"[1, 2, 3, 4, 5, 6, 7]", "it")
    assert text.parse(b"[{}, {}, {}]", "it")
    with pytest.raises(ArtifactError, match="more than 6 values"):
        text.parse(b"[{}, {}, {}, {}]", "it")


@pytest.mark.parametrize("limit", [1000, 10_000])
def test_deep_text_however_far_the_interpreter_would_go(limit):
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(limit)
        with pytest.raises(ArtifactError, match="nested" if limit == 1000 else "more than 200 levels"):
            text.parse(b"[" * 60_000 + b"]" * 60_000, "it")
    finally:
        sys.setrecursionlimit(before)


def test_the_depth_of_a_text_where_the_interpreter_would_go_far():
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(10_000)
        assert text.parse(b"[" * 200 + b"]" * 200, "it")
        with pytest.raises(ArtifactError, match="more than 200 levels"):
            text.parse(b"[" * 201 + b"]" * 201, "it", flat=True)
        held = ["[" * 300 + '"' + "{" * 300 + "\\"]  # brackets of a text are none
        assert text.parse(json.dumps(held).encode(), "it") == held
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("limit", [0, 100_000])
def test_many_digits_where_the_interpreter_takes_such_numbers(limit):
    before = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(limit)
        with pytest.raises(ArtifactError, match="of 4500 digits"):
            text.parse(b"[" + b"9" * 4500 + b"]", "it")
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("shift", range(8))
def test_a_number_beyond_64_bits_wherever_it_stands(shift):
    """The digits are first looked for eight bytes at a time."""
    for end in (b"]", b"]" + b" " * 8):
        for digits in (b"9223372036854775808", b"-9223372036854775809"):
            with pytest.raises(ArtifactError, match="beyond 64 bits"):
                text.parse(b" " * shift + b"[" + digits + end, "it", flat=True)
        assert text.parse(b" " * shift + b"[9223372036854775807" + end, "it", flat=True) == [2**63 - 1]
        assert text.parse(b" " * shift + b"[-9223372036854775808" + end, "it", flat=True) == [-(2**63)]


def test_escapes_beside_values_of_every_kind():
    held = [True, None, 1.5, 1, [], {}, "é", {"é": False}]
    assert text.parse(json.dumps(held).encode(), "it") == held


@pytest.mark.parametrize("item", ["a", 7, True, None, 0.5, [1, 2], {"b": []}])
def test_what_fits_on_one_line_stands_on_one(item):
    count = text.WIDTH // (len(json.dumps(item)) + 2)
    for inner in ([item] * count, [item] * (count + 1)):
        line, printed = json.dumps(inner), text.render([inner])
        assert (f"\n {line}\n" in printed) is (len(line) <= text.WIDTH) and json.loads(printed) == [inner]
    assert text.render([1, 2]) == "[\n 1,\n 2\n]"
