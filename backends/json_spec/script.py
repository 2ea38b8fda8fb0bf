"""The name under which other processes import the script that is running, and with it the classes of `__main__`.

`python train.py` runs its file as the module `__main__`; elsewhere `import train` gives the same definitions, and that
is what an artifact has to name. It is sound where an import finds that very file, and gives from it what is here: what
is compared for any module (see `imported`) is compared for the script too.
"""

from __future__ import annotations

import ast
import functools
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

from backends.json_spec.sources import Source, is_main_guard, locate

MAIN = "__main__"
TYPED = "notebook_cells"
"""The module that an artifact carries of what was typed into a notebook, or at a prompt (see `cells`)."""


def is_typed() -> bool:
    """Whether `__main__` has no file: it is a notebook, a prompt, or a program that was given as a text."""
    file = getattr(sys.modules.get(MAIN), "__file__", None)
    return not isinstance(file, str) or file.startswith("<")


def script_module() -> str | None:
    """The importable name of `__main__`; None where it has no file, or an import finds another one, or none."""
    main = sys.modules.get(MAIN)
    file = getattr(main, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py"):
        return None  # a notebook, a prompt, a test runner's archive
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        name = spec.name
    else:
        package = getattr(main, "__package__", None)
        name = f"{package}.{Path(file).stem}" if package else Path(file).stem
    return name if _is_found(name, file, tuple(map(str, sys.path))) else None


@functools.lru_cache(maxsize=8)
def _is_found(name: str, file: str, _: tuple[str, ...]) -> bool:
    if any(not part.isidentifier() or part.startswith("__") for part in name.split(".")):
        return False
    source = locate(name)
    return source is not None and source.path.exists() and source.path.samefile(file)


def module_of(name: str) -> types.ModuleType | None:
    """The running script, where it is the module of this name; None for every other module."""
    main = sys.modules.get(MAIN)
    if name == TYPED:
        return main if is_typed() and name not in sys.modules else None
    file = getattr(main, "__file__", None)
    last = name.rpartition(".")[2]
    if not isinstance(file, str) or last not in file or Path(file).stem != last:
        return None
    return main if script_module() == name else None


def refusal() -> str | None:
    """Why classes of `__main__` cannot be named, with the way out; None where they can."""
    name = script_module()
    source = locate(name) if name is not None else None
    if is_typed():
        return (
            "it was typed, and no import finds it: save with bundle_source=True, which carries what was typed, or "
            "write it to a file and import it from there (in a notebook, begin its cell with `%%writefile "
            "my_model.py` and import my_model in the next one)"
        )
    if name is None or source is None:
        return "move it to a module that can be imported"
    if any(not inside for inside in _guarded(source)) or _acts(source):
        return (
            f'importing {name} would do what the script does: put that under `if __name__ == "__main__":`, or move it '
            "to a module of its own"
        )
    return None


def _guarded(source: Source) -> Iterator[bool]:
    """For each statement at the script's top that is being executed: whether an import leaves it out."""
    guards = [statement for statement in source.tree.body if is_main_guard(statement)]
    main = vars(sys.modules[MAIN])
    for frame in (sys._current_frames().get(threading.main_thread().ident), sys._getframe()):
        while frame is not None:
            code = frame.f_code
            if (
                frame.f_globals is main
                and code.co_name == "<module>"
                and Path(code.co_filename).name == source.path.name
            ):
                yield any(guard.lineno <= frame.f_lineno <= guard.end_lineno for guard in guards)
            frame = frame.f_back


def _acts(source: Source) -> bool:
    """Whether an import would run a loop, or call a function of the script for its own sake, as `main()` does."""
    for statement in source.tree.body:
        if isinstance(statement, ast.For | ast.While | ast.With | ast.AsyncFor | ast.AsyncWith):
            return True
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in source.statements:
            return True
    return False
