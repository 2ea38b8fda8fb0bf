"""What can be told of a model's code only when all of the model was seen: a second look, at what the first one noted.

*Names that are data*: `globals()[self.key]` reads the global that a text among the model's values names, and
`self.settings.SCALE` one of a module that the model holds. Paths that are data: see `describe_paths`.

*The user's modules that code imports itself*: where the copy was not yet there, they are not imported. Last, since
importing one may change the others. And whether it would find them.

*Variables*: a global that code rebinds (`global COUNT`, `settings.COUNT = 2`) is one for all functions of its module,
and for all that know the module. A copy by value may give each function its own, equal until one is written.

*The dictionary behind a view* that the model holds as well as the view: what is written to it later shows in both.

*Settings of libraries*: what the program set in one counts where the model or its code comes upon the library.

*The very object of a cache*: a model's part that a function with `functools.lru_cache` gives again counts as such where
code compares objects by `is`, or writes into it.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.snapshot import describe_caches, describe_globals, describe_imports, describe_paths, library_settings
from harness.snapshot.graph import GIVEN_AGAIN
from harness.source import bytecode

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_LONGEST_NAME = 64


class Variable:
    """Where functions of one namespace find a global."""


def add(builder: Builder, nodes: list[dict]) -> None:
    """Add to the nodes of what was noted; what they refer to then has to be described too."""
    texts = (
        set(_texts(nodes)) if any(describe_globals.looks_up(function) for function, _ in builder.functions) else set()
    )
    rebound = {name for function, _ in builder.functions for name in describe_globals.written(function, builder)}
    for function, node in builder.functions:
        _extend(node, builder.named(describe_globals.by_data(function, texts), ".__globals__"))
        if describe_imports.imports(function.__code__):
            _extend(node, builder.named(describe_globals.imported_late(function, builder), ".__globals__"))
            _extend(node, builder.named(describe_imports.importable(function, builder), ".__globals__"))
        if rebound:
            _extend(node, builder.named(_variables(function, rebound, builder), ".<variables>"))
    if not describe_paths.WAYS.isdisjoint(builder.read):
        _extend(nodes[0], builder.named(describe_paths.described(builder, _texts(nodes)), ".<paths>"))
    for module, node in builder.modules:
        read = {name: vars(module)[name] for name in sorted(builder.read & vars(module).keys())}
        _extend(node, builder.named({name: part for name, part in read.items()
                                     if not describe_globals.is_of_the_place(name, part)}))  # fmt: skip
    for node, mapping in builder.views:
        _extend(node, builder.named({"mapping": mapping} if builder.is_described(mapping) else {}))
    _extend(nodes[0], builder.named(_of_libraries(builder), ".<libraries>"))
    for node, entries in builder.caches:
        again = describe_caches.given_again(entries, builder)
        _extend(node, builder.keyed(again, word=GIVEN_AGAIN))


def _of_libraries(builder: Builder) -> dict[str, Any]:
    """What the program set in those that the model or its code comes upon."""
    found = {}
    for name in builder.set_in_libraries:
        if library_settings.is_used(name, builder.libraries, builder.read):
            with contextlib.suppress(LookupError):
                found[f".{'.'.join(name)}"] = library_settings.value_of(name)
    return found


def variable() -> dict:
    return {"kind": "variable", "type": "global variable", "identity": True}


def _variables(function: types.FunctionType, rebound: set[str], builder: Builder) -> dict[str, Variable]:
    found = {name: (function.__globals__, name) for name in rebound & describe_globals.loaded(function)}
    for path, module in describe_globals.modules_known(function, builder).items():
        read = rebound & vars(module).keys() & _names(function.__code__)
        found |= {f"{path}.{name}": (vars(module), name) for name in read}
    return {path: builder.variables.setdefault((id(space), name), Variable())
            for path, (space, name) in sorted(found.items())}  # fmt: skip


@functools.lru_cache(maxsize=4096)
def _names(code: types.CodeType) -> frozenset[str]:
    return frozenset(name for part in bytecode.with_inner(code) for name in part.co_names)


def _texts(nodes: list[dict]) -> Iterator[str]:
    """The names among the values, and in what code objects among them read."""
    for node in nodes:
        for group in node.get("groups", ()):
            for entry in group["entries"].values() if group["by"] == "name" else group["entries"]:
                for part in entry if isinstance(entry, tuple) and len(entry) == 2 else (entry,):
                    if type(part) is str and len(part) <= _LONGEST_NAME:
                        yield part
        if node.get("kind") == "code":
            yield from node["code"].get("names", ())


def _extend(node: dict, group: dict) -> None:
    """Add a group's entries to the node's group of that kind."""
    if not group["entries"]:
        return
    for known in node.setdefault("groups", []):
        if all(known[word] == group[word] for word in ("by", "prefix", "word")):
            if group["by"] == "name":
                known["entries"] = group["entries"] | known["entries"]
            else:
                known["entries"] += [entry for entry in group["entries"] if entry not in known["entries"]]
            return
    node["groups"].append(group)
