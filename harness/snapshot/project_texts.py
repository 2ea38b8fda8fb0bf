"""The texts of a project's files: of the modules that are imported, and of those that code imports when it runs."""

from __future__ import annotations

import importlib.machinery
import linecache
import os
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_MOST_LINES = 5000
_WORD = re.compile(r"\w+")
_IMPORT = re.compile(r"^\s*(?:from|import)\s[^(\n]*(?:\([^)]*\))?", re.MULTILINE)
_BY_TEXT = re.compile(r"\b(?:import_module|__import__|iter_modules|walk_packages)\b")


def texts(builder: Builder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the files of the user's modules, and of those that these may import later.

    Raises LookupError where code has no source, or there is more than can be followed in seconds.
    """
    files = {function.__code__.co_filename for function, _ in builder.functions}
    for name, module in list(sys.modules.items()):
        if isinstance(module, types.ModuleType) and builder.is_own(name):
            files |= {file} if (file := getattr(module, "__file__", None)) else set(_files_of_cells(module))
    found = {file: "".join(linecache.getlines(file)) for file in sorted(files)}
    if unknown := [file for file, text in found.items() if not text and not _is_empty(file)]:
        raise LookupError(unknown[0])
    later = list(_later(builder, files, list(found.values())))
    if sum(text.count("\n") for text in (*found.values(), *later)) > _MOST_LINES:
        raise LookupError("too many lines")
    return tuple(found.values()), tuple(later)


def _is_empty(file: str) -> bool:
    return os.path.isfile(file) and not os.path.getsize(file)


def _files_of_cells(module: types.ModuleType) -> Iterator[str]:
    """What the functions and methods of a notebook say that they are from."""
    for value in list(vars(module).values()):
        for part in vars(value).values() if isinstance(value, type) else (value,):
            part = getattr(part, "__func__", part)
            if isinstance(part, types.FunctionType) and part.__globals__ is vars(module):
                yield part.__code__.co_filename


def _later(builder: Builder, files: set[str], known: list[str]) -> Iterator[str]:
    """The texts of files that an import in those known names, and in these in turn; of all, where code imports by a
    text."""
    left = {path: path.stem if path.stem != "__init__" else path.parent.name for path in _project(builder)}
    known_paths = {os.path.realpath(file) for file in files}
    left = {path: name for path, name in left.items() if os.path.realpath(path) not in known_paths}
    while left and known:
        words = {word for text in known for line in _IMPORT.findall(text) for word in _WORD.findall(line)}
        any_of_them = any(_BY_TEXT.search(text) for text in known)
        named = [path for path, name in left.items() if any_of_them or name in words]
        known = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(named)]
        left = {path: name for path, name in left.items() if path not in named}
        yield from known


def _project(builder: Builder) -> Iterator[Path]:
    """All files of the user's modules and packages."""
    for name in sorted(builder.own):
        spec = importlib.machinery.PathFinder.find_spec(name.partition(".")[0])
        if spec is not None and spec.submodule_search_locations:
            for folder in spec.submodule_search_locations:
                yield from Path(folder).rglob("*.py")
        elif spec is not None and spec.origin and spec.origin.endswith(".py"):
            yield Path(spec.origin)
