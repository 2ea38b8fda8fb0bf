"""The Pythons that artifacts are loaded in: others, with torch and libraries of their own, and ours once more.

Ours, since a process that loads in production hashes texts otherwise than the one that saved: the order of a set, or
what `hash(word) % 1000` gives, does not survive. Forks of one server share their hash seed, so saving and loading
processes come from two, with seeds that differ and are the same in each run.

One server an interpreter (`interpreter_server`) imports torch once and forks a worker a cell, so that a cell costs
there what it costs here. What a worker does is the same; a crash there is an outcome here.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from harness.errors import InterpreterError
from harness.processes import interpreter_server
from harness.registry import ROOT
from harness.system.forking import ForkedProcess

OLDEST = (3, 11)
HASH_SEED = "2"
"""PYTHONHASHSEED where artifacts are loaded; it is another where they are saved (`process.HASH_SEED`)."""
START_S = 180.0
"""Importing torch for the first time can take long; a server that has not started by then never will."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that can load artifacts: its executable, and the versions that it told."""

    path: Path
    python: str
    torch: str
    hash_seed: str = HASH_SEED

    @property
    def label(self) -> str:
        return f"Python {self.python}, torch {self.torch}"

    @property
    def shown(self) -> str:
        """The path for a command: from the project's folder where it lies in there."""
        return str(self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path)


def found() -> tuple[str, ...]:
    """The interpreters that `make interpreters` has built beside the project."""
    return tuple(str(path) for path in sorted(ROOT.glob(".venv-*/bin/python")))


@cache
def ours(hash_seed: str = HASH_SEED) -> Interpreter:
    """This Python, in a server of its own."""
    return Interpreter(Path(sys.executable).absolute(), platform.python_version(), version("torch"), hash_seed)


@cache
def describe(path: str) -> Interpreter:
    """Ask an interpreter for its versions; torch is not imported. Raises InterpreterError where it cannot serve."""
    code = "import json, sys; print(json.dumps(sys.version_info[:3]))"
    place = Path(path).absolute()  # not resolved: a virtual environment's python is a link
    try:
        numbers = json.loads(_output([str(place), "-I", "-c", code]))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise InterpreterError(f"{path} is no Python that runs: {error}", "Give the path of a `python`.") from None
    if tuple(numbers[:2]) < OLDEST:
        dotted = ".".join(map(str, numbers))
        raise InterpreterError(f"{path} is Python {dotted}", "The worker needs Python 3.11 or newer.")
    try:
        torch = _output([str(place), "-I", "-c", "from importlib.metadata import version; print(version('torch'))"])
    except subprocess.SubprocessError:
        raise InterpreterError(f"{path} has no torch", f"Install it there: {path} -m pip install torch") from None
    return Interpreter(place, ".".join(map(str, numbers)), torch.strip())


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


class _Server:
    """The running server of one interpreter."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="roundtrip-"))
        for name in ("harness", "backends", "reference_models"):  # not their neighbours: those are of this Python
            (self.folder / name).symlink_to(ROOT / name)
        self.control, theirs = socket.socketpair()
        log = self.folder / "log"
        # as multiprocessing hands them on to the processes that save: a model is described with the filters of warnings
        warned = [f"-W{option}" for option in sys.warnoptions]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with theirs, open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [interpreter.path, "-P", "-s", *warned, interpreter_server.__file__, str(theirs.fileno()), self.folder],
                env=environment | {"PYTHONHASHSEED": interpreter.hash_seed}, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
            )  # fmt: skip
        self.control.settimeout(START_S)
        try:
            greeting = self.control.recv(4096)
        except TimeoutError:
            greeting = b""
        if not greeting:
            said = log.read_text(errors="replace").strip().splitlines() or [f"nothing within {START_S:.0f} s"]
            self.close()
            raise InterpreterError(
                f"{interpreter.path} cannot run the worker: {said[-1]}", "It needs a torch that can be imported."
            )

    def fork(self, theirs: Connection, log: str) -> ForkedProcess:
        reading, writing = os.pipe()
        socket.send_fds(self.control, [log.encode()], [theirs.fileno(), writing])
        os.close(writing)
        return ForkedProcess(reading)

    def close(self) -> None:
        self.control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


_servers: dict[Interpreter, _Server] = {}
_locks: dict[Interpreter, threading.Lock] = {}
_starting = threading.Lock()


def start(interpreter: Interpreter, log: str) -> tuple[Connection, ForkedProcess]:
    """A new worker in an interpreter: the connection to it and its process. Raises InterpreterError."""
    with _starting:
        if not _locks:
            atexit.register(close)
        lock = _locks.setdefault(interpreter, threading.Lock())
    with lock:  # two that start do not wait for each other
        if interpreter not in _servers:
            _servers[interpreter] = _Server(interpreter)
        ours, theirs = Pipe()
        try:
            return ours, _servers[interpreter].fork(theirs, log)
        finally:
            theirs.close()


def close(interpreter: Interpreter | None = None) -> None:
    """End all servers, or that of one interpreter; the next worker starts one again."""
    for one in list(_servers) if interpreter is None else [interpreter]:
        if (server := _servers.pop(one, None)) is not None:
            server.close()
