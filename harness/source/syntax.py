"""Syntax trees of a project's files, one at a time.

CPython 3.11 counts how deep it is in a tree for all threads together: two that parse at once can end in "SystemError:
AST constructor recursion depth mismatch" (github.com/python/cpython, issue 106905).
"""

from __future__ import annotations

import ast
import threading
from pathlib import Path

_PARSING = threading.Lock()


def parse(path: Path) -> ast.Module:
    """The tree of a file of UTF-8. Raises SyntaxError, OSError, UnicodeDecodeError."""
    return parse_text(path.read_text(encoding="utf-8"))


def parse_text(text: str) -> ast.Module:
    """The tree of a file's text. Raises SyntaxError."""
    with _PARSING:
        return ast.parse(text)


def asks_for_main(statement: ast.stmt) -> bool:
    """Whether a statement is what a script does when it is run, under `if __name__ == "__main__"`."""
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test) and not statement.orelse
