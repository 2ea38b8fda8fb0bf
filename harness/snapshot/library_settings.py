"""What the user's program set in libraries: values of modules and classes, defaults of functions, replaced functions.

`ImageFile.LOAD_TRUNCATED_IMAGES = True`, `Distribution.set_default_validate_args(False)`, a mock in a function's place,
a constructor for a tag of YAML, a function that collates a class of the user's: no artifact carries it, and the code
that depends on it does not name it. What a library had before is known only to a process that looked before the user's
file was imported. So the process that builds the model notes what the libraries that the project imports hold
(`noted`), and tells afterwards what is another (`changed`), by names alone; what these names stand for is described
where the model was saved and where it is loaded (`value_of`).

Likewise the variables of the environment that it set while it built the model, and that its source names: what reads
them is as a rule a library (`TORCH_HOME`, `COLUMNS`, a proxy), or another program that the model starts.

Public names, of classes also private switches (a bool or a text), which are what a class method sets, and registers of
any name: who calls `register_kl` does not see where the function goes. Python's own modules keep plain tables so, as of
XML's namespaces. Large namespaces (torch, NumPy) are left out: `describe_process` looks there for functions of the
user's.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import logging
import os
import re
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.snapshot.attributes import attributes, module_of
from harness.source import syntax

Name = tuple[str, ...]
"""(module, attribute, attribute of that, ...)."""
Held = dict[Name, Any]
_VAST = frozenset({"torch", "numpy", "pandas", "scipy", "sklearn"})
"""Of these only the packages count that the project names, and code uses."""
_LARGE = 400
_ENTRIES = 10_000
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_OF_THE_PROCESS = frozenset(
    {"sys", "os", "time", "builtins", "gc", "threading", "warnings", "typing", "random", "logging"}
)
_LAZILY_SET = frozenset({"inited", "next_id", "cls_counter", "EXTENSION", "ID", "MIME"})
"""What a library sets of its own accord when it is used: `attrs` counts the fields of all classes that were made, the
last three hold Pillow's formats of files."""
_DEFAULTS = ("__defaults__", "__kwdefaults__")
_ENVIRONMENT = ("os", "environ")
_CHANGES_NO_ANSWER = re.compile(r"_THREADS$|VERBOSITY$|LOG_LEVEL$|^TOKENIZERS_PARALLELISM$")


class _Another:
    """Stands for an object of which only counts whether it is the same."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Another) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


class _Registry:
    """Stands for a container of which only counts what of the user's is in it."""

    def __init__(self, users: list[Any]) -> None:
        self.users = users

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Registry)
            and len(self.users) == len(other.users)
            and all(one is two for one, two in zip(self.users, other.users, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]


def noted(project: Path, own_modules: Collection[str]) -> Held:
    """What the libraries hold that the project imports where its files begin. They are imported for that."""
    imported, mentioned = set(), set()
    for path in project.rglob("*.py"):
        tree = syntax.parse(path)
        for node in tree.body:
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        mentioned |= {_dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for name in sorted(name for name in imported if name.partition(".")[0] not in own_modules):
        with contextlib.suppress(Exception):  # not installed, or no module: the user's own import will tell
            _begin(importlib.import_module(name))
    modules = _modules(imported | mentioned, own_modules)
    held = {name: value for module in modules for name, value in _entries(module)}
    return held | _levels() if "logging" in imported else held


def _levels() -> Held:
    """The names of the levels of `logging`, of which else only handlers and filters count, and these elsewhere."""
    return {("logging", "_levelToName"): dict(logging._levelToName)}


def changed(before: Held, own_modules: Collection[str] = ()) -> list[Name]:
    """The names of what is another now, or gone, and of containers that got something of the user's."""
    homes = dict.fromkeys(name[0] for name in before if name[0] not in _OF_THE_PROCESS)
    modules = [sys.modules[name] for name in homes if name in sys.modules]
    own = {*own_modules, "__main__"} if own_modules else frozenset()
    now = {name: value for module in modules for name, value in _entries(module, own)} | _levels()
    names = {name for name, value in before.items()
             if not _same(value, now.get(name, ...)) and not _is_its_own(name, now.get(name))}  # fmt: skip
    made = {name for name, value in now.items() if name not in before and isinstance(value, _Registry) and value.users}
    return sorted(names | made)


def _is_its_own(name: Name, now: Any) -> bool:
    """Whether a library put another function or class of its own there: torch wraps the step of each optimizer."""
    home = getattr(now.value, "__module__", None) if isinstance(now, _Another) else None
    return isinstance(home, str) and home.partition(".")[0] == name[0].partition(".")[0]


def variables(before: Mapping[str, str], project: Path) -> list[Name]:
    """The names of the variables of the environment that are others now and that the project's source names.

    A library sets some of its own when it is first used. Which only make it faster or quieter are left out.
    """
    names = [name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)]
    names = [name for name in names if not _CHANGES_NO_ANSWER.search(name)]
    if not names:
        return []
    source = "\n".join(path.read_text(encoding="utf-8") for path in project.rglob("*.py"))
    return sorted((*_ENVIRONMENT, name) for name in names if re.search(rf"\b{re.escape(name)}\b", source))


def is_used(name: Name, libraries: Collection[str], read: Collection[str]) -> bool:
    """Whether code uses the library, or in a large one the package: `libraries` are the modules that it meets, `read`
    the names in it. The environment is the whole process's."""
    if name[:2] == _ENVIRONMENT:
        return True
    package, *inside = name[0].split(".")
    met = any(library.partition(".")[0] == package for library in libraries)
    if package not in _VAST or not inside:
        return met
    part = f"{package}.{inside[0]}"
    return met and (inside[0] in read or any(f"{library}.".startswith(f"{part}.") for library in libraries))


def value_of(name: Name) -> Any:
    """What the name stands for in this process. Raises LookupError where it stands for nothing."""
    if name[:2] == _ENVIRONMENT:
        return os.environ[name[2]]
    try:
        value: Any = _begin(importlib.import_module(name[0]))
        for step in name[1:]:
            value = getattr(value, step) if step in _DEFAULTS else vars(value)[step]
    except (ImportError, AttributeError, TypeError) as error:
        raise LookupError(name) from error
    return value


def _begin(module: types.ModuleType) -> types.ModuleType:
    """The module as it is once it was used: `mimetypes` reads the machine's files when it is first asked."""
    if module.__name__ == "mimetypes" and not module.inited:
        module.init()
    return module


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def _modules(names: set[str], own_modules: Collection[str]) -> Iterator[types.ModuleType]:
    packages = {name.partition(".")[0] for name in names} - _VAST
    parts = tuple(f"{name}." for name in names if "." in name and not name.startswith("torch.nn"))
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if top in own_modules or top in _OF_THE_PROCESS or not isinstance(module, types.ModuleType):
            continue
        if top in _VAST and "._" in name and name not in names:
            continue
        if (top in packages or f"{name}.".startswith(parts)) and len(vars(module)) <= _LARGE:
            yield module


def _entries(module: types.ModuleType, own: Collection[str] = ()) -> Iterator[tuple[Name, Any]]:
    home, package = module.__name__, module.__name__.partition(".")[0]
    is_of_python = package in sys.stdlib_module_names
    for name, value in list(vars(module).items()):
        if name.startswith("__") or name in _LAZILY_SET:
            continue
        if isinstance(value, type):
            if not name.startswith("_"):
                yield (home, name), _Another(value)
            if value.__module__ == home:
                yield from _of_class((home, name), value, own)
        elif isinstance(value, types.FunctionType | types.BuiltinFunctionType):
            if not name.startswith("_"):
                yield (home, name), _Another(value)
            if (value.__module__ or "").partition(".")[0] == package:
                yield from _defaults((home, name), value)
        elif (kept := _kept(value, own)) is not ...:
            if not name.startswith("_") or isinstance(kept, _Registry) or (type(kept) is dict and is_of_python):
                yield (home, name), kept
        elif type(value).__module__.partition(".")[0] == package:  # an object that the package's functions use
            for key, part in attributes(value).items():
                if type(part) in _PLAIN and key not in _LAZILY_SET:
                    yield (home, name, key), part
                elif isinstance(kept := _kept(part, own), _Registry):
                    yield (home, name, key), kept


def _of_class(name: Name, cls: type, own: Collection[str]) -> Iterator[tuple[Name, Any]]:
    for key, value in list(vars(cls).items()):
        if key in _LAZILY_SET:
            continue
        if isinstance(value, types.FunctionType):
            if not key.startswith("_"):
                yield (*name, key), _Another(value)
            yield from _defaults((*name, key), value)
        elif key.startswith("_"):
            if not key.startswith("__") and isinstance(kept := _kept(value, own), bool | str | _Registry):
                yield (*name, key), kept
        elif (kept := _kept(value, own)) is not ...:
            yield (*name, key), kept


def _defaults(name: Name, function: Any) -> Iterator[tuple[Name, Any]]:
    for word in _DEFAULTS:
        if (value := getattr(function, word, None)) is not None:
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            yield (*name, word), {key: part if type(part) in _PLAIN else _Another(part) for key, part in parts}


def _kept(value: Any, own: Collection[str]) -> Any:
    """A plain value, or a copy of a container of plain values; of another container, what is the user's in it; `...`
    for anything else.

    An empty one is to be filled by the library when it is first used.
    """
    if type(value) in _PLAIN:
        return value
    if type(value) in (list, tuple, set, frozenset, dict) and 0 < len(value) <= _ENTRIES:
        parts = [*value, *value.values()] if type(value) is dict else value
        if all(type(part) in _PLAIN for part in parts):
            return type(value)(value)
        if type(value) in (list, dict):  # a register of formats, of constructors, of functions by type
            return _Registry([part for part in parts if module_of(part).partition(".")[0] in own] if own else [])
    return ...


def _same(before: Any, now: Any) -> bool:
    return type(before) is type(now) and (before == now or before != before)
