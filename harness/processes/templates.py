"""Nothing twice: processes that have done some work, and are forked for each that needs it done.

Two things cost more than a cell: building the model that is saved (some reference models are trained), and importing a
library (a second, for some). So there are two kinds of template.

    Original       has built one model; forked for every backend that saves it. Described in a fork of its own.
    with_library   has imported a backend's library; forked for the processes of that backend, over the whole run. The
                   user's module is not in it. The corpus has templates of its own, that have done more (`fresh`): they
                   are forked from one that did what all need.

A fork is a process of its own: what one does to the model, another does not see. Where forking is not safe (building
the model started threads, which do not come along) or nobody can tell (no /proc), everyone builds for itself.
"""

from __future__ import annotations

import atexit
import threading
from pathlib import Path
from typing import Any

from harness import registry
from harness.processes.interpreters import Interpreter
from harness.processes.process import Worker, WorkerDied, WorkerFailed
from harness.processes.warm import FOR_ALL, LAST, WARM
from harness.project.staging import Stage


class Original:
    """A model that was built once, for all backends that save it in the way `how` (see `saving.save`).

    `life`: what the original bears is written down too: None, or whether in full (see `calls.life`).
    """

    def __init__(self, builder: str, stage: Stage, folder: Path, how: str = "imported", life: bool | None = None):
        self.how = how
        self.stage = stage.copied(folder / "project", how)
        self.reference = folder / "reference.pkl"
        self.facts: dict[str, Any] = {}
        self.forkable = False
        self._worker = Worker()
        try:
            self.facts = build(self._worker, self.stage, builder, how)
            self._worker.call("describe_state")
            self.forkable = self.facts["forkable"]
            with self.fork() if self.forkable else self._worker as describer:
                self.facts |= describer.call("describe", reference=str(self.reference))
                if life is not None:
                    describer.call("describe_life", reference=str(self.reference), full=life)
        except (WorkerFailed, WorkerDied):  # each backend that tries for itself will find and tell it
            self.forkable = self.forkable and self.reference.exists()
        if not self.forkable:
            self.close()

    def fork(self) -> Worker:
        """A saving process that has the model. Raises WorkerDied."""
        return Worker(template=self._worker)

    def close(self) -> None:
        self._worker.close()


def build(
    worker: Worker, stage: Stage, builder: str, how: str, backend: str | None = None, noting: bool = True
) -> dict[str, Any]:
    """Build the model there: the answer of `calls.save.build`. Raises WorkerFailed, WorkerDied."""
    built = worker.call(
        "build",
        project=str(stage.folder),
        module=stage.module,
        builder=builder,
        own_modules=stage.own_modules,
        backend=backend,
        how=how,
        noting=noting,
    )
    return built | (worker.call("put_on_cuda_once") if how == "cuda" else {})


_libraries: dict[tuple[Interpreter | None, tuple[str, ...]], Worker | None] = {}
_importing: dict[tuple[Interpreter | None, tuple[str, ...]], threading.Lock] = {}
"""One lock a template: two that import different libraries do not wait for each other."""
_asking = threading.Lock()


def library(backend: str, interpreter: Interpreter | None = None) -> Worker | None:
    """The template that has imported what the backend's row names; None where it names nothing.

    None too where that fails, or nothing can be forked: the cell will tell. `interpreter`: whose server it comes from,
    None for the one of the processes that save.
    """
    entry = registry.backend_entry(backend)
    if not entry.preload or registry.how_to_install(entry) is not None:
        return None
    modules = (entry.target.partition(":")[0], *entry.preload)  # its own first: it may set the environment
    return _template(modules, interpreter)


def _template(modules: tuple[str, ...], interpreter: Interpreter | None, parent: Worker | None = None) -> Worker | None:
    """`parent`: the template that it is forked from in turn, since it has imported some of the modules."""
    key = (interpreter, modules)
    with _asking:
        if not _importing:
            atexit.register(close)
        importing = _importing.setdefault(key, threading.Lock())
    with importing:
        if key in _libraries:
            known = _libraries[key]
            if known is None or known.is_alive():
                return known
            known.close()  # with its server went the folder that it would import from
        _libraries[key] = made = _imported(modules, interpreter, parent)
        return made


def with_library(backend: str, interpreter: Interpreter | None = None) -> Worker:
    """A fresh process for a backend, in which its library is imported already if importing it is dear.

    Where the template has died, a process that imports it itself.
    """
    try:
        if (template := library(backend, interpreter)) is not None:
            return Worker(template=template)
    except WorkerDied:
        pass
    return Worker(interpreter)


def fresh(backend: str, interpreter: Interpreter | None = None) -> Worker:
    """A process for the corpus, where nothing is timed: the library and all that `warm` names are there.

    Where that is nothing for this backend, a fork too, which costs a quarter of a start.
    """
    entry, plain = registry.backend_entry(backend), _template((*FOR_ALL, LAST), interpreter)
    modules = (*entry.preload, *WARM.get(backend, ()))
    if not modules or registry.how_to_install(entry) is not None:
        return Worker(interpreter, template=plain)
    there = _template((*FOR_ALL, entry.target.partition(":")[0], *modules, LAST), interpreter, plain)
    return Worker(interpreter, template=there or library(backend, interpreter) or plain)


def close() -> None:
    """End the libraries' templates; the next process that needs one makes it again."""
    while _libraries:
        if (worker := _libraries.popitem()[1]) is not None:
            worker.close()


def _imported(modules: tuple[str, ...], interpreter: Interpreter | None, parent: Worker | None) -> Worker | None:
    worker = Worker(interpreter, template=parent)
    try:
        answer = worker.call("preload", modules=modules)
    except (WorkerFailed, WorkerDied):
        answer = {"forkable": False}
    if not answer["forkable"]:
        worker.close()
        return None
    worker.imports_s = answer["imports_s"]
    return worker
