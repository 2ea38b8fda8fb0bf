"""What the names of all files together stand for, as a graph of tokens, and which functions one may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from harness.source.values import COPIED, INSIDE, Value, split, with_suffix


@dataclass(frozen=True)
class Signature:
    """What a function's parameters are known by, without `self`."""

    by_place: tuple[str, ...]
    by_name: dict[str, str] = field(hash=False, compare=False)
    is_method: bool
    rest: tuple[str, ...] = ()
    """Those with stars."""


class Flows:
    """`of_names`: by a token, those that it may stand for; `of_held`: also what these may hold."""

    def __init__(self, families: dict[str, str], wanted: Collection[str]) -> None:
        self.families, self._wanted = families, wanted
        self.of_names: dict[str, set[str]] = defaultdict(set)
        self.of_held: dict[str, set[str]] = defaultdict(set)
        self.functions: dict[str, set[Signature]] = defaultdict(set)
        """By the token that calls them."""
        self.count = 0
        """How many there are."""
        self._known: dict[str, frozenset[str]] = {}

    def forget(self) -> None:
        """Find anew what may be which function, since there is more now."""
        self._known.clear()

    def add(self, targets: Iterable[str], value: Value) -> None:
        """Each of these may stand for a value."""
        for target in targets:
            inside = with_suffix([target], INSIDE)
            for flows, own in ((self.of_names, value.own), (self.of_held, value.all)):
                for token, sources in ((target, own), *((one, value.inside) for one in inside)):
                    new = sources - flows[token] - {token}
                    flows[token] |= new
                    self.count += len(new)

    def reached(self, tokens: Iterable[str], held: bool = False) -> set[str]:
        """These, and all that they may stand for."""
        flows = self.of_held if held else self.of_names
        found = set(tokens)
        left = list(found)
        while left:
            for source in self._sources(left.pop(), flows):
                if source not in found:
                    found.add(source)
                    left.append(source)
        return found

    def _sources(self, token: str, flows: dict[str, set[str]]) -> Iterator[str]:
        """What a token may stand for, directly."""
        yield from flows.get(token, ())
        base, suffix = split(token)
        if suffix:
            if suffix == COPIED:
                yield from flows.get(base + INSIDE, ())
            yield from with_suffix(self._sources(base, flows), suffix)
        elif "." in token:  # of an object of a class that assigns no such attribute while it is made; of any object
            owner, _, attribute = token.partition(".")
            if owner.startswith("new "):
                yield from () if token in flows else (f"{self.families[owner.removeprefix('new ')]}.{attribute}",)
            else:
                yield f"?.{attribute}"

    def may_be(self, value: Value) -> set[str]:
        """Of which functions a value may be one: their tokens, and those of `wanted`."""
        return {found for token in value.own for found in self._known.get(token) or self._found(token)}

    def _found(self, start: str) -> frozenset[str]:
        """The same of a token. What stands for each other (R. Tarjan's components) is found once, for all of it."""
        place: dict[str, int] = {}
        lowest: dict[str, int] = {}
        stack: list[str] = []
        found: dict[str, set[str]] = {}
        work: list[tuple[str, Iterator[str]]] = []

        def enter(token: str) -> None:
            place[token] = lowest[token] = len(place)
            stack.append(token)
            found[token] = {token} if token in self.functions or token in self._wanted else set()
            work.append((token, self._sources(token, self.of_names)))

        enter(start)
        while work:
            token, sources = work[-1]
            for source in sources:
                if source in self._known:
                    found[token] |= self._known[source]
                elif source not in place:
                    enter(source)
                    break
                else:
                    lowest[token] = min(lowest[token], place[source])
            else:
                work.pop()
                if lowest[token] == place[token]:
                    members = [stack.pop()]
                    while members[-1] != token:
                        members.append(stack.pop())
                    every = frozenset().union(*(found[one] for one in members))
                    self._known |= dict.fromkeys(members, every)
                if work:
                    above = work[-1][0]
                    lowest[above] = min(lowest[above], lowest[token])
                    found[above] |= self._known.get(token, found[token])
        return self._known[start]
