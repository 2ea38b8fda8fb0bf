"""What the parts of a codec's state may be: a file may hold anything, and codecs hand it to libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Codec:
    """`state` gives a dict of values; `restore` makes the object from one equal to it, and that passes `fields`."""

    state: Callable[[Any], dict[str, Any]]
    restore: Callable[[dict[str, Any]], Any]
    fields: Mapping[str, Check] | None = None
    makes: Callable[[dict[str, Any]], int] = lambda state: 0
    """Bytes that the library makes of a state that passes, beyond what stands in it."""
    kept: frozenset[str] = frozenset()
    """Parts of the state whose content the object gets as it is, uncopied and not looked at."""
    own: frozenset[str] | None = frozenset()
    """Attributes without `_` that the class gives its objects; others would be lost. None: all are in the state."""
    shares: Callable[[Any], Any] = lambda value: None
    """What two objects may have in common, so that using the one changes the other: a generator's bits."""


def exactly(*kinds: type) -> Check:
    """A value of exactly one of these types: a subclass of the user's could bring methods of its own."""
    return lambda value: type(value) in kinds


def atom(value: Any) -> bool:
    """A label as pandas has them: a constant, or a tuple of constants."""
    if type(value) is tuple:
        return all(map(atom, value))
    return type(value) in (type(None), str, int, float, bool, bytes) or isinstance(value, np.generic)


def wholes(count: int) -> Check:
    """A tuple of this many whole numbers."""
    return lambda value: type(value) is tuple and len(value) == count and all(type(item) is int for item in value)


def list_of(check: Check) -> Check:
    """A plain list of such."""
    return lambda value: type(value) is list and all(map(check, value))


def vector(value: Any) -> bool:
    """An array of one dimension that has memory for each of its elements: copying it costs no more than the file."""
    return type(value) is np.ndarray and value.ndim == 1 and (value.size == 0 or value.strides[0] != 0)
