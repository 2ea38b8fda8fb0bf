"""What an object outside the model holds: a text for itself, and its parts by the step to them. For `reach`.

Of an object of the user's no method runs: its attributes, slots and content are looked at. One of a library's is asked
what it would tell `pickle`, but for what is at work: how far that has come is of the process.
"""

from __future__ import annotations

import collections
import contextvars
import copyreg
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import itertools
import pathlib
import threading
import types
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from backends.json_spec import objects
from backends.json_spec.bundle import plain_name

LENGTH = 2000
"""Elements of a container that are looked at one by one; the others by their texts."""
LONG_BITS = 2000
"""Of whole numbers that Python writes in decimal wherever it is asked to: its limit can be set to 640 digits."""
ATOMS = frozenset([type(None), bool, int, float, complex, str, bytes])
_PLAIN = (
    decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, pathlib.PurePath,
    range, np.generic, torch.dtype, torch.device,
)  # fmt: skip
"""Of whose values a text tells all."""
_AT_WORK = (
    type(threading.Lock()), type(threading.RLock()), threading.Thread, threading.Condition, threading.Event,
    threading.Semaphore, torch.library.Library,
)  # fmt: skip
"""What an object has among its attributes that others use at the same time; or that torch keeps a register of, where
the next of that name takes its place: source that is imported once more, or runs from an artifact."""
_MAKERS = (copyreg.__newobj__, copyreg._reconstructor)
_DESCRIPTORS = (functools.cached_property, functools.singledispatchmethod, functools.partialmethod)

Held = tuple[str, dict[str, Any]]
"""A text, and the parts by the step from their holder: `.name`, `[0]`."""


def named(thing: Any) -> str:
    """`module:qualname`; of the script what an import calls it."""
    return f"{plain_name(str(thing.__module__))}:{thing.__qualname__}"


def shown(value: Any) -> str:
    """The text of an atom."""
    return hex(value) if type(value) is int and value.bit_length() > LONG_BITS else repr(value)


def constant(value: Any) -> str | None:
    """A text that tells all of a value that cannot change, a key for one; None where there is no such text."""
    kind = type(value)
    if kind in ATOMS:
        return shown(value)
    if isinstance(value, enum.Enum):
        return f"{kind.__qualname__}.{value.name}"
    if kind is tuple or kind is frozenset:
        inner = [constant(item) for item in value]
        if None in inner:
            return None
        return f"({', '.join(inner)}{',' * (len(inner) == 1)})" if kind is tuple else f"frozenset({sorted(inner)})"
    if isinstance(value, type | types.FunctionType):
        return named(value)
    return f"{value!r}" if isinstance(value, _PLAIN) and kind.__module__ in _PLACES else None


_PLACES = frozenset(kind.__module__ for kind in _PLAIN) | {"datetime", "pathlib._local", "numpy"}


def held(thing: Any, is_own: bool) -> Held:
    """The text of an object that is neither code nor a tensor, and what it holds; `is_own`: its class is the user's."""
    if is_own:
        text, parts = _content(thing)
        names = {**objects.attributes(thing), **objects.slots(thing)}
        return text, parts | {f".{name}": part for name, part in names.items()}
    if isinstance(thing, contextvars.ContextVar):
        unset = object()
        value = thing.get(unset)
        return "", {} if value is unset else {".get()": value}
    if isinstance(thing, types.MappingProxyType):
        return _content(dict(thing))
    if isinstance(thing, threading.local):
        return "", {f".{name}": part for name, part in vars(thing).items()}
    if isinstance(thing, functools._lru_cache_wrapper):
        return "", {f".{name}": part for name, part in vars(thing).items()}
    if isinstance(thing, functools.partial):
        parts = {".func": thing.func, ".args": thing.args, ".keywords": thing.keywords}
        return "", parts | _attributes(objects.attributes(thing))
    if isinstance(thing, _DESCRIPTORS):
        return "", {f".{name}": part for name, part in vars(thing).items() if not isinstance(part, _AT_WORK)}
    text, parts = _content(thing)
    if text:
        return text, parts | _attributes(objects.attributes(thing))
    return (f" {text}", {}) if (text := constant(thing)) is not None else _told(thing)


def _content(thing: Any) -> Held:
    """What the built-in type under an object's class holds, as that type sees it."""
    base = objects.native_base(type(thing))
    if base not in objects.FILLED + objects.VALUED:
        return "", {}
    plain = objects.content(thing)
    if isinstance(plain, dict):
        factory = {".default_factory": plain.default_factory} if base is collections.defaultdict else {}
        return _mapping(plain, factory)
    if isinstance(plain, set | frozenset):
        texts = [constant(item) for item in plain]
        return f" {sorted(texts) if None not in texts else len(plain)}", {}
    if isinstance(plain, list | tuple | collections.deque):
        text = f" of {len(plain)}{_rest(itertools.islice(plain, LENGTH, None))}"
        if base is collections.deque:
            text += f", at most {plain.maxlen}"
        return text, {f"[{place}]": item for place, item in enumerate(itertools.islice(plain, LENGTH))}
    return f" {shown(plain)}", {}


def _mapping(plain: Mapping[Any, Any], parts: dict[str, Any]) -> Held:
    """Entries by the texts of their keys, in their order; a key without one is counted."""
    items = [(constant(key), item) for key, item in plain.items()]
    keys = [(key, item) for key, item in items if key is not None]
    parts |= {f"[{key}]": item for key, item in keys[:LENGTH]}
    rest = _rest(part for pair in keys[LENGTH:] for part in pair)
    return f" with [{', '.join(key for key, _ in keys[:LENGTH])}] of {len(plain)}{rest}", parts


def _rest(items: Iterable[Any]) -> str:
    texts = [str(constant(item)) for item in items]
    return f" {hashlib.sha256(repr(texts).encode()).hexdigest()[:16]}" if texts else ""


def _told(thing: Any) -> Held:
    """What a library's object tells `pickle`; how long it is where it tells nothing."""
    try:
        reduce = copyreg.dispatch_table.get(type(thing))
        reduced = reduce(thing) if reduce is not None else thing.__reduce_ex__(4)
        if isinstance(reduced, str):
            return f" {reduced}", {}
        maker, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        length = "" if state is None and items is None else _length(thing)
        parts: dict[str, Any] = {} if maker in _MAKERS else {".<made by>": maker}
        parts |= {f".<made of>[{place}]": part for place, part in enumerate(arguments or ())}
        if type(state) is tuple:  # a `__dict__` that was looked for is there from then on
            state = tuple(None if type(part) is dict and not part else part for part in state)
        if state is not None:
            states = state if type(state) is tuple and len(state) == 2 else (state,)
            if all(isinstance(one, dict | None) for one in states):
                names = {name: part for one in states for name, part in (one or {}).items()}
                if any(isinstance(part, _AT_WORK) for part in names.values()):
                    return _length(thing), {}
                parts |= _attributes(names)
            else:
                parts[".<state>"] = state
        parts |= {f"[{place}]": item for place, item in enumerate(itertools.islice(items or (), LENGTH))}
        if pairs is not None:
            text, parts = _mapping(dict(pairs), parts)
            return text, parts
        return length, parts
    except Exception:  # it cannot be copied, or not without more than there is here
        return _length(thing), {}


def _attributes(names: Mapping[Any, Any]) -> dict[str, Any]:
    return {f".{name}": part for name, part in names.items()}


def _length(thing: Any) -> str:
    try:
        return f" of {len(thing)}"
    except Exception:
        return ""
