"""By which names code may come upon each node of a snapshot: attributes, globals, parameters, what contains it.

They are the tokens of `source.names` and `source.values`, so that what source writes can be looked for among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.source.values import COPIED, INSIDE, RESULT, bare, with_suffix
from harness.source.written import OF_BUFFERS

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_CONTAINERS = frozenset({"sequence", "mapping", "set"})
_ARRAYS = frozenset({"tensor", "array", "table"})
"""What is in them is a view of them."""
_PASSES = frozenset({"cell", "descriptor"})
"""What is in them is known as they are."""
_KEEPS = frozenset({"partial", "context variable", "weakref"})
_DEFAULTS = ("__defaults__", "__kwdefaults__")


@dataclass
class Known:
    """How a node is known."""

    tokens: set[str] = field(default_factory=set)
    within: set[str] = field(default_factory=set)
    """Names of the library's objects that hold it."""

    def grow(self, tokens: Collection[str], within: Collection[str]) -> bool:
        """Whether any is new."""
        before = len(self.tokens) + len(self.within)
        self.tokens.update(tokens)
        self.within.update(within)
        return len(self.tokens) + len(self.within) > before


@dataclass(frozen=True)
class Part:
    """What a node consists of."""

    place: int
    name: str | None
    """None for an entry."""
    key: Any = None
    prefix: str = ""


def parts(node: dict) -> Iterator[Part]:
    """Those that are nodes."""
    for group in node.get("groups", ()):
        if group["by"] == "name":
            for name, part in group["entries"].items():
                if isinstance(part, tuple):
                    yield Part(part[0], name, prefix=group["prefix"])
        else:
            for entry in group["entries"]:
                for part in entry if group["by"] == "key" else (entry,):
                    if isinstance(part, tuple):
                        yield Part(part[0], None, entry[0] if group["by"] == "key" else None)


def known_as(nodes: list[dict], values: Sequence[Any], builder: Builder, families: Mapping[str, str]) -> list[Known]:
    """Of each node, whose values these are; `families` of the classes, see `source.names`."""
    found = [Known({f"{name}{RESULT}" for name in _own_classes(type(value), builder)}) for value in values]
    for node in nodes:
        for part in parts(node):
            if part.name == "__defaults__":
                for parameter, entry in _pairs_from_the_end(_arguments(node), nodes[part.place]):
                    found[entry].tokens.add(f"={parameter}")
            elif part.name == "__kwdefaults__":
                for entry in parts(nodes[part.place]):
                    found[entry.place].tokens.add(f"={entry.key}")
    left = list(range(len(nodes)))
    while left:
        place = left.pop()
        node, known = nodes[place], found[place]
        is_of_a_library = node["kind"] in _KEEPS or (
            node["kind"] == "object" and not builder.is_own(type(values[place]).__module__)
        )
        cls = values[place] if node["kind"] == "class" else type(values[place])
        owners = {families[name] for name in _own_classes(cls, builder) if name in families}
        for part in parts(node):
            tokens, within = _as_part(node, part, known, owners)
            if node["kind"] == "module" and nodes[part.place]["kind"] == "tensor":
                tokens |= OF_BUFFERS
            if is_of_a_library:
                within |= set(map(bare, known.tokens)) | known.within
            if found[part.place].grow(tokens, within):
                left.append(part.place)
    for node, known in zip(nodes, found, strict=True):
        known.tokens |= {token.replace(INSIDE, COPIED) for token in known.tokens if token.endswith(INSIDE)}
        if node["kind"] in _ARRAYS:
            known.tokens |= with_suffix(known.tokens, INSIDE)
    return found


def _own_classes(cls: type, builder: Builder) -> set[str]:
    """The names of the user's classes that it is or derives from."""
    return {base.__name__ for base in cls.__mro__ if builder.is_own(base.__module__)}


def _as_part(node: dict, part: Part, known: Known, owners: set[str]) -> tuple[set[str], set[str]]:
    """The tokens of a part, and the library's objects that it is in, as it is a part of this node."""
    kind = node["kind"]
    if kind in _PASSES:
        return set(known.tokens), set(known.within)
    if part.name is None:
        suffix = INSIDE if kind in _CONTAINERS else RESULT if kind == "function" else None  # of a cache
        tokens = set(with_suffix(known.tokens, suffix)) if suffix else set()
        return tokens | ({part.key} if isinstance(part.key, str) else set()), set(known.within)
    if part.name in _DEFAULTS:
        return set(), set()
    name = part.name.strip("[]'\"").rpartition(".")[2]
    if part.prefix == ".<closure>" or kind == "generator":
        return {f"&{name}", f"={name}"}, set()
    return {name, *(f"{owner}.{name}" for owner in owners)}, set()


def buffers_of_libraries(nodes: list[dict], values: Sequence[Any], builder: Builder) -> set[int]:
    """The tensors that a library's module keeps, which writes into them when it is used, as BatchNorm does."""
    found = set()
    for node, value in zip(nodes, values, strict=True):
        for group in node.get("groups", ()) if node["kind"] == "module" else ():
            roles = {} if builder.is_own(type(value).__module__) else group.get("roles", {})
            found |= {group["entries"][name][0] for name, role in roles.items()
                      if role == "buffer" and isinstance(group["entries"].get(name), tuple)}  # fmt: skip
    return found


def _pairs_from_the_end(names: list[str], defaults: dict) -> Iterator[tuple[str, int]]:
    entries = [entry for group in defaults.get("groups", ()) if group["by"] == "index" for entry in group["entries"]]
    for name, entry in zip(reversed(names), reversed(entries), strict=False):
        if isinstance(entry, tuple):
            yield name, entry[0]


def _arguments(node: dict) -> list[str]:
    """The arguments of a function's node that are given by place."""
    names, _, last, _ = node.get("code", {}).get("arguments", [[], 0, 0, 0])
    return names[: len(names) - last]
