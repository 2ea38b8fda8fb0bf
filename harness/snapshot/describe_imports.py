"""The modules that a function imports itself, by a statement or by a text, and whether it will find them."""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from harness.snapshot import user_modules
from harness.source import bytecode, looked_up

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder


def step(name: str) -> str:
    """To a module that the code imports: by the name that it had before its classes moved."""
    return f"[{user_modules.before_moving(name)!r}]"


class Import(NamedTuple):
    """How the code imports a module itself."""

    stated: bool
    """By a statement, not by a text."""
    parts: frozenset[str] | None
    """The names that it takes of the module; None: it has the module itself, and may read any."""


def inside(function: types.FunctionType, builder: Builder) -> dict[str, types.ModuleType]:
    """The modules that the code imports itself, as far as they are imported.

    Of the user's those alone that were imported when the original was described: whatever imported one since (saving or
    loading it does), the code finds what it would have found. Of code that runs from an artifact none: what the process
    has under the name is another module than its importer gives, see `describe_globals.imported_late`.
    """
    of_an_artifact = _importer(function) is not builtins.__import__
    known = builder.imported
    names = [name for name, one in named(function, builder).items()
             if not builder.is_own(name) or ((not known or user_modules.before_moving(name) in known)
                                             and not (one.stated and of_an_artifact))]  # fmt: skip
    return {name: sys.modules[name] for name in names if isinstance(sys.modules.get(name), types.ModuleType)}


def named(function: types.FunctionType, builder: Builder) -> dict[str, Import]:
    """The modules that the code imports itself, by their full names."""
    names = [("." * level + name, parts, True) for level, name, parts in bytecode.imports(function.__code__)]
    ways = looked_up.ways(function.__code__)
    if ways & looked_up.IMPORTS:
        of_its_own = "import_module" not in ways  # `__import__`, as the code finds it
        names += [(text, (), of_its_own) for text in looked_up.texts(function.__code__)]
    if not names:
        return {}
    space = function.__globals__
    home = space.get("__package__") or (space.get("__name__") or "").rpartition(".")[0]
    found: dict[str, Import] = {}
    for name, parts, stated in names:
        with contextlib.suppress(ImportError):  # relative to nothing
            full = builder.bare_name(importlib.util.resolve_name(name, home))
            inner = [f"{full}.{part}" for part in parts] if builder.is_own(full) else []
            for one, taken in ((full, frozenset(parts) or None), *((part, None) for part in inner)):
                first = found.setdefault(one, Import(stated, taken))
                both = None if first.parts is None or taken is None else first.parts | taken
                found[one] = first._replace(parts=both)
    return found


@functools.lru_cache(maxsize=4096)
def imports(code: types.CodeType) -> bool:
    """Whether the code imports a module itself, by a statement or by a text."""
    return bool(bytecode.imports(code)) or bool(looked_up.ways(code) & looked_up.IMPORTS)


def importable(function: types.FunctionType, builder: Builder) -> dict[str, int]:
    """How many of the user's modules the code, which imports them itself, would find: a copy may be alone.

    Their names are left out, for they may have others where the copy is. What runs from an artifact imports them: its
    importer can be asked in no other way.
    """
    names = {name: one for name, one in named(function, builder).items() if builder.is_own(name)}
    if not names:
        return {}
    of_an_artifact = _importer(function) is not builtins.__import__
    found = [name for name, one in names.items()
             if name in sys.modules or (module(name, function, builder) is not None if of_an_artifact and one.stated
                                        else user_modules.is_findable(name))]  # fmt: skip
    return {".import <own>": len(found)} if found else {}


def module(name: str, function: types.FunctionType, builder: Builder, stated: bool = True) -> types.ModuleType | None:
    """The module, imported as the function does by a statement or by a text.

    What the importer of an artifact has imported already, it alone knows.
    """
    importer = _importer(function) if stated else builtins.__import__
    if importer is not builtins.__import__ or name not in sys.modules:
        builder.will_import(name)
    with contextlib.suppress(Exception):  # the user's code; or it is not there
        return importer(name, function.__globals__, None, ("__name__",))
    return None


def _importer(function: types.FunctionType) -> Callable[..., types.ModuleType]:
    """What `import` calls in the function: code from an artifact has an importer of its own."""
    space = function.__globals__.get("__builtins__", builtins)
    return (space if isinstance(space, dict) else vars(space))["__import__"]
