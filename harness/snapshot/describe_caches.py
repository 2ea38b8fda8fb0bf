"""What `functools.lru_cache` has remembered, where computing it anew would give something else.

A cache of a function that always answers alike is no state: a tokenizer's may have been filled or not, and is right
either way. One that was filled before a setting changed, or whose entries were changed in place, answers for as long as
its process lives what no other process will. Which it is, is found by calling the function, in a copy of the process
(`aside`). Where there is none, or it takes too long, nothing is told.

Nor is it one while nobody writes into what the cache gives again. Of what the model has and a cache would give again it
is told that they are one, for `describe_shared` to see whether something is written there.
"""

from __future__ import annotations

import functools
import gc
import types
from typing import TYPE_CHECKING, Any

from harness.snapshot.graph import Graph
from harness.system import aside

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

TIMEOUT_S = 5.0
ENTRIES = 256
"""More are not computed anew, and not told."""
_CODE = (type, types.ModuleType, types.FunctionType)


Entries = list[tuple[Any, Any]]
"""(key, result)."""


def entries(value: functools._lru_cache_wrapper, builder: Builder) -> Entries:
    """What a function of the user's has remembered; nothing where that is too much."""
    if not builder.state or not builder.is_own(value.__module__) or not value.cache_info().currsize:
        return []
    found = _entries(value)[0]
    return found if len(found) <= ENTRIES else []


def stale(value: functools._lru_cache_wrapper, remembered: Entries, builder: Builder) -> Entries:
    """Those that the function would not answer so any more, or not at all."""
    if not remembered:
        return []
    mark = _entries(value)[1]
    answers = aside.in_a_copy(lambda: bytes(_is_stale(value, *entry, mark, builder) for entry in remembered), TIMEOUT_S)
    return [entry for entry, is_stale in zip(remembered, answers, strict=False) if is_stale]


def given_again(remembered: Entries, builder: Builder) -> Entries:
    """Those whose result the model has too, or a part of it: `self.vocab, self.labels = resources()`."""
    return [entry for entry in remembered if any(map(builder.is_described, _with_parts(entry[1])))]


def _with_parts(result: Any) -> list[Any]:
    return [result, *(part for part in gc.get_referents(result) if not isinstance(part, _CODE))]


def _entries(value: functools._lru_cache_wrapper) -> tuple[Entries, Any]:
    """Keys with results, and what stands between positional and named arguments in a key.

    CPython keeps them in C; its garbage collector is told of them: of a bounded cache one link after the other (key,
    result, type of the link) and the dictionary of links, of an unbounded one the dictionary of results.
    """
    parts = gc.get_referents(value)
    table = next((part for part in parts if type(part) is dict and len(part) == value.cache_info().currsize), None)
    mark = next((part for part in parts if type(part) is object), None)
    if table is None:
        return [], mark
    if value.cache_parameters()["maxsize"] is None:
        return list(table.items()), mark
    links = {id(link) for link in map(type, table.values())}
    return [
        (parts[place - 2], parts[place - 1])
        for place in range(2, len(parts))
        if id(parts[place]) in links and parts[place - 2] in table
    ], mark


def _is_stale(value: functools._lru_cache_wrapper, key: Any, result: Any, mark: Any, builder: Builder) -> bool:
    parts = list(key) if type(key) is tuple else [key]
    named: dict[Any, Any] = {}
    middle = next((place for place, part in enumerate(parts) if part is mark), None)
    if value.cache_parameters()["typed"]:  # the type of each argument comes after them all
        parts = parts[: len(parts) // 2 if middle is None else middle + 1 + 2 * ((len(parts) - 1 - 2 * middle) // 3)]
    if middle is not None:
        names = parts[middle + 1 :]
        parts, named = parts[:middle], dict(zip(names[::2], names[1::2], strict=True))
    try:
        return _digest(value.__wrapped__(*parts, **named), builder) != _digest(result, builder)
    except Exception:
        return True


def _digest(value: Any, builder: Builder) -> str:
    graph = Graph(type(builder)(builder.own, state=False).build(value, "result"))
    return graph.digest(graph.root)
