"""Fresh processes that cost milliseconds: a forkserver with torch imported, and a pipe to each worker.

Importing torch takes seconds and a matrix has hundreds of cells. The standard library's forkserver imports torch and
`harness.worker` once, computes nothing, and forks: each worker is a fresh interpreter state without any backend, any
user's module or anything of the parent's. What a worker does is `harness.worker.serve`; here is the parent's end.

A worker that has done some work may be the *template* of others, which are forked from it in turn; see `templates`.

A worker that dies or hangs is an answer: `WorkerDied` says by which signal, or after which time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import types
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing import reduction, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness.processes import interpreters
from harness.processes.interpreters import Interpreter
from harness.system import proc
from harness.system.forking import ForkedProcess
from harness.system.proc import PeakMemory
from harness.wording import everywhere

TIMEOUT_S = 120.0
HASH_SEED = "1"
"""PYTHONHASHSEED of the processes that save; those that load have another (`interpreters.HASH_SEED`)."""
PRELOADED = ("torch", "torch._dynamo", "harness.worker", "harness.processes.preloaded")
"""torch._dynamo is torch's own, takes 1.5 s, and is imported by torchvision and by torch's exporters."""


SPENT: Counter[str] = Counter()
"""Seconds that this process has waited for workers, by call: `matrix` keeps them, so that a run says where its time
went. Workers side by side add up to more than what passed."""
_SPENDING = threading.Lock()

_STARTING = threading.Lock()
"""Workers may be started from several threads; what `_bare_main` changes is the whole process's."""


class WorkerDied(Exception):
    """The worker ended, or was ended because it hung, before it answered: by which signal, with its last words."""


@dataclass(frozen=True)
class Failure:
    """An exception in the worker, as data: the class itself may not exist here."""

    stage: str
    error_type: str
    message: str
    unsupported: bool = False
    """It was `UnsupportedModel`: the backend says why."""
    traceback: str = ""


class WorkerFailed(Exception):
    """The call raised in the worker."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.stage}: {failure.error_type}: {failure.message}")
        self.failure = failure


class Worker:
    """One fresh process that answers calls until it is closed. Use as a context manager.

    `interpreter`: from whose server, None for the one here. `children`: whether it may start processes of its own,
    which then outlive a kill. `template`: a worker where this one goes on, with all that it holds; once it is a
    template it should do nothing but be forked, and it must have one thread. Raises WorkerDied where it does not live.
    """

    imports_s = 0.0
    """Seconds that its template took to import libraries which it would have to import otherwise."""

    def __init__(
        self, interpreter: Interpreter | None = None, children: bool = False, template: Worker | None = None
    ) -> None:
        with _spent("start" if template is None else "fork"):
            self._start(interpreter, children, template)

    def _start(self, interpreter: Interpreter | None, children: bool, template: Worker | None) -> None:
        self._children = children
        self._forking = threading.Lock()
        self._log = tempfile.NamedTemporaryFile(prefix="roundtrip-", suffix=".log")
        if template is not None:
            self.imports_s = template.imports_s
            self._connection, self._process = template._fork(self._log.name)
            return
        if interpreter is not None:
            self._connection, self._process = interpreters.start(interpreter, self._log.name)
            return
        context = _context()
        self._connection, theirs = context.Pipe()
        from harness import worker

        self._process = context.Process(target=worker.serve, args=(theirs, self._log.name), daemon=not children)
        with _STARTING, _bare_main():
            _start_tracker()
            self._process.start()
        theirs.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: str, /, *, timeout_s: float | None = None, **arguments: Any) -> Any:
        """Run FUNCTION(session, **arguments) of `harness.worker.CALLS` there and return what it returns.

        Raises WorkerFailed when it raised there, WorkerDied when the process ended or passed `timeout_s` seconds
        (TIMEOUT_S unless given).
        """
        with _spent(function):
            self._send(function, arguments)
            return self._receive(TIMEOUT_S if timeout_s is None else timeout_s)

    def call_watched(
        self, function: str, /, *, timeout_s: float = TIMEOUT_S, **arguments: Any
    ) -> tuple[Any, PeakMemory]:
        """As `call`, while its memory is watched: the kernel's peak where that can be reset, and samples from here,
        so that the worker's own threads need no turn."""
        with _spent(function):
            return self._call_watched(function, timeout_s, arguments)

    def _call_watched(self, function: str, timeout_s: float, arguments: dict[str, Any]) -> tuple[Any, PeakMemory]:
        pid = self._process.pid
        exact = proc.reset_peak(pid)
        before, samples = proc.memory(pid), []
        self._send(function, arguments)
        deadline = time.monotonic() + timeout_s
        while not self._connection.poll(0.0005) and time.monotonic() < deadline:
            samples.append(proc.memory(pid))
            if not self._process.is_alive():
                break
        samples.append(proc.memory(pid))  # the answer waits in the pipe: this is what the call left
        answer = self._receive(max(deadline - time.monotonic(), 0.0))
        return answer, proc.peak(before, [sample for sample in samples if sample is not None], exact)

    def is_alive(self) -> bool:
        """Whether the process runs; False too where the server that it came from has ended."""
        return self._process.is_alive()

    def close(self) -> None:
        """End the process; a backend's leftovers (threads, open files) end with it."""
        with _spent("close"):
            with contextlib.suppress(OSError):
                self._connection.close()
            if self._children:
                self._process.join(0.2)  # to end them itself
            if self._process.is_alive():  # nothing that it could still do is wanted
                self._process.kill()
                self._process.join()
            self._log.close()

    def _fork(self, log: str) -> tuple[Connection, ForkedProcess]:
        """The other end of a process that was forked from this worker, and the process."""
        ours, theirs = multiprocessing.Pipe()
        reading, writing = os.pipe()
        try:
            with self._forking:
                self._send("fork", {"log": log})
                for handle in (theirs.fileno(), writing):
                    reduction.send_handle(self._connection, handle, self._process.pid)
        except OSError:
            raise WorkerDied(self._last_words()) from None
        finally:
            theirs.close()
            os.close(writing)
        process = ForkedProcess(reading)
        if process.pid is None:
            raise WorkerDied(self._last_words())
        return ours, process

    def _send(self, function: str, arguments: dict[str, Any]) -> None:
        try:
            self._connection.send((function, arguments))
        except OSError:
            raise WorkerDied(self._last_words()) from None

    def _receive(self, timeout_s: float) -> Any:
        try:
            if not self._connection.poll(timeout_s):
                self._process.kill()
                self._process.join()
                raise WorkerDied(f"no answer within {timeout_s:.0f} s; killed")
            kind, answer = self._connection.recv()
        except (EOFError, OSError):
            raise WorkerDied(self._last_words()) from None
        if kind == "failure":
            raise WorkerFailed(Failure(**answer))
        return answer

    def _last_words(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        how = f"exit code {code}" if code is None or code >= 0 else f"killed by {signal.Signals(-code).name}"
        lines = Path(self._log.name).read_text(errors="replace").strip().splitlines()
        # faulthandler writes the Python stack, innermost frame first
        cause = next((line for line in lines if line.startswith("Fatal Python error")), lines[-1] if lines else "")
        cause = next((line.strip() for line in lines if line.lstrip().startswith("what():")), cause)  # C++ says why
        frame = next((line.strip() for line in lines if line.lstrip().startswith("File ")), "")
        return everywhere("; ".join(part for part in (how, cause, frame) if part))


@contextlib.contextmanager
def _spent(name: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        with _SPENDING:
            SPENT[name] += time.monotonic() - started


@contextlib.contextmanager
def _bare_main() -> Iterator[None]:
    """Hide the parent's `__main__` while a worker starts.

    multiprocessing imports the parent's main module again in each child; here that would be pytest or the command
    line, in a process whose memory and time are measured, and would give names to a loader that must have none.
    """
    main, path = sys.modules["__main__"], sys.path
    sys.modules["__main__"] = types.ModuleType("__main__")
    # for the server, started with the first worker: no current directory on its path, and texts' hashes that differ
    # from those where artifacts are loaded
    servers = {"PYTHONSAFEPATH": "1", "PYTHONHASHSEED": HASH_SEED}
    before = {name: os.environ.get(name) for name in servers}
    os.environ.update(servers)
    # pytest and scripts put folders first on the path; a worker sees what is installed, and its project
    sys.path = [entry for entry in path if entry and _is_installed(entry)]
    try:
        yield
    finally:
        sys.modules["__main__"], sys.path = main, path
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _is_installed(entry: str) -> bool:
    """Whether an entry of the path holds what is installed, here or in an environment that a `.pth` file adds."""
    from harness.registry import ROOT

    path = Path(entry)
    inside = entry.startswith((sys.prefix, sys.base_prefix, sys.exec_prefix))
    return inside or path.name in ("site-packages", "dist-packages") or path.resolve() == ROOT


@cache
def _start_tracker() -> None:
    """Start multiprocessing's resource tracker, silent: a worker that is killed leaves its libraries' semaphores to it,
    and it would end every command with a warning that it removed them."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, "ignore:resource_tracker:UserWarning")))
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _context():
    """The forkserver's context; the server starts with the first worker."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context
