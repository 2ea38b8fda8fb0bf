"""The user's modules: which are imported, what they hold, and where one is whose classes moved (`class_moved`)."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import TYPE_CHECKING, Any

from harness.project.edits import MOVED, RENAMED

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

OF_THE_PLACE = frozenset(
    {"__name__", "__file__", "__spec__", "__loader__", "__package__", "__path__", "__cached__", "__builtins__"}
)
"""Names in a module that say where or under what name it is."""
_OF_EVERY_MODULE = OF_THE_PLACE | {"__doc__"}


def before_moving(name: str) -> str:
    return name.removesuffix(MOVED)


def when_saved(name: str, builder: Builder) -> str:
    """The name that a module had in the process that saved, whatever a condition did to it since."""
    top, dot, rest = before_moving(builder.bare_name(name)).partition(".")
    return f"{top.removesuffix(RENAMED)}{dot}{rest}"


def now(module: types.ModuleType) -> types.ModuleType:
    """The module; or the new one to which its classes moved, which has all of it."""
    return sys.modules.get(f"{module.__name__}{MOVED}", module)


def names_in(module: types.ModuleType) -> dict[str, Any]:
    """What a module has, by name: a new one to which classes moved by the name of the old one, which may be gone."""
    moved = {before_moving(name): part for name, part in vars(module).items()
             if name.endswith(MOVED) and isinstance(part, types.ModuleType)}  # fmt: skip
    return vars(module) | moved if moved else vars(module)


def was_imported(module: types.ModuleType, builder: Builder) -> bool:
    """Whether a module in a package of the user's was when the original was described, whatever the package's name."""
    inside = before_moving(builder.bare_name(module.__name__).partition(".")[2])
    return not builder.imported or not inside or any(name.partition(".")[2] == inside for name in builder.imported)


def home_of(function: types.FunctionType) -> list[types.ModuleType]:
    """The module that the function's name for its own stands for, where that is imported."""
    home = sys.modules.get(function.__globals__.get("__name__"))
    return [home] if isinstance(home, types.ModuleType) else []


def own(builder: Builder) -> list[types.ModuleType]:
    """Those of the user's that are imported, `__main__` too where it has something; of a copy, that were so before. In
    the order of the names that they had when they were saved."""
    modules = {name: module for name, module in list(sys.modules.items())
               if isinstance(module, types.ModuleType) and builder.is_own(name)}  # fmt: skip
    before = {name: when_saved(name, builder) for name in modules}
    known = None if builder.imported.isdisjoint(before.values()) else builder.imported
    return [module for name, module in sorted(modules.items(), key=lambda item: before[item[0]])
            if vars(module).keys() - _OF_EVERY_MODULE and f"{name}{MOVED}" not in modules
            and (known is None or name == "__main__" or before[name] in known)]  # fmt: skip


def is_findable(name: str) -> bool:
    """Whether a module is found where it would be looked for, without importing what it is in."""
    where, steps = None, name.split(".")
    for place in range(len(steps)):
        full = ".".join(steps[: place + 1])
        if place and where is None:
            return False
        if full in sys.modules:
            where = getattr(sys.modules[full], "__path__", None)
        elif (spec := importlib.machinery.PathFinder.find_spec(full, where)) is not None:
            where = spec.submodule_search_locations
        else:
            return False
    return True
