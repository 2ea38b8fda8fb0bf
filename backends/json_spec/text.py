"""JSON as text: a strict parser, and a printer that puts on one line what fits on one line."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from backends.json_spec.errors import ArtifactError

WIDTH = 110
"""Characters that a value may take on one line."""
DEPTH_LIMIT = 200
"""Levels of nested lists and objects that the reader accepts."""


def parse(data: bytes, what: str) -> Any:
    """Parse UTF-8 JSON. Raises ArtifactError for anything that two parsers could read in two ways.

    That is: duplicate keys, NaN and Infinity, lone surrogates, too deep nesting, numbers beyond a double.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=lambda pairs: _object(pairs, what),
            parse_constant=lambda name: _literal(name, what),
            parse_float=lambda digits: _float(digits, what),
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise ArtifactError(f"{what} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise ArtifactError(f"{what} is nested too deeply") from error
    _check(value, what, 0)
    return value


def _object(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ArtifactError(f"{what} has the key {twice!r} twice in one object")
    return value


def _literal(name: str, what: str) -> NoReturn:
    raise ArtifactError(f"{what} holds the literal {name}, which is not JSON")


def _float(digits: str, what: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ArtifactError(f"{what} holds a number beyond the range of a double")
    return value


def _check(value: Any, what: str, depth: int) -> None:
    if depth > DEPTH_LIMIT:
        raise ArtifactError(f"{what} is nested more than {DEPTH_LIMIT} levels deep")
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ArtifactError(f"{what} holds a lone surrogate") from error
    elif isinstance(value, list):
        for item in value:
            _check(item, what, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, what, depth + 1)
            _check(item, what, depth + 1)


def render(value: Any, level: int = 0) -> str:
    """JSON text of `value`: lists and objects of at most WIDTH characters stay on one line, others are indented."""
    if isinstance(value, dict):
        parts = [f"{_scalar(key)}: {render(item, level + 1)}" for key, item in value.items()]
        opening, closing = "{", "}"
    elif isinstance(value, list):
        parts = [render(item, level + 1) for item in value]
        opening, closing = "[", "]"
    else:
        return _scalar(value)
    if level and sum(map(len, parts)) + 2 * len(parts) <= WIDTH and not any("\n" in part for part in parts):
        return opening + ", ".join(parts) + closing
    if not parts:
        return opening + closing
    margin = "\n" + " " * (level + 1)
    return opening + margin + ("," + margin).join(parts) + "\n" + " " * level + closing


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
