"""`inspect`: what is in an artifact, as a tree for people. It imports and makes nothing that the file names."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from backends.json_spec.audit import audit
from backends.json_spec.errors import ArtifactError
from backends.json_spec.files import WEIGHTS
from backends.json_spec.forms import tag_of
from backends.json_spec.leaves import read_dtype
from backends.json_spec.loading import read_spec
from backends.json_spec.shown import TENSORS, class_name, printable, shown, size_text, tensor_text
from backends.json_spec.sums import read_sums
from backends.json_spec.tensors import Weights

TABLES = ("parameters", "buffers", "modules", "attributes", "slots")
"""Fields of objects whose entries are shown as parts, in this order."""
PARTS = ("$ref", "$ndarray", *TENSORS)
"""Tags of what has a line of its own."""
PATHS_LIMIT = 1 << 28
"""Characters: of parts that lie within each other one by one, all paths together grow as the square of their number."""


@dataclass
class Part:
    """Something in a model: the name that its holder gives it, what it is, and its own parts."""

    name: str
    path: str
    what: str
    """One line: a class with the arguments of its call, a value, a tensor's dtype and shape."""
    kind: str = "value"
    """`module`, `object`, `tensor`, `value`, or `again` for what is shown elsewhere."""
    size_bytes: int = 0
    """Of a tensor or array."""
    where: str = ""
    """Of a tensor or array: the file, and the first and last byte in it."""
    parts: list[Part] = field(default_factory=list)

    def walk(self) -> Iterator[Part]:
        """This and all parts within it, in order."""
        left = [self]
        while left:
            part = left.pop()
            yield part
            left.extend(reversed(part.parts))

    def line(self) -> str:
        """The part on one line."""
        named = f"{self.name} = {self.what}" if self.kind == "value" else f"{self.name}: {self.what}"
        extent = f"  {size_text(self.size_bytes)}" if self.where else ""
        return f"{named}{extent}{f'  {self.where}' if self.where else ''}"

    def __str__(self) -> str:
        lines: list[str] = []
        left = [(self, 0)]
        while left:
            part, depth = left.pop()
            lines.append("  " * depth + part.line())
            left.extend((inner, depth + 1) for inner in reversed(part.parts))
        return "\n".join(lines)


def inspect(directory: str | os.PathLike[str]) -> Part:
    """The model in an artifact, as a tree. `str` of it is readable; `walk` goes through all parts.

    Needs no trust: it reads the texts and the weights' header, compares the texts with their digests, and imports
    nothing. Raises ArtifactError where the artifact is damaged or not of this format.
    """
    artifact = Artifact(directory)
    root = Part("model", "model", "")
    _Tree(artifact).fill(root, artifact.spec["root"])
    return root


class Artifact:
    """The checked text of an artifact and its mapped weights."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Raises ArtifactError where the artifact is damaged or not of this format."""
        directory = Path(directory)
        self.spec = read_spec(directory, read_sums(directory))
        self.objects: dict[str, Any] = self.spec["objects"]
        audit(self.spec["root"], self.objects, None)
        self.weights = Weights(directory / WEIGHTS)

    def target(self, node: Any) -> Any:
        """What a reference refers to; any other node itself."""
        return self.objects[node["$ref"]] if isinstance(node, dict) and "$ref" in node else node


class _Tree:
    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._seen: dict[str, str] = {}
        """Object -> the path where it is shown."""
        self._letters = 0
        """Of all paths."""

    def fill(self, root: Part, node: Any) -> None:
        """Describe `node` in `root`, and all within it; from a worklist, so that depth is no limit."""
        left = [(root, node)]
        while left:
            part, node = left.pop()
            found = self._one(part, node)
            part.parts = [inner for inner, _ in found]
            left.extend(reversed(found))

    def _one(self, part: Part, node: Any) -> list[tuple[Part, Any]]:
        """Describe one node; its parts with their nodes are returned."""
        if isinstance(node, dict) and "$ref" in node:
            name = node["$ref"]
            if name in self._seen:
                part.kind, part.what = "again", f"is {self._seen[name]}"
                return []
            self._seen[name] = part.path
            node = self._artifact.objects[name]
        tag = tag_of(node) if isinstance(node, dict) else None
        if tag in ("$module", "$object"):
            return self._object(part, tag, node)
        if tag in TENSORS or tag == "$ndarray":
            return self._tensor(part, tag, node)
        part.what = shown(node)
        if not holds_parts(node):
            return []
        if isinstance(node, list):
            part.what = f"list of {len(node)}"
        elif tag is None:
            part.what = f"dict of {len(node)}"
        else:
            part.what = shown(node) if tag in ("$partial", "$method", "$codec", "$handle") else tag[1:]
        part.kind = "object"
        return [(self._part(part, name, False), item) for name, item in _entries(node)]

    def _object(self, part: Part, tag: str, node: dict[str, Any]) -> list[tuple[Part, Any]]:
        part.kind = tag[1:]
        part.what = class_name(node[tag])
        if "call" in node:
            if "caller" in node:
                part.what += f" = {printable(node['caller'])}"
            part.what += f"({', '.join(arguments(node['call']))})"
        if "training" in node:
            part.what += "" if node["training"] else "  [eval]"
        if "parametrized" in node:
            part.what += f"  parametrized: {', '.join(map(printable, node['parametrized']))}"
        inner: list[tuple[Part, Any]] = []
        if "content" in node:
            held = self._artifact.target(node["content"])
            part.what += f" of {shown(held)}"
            part.what += ", which are its attributes too" if node.get("entries_are_attributes") else ""
            if holds_parts(held):
                inner += [(self._part(part, name, False), item) for name, item in _entries(held)]
        for table in TABLES:
            for name, item in node.get(table, {}).items():
                made = self._part(part, name, True)
                if table == "buffers":
                    made.name += (
                        " (buffer, not in the state dict)" if name in node.get("non_persistent", ()) else " (buffer)"
                    )
                inner.append((made, item))
        for place, hook in enumerate(node.get("hooks", ())):
            flags = "".join(f", {flag}" for flag, is_set in hook.items() if is_set is True)
            made = self._part(part, f"{hook['on']} hook {place}", True)
            made.name += flags
            inner.append((made, hook.get("call", "weight_norm")))
        for name, item in node.get("call", {}).items():  # what is only an argument
            if holds_parts(item):
                inner.append((Part(f"({printable(name)})", f"{part.path}({printable(name)})", ""), item))
        return inner

    def _tensor(self, part: Part, tag: str, node: dict[str, Any]) -> list[tuple[Part, Any]]:
        part.kind, part.what = "tensor", tensor_text(node)
        inner = [(self._part(part, name, True), item) for name, item in node.get("attributes", {}).items()]
        if "grad" in node:
            inner.append((self._part(part, "grad", True), node["grad"]))
        for name in ("indices", "crow_indices", "col_indices", "ccol_indices", "row_indices", "values", "scales"):
            if tag in ("$sparse", "$quantized") and name in node:
                inner.append((self._part(part, name, True), node[name]))
        if "entry" in node:
            part.size_bytes = math.prod(node["shape"]) * _itemsize(node)
            start, size = self._artifact.weights.place(node["entry"])
            first = start + node.get("offset", 0)
            part.where = f"{WEIGHTS}[{first}:{min(first + part.size_bytes, start + size)}]"
        return inner

    def _part(self, holder: Part, name: str, attribute: bool) -> Part:
        name = printable(name)
        self._letters += len(holder.path) + len(name)
        if self._letters > PATHS_LIMIT:
            raise ArtifactError(f"the paths of all parts have more than {PATHS_LIMIT} characters: they lie too deep")
        return Part(name, f"{holder.path}.{name}" if attribute else f"{holder.path}{name}", "")


def arguments(call: dict[str, Any]) -> list[str]:
    """`n_in=3, 6, mode='fast'`: as in the call, further positional ones without a name."""
    texts: list[str] = []
    for name, node in call.items():
        if name.startswith("**") and isinstance(node, dict) and tag_of(node) is None:
            texts += [f"{printable(key)}={shown(item, 40)}" for key, item in node.items()]
        elif name.startswith("*") and isinstance(node, dict) and "$tuple" in node:
            texts += [shown(item, 40) for item in node["$tuple"]]
        else:
            texts.append(f"{printable(name)}={shown(node, 40)}")
    return texts


def _entries(node: Any) -> list[tuple[str, Any]]:
    """Name, as it would be indexed, and node of what a container holds."""
    if isinstance(node, list):
        return [(f"[{place}]", item) for place, item in enumerate(node)]
    tag = tag_of(node)
    if tag is None:
        return [(f"[{key!r}]", item) for key, item in node.items()]
    payload = node[tag]
    if tag in ("$dict", "$ordereddict", "$counter", "$defaultdict"):
        pairs = payload[1] if tag == "$defaultdict" else payload
        keys = [(f".keys[{place}]", key) for place, (key, _) in enumerate(pairs) if holds_parts(key)]
        return keys + [(f"[{shown(key, 40)}]", item) for key, item in pairs]
    if tag in ("$tuple", "$list", "$set", "$frozenset"):
        return [(f"[{place}]", item) for place, item in enumerate(payload)]
    if tag == "$deque":
        return [(f"[{place}]", item) for place, item in enumerate(payload[1])]
    if tag in ("$namedtuple", "$objectarray"):
        return [(f"[{place}]", item) for place, item in enumerate(node["items"])]
    if tag in ("$method", "$handle"):
        return [(".__self__" if tag == "$method" else ".module", payload)]
    fields = [("." + name, item) for name, item in node.get("state", node.get("keywords", {})).items()]
    fields += [(f".args[{place}]", item) for place, item in enumerate(node.get("args", ()))]
    fields += [("." + name, item) for name, item in node.get("attributes", {}).items()]
    return [(".function", payload), *fields] if tag == "$partial" else fields


def holds_parts(node: Any, tags: tuple[str, ...] = PARTS) -> bool:
    """Whether a value holds objects, tensors or arrays, which have lines of their own; or what else `tags` says."""
    if isinstance(node, list):
        return any(holds_parts(item, tags) for item in node)
    if not isinstance(node, dict):
        return False
    if any(tag in node for tag in tags):
        return True
    return any(holds_parts(item, tags) for item in node.values())


def _itemsize(node: dict[str, Any]) -> int:
    if "$ndarray" in node:
        return read_dtype(node["$ndarray"]).itemsize
    dtype = vars(torch).get(node["$tensor"])
    if not isinstance(dtype, torch.dtype):
        raise ArtifactError(f"torch has no dtype {node['$tensor']!r}")
    return dtype.itemsize
