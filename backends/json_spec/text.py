"""JSON as text: a strict parser, and a printer that puts on one line what fits on one line."""

from __future__ import annotations

import functools
import json
import math
import re
import sys
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, NoReturn

import numpy as np

from backends.json_spec.errors import ArtifactError

WIDTH = 110
"""Characters that a value may take on one line."""
DEPTH_LIMIT = 200
"""Levels of nested lists and objects that the reader accepts."""
NODE_LIMIT = 10_000_000
"""Values that the reader accepts, so that a file of empty lists does not take forty times its size in memory."""
DIGITS_LIMIT = 4000
"""Digits of a whole number that are parsed at all; beyond 64 bits it is refused."""
_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
"""Possessive: a text of megabytes leaves nothing behind to go back to."""
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

_LONG_NUMBER, _DIGITS_ALIKE = b"0" * 19, bytes.maketrans(b"123456789", b"0" * 9)
"""What any whole number beyond 64 bits has in it, once all digits are alike."""
_HIGH_HALVES, _DIGITS = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x3030303030303030)
"""What eight digits in a row have in common: `3` as the high half of each byte."""
_INNER = frozenset([list, dict])
_INTS = frozenset([int])


def parse(data: bytes, what: str, *, flat: bool = False) -> Any:
    """Parse UTF-8 JSON. Raises ArtifactError for anything that two parsers could read in two ways.

    That is: duplicate keys, NaN and Infinity, lone surrogates, numbers beyond a double or beyond 64 bits; and for what
    would cost far more than its length: too deep nesting, too many values. Both are seen before anything is built.

    `flat`: the caller accepts no nesting beyond a few levels, and checks that itself.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            _twice(pairs, what)
        return value

    return _parse(data, what, flat, unique)


def parse_uncounted(data: bytes, what: str) -> tuple[Any, int]:
    """As `parse` with `flat`, but equal keys are not refused: of these the last is taken. And the keys in the text.

    Whoever walks the value anyway counts the keys of all objects in it. Where there are as many as the number that is
    given here, no two keys of an object are equal; where it is another, `parse` must decide. The number is never too
    small: what looks like the end of a key, `":`, is counted, also where it is the beginning of a text.
    """
    value = _parse(data, what, True, None)
    letters = np.frombuffer(data, np.uint8)
    before, colons = letters[:-1], letters[1:] == ord(":")
    if (colons & (before <= ord(" "))).any():  # a key ends in another way, or a text looks like that
        return value, -1
    return value, int(np.count_nonzero(colons & (before == ord('"'))))


def _parse(data: bytes, what: str, flat: bool, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None) -> Any:
    if len(data) > NODE_LIMIT and data.count(b",") + data.count(b"[") + data.count(b"{") > NODE_LIMIT:
        raise ArtifactError(f"{what} holds more than {NODE_LIMIT} values")
    if sys.getrecursionlimit() > 5 * DEPTH_LIMIT:  # else the parser itself stops in time
        _check_depth(data, what)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=pairs_hook,
            parse_constant=lambda name: _literal(name, what),
            parse_float=functools.partial(_float, what),
            parse_int=None if 0 < sys.get_int_max_str_digits() <= 2 * DIGITS_LIMIT else lambda d: _int(d, what),
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise ArtifactError(f"{what} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise ArtifactError(f"{what} is nested too deeply") from error
    escapes = b"\\" in data and b"\\u" in data  # of one byte it is found much sooner
    if escapes or _may_hold_long_number(data):
        _check(value, what, escapes)
    if not flat:
        _check_levels(value, what)
    return value


def _may_hold_long_number(data: bytes) -> bool:
    """Whether 19 digits stand in a row: they cover eight bytes from a multiple of eight on, which little else does."""
    words = np.frombuffer(data, np.uint64, len(data) // 8)
    return bool(((words & _HIGH_HALVES) == _DIGITS).any()) and _LONG_NUMBER in data.translate(_DIGITS_ALIKE)


def _check_depth(data: bytes, what: str) -> None:
    """Refuse too deep nesting where the interpreter would follow it to the end of its stack."""
    brackets = _TEXTS.sub(b"", data).translate(None, _NO_BRACKETS)
    for _ in range(DEPTH_LIMIT + 1):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    raise ArtifactError(f"{what} is nested more than {DEPTH_LIMIT} levels deep")


def _twice(pairs: list[tuple[str, Any]], what: str) -> NoReturn:
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    raise ArtifactError(f"{what} has the key {twice!r} twice in one object")


def _literal(name: str, what: str) -> NoReturn:
    raise ArtifactError(f"{what} holds the literal {name}, which is not JSON")


def _float(what: str, digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ArtifactError(f"{what} holds a number beyond the range of a double")
    return value


def _int(digits: str, what: str) -> int:
    if len(digits) > DIGITS_LIMIT:
        raise ArtifactError(f"{what} holds a whole number of {len(digits)} digits")
    return int(digits)


def _check_levels(value: Any, what: str) -> None:
    """Refuse deep nesting, where there is nothing else to refuse."""
    level = [value]
    for _ in range(DEPTH_LIMIT):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is list:
                below += [inner for inner in item if type(inner) in _INNER]
            elif kind is dict:
                below += [inner for inner in item.values() if type(inner) in _INNER]
        if not below:
            return
        level = below
    raise ArtifactError(f"{what} is nested more than {DEPTH_LIMIT} levels deep")


def _check(value: Any, what: str, escapes: bool) -> None:
    """Refuse whole numbers beyond 64 bits, and, where there are escapes, lone surrogates."""
    level = [value]
    while level:
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is list:
                below += item
            elif kind is dict:
                below += item.values()
                if escapes:
                    below += item
            elif kind is int:
                if not -(2**63) <= item < 2**63:
                    raise ArtifactError(f"{what} holds a whole number beyond 64 bits")
            elif escapes and kind is str and not item.isascii():
                try:
                    item.encode("utf-8")
                except UnicodeEncodeError as error:
                    raise ArtifactError(f"{what} holds a lone surrogate") from error
        level = below


def render(value: Any, level: int = 0) -> str:
    """JSON text of `value`: lists and objects of at most WIDTH characters stay on one line, others are indented."""
    if isinstance(value, dict):
        parts = [
            f"{_scalar(key)}: {render(item, level + 1) if type(item) in _INNER else _scalar(item)}"
            for key, item in value.items()
        ]
        opening, closing = "{", "}"
    elif isinstance(value, list):
        if level and _INTS.issuperset(map(type, value)) and len(line := repr(value)) <= WIDTH:  # shapes, sizes, strides
            return line
        parts = [render(item, level + 1) if type(item) in _INNER else _scalar(item) for item in value]
        opening, closing = "[", "]"
    else:
        return _scalar(value)
    if level and sum(map(len, parts)) + 2 * len(parts) <= WIDTH and not any("\n" in part for part in parts):
        return opening + ", ".join(parts) + closing
    if not parts:
        return opening + closing
    margin = "\n" + " " * (level + 1)
    return opening + margin + ("," + margin).join(parts) + "\n" + " " * level + closing


def canonical(graph: Any) -> str:
    """A text that is equal for equal graphs, the order of keys and the types of numbers included."""
    return json.dumps(graph, ensure_ascii=False, separators=(",", ":"))


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _scalar(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is bool:
        return "true" if value else "false"
    return int.__repr__(value) if kind is int else _encode(value)
