"""The grammar of a graph: for every tag what its payload and its fields must be. `audit` holds a file to it.

The reader relies on it: what passes has the types and sizes that the reader takes for granted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

INT_DIGITS = 100_000
"""Hexadecimal digits of a whole number."""
TEXT_LIMIT = 10_000
"""Characters of a decimal number or a path."""
DIMENSIONS = 64
"""Of a tensor or an array, as in NumPy; torch computes with no more either."""
SIZE_LIMIT = 2**62

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Form:
    """What a tagged value must look like."""

    payload: Check
    needed: dict[str, Check] = field(default_factory=dict)
    optional: dict[str, Check] = field(default_factory=dict)
    together: Check = lambda node: True
    """Whether the fields of a node belong together, each of them being right: none may stand there without effect."""


def any_node(_: Any) -> bool:
    """A node, which the walk checks in its turn."""
    return True


def text(value: Any) -> bool:
    """A text of any length."""
    return type(value) is str


def short_text(value: Any) -> bool:
    """A text of at most TEXT_LIMIT characters."""
    return type(value) is str and len(value) <= TEXT_LIMIT


def whole(value: Any) -> bool:
    """A whole number of 64 bits: the parser refuses larger ones."""
    return type(value) is int


def size(value: Any) -> bool:
    """A whole number that can be a size or an offset."""
    return type(value) is int and 0 <= value < SIZE_LIMIT


def flag(value: Any) -> bool:
    """`true`: flags that are not set are not written."""
    return value is True


def boolean(value: Any) -> bool:
    """`true` or `false`."""
    return type(value) is bool


def nodes(value: Any) -> bool:
    """A list of nodes."""
    return type(value) is list


def table(value: Any) -> bool:
    """An object whose keys are names, none of which could be taken for a tag or would act on a terminal."""
    return type(value) is dict and all(key[:1] != "$" and key.isprintable() for key in value)


def texts(value: Any) -> bool:
    """A list of texts."""
    return type(value) is list and all(map(text, value))


def number(value: Any) -> bool:
    """A whole or a floating-point number."""
    return type(value) in (int, float)


def hooks(value: Any) -> bool:
    """A list of hooks."""
    return type(value) is list and all(
        type(one) is dict and "on" in one and all(key in HOOK and HOOK[key](item) for key, item in one.items())
        for one in value
    )


def pairs(value: Any) -> bool:
    """A list of `[key, value]`."""
    return type(value) is list and all(type(pair) is list and len(pair) == 2 for pair in value)


def sizes(value: Any) -> bool:
    """A shape, or strides that are not negative."""
    if type(value) is not list or len(value) > DIMENSIONS:
        return False
    for one in value:  # noqa: SIM110 - as all(map(size, value)), in half the time
        if type(one) is not int or not 0 <= one < SIZE_LIMIT:
            return False
    return True


def strides(value: Any) -> bool:
    """Strides of NumPy, which may be negative."""
    return (
        type(value) is list
        and len(value) <= DIMENSIONS
        and all(type(step) is int and -(2**62) < step < 2**62 for step in value)
    )


def wholes(count: int | None = None) -> Check:
    """A list of whole numbers, of this many if given."""
    return lambda value: type(value) is list and len(value) == (count or len(value)) and all(map(whole, value))


def one_of(*values: Any) -> Check:
    """Exactly one of these texts."""
    return lambda value: type(value) is str and value in values


def matches(pattern: str) -> Check:
    """A text of this form."""
    compiled = re.compile(pattern, re.ASCII)  # digits of other scripts would be a second way to write a value
    return lambda value: short_text(value) and compiled.fullmatch(value) is not None


def first_is(check: Check, *rest: Check) -> Check:
    """A list of exactly these."""
    checks = (check, *rest)
    return lambda value: (
        type(value) is list
        and len(value) == len(checks)
        and all(one(item) for one, item in zip(checks, value, strict=True))
    )


def deque(value: Any) -> bool:
    """`[maxlen, nodes]`, with no more nodes than the deque would keep."""
    return _deque(value) and (value[0] is None or len(value[1]) <= value[0])


def either(*groups: set[str]) -> Check:
    """All fields of exactly one of these groups."""
    known = set().union(*groups)
    return lambda node: node.keys() & known in groups


def handle(node: dict[str, Any]) -> bool:
    """Of a hook that is gone nothing else is told."""
    return node.keys() & {"on", "place"} == (set() if node["$handle"] is None else {"on", "place"})


def sparse(node: dict[str, Any]) -> bool:
    """The indices of the layout and of no other."""
    known = _INDICES if node["$sparse"] == "sparse_coo" else {*_INDICES, "coalesced"}
    return node.keys() & known == INDICES[node["$sparse"]]


def held(node: dict[str, Any]) -> bool:
    """No place in the weights where there are no elements."""
    there = 0 not in node["shape"] and node.get("device", "")[:4] != "meta"
    return there or not node.keys() & {"entry", "offset", "strides"}


def maybe(check: Check) -> Check:
    """That, or null."""
    return lambda value: value is None or check(value)


def big_int(value: Any) -> bool:
    """Hexadecimal, as Python writes it, and beyond 64 bits."""
    return type(value) is str and len(value) <= INT_DIGITS and _BIG.fullmatch(value) is not None


def exact_number(value: Any) -> bool:
    """A whole number where it is written: a reference would have a large one taken again and again."""
    return whole(value) or (type(value) is dict and value.keys() == {"$int"})


def pattern(value: Any) -> bool:
    """A text or a byte string where it is written: what all of them have together is counted."""
    return text(value) or (type(value) is dict and (value.keys() == {"$bytes"} or value.keys() == {"$blob", "entry"}))


INDICES = {
    "sparse_coo": {"indices"},
    "sparse_csr": {"crow_indices", "col_indices"},
    "sparse_bsr": {"crow_indices", "col_indices"},
    "sparse_csc": {"ccol_indices", "row_indices"},
    "sparse_bsc": {"ccol_indices", "row_indices"},
}
_INDICES = set().union(*INDICES.values())
_deque = first_is(maybe(size), nodes)
_BIG = re.compile(r"-?0x[1-9a-f][0-9a-f]{15,}")
_UNIT = r"(\[([1-9]\d{0,8})?[a-zA-Zμ]{1,8}\])?"
"""Of times: NumPy takes a multiple of 0 too, and divides by it."""
NUMPY_DTYPE = rf"[<>|][?biufcSUO]\d{{1,9}}|\|O|[<>][Mm]8{_UNIT}"
FIELD = rf"[<>|][iufcSMm]\d{{1,9}}{_UNIT}"
DEVICE = r"[a-z]{1,20}(:\d{1,3})?"
TORCH_NAME = r"[a-z]\w{0,40}"
DECIMAL = r"-?(\d+(\.\d*)?|\.\d+)(E[+-]?\d{1,18})?|-?Infinity|-?s?NaN\d*"

_plain_dtype, _field_dtype = matches(NUMPY_DTYPE), matches(FIELD)


def numpy_dtype(value: Any) -> bool:
    """NumPy's short text, or for records a list of `[field, short text]`; fields hold neither truth values nor text."""
    if type(value) is not list:
        return _plain_dtype(value)
    return 0 < len(value) <= 1000 and all(
        type(one) is list and len(one) == 2 and short_text(one[0]) and _field_dtype(one[1]) for one in value
    )


COMMON: dict[str, Check] = {
    "parameter": flag,
    "requires_grad": boolean,
    "class": any_node,
    "grad": any_node,
    "attributes": table,
}
"""Fields of tensors of every layout."""
CALLED: dict[str, Check] = {"call": table, "caller": text}
"""Fields of objects whose making was noted; `load` calls nothing and looks up no caller."""
HOOK: dict[str, Check] = {
    "on": text,
    "call": any_node,
    "weight_norm": text,
    "with_module": boolean,
    "public": flag,
    "with_kwargs": flag,
    "always_call": flag,
}
"""Fields of a module's hook; which of them a kind of hook may have is for the reader to know."""

FORMS: dict[str, Form] = {
    "$ref": Form(text),
    "$int": Form(big_int),
    "$float": Form(one_of("nan", "inf", "-inf", "-0.0")),
    "$complex": Form(first_is(any_node, any_node)),
    "$bytes": Form(text),
    "$bytearray": Form(text),
    "$blob": Form(size, {"entry": text}),
    "$tuple": Form(nodes),
    "$list": Form(nodes),
    "$set": Form(nodes),
    "$frozenset": Form(nodes),
    "$dict": Form(pairs),
    "$ordereddict": Form(pairs),
    "$counter": Form(pairs),
    "$defaultdict": Form(first_is(any_node, pairs)),
    "$deque": Form(deque),
    "$namedtuple": Form(text, {"items": nodes}),
    "$enum": Form(text, {}, {"member": text, "members": texts}, either({"member"}, {"members"})),
    "$range": Form(first_is(any_node, any_node, any_node)),
    "$slice": Form(first_is(any_node, any_node, any_node)),
    "$decimal": Form(matches(DECIMAL)),
    "$uuid": Form(matches(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
    "$path": Form(short_text),
    "$pureposixpath": Form(short_text),
    "$purewindowspath": Form(short_text),
    "$date": Form(matches(r"\d{4}-\d\d-\d\d")),
    "$fraction": Form(first_is(exact_number, exact_number)),
    "$datetime": Form(first_is(*[whole] * 8, any_node)),
    "$time": Form(first_is(*[whole] * 5, any_node)),
    "$timedelta": Form(wholes(3)),
    "$timezone": Form(first_is(wholes(3), maybe(short_text))),
    "$regex": Form(first_is(pattern, whole)),
    "$zoneinfo": Form(matches(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}")),
    "$dtype": Form(matches(TORCH_NAME)),
    "$qscheme": Form(matches(TORCH_NAME)),
    "$finfo": Form(matches(TORCH_NAME)),
    "$iinfo": Form(matches(TORCH_NAME)),
    "$layout": Form(matches(TORCH_NAME)),
    "$memory_format": Form(matches(TORCH_NAME)),
    "$device": Form(matches(DEVICE)),
    "$size": Form(wholes()),
    "$ellipsis": Form(flag),
    "$notimplemented": Form(flag),
    "$npdtype": Form(numpy_dtype),
    "$npscalar": Form(numpy_dtype, {"bytes": text}, {"reads": text}),
    "$class": Form(text),
    "$function": Form(text),
    "$partial": Form(any_node, {"args": nodes, "keywords": table}, {"attributes": table}),
    "$method": Form(any_node, {"name": text}),
    "$codec": Form(text, {"state": table}),
    "$ndarray": Form(
        numpy_dtype, {"shape": sizes}, {"strides": strides, "entry": text, "offset": size, "read_only": flag}, held
    ),
    "$objectarray": Form(sizes, {"items": nodes}),
    "$tensor": Form(
        matches(TORCH_NAME),
        {"shape": sizes},
        {
            "stride": sizes,
            "entry": text,
            "offset": size,
            "conj": flag,
            "neg": flag,
            "device": matches(DEVICE),
            **COMMON,
        },
        held,
    ),
    "$sparse": Form(
        one_of(*INDICES),
        {"shape": sizes, "values": any_node},
        {
            "indices": any_node,
            "coalesced": flag,
            "crow_indices": any_node,
            "col_indices": any_node,
            "ccol_indices": any_node,
            "row_indices": any_node,
            **COMMON,
        },
        sparse,
    ),
    "$quantized": Form(
        one_of("qint8", "quint8", "qint32"),
        {"values": any_node},
        {"scale": number, "zero_point": whole, "scales": any_node, "zero_points": any_node, "axis": size, **COMMON},
        either({"scale", "zero_point"}, {"scales", "zero_points", "axis"}),
    ),
    "$module": Form(
        text,
        {"training": boolean},
        {
            "parameters": table,
            "buffers": table,
            "modules": table,
            "non_persistent": texts,
            "parametrized": texts,
            "hooks": hooks,
            "full_backward": boolean,
            "computed": texts,
            "attributes": table,
            **CALLED,
        },
    ),
    "$handle": Form(any_node, {}, {"on": text, "place": size}, handle),
    "$object": Form(
        text,
        {},
        {"content": any_node, "attributes": table, "entries_are_attributes": boolean, "slots": table, **CALLED},
    ),
}
"""Tag -> the form of its payload and of the fields that must and that may stand beside it."""

NAMED = {tag: tag[1:] for tag in ("$enum", "$namedtuple", "$module", "$object", "$class", "$function")}
"""Tags whose payload is a name, and what the name stands for."""


def tag_of(node: dict[str, Any]) -> str | None:
    """The tag of a tagged value; None for a plain object."""
    for key in node:
        if key[:1] == "$":
            return key
    return None


def is_plain_tensor(node: dict[str, Any]) -> bool:
    """Whether a node with the key `$tensor` has no field but those of a tensor that fills its entry."""
    return "shape" in node and "entry" in node and len(node) == (4 if "parameter" in node else 3)
