"""A model's file as a notebook, and its cells as they run.

To what saves from it a notebook is a `__main__` without a file, whose code no import finds: it ran cell by cell, under
the names of files that are not there, and `linecache` has their lines, where tracebacks and `inspect` look for them.
Sources: IPython.core.compilerop (the lines; `from __future__` holds for all later cells), ipykernel.compiler (names).
"""

from __future__ import annotations
import __future__

import json
import linecache
import os
import sys
import tempfile
import types
from pathlib import Path

from harness.source import syntax

_FUTURE = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})


def convert(project: Path, module: str) -> None:
    """Put `NAME.ipynb` in the place of a module's file, where it is not there already. Raises SyntaxError.

    A statement at the file's top is a cell, but for the block under `if __name__ == "__main__"`, which is left out.
    """
    file = _file(project, module, ".py")
    if not file.exists():
        return
    cells = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {},
            "outputs": [],
            "source": text,
        }
        for number, text in enumerate(_cells(file))
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    _file(project, module, ".ipynb").write_text(json.dumps(notebook, indent=1), encoding="utf-8")
    file.unlink()


def run(project: Path, module: str) -> types.ModuleType:
    """Run all cells of what `convert` made; returns `__main__`, in which they ran. Raises whatever a cell raises."""
    main = sys.modules["__main__"]
    vars(main).pop("__file__", None)
    notebook = json.loads(_file(project, module, ".ipynb").read_text(encoding="utf-8"))
    flags = 0
    for number, cell in enumerate(notebook["cells"]):
        text = cell["source"] + "\n"
        name = os.path.join(tempfile.gettempdir(), f"ipykernel_{os.getpid()}", f"{number}.py")
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        code = compile(text, name, "exec", flags=flags, dont_inherit=True)
        flags |= code.co_flags & _FUTURE
        exec(code, vars(main))
    return main


def _file(project: Path, module: str, suffix: str) -> Path:
    return Path(project, *module.split(".")).with_suffix(suffix)


def _cells(file: Path) -> list[str]:
    """The statements at a file's top, each with its decorators; those that share a line are one."""
    lines = file.read_text(encoding="utf-8").splitlines()
    spans: list[tuple[int, int]] = []
    for statement in syntax.parse(file).body:
        if not syntax.asks_for_main(statement):
            begin = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ()))])
            end = statement.end_lineno or begin
            if spans and begin <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((begin, end))
    return ["\n".join(lines[begin - 1 : end]) for begin, end in spans]
