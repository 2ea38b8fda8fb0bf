"""The source of the user's modules: where it is, what a file defines and imports, and the digests of its definitions.

A definition's digest is that of its tokens: comments, docstrings, blank lines and where a line is broken do not count,
everything else does. It is the same under every Python version.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import sys
import sysconfig
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

ALWAYS = "*"
"""What a module does beside defining names, such as patching a class."""
LAYOUT = {tokenize.NEWLINE: "\n", tokenize.INDENT: "\t", tokenize.DEDENT: "\b"}
"""How tokens without a text of their own count."""

BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where a statement has others in it."""


@dataclass(frozen=True)
class Source:
    """One module's source as it is on the disk now."""

    module: str
    path: Path
    data: bytes
    is_package: bool

    @property
    def root(self) -> Path:
        """The folder that holds the top-level module or package."""
        return self.path.parents[self.module.count(".") + self.is_package]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def tree(self) -> ast.Module:
        """The file's syntax; that of an empty file where it is not Python."""
        try:
            return ast.parse(self.data)
        except (SyntaxError, ValueError):
            return ast.Module([], [])

    @cached_property
    def statements(self) -> dict[str, list[ast.stmt]]:
        """Name -> the statements at the module's top that bind it; ALWAYS -> those that bind none, or act besides."""
        found: dict[str, list[ast.stmt]] = {ALWAYS: []}
        for statement in self.top:
            names = set(_bound(statement))
            for name in names | {ALWAYS} if _acts(statement) else names or {ALWAYS}:
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def top(self) -> list[ast.stmt]:
        """The statements at the top of the module that an import executes."""
        first, *others = self.tree.body or [None]
        body = [*([] if first is None or _is_text(first) else [first]), *others]
        return [inner for one in body for inner in (one.orelse if is_main_guard(one) else [one])]

    @cached_property
    def tokens(self) -> dict[int, list[tuple[bool, int, bytes]]]:
        """Line -> the tokens that begin in it: whether one ends a block, its last line, and how it is digested."""
        found: dict[int, list[tuple[bool, int, bytes]]] = {}
        for token in _tokens(self.data.replace(b"\r\n", b"\n"), self.tree):
            text = LAYOUT.get(token.type, token.string).encode()
            one = (token.type == tokenize.DEDENT, token.end[0], b"%d %b" % (len(text), text))
            found.setdefault(token.start[0], []).append(one)
        return found

    def text_of(self, name: str) -> str | None:
        """The text that a name at the top of the module stands for."""
        value = getattr(self.statements.get(name, [None])[-1], "value", None)
        return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None

    @cached_property
    def imported_as(self) -> dict[str, list[tuple[str, str | None]]]:
        """Name -> (module, name in it or None) of each import in the file that gives it."""
        found: dict[str, list[tuple[str, str | None]]] = {}
        for base, item, here in self.imported(self.tree):
            found.setdefault(here, []).append((base, item))
        return found

    def digest(self, name: str) -> str | None:
        """The digest of a definition; None where there is no such name."""
        if name not in self.statements:
            return None
        digest = hashlib.sha256()
        for statement in self.statements[name]:
            first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])
            for line in range(first, statement.end_lineno + 1):
                for ends_block, last, text in self.tokens.get(line, ()):
                    inside = not ends_block or line > first  # else it ends what came before
                    if inside and last <= statement.end_lineno:
                        digest.update(text)
        return digest.hexdigest()

    def imported(
        self, statement: ast.AST, inside: Callable[[ast.AST], Iterable[ast.AST]] | None = None
    ) -> Iterator[tuple[str, str | None, str]]:
        """(module, name in it or None, name here) for every import in a statement; `inside` gives those to look at."""
        for node in (inside or _statements)(statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname:
                        yield alias.name, None, alias.asname
                    else:
                        yield alias.name, None, alias.name.partition(".")[0]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    package = self.module.split(".") if self.is_package else self.module.split(".")[:-1]
                    package = package[: len(package) - node.level + 1]
                    base = ".".join([*package, *([node.module] if node.module else [])])
                for alias in node.names:
                    yield base, alias.name, alias.asname or alias.name


def is_main_guard(statement: ast.stmt) -> bool:
    """Whether a statement is one that only a script runs: `if __name__ == "__main__":`."""
    test = list(ast.walk(statement.test)) if isinstance(statement, ast.If) else []
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in test) and not any(
        isinstance(node, ast.NotEq | ast.Not) for node in test
    )


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """A statement, or a module, and every statement inside it; handlers and cases too, which hold some."""
    found = [node]
    for one in found:
        yield one
        for name in BLOCKS:
            found += getattr(one, name, ())


def outside_definitions(node: ast.AST) -> Iterator[ast.AST]:
    """A statement, or a module, and the statements inside it, but for those of functions and classes."""
    found = [node]
    for one in found:
        yield one
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for name in BLOCKS:
                found += getattr(one, name, ())


def _acts(statement: ast.stmt) -> bool:
    """Whether a statement calls something for its own sake, or stores into what there is, whatever it binds."""
    return any(
        (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant))
        or any(isinstance(target, ast.Attribute | ast.Subscript) for target in _targets_of(node))
        for node in outside_definitions(statement)
    )


def _targets_of(node: ast.AST) -> list[ast.expr | None]:
    """What a statement stores into, or deletes."""
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return [part for target in targets for part in getattr(target, "elts", [target])]


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement binds where it stands, not what functions and classes bind inside."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Store):
            yield node.id
    elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        for child in ast.iter_child_nodes(node):
            yield from _bound(child)


def _tokens(data: bytes, tree: ast.Module) -> Iterator[tokenize.TokenInfo]:
    """The tokens that count. Strings with replacement fields are one token, as they were before Python 3.12."""
    docstrings = set()
    for node in _statements(tree):
        body = getattr(node, "body", None)
        if body and _is_text(body[0]) and isinstance(body[0].value.value, str):
            docstrings.add((body[0].lineno, body[0].col_offset))
    encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    lines = io.StringIO(data.decode(encoding), newline="\n").readlines()
    dropped = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
    start, end = (getattr(tokenize, name, None) for name in ("FSTRING_START", "FSTRING_END"))
    opened: list[tokenize.TokenInfo] = []
    in_docstring = False
    for token in tokenize.tokenize(io.BytesIO(data).readline):
        if token.type == start:
            opened.append(token)
        elif opened and token.type == end:
            first = opened.pop()
            if not opened:
                yield _joined(first, token, lines)
        elif opened or token.type in dropped:
            continue
        elif token.type == tokenize.STRING and (token.start in docstrings or in_docstring):
            in_docstring = True
        elif in_docstring and token.type == tokenize.NEWLINE:
            in_docstring = False
        else:
            yield token


def _joined(first: tokenize.TokenInfo, last: tokenize.TokenInfo, lines: list[str]) -> tokenize.TokenInfo:
    (row, column), (last_row, last_column) = first.start, last.end
    text = "".join(lines[row - 1 : last_row])
    text = text[column : len(text) - len(lines[last_row - 1]) + last_column]
    return first._replace(string=text, end=last.end)


# --- finding ----------------------------------------------------------------------------------------------------


def locate(module: str) -> Source | None:
    """The source of a module, found without importing anything; None where there is none."""
    spec = _spec(module) if all(part.isidentifier() for part in module.split(".")) else None
    if not isinstance(getattr(spec, "loader", None), SourceFileLoader) or not spec.origin:
        return None
    path = Path(spec.origin)
    try:
        return Source(module, path, path.read_bytes(), spec.submodule_search_locations is not None)
    except OSError:
        return None


def _spec(module: str) -> Any:
    if module in sys.modules:
        return getattr(sys.modules[module], "__spec__", None)
    parent, locations = module.rpartition(".")[0], None
    if parent and not (locations := getattr(_spec(parent), "submodule_search_locations", None)):
        return None
    found = (finder.find_spec(module, locations) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    return next((spec for spec in found if spec is not None), None)


def is_installed(module: str) -> bool:
    """Whether a module's file is a library's; nothing is imported or read."""
    spec = _spec(module) if all(part.isidentifier() for part in module.split(".")) else None
    origin = getattr(spec, "origin", None)
    return isinstance(origin, str) and is_library(Path(origin))


def is_library(path: str | os.PathLike[str]) -> bool:
    """Whether a file was installed, or belongs to Python."""
    text = os.fspath(path)
    return text.startswith(_library_folders()) or any(name in text for name in _INSTALLED)


_INSTALLED = tuple(os.path.join(os.sep, name, "") for name in ("site-packages", "dist-packages"))


@cache
def _library_folders() -> tuple[str, ...]:
    """Where Python's own and installed modules lie, each ending as a folder; asked for a thousand files at a save."""
    folders = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return tuple({os.path.join(os.path.normpath(folder), "") for folder in folders if folder})


class Project:
    """The modules of one project, read once; `roots` are the folders of the modules that the model names."""

    def __init__(self, modules: Iterable[str], find: Callable[[str], Source | None] = locate) -> None:
        self._find, self._known = find, {}
        named = [source for module in modules if (source := self.source(module)) is not None]
        self.roots = {source.root for source in named if not is_library(source.path)}

    def source(self, module: str) -> Source | None:
        if module not in self._known:
            self._known[module] = self._find(module)
        return self._known[module]

    def own(self, module: str) -> Source | None:
        """The source of a module that belongs to the project."""
        source = self.source(module) if module else None
        return source if source is not None and source.root in self.roots and not is_library(source.path) else None
