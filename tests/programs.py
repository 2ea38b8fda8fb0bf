"""Projects of modules, and programs that run as scripts do, each in a fresh process: forked where torch is imported.

That takes a new interpreter four seconds, and is no part of what most tests ask.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.processes import interpreters
from harness.processes.process import Worker, WorkerFailed

_RUN = """
import contextlib, os, sys

def run():
    os.chdir({folder!r})
    sys.argv[:], sys.path[:0] = {argv!r}, {path!r}
    main = vars(sys.modules["__main__"])
    if {file!r}:
        main["__file__"] = {file!r}
    with open({out!r}, "w") as out, contextlib.redirect_stdout(out):
        exec(compile({code!r}, {file!r} or "<string>", "exec", dont_inherit=True), main)
"""


def project(folder: Path, **files: str) -> Path:
    """Write a project's modules by name into the folder; `pkg__in__parts` is `pkg/parts.py`."""
    for name, text in files.items():
        path = folder / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run(
    code: str | Path, *arguments: str, folder: Path, path: Sequence[Path] = (), another_hash_seed: bool = False
) -> str:
    """What the code, or the script of that path, printed as `__main__` with `folder` as the current one.

    `path`: folders in which imports look beside that of the script. `another_hash_seed`: texts hash otherwise. Raises
    AssertionError with what it raised; WorkerDied where it ended.
    """
    file = str(code) if isinstance(code, Path) else ""
    places = [*([str(Path(file).parent)] if file else [str(folder)]), *map(str, path)]
    with tempfile.TemporaryDirectory() as apart:
        out = Path(apart, "out")
        Path(apart, "of_the_test").mkdir()
        Path(apart, "of_the_test", "program_of_test.py").write_text(
            _RUN.format(
                folder=str(folder), argv=[file or "-c", *arguments], path=places, file=file, out=str(out),
                code=Path(file).read_text() if file else code,
            )
        )  # fmt: skip
        with Worker(interpreters.ours() if another_hash_seed else None) as worker:
            worker.call("enter", project=str(Path(apart, "of_the_test")), absent=(), own_modules=())
            try:
                worker.call("preload", modules=["program_of_test:run"])
            except WorkerFailed as error:
                raise AssertionError(f"{error}\n{error.failure.traceback}") from None
        return out.read_text()
