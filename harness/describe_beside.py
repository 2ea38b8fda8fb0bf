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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.snapshot import Builder

_WAYS = frozenset({"__file__", "getfile", "getsourcefile", "co_filename", "origin", "__path__", "get_data", "files"})
_NAMES = frozenset({"__name__", "__package__"})
"""By which code names its own place to a library."""
_FILE = re.compile(r"[\w-][\w./-]*\.[A-Za-z]\w{0,7}")


def described(function: types.FunctionType, used: Mapping[str, Any], builder: Builder) -> dict[str, bool]:
    """Which of the files are there, by their step in a path. `used`: the globals that the code loads, by name."""
    if not (files := _files(function.__code__)):
        return {}
    folders = [os.fspath(value) for value in used.values() if isinstance(value, str | pathlib.Path)]
    texts, names = _constants(function.__code__)
    if names & _WAYS:
        folders += _folders(function, texts, names, used, builder)
    folders = [folder for folder in folders if os.path.isabs(folder)]
    return {f".beside[{file!r}]": True for file in files
            if any(os.path.lexists(os.path.join(folder, file)) for folder in folders)}  # fmt: skip


@functools.lru_cache(maxsize=4096)
def _files(code: types.CodeType) -> list[str]:
    """The texts in the code that look like a file's name."""
    return sorted(text for text in _constants(code)[0] if _FILE.fullmatch(text))


def _constants(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The texts and the names in the code and in code inside it."""
    texts, names = {constant for constant in code.co_consts if isinstance(constant, str)}, set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inside = _constants(constant)
            texts, names = texts | inside[0], names | inside[1]
    return texts, names


def _folders(
    function: types.FunctionType,
    texts: set[str],
    names: set[str],
    used: Mapping[str, Any],
    builder: Builder,
) -> Iterator[str]:
    """Where the code's own file is, and the user's modules that it names."""
    space = function.__globals__
    modules = [
        value for value in used.values() if isinstance(value, types.ModuleType) and builder.is_own(value.__name__)
    ]
    for file in (space.get("__file__"), *(getattr(module, "__file__", None) for module in modules)):
        if isinstance(file, str):
            yield os.path.dirname(file)
    for name in {*texts, *(space.get(word) for word in names & _NAMES)}:
        if isinstance(name, str) and name.isidentifier() and builder.is_own(name):
            with contextlib.suppress(ImportError, ValueError):  # not to be found here, or run from an artifact
                spec = importlib.util.find_spec(name)
                yield os.path.dirname(spec.origin) if spec and spec.origin else ""
