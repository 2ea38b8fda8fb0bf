"""What the model has in common with the code that it runs: `self.labels = LABELS`, a default that it keeps.

In a copy whose code is imported anew there are two. Nobody can tell, unless something writes into the one, or asks
whether it is the other; so elsewhere it does not count. What a step of training changes is written.
"""

from __future__ import annotations

import linecache
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Set
from typing import TYPE_CHECKING

from harness import written

if TYPE_CHECKING:
    from harness.snapshot import Builder

_CODE = frozenset({"function", "class", "descriptor", "cell", "import"})
_CONTAINERS = frozenset({"sequence", "mapping", "set", "cell"})
_KINDS = frozenset({"sequence", "mapping", "set", "object", "tensor", "array", "table"})
_BASES = frozenset({"builtins", "typing", "abc"})
"""Where the classes are from that write nothing of their own into an object of a class of the user's."""


def tell_apart(builder: Builder, nodes: list[dict], values: Collection) -> None:
    """Take the identity, and the place in memory, from the nodes of what may be two. `values`: of the nodes, in order.

    Nothing is done where code asks for identity, or its source cannot be read.
    """
    if builder.compares_objects or builder.imported:
        return
    code = {place for place, node in enumerate(nodes) if node["kind"] in _CODE}
    inside = _reached(nodes, {0}, set(range(len(nodes))) - code)
    outside = _reached(nodes, code, set(range(len(nodes))))
    pieces = _pieces(nodes, inside) & _pieces(nodes, outside)
    if not any(_may_be_two(nodes[place]) for place in inside & outside) and not pieces:
        return
    if (writes := _writes(builder)) is None:
        return
    known = _known_as(nodes)

    def is_written(place: int, value: object) -> bool:
        if not _may_be_two(nodes[place]) or issubclass(type(value), defaultdict):  # which writes when it is read
            return True
        own = [base for base in type(value).__mro__ if builder.is_own(base.__module__)]
        if any(base.__name__ in writes.classes for base in own):
            return True
        is_of_a_library = nodes[place]["kind"] == "object" and not _is_all_own(type(value), own)
        return not known[place].isdisjoint(writes.touched if is_of_a_library else writes.names)

    changing = {place for place, value in enumerate(values) if is_written(place, value)}
    pieces -= _pieces(nodes, changing)
    for place in outside:
        if place in inside and place not in changing:
            nodes[place]["identity"] = False
        if not pieces.isdisjoint(_pieces(nodes, {place})):
            del nodes[place]["storage"]


def _may_be_two(node: dict) -> bool:
    facts = node.get("facts", {})
    return node["kind"] in _KINDS and not facts.get("parameter") and not facts.get("requires_grad")


def _is_all_own(cls: type, own: list[type]) -> bool:
    """Whether no library's method comes with a class of the user's."""
    return bool(own) and all(base in own or base.__module__ in _BASES for base in cls.__mro__)


def _writes(builder: Builder) -> written.Writes | None:
    """What the user's files write; None where some code has no source."""
    files = {function.__code__.co_filename for function, _ in builder.functions}
    files |= {file for name, module in list(sys.modules.items())
              if builder.is_own(name) and (file := getattr(module, "__file__", None))}  # fmt: skip
    texts = ["".join(linecache.getlines(file)) for file in sorted(files)]
    try:
        found = written.writes(tuple(texts))
    except (SyntaxError, RecursionError):
        return None
    return None if found.runs_texts or not all(texts) else found


# --- the graph


def _parts(node: dict) -> Iterator[tuple[str | None, int]]:
    """(name, place) of each part that is a node; None where it is an entry, not an attribute."""
    for group in node.get("groups", ()):
        entries = group["entries"]
        for name, entry in entries.items() if group["by"] == "name" else ((None, entry) for entry in entries):
            for part in entry if group["by"] == "key" else (entry,):
                if isinstance(part, tuple):
                    yield name, part[0]


def _reached(nodes: list[dict], starts: Set[int], within: Set[int]) -> set[int]:
    found, left = set(starts), list(starts)
    while left:
        for _, place in _parts(nodes[left.pop()]):
            if place in within and place not in found:
                found.add(place)
                left.append(place)
    return found


def _pieces(nodes: list[dict], places: Set[int]) -> set[int]:
    """The pieces of memory that these are views of."""
    return {nodes[place]["storage"][0] for place in places if "storage" in nodes[place]}


def _known_as(nodes: list[dict]) -> list[set[str]]:
    """By which names code may come upon each: attributes, globals, parameters, and those of what contains it."""
    known: list[set[str]] = [set() for _ in nodes]
    for node in nodes:
        for name, defaults in _parts(node):
            if name == "__defaults__":
                for parameter, entry in _pairs_from_the_end(_arguments(node), nodes[defaults]):
                    known[entry].add(parameter)
    left = list(range(len(nodes)))
    while left:
        place = left.pop()
        node = nodes[place]
        for name, part in _parts(node):
            names = set() if name in (None, "__defaults__") else {name.strip("[]'\"").rpartition(".")[2]}
            if name == "__kwdefaults__":
                names = set(_arguments(node, by_name=True))
            if name is None or node["kind"] in _CONTAINERS:
                names |= known[place]
            if not names <= known[part]:
                known[part] |= names
                left.append(part)
    return known


def _pairs_from_the_end(names: list[str], defaults: dict) -> Iterator[tuple[str, int]]:
    entries = [entry for group in defaults.get("groups", ()) if group["by"] == "index" for entry in group["entries"]]
    for name, entry in zip(reversed(names), reversed(entries), strict=False):
        if isinstance(entry, tuple):
            yield name, entry[0]


def _arguments(node: dict, by_name: bool = False) -> list[str]:
    """The arguments of a function's node that are given by place, or by name alone."""
    names, _, last, _ = node.get("code", {}).get("arguments", [[], 0, 0, 0])
    return names[len(names) - last :] if by_name else names[: len(names) - last]
