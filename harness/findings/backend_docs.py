"""What a backend says of itself: the docstring of its file, read without importing it.

A docstring has a first paragraph (what the backend writes and loses), perhaps one that begins `Use it when` and one
that begins `Not when`, and ends in `Source: URL`. A class's own docstring tells the variants of one file apart.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import backends
from backends import BUILT_IN

FOLDER = Path(backends.__file__).parent


@dataclass(frozen=True)
class BackendDoc:
    """Paragraphs as plain text, spaces and line ends folded; empty where the docstring has none."""

    title: str = ""
    text: tuple[str, ...] = ()
    variant: str = ""
    use_when: str = ""
    not_when: str = ""
    source: str = ""
    requires: tuple[str, ...] = ()
    """Import names of the libraries that it needs beside torch."""


def backend_doc(name: str) -> BackendDoc:
    """The description of a built-in backend; an empty one of any other, or where the file has none."""
    entry = BUILT_IN.get(name)
    if entry is None:
        return BackendDoc()
    module, _, class_name = entry.target.partition(":")
    for path in _files(module):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError):
            continue
        if text := ast.get_docstring(tree):
            return _parse(text, _class_docstring(tree, class_name), entry.requires)
    return BackendDoc(requires=entry.requires)


def _files(module: str) -> list[Path]:
    """The module's file, then its package's, which may hold the description."""
    parts = module.split(".")[1:]
    paths = [FOLDER.joinpath(*parts).with_suffix(".py")]
    return paths + ([FOLDER.joinpath(*parts[:-1]) / "__init__.py"] if len(parts) > 1 else [])


def _class_docstring(tree: ast.Module, name: str) -> str:
    found = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return _folded(ast.get_docstring(next(found, ast.Module([], []))) or "") if name else ""


def _parse(text: str, variant: str, requires: tuple[str, ...]) -> BackendDoc:
    title, _, rest = text.partition("\n")
    paragraphs = [_folded(part) for part in re.split(r"\n\s*\n", rest.strip()) if part.strip()]
    kept: dict[str, str] = {}
    for paragraph in list(paragraphs):
        for key, opening in (("use_when", "use it when"), ("not_when", "not when"), ("source", "source")):
            if paragraph.lower().startswith(opening):
                kept[key] = paragraph
                paragraphs.remove(paragraph)
                break
    kept["source"] = re.sub(r"^Sources?:\s*", "", kept.get("source", ""))
    return BackendDoc(_folded(title), tuple(paragraphs), variant, requires=requires, **kept)


def _folded(text: str) -> str:
    return " ".join(text.split())
