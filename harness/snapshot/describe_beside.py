"""The files that lie beside the user's code and that it names: a list of words, labels, a template.

Code that an artifact brings along, as text or by value, is not where these files are. They count where the code also
names a way to its own place (`__file__`, `inspect.getfile`, `pkgutil.get_data`, a global that is a path, a package).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import pathlib
import re
import types
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from harness.source import bytecode

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_TO_FOLDERS = frozenset({"__file__", "getfile", "getsourcefile", "co_filename", "origin", "__path__"})
_TO_PACKAGES = frozenset({"get_data", "files"})
"""Ways by which a library reads, from an archive too."""
_NAMES = frozenset({"__name__", "__package__"})
"""By which code names its own place to a library."""
_FILE = re.compile(r"(?:\.\./)*[\w-][\w./-]*\.[A-Za-z]\w{0,7}")
_FOLDER = re.compile(r"[\w-][\w./-]{0,63}")


def described(function: types.FunctionType, used: Mapping[str, Any], builder: Builder) -> dict[str, bool]:
    """Which of the files are there, by their step in a path. `used`: the globals that the code loads, by name."""
    if not (files := _files(function.__code__)):
        return {}
    texts, names = _constants(function.__code__)
    folders = [os.fspath(value) for value in used.values() if isinstance(value, str | pathlib.Path)]
    modules = [
        value for value in used.values() if isinstance(value, types.ModuleType) and builder.is_own(value.__name__)
    ]
    if names & _TO_FOLDERS:
        places = (function.__globals__.get("__file__"), *(getattr(module, "__file__", None) for module in modules))
        folders += [os.path.dirname(place) for place in places if isinstance(place, str)]
    specs: list[ModuleSpec | None] = []
    if names & _TO_PACKAGES:
        specs = [getattr(module, "__spec__", None) for module in modules]
        if named := names & _NAMES:  # a name may lead nowhere, where code runs under a private one
            specs.append(function.__globals__.get("__spec__"))
        specs += _specs({*texts, *(function.__globals__.get(word) for word in named)}, builder)
    return {f".beside[{file!r}]": True for file in files
            if _is_in_folders(file, folders) or any(_is_in_package(file, spec) for spec in specs if spec)}  # fmt: skip


def _is_in_folders(file: str, folders: list[str]) -> bool:
    return any(os.path.isabs(folder) and os.path.lexists(os.path.join(folder, file)) for folder in folders)


def _is_in_package(file: str, spec: ModuleSpec) -> bool:
    try:
        return spec.loader.get_data(os.path.join(os.path.dirname(spec.origin or ""), file)) is not None
    except Exception:  # not there, or a loader of a kind of its own
        return False


def _specs(names: set[Any], builder: Builder) -> Iterator[ModuleSpec | None]:
    for name in names:
        if isinstance(name, str) and name.isidentifier() and builder.is_own(name):
            with contextlib.suppress(ImportError, ValueError):  # not to be found here, or run from an artifact
                yield importlib.util.find_spec(name)


@functools.lru_cache(maxsize=4096)
def _files(code: types.CodeType) -> list[str]:
    """What may be a file's path: a text that looks like its name, alone, behind one other text in the code, and behind
    the two that come before it there (`HERE / "data" / "en" / "words.txt"`)."""
    texts, found = _constants(code)[0], set()
    if files := [text for text in texts if _FILE.fullmatch(text)]:
        folders = [text for text in texts if text not in files and _FOLDER.fullmatch(text)]
        order = list(texts)
        for file in files:
            before = [folder for folder in folders if order.index(folder) < order.index(file)][-2:]
            found |= {file, "/".join([*before, file]), *(f"{folder}/{file}" for folder in folders)}
    return sorted(found)


def _constants(code: types.CodeType) -> tuple[dict[str, None], set[str]]:
    """The texts in the order of their first use, and the names, in the code and in code inside it."""
    parts = list(bytecode.with_inner(code))
    constants = [constant for part in parts for constant in part.co_consts]
    flat = [text for one in constants for text in (one if isinstance(one, tuple | frozenset) else (one,))]
    texts = dict.fromkeys(text for text in flat if isinstance(text, str))
    return texts, {name for part in parts for name in part.co_names}
