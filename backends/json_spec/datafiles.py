"""The files that lie beside carried source and that it names: a list of words, a template. They travel with it.

Nobody can know from a text which files a program will open. What is taken is what a module names that also names a way
to its own place (`__file__`, `pkgutil.get_data`, `importlib.resources.files`): a text that looks like a file's name,
alone or behind one or two others (`HERE / "data" / "words.txt"`), where such a file is, seen from the module's own
folder or from the project's.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

from backends.json_spec.errors import Unsupported
from backends.json_spec.sources import Source

LIMIT = 1 << 26
"""Bytes that one such file may have."""
NAME = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*")
"""Of such a file, below the project's folder."""
_WAYS = frozenset({"__file__", "__path__", "getfile", "getsourcefile", "get_data", "resources"})
_FILE = re.compile(r"(?:\.\./)*[\w-][\w./-]*\.[A-Za-z]\w{0,7}")
_FOLDER = re.compile(r"[\w-][\w./-]{0,63}")
NO_DATA = (".py", ".pyc", ".pyo", ".pyd", ".so")
"""How no such file's name ends: code travels as modules or not at all."""


def files(source: Source) -> dict[str, Path]:
    """Path below the project's folder -> file, for those that a module names. Raises Unsupported for a large one."""
    found: dict[str, Path] = {}
    if not any(way.encode() in source.data for way in _WAYS) or _WAYS.isdisjoint(_names(source.tree)):
        return found
    texts = _texts(source.tree)
    for folder in dict.fromkeys((source.path.parent, source.root)):
        for text in _candidates(texts, folder):
            path = Path(os.path.normpath(folder / text))
            name = path.relative_to(source.root).as_posix() if path.is_relative_to(source.root) else ""
            if not NAME.fullmatch(name) or name.endswith(NO_DATA) or not path.is_file():
                continue
            if path.stat().st_size > LIMIT:
                raise Unsupported(
                    f"{source.path.name} names {name}, a file beside it of more than {LIMIT >> 20} MiB, too large to"
                    " be carried: let the model hold what it needs of it, or name it in a module that the model does"
                    " not need"
                )
            found[name] = path
    return found


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]
        elif isinstance(node, ast.ImportFrom) and node.module:  # `from importlib.resources import files`
            yield node.module.rpartition(".")[2]


def _texts(tree: ast.Module) -> list[str]:
    """The texts in a file, in their order there."""
    places = ((node.lineno, node.col_offset, node.value) for node in ast.walk(tree)
              if isinstance(node, ast.Constant) and isinstance(node.value, str))  # fmt: skip
    return [text for _, _, text in sorted(places)]


def _candidates(texts: list[str], folder: Path) -> dict[str, None]:
    """What may be the path of a file in a folder."""
    names = dict.fromkeys(text for text in texts if _FILE.fullmatch(text))
    if not names:
        return {}
    inner = [text for text in dict.fromkeys(texts)
             if text not in names and _FOLDER.fullmatch(text) and (folder / text).is_dir()]  # fmt: skip
    found = names | dict.fromkeys(f"{one}/{name}" for one in inner for name in names)
    for first, second, name in zip(texts, texts[1:], texts[2:], strict=False):
        if first in inner and name in names:
            found[f"{first}/{second}/{name}"] = None
    return found
