"""`differences`: what differs between two artifacts, by meaning: names of objects and places in files do not count."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.json_spec import distances, drift
from backends.json_spec.bundle import is_data
from backends.json_spec.forms import tag_of
from backends.json_spec.inspecting import PARTS, TABLES, Artifact, arguments, holds_parts
from backends.json_spec.shown import LENGTH, class_name, printable, shown, tensor_text
from backends.json_spec.sources import ALWAYS
from backends.json_spec.sums import read_sums

PLACES = {"entry", "offset"}
"""Fields that say where bytes lie in a file."""
BY_FIELD = {"$namedtuple", "$partial", "$method", "$codec", "$handle", "$objectarray", "$sparse", "$quantized"}
"""Tags of what has parts of its own; a number, a date, a range are compared as one value."""
FIELD_NAMES = {"$namedtuple": {"items": ""}, "$objectarray": {"$objectarray": ".shape", "items": ".flat"}}
"""Tag -> field -> how it is shown, where it is not by its own name."""
ROW_LIMIT = 8
"""Plain elements of a list that are told one by one."""
_MISSING = object()
Table = dict[Hashable, tuple[str, Any]]
"""What tells an entry from the others -> how it is shown, and its node."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same: `kind` is class, argument, value, tensor, sharing, source, added or removed."""

    path: str
    kind: str
    before: str
    after: str

    def __str__(self) -> str:
        if self.kind == "added":
            return f"{self.path}: added {self.after}"
        if self.kind == "removed":
            return f"{self.path}: removed {self.before}"
        return f"{self.path}: {self.before} → {self.after}"


def differences(before: str | os.PathLike[str], after: str | os.PathLike[str]) -> list[Difference]:
    """What differs between the models in two artifacts; an empty list where they are the same.

    Reads texts and tensors, imports and makes nothing that the files name. The source of the classes and functions
    counts as the artifacts note it. Raises ArtifactError.
    """
    one, other = Artifact(before), Artifact(after)
    comparison = _Comparison(one, other)
    comparison.compare(one.spec["root"], other.spec["root"], "model")
    return comparison.found + _of_source(Path(before), Path(after))


def _of_source(before: Path, after: Path) -> list[Difference]:
    """The definitions that two artifacts note, and the files beside carried source, where both have them otherwise."""
    sums = [read_sums(folder) for folder in (before, after)]
    one, other = (_digests(folder, of) for folder, of in zip((before, after), sums, strict=True))
    return [
        Difference(printable(path), "source", f"source {digest[:8]}", other[path][:8])
        for path, digest in one.items()
        if other.get(path, digest) != digest
    ]


def _digests(folder: Path, sums: Mapping[str, str]) -> dict[str, str]:
    """The digest of each definition, and of each file beside carried source, by what people call it."""
    found = {
        f"{module}: what it does at import" if name == ALWAYS else f"{module}:{name}": digest
        for module, was in drift.noted(folder, sums).items()
        for name, digest in was["definitions"].items()
    }
    return found | {name: digest for name, digest in sums.items() if is_data(name)}


class _Comparison:
    def __init__(self, one: Artifact, other: Artifact) -> None:
        self._one, self._other = one, other
        self._pairs: dict[str | None, str | None] = {}
        self._ones: dict[str, str] = {}
        self._others: dict[str, str] = {}
        """Object -> the path where it was met, on either side."""
        self._places: tuple[dict[str, tuple[str, int]], ...] = ({}, {})
        """Entry of the weights -> the path of the tensor that was met there first, and its offset, on either side."""
        self._entries: dict[str, tuple[str, int]] = {}
        """Entry of the one side -> that of the other, and how much less the offsets are there."""
        self.found: list[Difference] = []

    def compare(self, one: Any, other: Any, path: str) -> None:
        """Compare two graphs in step, from a worklist, so that depth is no limit."""
        left = [(one, other, path, "value")]
        while left:
            inner: list[tuple[Any, Any, str, str]] = []
            self._step(*left.pop(), inner)
            left.extend(reversed(inner))

    def _step(self, one: Any, other: Any, path: str, kind: str, inner: list[tuple[Any, Any, str, str]]) -> None:
        if one is _MISSING or other is _MISSING:
            before = "" if one is _MISSING else _brief(self._one.target(one))
            after = "" if other is _MISSING else _brief(self._other.target(other))
            self._differ(path, "added" if one is _MISSING else "removed", before, after)
            return
        if self._met(_name(one), _name(other), path):
            return
        one, other = self._one.target(one), self._other.target(other)
        if not isinstance(one, dict) or not isinstance(other, dict):
            if isinstance(one, list) and isinstance(other, list):
                self._rows(one, other, path, kind, inner)
            elif type(one) is not type(other) or one != other:
                self._differ(path, kind, *_texts(one, other))
            return
        tag = tag_of(one)
        if tag != tag_of(other):
            self._differ(path, kind, *_texts(one, other))
        elif tag in ("$module", "$object"):
            self._objects(tag, one, other, path, inner)
        elif tag in ("$tensor", "$ndarray"):
            self._tensors(tag, one, other, path, inner)
        elif tag is None:
            self._tables(_named(one), _named(other), path, kind, inner)
        elif tag in ("$dict", "$ordereddict", "$counter", "$defaultdict"):
            self._dicts(tag, one[tag], other[tag], path, kind, inner)
        elif tag == "$set":
            self._sets(one[tag], other[tag], path, kind)
        elif tag in ("$tuple", "$list", "$frozenset"):
            self._rows(one[tag], other[tag], path, kind, inner)
        elif tag == "$deque":
            inner.append((one[tag][0], other[tag][0], f"{path}.maxlen", kind))
            self._rows(one[tag][1], other[tag][1], path, kind, inner)
        else:
            self._fields(tag, one, other, path, kind, inner)

    def _met(self, a: str | None, b: str | None, path: str) -> bool:
        """Whether one of two objects, or both, was met before; told, unless they were met together.

        What only one place refers to may have no name: None.
        """
        sides = ((self._ones, a), (self._others, b))
        before, after = (places.get(name) for places, name in sides)
        met = before is not None or after is not None
        if met and (None in (a, b) or self._pairs.get(a) != b):
            self._differ(path, "sharing", _shared(before), _shared(after))
        if not met:
            self._pairs[a] = b
        for places, name in sides:
            if name is not None:
                places.setdefault(name, path)
        return met

    def _objects(self, tag: str, one: dict[str, Any], other: dict[str, Any], path: str, inner: list[Any]) -> None:
        if one[tag] != other[tag]:
            self._differ(path, "class", class_name(one[tag]), class_name(other[tag]))
        if ("call" in one) != ("call" in other):
            calls = [_brief(node) if "call" in node else "no call was noted" for node in (one, other)]
            self._differ(f"{path}()", "argument", *calls)
        elif one.get("caller", one[tag]) != other.get("caller", other[tag]) and ("caller" in one or "caller" in other):
            callers = [class_name(node.get("caller", node[tag])) for node in (one, other)]
            self._differ(f"{path}()", "class", *callers)
        later = []  # what is an attribute too is told as such
        for name in _union(one["call"], other["call"]) if "call" in one and "call" in other else ():
            values = [node["call"].get(name, _MISSING) for node in (one, other)]
            told = later if any(map(holds_parts, values)) else inner
            told.append((*values, f"{path}({printable(name)})", "argument"))
        for name in (
            "training",
            "non_persistent",
            "parametrized",
            "hooks",
            "full_backward",
            "computed",
            "entries_are_attributes",
        ):
            if name in one or name in other:
                nothing = None if name in ("training", "full_backward", "entries_are_attributes") else []
                inner.append((one.get(name, nothing), other.get(name, nothing), f"{path}: {name}", "value"))
        if "content" in one or "content" in other:
            inner.append((one.get("content", _MISSING), other.get("content", _MISSING), path, "value"))
        for table in TABLES:
            tables = [_named(node.get(table, {}), ".{}") for node in (one, other)]
            self._tables(*tables, path, "value", inner, table)
        inner += later

    def _tensors(self, tag: str, one: dict[str, Any], other: dict[str, Any], path: str, inner: list[Any]) -> None:
        before, after = tensor_text(one), tensor_text(other)
        if before != after:
            self._differ(path, "tensor", before, after)
        elif "entry" in one and "entry" in other:
            sides = ((one, self._one), (other, self._other))
            told = distances.change(*(distances.values(tag, node, side.weights) for node, side in sides))
            if told:
                self._differ(path, "tensor", before, told)
        if "entry" in one and "entry" in other:
            self._memory(one, other, path, before == after)
        for name in _union(one, other):
            if name in ("attributes", "grad"):
                inner.append((one.get(name, _MISSING), other.get(name, _MISSING), f"{path}.{name}", "value"))

    def _memory(self, one: dict[str, Any], other: dict[str, Any], path: str, alike: bool) -> None:
        """Tell where two tensors, or arrays, do not lie in the same way in memory that others have too."""
        sides = [(node["entry"], node.get("offset", 0)) for node in (one, other)]
        (entry, offset), (other_entry, other_offset) = sides
        pair = other_entry, offset - other_offset
        met = [places.get(name) for places, (name, _) in zip(self._places, sides, strict=True)]
        if met == [None, None]:
            self._entries[entry] = pair
        elif (was := self._entries.get(entry)) != pair and (alike or was is None or was[0] != other_entry):
            self._differ(path, "sharing", *(_lies(was, at) for was, (_, at) in zip(met, sides, strict=True)))
        for places, (name, at) in zip(self._places, sides, strict=True):
            places.setdefault(name, (path, at))

    def _fields(self, tag: str, one: dict[str, Any], other: dict[str, Any], path: str, kind: str, inner: list) -> None:
        """Compare a tagged value field by field where it has parts, else as a whole."""
        if tag == "$blob":
            blobs = [side.weights.blob(node["entry"]) for side, node in ((self._one, one), (self._other, other))]
            if blobs[0] != blobs[1]:
                self._differ(path, kind, f"{len(blobs[0])} bytes", f"{len(blobs[1])} bytes, not the same")
        elif tag in BY_FIELD or any(holds_parts(node, (*PARTS, "$blob")) for node in (one, other)):
            for name in _union(one, other):
                if name not in PLACES:
                    shown_name = FIELD_NAMES.get(tag, {}).get(name, "" if name == tag else f".{printable(name)}")
                    inner.append((one.get(name, _MISSING), other.get(name, _MISSING), path + shown_name, kind))
        elif repr(one) != repr(other):  # which tells 1 from 1.0
            self._differ(path, kind, *_texts(one, other))

    def _rows(self, one: list[Any], other: list[Any], path: str, kind: str, inner: list[Any]) -> None:
        if not any(isinstance(item, dict | list) for item in (*one, *other)):
            places = [n for n, items in enumerate(zip(one, other, strict=False)) if repr(items[0]) != repr(items[1])]
            if len(one) != len(other):
                self._differ(path, kind, *_texts(one, other))
                return
            if len(places) > ROW_LIMIT:
                self._differ(path, kind, shown(one), f"{len(places)} of {len(one)} values differ")
                return
        for place in range(max(len(one), len(other))):
            values = [row[place] if place < len(row) else _MISSING for row in (one, other)]
            inner.append((*values, f"{path}[{place}]", kind))

    def _dicts(self, tag: str, one: Any, other: Any, path: str, kind: str, inner: list[Any]) -> None:
        if tag == "$defaultdict":
            inner.append((one[0], other[0], f"{path}.default_factory", kind))
            one, other = one[1], other[1]
        tables = [_by_key(pairs) for pairs in (one, other)]
        for place, key in enumerate(tables[0]):
            if key[0] is None and key in tables[1]:
                inner.append((*(table[key][0] for table in tables), f"{path}.keys[{place}]", kind))
        shown_ones = [{key: (f"[{shown(node, 200)}]", item) for key, (node, item) in table.items()} for table in tables]
        self._tables(*shown_ones, path, kind, inner)

    def _tables(self, one: Table, other: Table, path: str, kind: str, inner: list[Any], what: str = "keys") -> None:
        for key in _union(one, other):
            text = one[key][0] if key in one else other[key][0]
            values = [table[key][1] if key in table else _MISSING for table in (one, other)]
            inner.append((*values, path + text, kind))
        if one.keys() == other.keys() and list(one) != list(other):
            orders = [", ".join(text.strip(".[]") for text, _ in table.values()) for table in (one, other)]
            before, after = _around(*orders)
            self._differ(path, kind, f"{what} in the order {before}", after)

    def _sets(self, one: list[Any], other: list[Any], path: str, kind: str) -> None:
        before, after = {repr(item): item for item in one}, {repr(item): item for item in other}
        self.found += [Difference(path, "removed", shown(item), "") for key, item in before.items() if key not in after]
        self.found += [Difference(path, "added", "", shown(item)) for key, item in after.items() if key not in before]

    def _differ(self, path: str, kind: str, before: str, after: str) -> None:
        self.found.append(Difference(path, kind, before, after))


def _name(node: Any) -> str | None:
    return node["$ref"] if isinstance(node, dict) and "$ref" in node else None


def _named(table: dict[str, Any], form: str = "[{!r}]") -> Table:
    return {name: (form.format(name), item) for name, item in table.items()}


def _by_key(pairs: list[Any]) -> dict[tuple[str | None, int], tuple[Any, Any]]:
    """Key and value of each pair, by the key: its text, and its place among those of the same text. A key that holds
    objects has none: they go by other names in another artifact."""
    found: dict[tuple[str | None, int], tuple[Any, Any]] = {}
    counts: dict[str | None, int] = {}
    for key, item in pairs:
        text = None if holds_parts(key) else repr(key)
        counts[text] = counts.get(text, -1) + 1
        found[text, counts[text]] = key, item
    return found


def _shared(path: str | None) -> str:
    return "an object of its own" if path is None else f"the same object as {path}"


def _lies(met: tuple[str, int] | None, offset: int) -> str:
    if met is None:
        return "in memory of its own"
    path, first = met
    return f"in the memory of {path}" + (f", {offset - first:+} bytes" if offset != first else "")


def _union(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [*one, *(name for name in other if name not in one)]


def _brief(node: Any) -> str:
    if isinstance(node, dict) and "call" in node and tag_of(node) in ("$module", "$object"):
        return f"{shown(node)}({', '.join(arguments(node['call']))})"
    return shown(node)


def _texts(one: Any, other: Any) -> tuple[str, str]:
    """Two nodes as short texts, which are not the same."""
    before, after = _brief(one), _brief(other)
    return (before, after) if before != after else _around(shown(one, sys.maxsize), shown(other, sys.maxsize))


def _around(before: str, after: str) -> tuple[str, str]:
    """Two texts, cut to where they begin to differ if they are long."""
    shorter = min(len(before), len(after))
    same = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    start = max(same - LENGTH // 2, 0) if max(len(before), len(after)) > LENGTH else 0
    return _window(before, start), _window(after, start)


def _window(text: str, start: int) -> str:
    end = start + LENGTH
    return ("..." if start else "") + text[start:end] + ("..." if len(text) > end else "")
