"""`differences`: what differs between two artifacts, by meaning: names of objects and places in files do not count."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from backends.json_spec.forms import tag_of
from backends.json_spec.inspecting import TABLES, Artifact, holds_parts
from backends.json_spec.layouts import read_strided
from backends.json_spec.leaves import read_array
from backends.json_spec.regions import plain_bytes
from backends.json_spec.shown import class_name, printable, shown, tensor_text
from backends.json_spec.tensors import Weights

PLACES = {"entry", "offset"}
"""Fields that say where bytes lie in a file."""
_MISSING = object()


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same: `kind` is class, argument, value, tensor, sharing, added or removed."""

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

    Reads texts and tensors, imports and makes nothing that the files name. Raises ArtifactError.
    """
    one, other = Artifact(before), Artifact(after)
    comparison = _Comparison(one, other)
    comparison.compare(one.spec["root"], other.spec["root"], "model")
    return comparison.found


class _Comparison:
    def __init__(self, one: Artifact, other: Artifact) -> None:
        self._one, self._other = one, other
        self._pairs: dict[str, str] = {}
        self._ones: dict[str, str] = {}
        self._others: dict[str, str] = {}
        """Object -> the path where it was met, on either side."""
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
            self.found.append(Difference(path, "added" if one is _MISSING else "removed", before, after))
            return
        a, b = _name(one), _name(other)
        if a is not None and b is not None:
            if a in self._ones or b in self._others:
                if self._pairs.get(a) != b:
                    before, after = self._ones.get(a), self._others.get(b)
                    self._differ(path, "sharing", _shared(before), _shared(after))
                return
            self._pairs[a], self._ones[a], self._others[b] = b, path, path
        one, other = self._one.target(one), self._other.target(other)
        if not isinstance(one, dict) or not isinstance(other, dict):
            if isinstance(one, list) and isinstance(other, list):
                self._rows(one, other, path, kind, inner)
            elif type(one) is not type(other) or one != other:
                self._differ(path, kind, _brief(one), _brief(other))
            return
        tag = tag_of(one)
        if tag != tag_of(other):
            self._differ(path, kind, _brief(one), _brief(other))
        elif tag in ("$module", "$object"):
            self._objects(tag, one, other, path, inner)
        elif tag in ("$tensor", "$ndarray"):
            self._tensors(tag, one, other, path, inner)
        elif tag is None:
            self._tables(one, other, path, kind, inner, "[{!r}]")
        elif tag in ("$dict", "$ordereddict", "$counter", "$defaultdict"):
            pairs = [node[tag][1] if tag == "$defaultdict" else node[tag] for node in (one, other)]
            tables = [{shown(key, 200): item for key, item in table} for table in pairs]
            self._tables(*tables, path, kind, inner, "[{}]")
        elif tag == "$set":
            self._sets(one[tag], other[tag], path, kind)
        elif tag in ("$tuple", "$list", "$frozenset"):
            self._rows(one[tag], other[tag], path, kind, inner)
        else:
            self._fields(tag, one, other, path, kind, inner)

    def _objects(self, tag: str, one: dict[str, Any], other: dict[str, Any], path: str, inner: list[Any]) -> None:
        if one[tag] != other[tag]:
            self._differ(path, "class", class_name(one[tag]), class_name(other[tag]))
        if one.get("caller", one[tag]) != other.get("caller", other[tag]) and ("caller" in one or "caller" in other):
            self._differ(f"{path}()", "class", one.get("caller", one[tag]), other.get("caller", other[tag]))
        arguments, later = [], []  # what is an attribute too is told as such
        for name in _union(one.get("call", {}), other.get("call", {})):
            values = [node.get("call", {}).get(name, _MISSING) for node in (one, other)]
            told = later if any(map(holds_parts, values)) else arguments
            told.append((*values, f"{path}({printable(name)})", "argument"))
        inner += arguments
        for name in ("training", "non_persistent", "parametrized", "hooks", "full_backward", "computed"):
            if name in one or name in other:
                inner.append((one.get(name), other.get(name), f"{path}: {name}", "value"))
        for table in TABLES:
            for name in _union(one.get(table, {}), other.get(table, {})):
                values = [node.get(table, {}).get(name, _MISSING) for node in (one, other)]
                inner.append((*values, f"{path}.{printable(name)}", "value"))
        inner += later

    def _tensors(self, tag: str, one: dict[str, Any], other: dict[str, Any], path: str, inner: list[Any]) -> None:
        before, after = tensor_text(one), tensor_text(other)
        if before != after:
            self._differ(path, "tensor", before, after)
        elif "entry" in one and "entry" in other:
            change = _change(_values(tag, one, self._one.weights), _values(tag, other, self._other.weights))
            if change:
                self._differ(path, "tensor", before, change)
        for name in _union(one, other):
            if name in ("attributes", "grad"):
                inner.append((one.get(name, _MISSING), other.get(name, _MISSING), f"{path}.{name}", "value"))

    def _fields(self, tag: str, one: dict[str, Any], other: dict[str, Any], path: str, kind: str, inner: list) -> None:
        """Compare a tagged value field by field where it holds others, else as a whole."""
        if tag == "$blob":
            blobs = [side.weights.blob(node["entry"]) for side, node in ((self._one, one), (self._other, other))]
            if blobs[0] != blobs[1]:
                self._differ(path, kind, f"{len(blobs[0])} bytes", f"{len(blobs[1])} bytes, not the same")
        elif not any(isinstance(node, dict | list) for node in (*one.values(), *other.values())):
            if one != other:
                self._differ(path, kind, shown(one), shown(other))
        else:
            for name in _union(one, other):
                if name not in PLACES:
                    shown_name = "" if name == tag else f".{printable(name)}"
                    inner.append((one.get(name, _MISSING), other.get(name, _MISSING), path + shown_name, kind))

    def _rows(self, one: list[Any], other: list[Any], path: str, kind: str, inner: list[Any]) -> None:
        if len(one) != len(other) and not any(isinstance(item, dict | list) for item in (*one, *other)):
            self._differ(path, kind, shown(one), shown(other))
            return
        for place in range(max(len(one), len(other))):
            values = [row[place] if place < len(row) else _MISSING for row in (one, other)]
            inner.append((*values, f"{path}[{place}]", kind))

    def _tables(self, one: dict, other: dict, path: str, kind: str, inner: list[Any], form: str) -> None:
        for name in _union(one, other):
            inner.append((one.get(name, _MISSING), other.get(name, _MISSING), path + form.format(name), kind))
        if one.keys() == other.keys() and list(one) != list(other):
            self._differ(path, kind, f"keys in the order {shown(list(one))}", shown(list(other)))

    def _sets(self, one: list[Any], other: list[Any], path: str, kind: str) -> None:
        before, after = {repr(item): item for item in one}, {repr(item): item for item in other}
        self.found += [Difference(path, "removed", shown(item), "") for key, item in before.items() if key not in after]
        self.found += [Difference(path, "added", "", shown(item)) for key, item in after.items() if key not in before]

    def _differ(self, path: str, kind: str, before: str, after: str) -> None:
        self.found.append(Difference(path, kind, before, after))


def _name(node: Any) -> str | None:
    return node["$ref"] if isinstance(node, dict) and "$ref" in node else None


def _shared(path: str | None) -> str:
    return "an object of its own" if path is None else f"the same object as {path}"


def _union(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [*one, *(name for name in other if name not in one)]


def _brief(node: Any) -> str:
    if isinstance(node, dict) and "call" in node:
        return (
            f"{shown(node)}({', '.join(f'{printable(name)}={shown(item, 40)}' for name, item in node['call'].items())})"
        )
    return shown(node)


def _change(one: Any, other: Any) -> str:
    """How the values of two tensors or arrays of one description differ; empty where their bits are the same."""
    one, other = _bits(one), _bits(other)
    if one.shape != other.shape:  # entries around elements that overlap
        return "other bytes"
    different = (one != other).reshape(one.shape[0], -1).any(axis=1)
    count = int(different.sum())
    return f"{count} of {len(different)} values differ" if count else ""


def _values(tag: str, node: dict[str, Any], weights: Weights) -> Any:
    """A tensor or array; where its elements overlap, the whole entry: as many as it says would fill any memory."""
    memory = {name: item for name, item in node.items() if name not in ("conj", "neg")}  # of both, or of none
    value = (read_strided if tag == "$tensor" else read_array)(memory, weights)
    return value if value.nbytes <= weights.place(node["entry"])[1] else weights.bytes_of(node["entry"])


def _bits(value: Any) -> np.ndarray:
    """The bytes of each element, of shape (elements, bytes)."""
    if isinstance(value, torch.Tensor):
        return plain_bytes(value).numpy().reshape(value.numel(), value.element_size())
    return np.frombuffer(value.tobytes(), np.uint8).reshape(value.size, -1)
