"""What the model holds and its code writes into by the name of a global: `self.known = KNOWN` and `KNOWN.append(x)`.

A load makes two of it, and what is written into the one does not show in the other. Where nothing is written, nobody
can tell. Not seen: what is written through another name for it.
"""

from __future__ import annotations

import ast
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from backends.json_spec.sources import Source

_CONTAINERS = (list, dict, set, deque, bytearray)
_METHODS = {name for kind in _CONTAINERS for name in dir(kind) if not name.startswith("__")} - {
    name for fixed in (tuple, frozenset, bytes, types.MappingProxyType) for name in dir(fixed)
} - {"fromkeys", "maxlen"}  # fmt: skip
"""Those that write into what they are called on."""
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def parted(
    things: Mapping[str, Any], place: Callable[[Any], str | None], sources: Iterable[Source]
) -> Iterator[tuple[str, str, str]]:
    """(path in the model, `module:NAME`, name of the function that writes) for all that there is.

    `things`: path -> what the model's code reaches; `place` gives the path at which the model holds a thing.
    """
    written: dict[str, str] | None = None
    for path, thing in things.items():
        name = path.partition(":")[2]
        if name.isidentifier() and isinstance(thing, _CONTAINERS) and (held := place(thing)) is not None:
            if written is None:
                written = {name: where for source in sources for name, where in _written(source.tree)}
            if name in written:
                yield held, path, written[name]


def _written(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, function) for each global, or attribute of a module, that a function writes into."""
    for function in ast.walk(tree):
        if isinstance(function, _FUNCTION):
            own = _local(function)
            for node in ast.walk(function):
                for target in _targets(node):
                    while isinstance(target, ast.Subscript):  # what is written into what it holds
                        target = target.value
                    whose = target.value if isinstance(target, ast.Attribute) else target
                    if isinstance(whose, ast.Name) and whose.id not in own:  # `settings.KNOWN`, and not `self.KNOWN`
                        yield target.attr if isinstance(target, ast.Attribute) else target.id, function.name


def _targets(node: ast.AST) -> Iterator[ast.expr]:
    """What a statement or expression writes into."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        yield node.value
    elif isinstance(node, ast.AugAssign):
        yield node.target
    elif isinstance(node, ast.Attribute) and node.attr in _METHODS and isinstance(node.ctx, ast.Load):
        yield node.value


def _local(function: ast.AST) -> set[str]:
    """The names that are the function's own, or of one in it."""
    found: set[str] = set()
    shared: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Global):
            shared.update(node.names)
    return found - shared
