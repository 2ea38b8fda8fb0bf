"""Values that JSON lacks: one Tag a kind, with how it is written and how it is made again.

A tagged value is an object whose first key names the kind: `{"$complex": [1.0, 2.0]}`. The functions here get `encode`
or `decode` for what lies inside; names of classes and functions are left to the writer and the reader.
"""

from __future__ import annotations

import base64
import collections
import datetime
import decimal
import fractions
import pathlib
import re
import uuid
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from backends.json_spec.errors import Unsupported

Encode = Callable[..., Any]
"""encode(value, suffix of the path) -> node"""
Decode = Callable[[Any], Any]


@dataclass(frozen=True)
class Tag:
    """One kind of value. `write` gives the payload; a mutable kind is made empty first and filled afterwards."""

    key: str
    write: Callable[[Any, Encode], Any]
    make: Callable[[Any, Decode], Any]
    fill: Callable[[Any, Any, Decode], None] | None = None
    keyed: bool = False
    """Whether filling hashes what lies inside, which must be complete by then."""
    optional: tuple[str, ...] = ()
    """Fields beside the payload."""


def _items(value: Any, encode: Encode) -> list[Any]:
    return [encode(item, f"[{position}]") for position, item in enumerate(value)]


def _pairs(value: Any, encode: Encode) -> list[Any]:
    return [[encode(key, f".keys[{n}]"), encode(item, f"[{key!r}]")] for n, (key, item) in enumerate(value.items())]


def _fill_pairs(target: Any, payload: Any, decode: Decode) -> None:
    keys = [decode(key) for key, _ in payload]
    check_hashes(keys)
    base = collections.OrderedDict if isinstance(target, collections.OrderedDict) else dict
    for key, (_, item) in zip(keys, payload, strict=True):
        base.__setitem__(target, key, decode(item))  # a class that derives from it may have a method of that name
    if dict.__len__(target) != len(keys):
        raise ValueError("two keys of a dict are equal")


def _fill_set(target: set[Any], payload: Any, decode: Decode) -> None:
    set.update(target, _members(payload, decode))


def _members(payload: Any, decode: Decode) -> set[Any]:
    items = [decode(item) for item in payload]
    check_hashes(items)
    members = set(items)
    if len(members) != len(items):
        raise ValueError("two elements of a set are equal")
    return members


SAME_HASH = 250
"""Keys of one dict, or elements of one set, that may have the same hash."""


def check_hashes(keys: list[Any]) -> None:
    """Refuse keys chosen to collide: inserting n of them takes n² steps. Hashes of numbers are known ahead."""
    if len(keys) > SAME_HASH and max(collections.Counter(map(hash, keys)).values()) > SAME_HASH:
        raise ValueError(f"more than {SAME_HASH} keys have the same hash")


def _write_factory_dict(value: Any, encode: Encode) -> Any:
    return [encode(value.default_factory, ".default_factory"), _pairs(value, encode)]


def _fill_factory_dict(target: Any, payload: Any, decode: Decode) -> None:
    collections.defaultdict.default_factory.__set__(target, decode(payload[0]))
    _fill_pairs(target, payload[1], decode)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _zone(payload: Any) -> datetime.timezone:
    offset = datetime.timedelta(*payload[0])
    return datetime.timezone(offset, payload[1]) if payload[1] is not None else datetime.timezone(offset)


def _write_zone(value: datetime.timezone, _: Encode) -> Any:
    offset = value.utcoffset(None)
    plain = datetime.timezone(offset).tzname(None)
    name = value.tzname(None)
    return [[offset.days, offset.seconds, offset.microseconds], None if name == plain else name]


def _write_zone_name(value: zoneinfo.ZoneInfo, encode: Encode) -> str:
    if value.key is None:
        raise Unsupported("a time zone read from a file has no name to find it by: make it with ZoneInfo(name)")
    if zoneinfo.ZoneInfo(value.key) is not value:  # two moments are subtracted otherwise where both are of one object
        raise Unsupported("a time zone past the cache would come back as the cached one: make it with ZoneInfo(name)")
    return value.key


def _write_datetime(value: datetime.datetime, encode: Encode) -> Any:
    parts = [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]
    return [*parts, value.fold, encode(value.tzinfo, ".tzinfo")]


def _write_time(value: datetime.time, encode: Encode) -> Any:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, encode(value.tzinfo, ".tzinfo")]


def _wholes(payload: Any, decode: Decode) -> list[int]:
    return [_exactly(int, decode(item)) for item in payload]


def _floats(payload: Any, decode: Decode) -> list[float]:
    return [_exactly(float, decode(item)) for item in payload]


def _exactly(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__} stands where a {kind.__name__} must")
    return value


REGEX_FLAGS = re.ASCII | re.IGNORECASE | re.LOCALE | re.MULTILINE | re.DOTALL | re.UNICODE | re.VERBOSE
"""All but DEBUG, which prints."""


def _regex(pattern: Any, flags: int) -> re.Pattern[Any]:
    if type(pattern) not in (str, bytes) or flags & ~int(REGEX_FLAGS):
        raise ValueError("a regular expression's pattern is neither text nor bytes, or its flags are not known")
    return re.compile(pattern, flags)


def _torch_constant(kind: type) -> Callable[[Any, Decode], Any]:
    def make(payload: Any, _: Decode) -> Any:
        found = vars(torch).get(payload)
        if not isinstance(found, kind) or _short(found, None) != payload:  # `half` is a second name of `float16`
            raise ValueError(f"torch has no {kind.__name__} {payload!r}")
        return found

    return make


def _short(value: Any, _: Encode) -> str:
    return str(value).removeprefix("torch.")


def _text(value: Any, _: Encode) -> str:
    return str(value)


VALUES: dict[type, Tag] = {
    complex: Tag(
        "$complex",
        lambda v, e: [e(v.real, ".real"), e(v.imag, ".imag")],
        lambda p, d: complex(*_floats(p, d)),
    ),
    bytes: Tag("$bytes", lambda v, e: _b64(v), lambda p, d: _unb64(p)),
    range: Tag(
        "$range",
        lambda v, e: [e(v.start, ".start"), e(v.stop, ".stop"), e(v.step, ".step")],
        lambda p, d: range(*_wholes(p, d)),
    ),
    slice: Tag(
        "$slice",
        lambda v, e: [e(v.start, ".start"), e(v.stop, ".stop"), e(v.step, ".step")],
        lambda p, d: slice(*map(d, p)),
    ),
    type(...): Tag("$ellipsis", lambda v, e: True, lambda p, d: ...),
    type(NotImplemented): Tag("$notimplemented", lambda v, e: True, lambda p, d: NotImplemented),
    decimal.Decimal: Tag("$decimal", _text, lambda p, d: decimal.Decimal(p)),
    fractions.Fraction: Tag(
        "$fraction",
        lambda v, e: [e(v.numerator, ".numerator"), e(v.denominator, ".denominator")],
        lambda p, d: fractions.Fraction(*_wholes(p, d)),  # of text it would compute 10**exponent
    ),
    uuid.UUID: Tag("$uuid", _text, lambda p, d: uuid.UUID(p)),
    pathlib.PosixPath: Tag("$path", _text, lambda p, d: pathlib.Path(p)),
    pathlib.WindowsPath: Tag("$path", _text, lambda p, d: pathlib.Path(p)),
    pathlib.PurePosixPath: Tag("$pureposixpath", _text, lambda p, d: pathlib.PurePosixPath(p)),
    pathlib.PureWindowsPath: Tag("$purewindowspath", _text, lambda p, d: pathlib.PureWindowsPath(p)),
    re.Pattern: Tag(
        "$regex",
        lambda v, e: [e(v.pattern, ".pattern"), v.flags],
        lambda p, d: _regex(d(p[0]), p[1]),
    ),
    datetime.datetime: Tag(
        "$datetime", _write_datetime, lambda p, d: datetime.datetime(*p[:7], fold=p[7], tzinfo=d(p[8]))
    ),
    datetime.date: Tag("$date", lambda v, e: v.isoformat(), lambda p, d: datetime.date.fromisoformat(p)),
    datetime.time: Tag("$time", _write_time, lambda p, d: datetime.time(*p[:4], fold=p[4], tzinfo=d(p[5]))),
    datetime.timedelta: Tag(
        "$timedelta", lambda v, e: [v.days, v.seconds, v.microseconds], lambda p, d: datetime.timedelta(*p)
    ),
    zoneinfo.ZoneInfo: Tag("$zoneinfo", _write_zone_name, lambda p, d: zoneinfo.ZoneInfo(p)),
    datetime.timezone: Tag("$timezone", _write_zone, lambda p, d: _zone(p)),
    torch.dtype: Tag("$dtype", _short, _torch_constant(torch.dtype)),
    torch.layout: Tag("$layout", _short, _torch_constant(torch.layout)),
    torch.memory_format: Tag("$memory_format", _short, _torch_constant(torch.memory_format)),
    torch.device: Tag("$device", _text, lambda p, d: torch.device(p)),
    torch.qscheme: Tag("$qscheme", _short, _torch_constant(torch.qscheme)),
    torch.finfo: Tag("$finfo", lambda v, e: v.dtype, lambda p, d: torch.finfo(_torch_constant(torch.dtype)(p, d))),
    torch.iinfo: Tag("$iinfo", lambda v, e: v.dtype, lambda p, d: torch.iinfo(_torch_constant(torch.dtype)(p, d))),
    torch.Size: Tag("$size", lambda v, e: list(v), lambda p, d: torch.Size(p)),
}
"""Values without an identity: equal ones may be one object."""

CONTAINERS: dict[type, Tag] = {
    tuple: Tag("$tuple", _items, lambda p, d: tuple(map(d, p))),
    frozenset: Tag("$frozenset", _items, lambda p, d: frozenset(_members(p, d))),
    list: Tag("$list", _items, lambda p, d: [], lambda t, p, d: list.extend(t, map(d, p))),
    dict: Tag("$dict", _pairs, lambda p, d: {}, _fill_pairs, True),
    set: Tag("$set", _items, lambda p, d: set(), _fill_set, True),
    bytearray: Tag("$bytearray", lambda v, e: _b64(v), lambda p, d: bytearray(_unb64(p))),
    collections.OrderedDict: Tag(
        "$ordereddict",
        _pairs,
        lambda p, d: collections.OrderedDict(),
        _fill_pairs,
        True,
    ),
    collections.Counter: Tag("$counter", _pairs, lambda p, d: collections.Counter(), _fill_pairs, True),
    collections.defaultdict: Tag(
        "$defaultdict", _write_factory_dict, lambda p, d: collections.defaultdict(), _fill_factory_dict, True
    ),
    collections.deque: Tag(
        "$deque",
        lambda v, e: [v.maxlen, _items(v, e)],
        lambda p, d: collections.deque(maxlen=p[0]),
        lambda t, p, d: collections.deque.extend(t, map(d, p[1])),
    ),
}
"""Values with an identity: shared ones stay shared, and cycles go through the mutable ones."""
