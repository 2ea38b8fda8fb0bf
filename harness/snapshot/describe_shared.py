"""What the model has in common with the code that it runs: `self.labels = LABELS`, a default that it keeps.

In a copy whose code is imported anew there are two. Nobody can tell, unless something writes into the one, or asks
whether it is the other; so elsewhere it does not count. What a step of training changes is written.

Likewise the memory of arrays that objects of libraries alone have, and have twice: an interpolator of SciPy's keeps its
values under two names, of which a pickle makes two arrays. What their own methods write there they see to themselves.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING

from harness.snapshot import describe_known, project_texts
from harness.snapshot.graph import GIVEN_AGAIN
from harness.source import written
from harness.source.values import bare

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_CODE = frozenset({"function", "class", "descriptor", "cell", "import"})
_KINDS = frozenset({"sequence", "mapping", "set", "object", "tensor", "array", "table"})
_BASES = frozenset({"builtins", "typing", "abc"})
"""Where the classes are from that write nothing of their own into an object of a class of the user's."""


def tell_apart(builder: Builder, nodes: list[dict], values: Sequence) -> None:
    """Take the identity, and the place in memory, from the nodes of what may be two. `values`: of the nodes, in order.

    Of what is expected: a copy may have two there, and need not. Nothing is done where code asks for identity, or its
    source cannot be read. Of what a cache would give again nothing counts then: many a model has some
    (`self.tokenizer = get_tokenizer()`), and few write into it.
    """
    if builder.compares_objects or not builder.is_expected:
        return
    every = set(range(len(nodes)))
    code = {place for place, node in enumerate(nodes) if node["kind"] in _CODE}
    inside = _reached(nodes, {0}, every - code)
    outside = _reached(nodes, code, every)
    again = [group for node in nodes for group in node.get("groups", ()) if group["word"] == GIVEN_AGAIN]
    pieces = _pieces(nodes, inside) & _pieces(nodes, outside)
    hidden = _held_twice_by_libraries(nodes, values, builder, code)
    if not any(_may_be_two(nodes[place]) for place in inside & outside) and not (pieces or again or hidden):
        return
    if (writes := _writes(builder)) is None:
        _keep(again, lambda place: False)
        return
    known = describe_known.known_as(nodes, values, builder, writes.families)
    bare_names, bare_told = set(map(bare, writes.names)), set(map(bare, writes.told))

    def is_written(place: int) -> bool:
        value = values[place]
        if _writes_when_read(type(value)):
            return True
        tokens, within = known[place].tokens, known[place].within
        if tokens & writes.names or within & bare_names or writes.any_of(tokens):
            return True
        if nodes[place]["kind"] != "object":
            return False
        if type(value).__eq__ is object.__eq__ and tokens & writes.compared:
            return True
        own = [base for base in type(value).__mro__ if builder.is_own(base.__module__)]
        return not _is_all_own(type(value), own) and bool(tokens & writes.touched or within & bare_told)

    changing = {place for place, node in enumerate(nodes) if not _may_be_two(node) or is_written(place)}
    changing |= describe_known.buffers_of_libraries(nodes, values, builder)
    # `layer.weight` is any layer's
    told = {place for place in inside if nodes[place]["kind"] == "module" or _may_be_two(nodes[place])}
    _keep(again, lambda place: any(map(is_written, _reached(nodes, {place}, every - code) & told)))
    outside = _reached(nodes, code, every)
    pieces = _pieces(nodes, inside) & _pieces(nodes, outside)
    pieces -= _pieces(nodes, changing)
    for place in outside:
        if place in inside and place not in changing:
            nodes[place]["identity"] = False
        if not pieces.isdisjoint(_pieces(nodes, {place})):
            del nodes[place]["storage"]
    written_to = _pieces(nodes, set(filter(is_written, hidden)))
    for place in hidden:
        if _pieces(nodes, {place}).isdisjoint(written_to):
            nodes[place]["identity"] = False
            del nodes[place]["storage"]


def _held_twice_by_libraries(nodes: list[dict], values: Sequence, builder: Builder, code: Set[int]) -> set[int]:
    """The arrays that no object but those of libraries leads to, and that are in two places, or share their memory.

    Objects of Python's own classes hold what the user put there: `SimpleNamespace(first=x, rest=x[1:])`.
    """
    arrays = {place for place, node in enumerate(nodes) if node["kind"] == "array"}
    libraries = {place for place, node in enumerate(nodes)
                 if node["kind"] == "object" and _is_of_a_library(type(values[place]).__module__, builder)}  # fmt: skip
    if not arrays or not libraries:
        return set()
    arrays -= _reached(nodes, code | {0}, set(range(len(nodes))) - libraries)
    places = Counter(part.place for node in nodes for part in describe_known.parts(node)) if arrays else Counter()
    views: dict[int, set[int]] = defaultdict(set)
    for place, node in enumerate(nodes):
        if "storage" in node:
            views[node["storage"][0]].add(place)
    pieces = [members for members in views.values() if members <= arrays]
    return {place for members in pieces for place in members if len(members) > 1 or places[place] > 1}


def _is_of_a_library(module: str, builder: Builder) -> bool:
    return module.partition(".")[0] not in sys.stdlib_module_names and not builder.is_own(module)


def _keep(again: Sequence[dict], wanted: Callable[[int], bool]) -> None:
    """Of what caches would give again keep what has such a place: all else nobody can tell, who does not ask for it."""
    for group in again:
        group["entries"] = [entry for entry in group["entries"] if wanted(entry[1][0])]


def _may_be_two(node: dict) -> bool:
    facts = node.get("facts", {})
    return node["kind"] in _KINDS and not facts.get("parameter") and not facts.get("requires_grad")


def _writes_when_read(cls: type) -> bool:
    return issubclass(cls, defaultdict) or hasattr(cls, "__next__")


def _is_all_own(cls: type, own: list[type]) -> bool:
    """Whether no library's method comes with a class of the user's."""
    return bool(own) and all(base in own or base.__module__ in _BASES for base in cls.__mro__)


def _writes(builder: Builder) -> written.Writes | None:
    """What the user's files write; None where some code has no source."""
    try:
        imported, later = project_texts.texts(builder)
        found = written.writes(imported, later)
    except (SyntaxError, RecursionError, LookupError):
        return None
    return None if found.runs_texts else found


# --- the graph


def _reached(nodes: list[dict], starts: Set[int], within: Set[int]) -> set[int]:
    found, left = set(starts), list(starts)
    while left:
        for part in describe_known.parts(nodes[left.pop()]):
            if part.place in within and part.place not in found:
                found.add(part.place)
                left.append(part.place)
    return found


def _pieces(nodes: list[dict], places: Set[int]) -> set[int]:
    """The pieces of memory that these are views of."""
    return {nodes[place]["storage"][0] for place in places if "storage" in nodes[place]}
