"""What runs inside a fresh process: torch, one backend, the user's module, and no more (no pandas, no pytest).

`serve` answers calls that come through a pipe, one after the other, until the pipe closes. Each public function of the
modules `calls_*` is such a call: it gets the process's `Session` first. An exception becomes data, with the stage in
which it happened.

A worker that has done some work can be *forked* for each user of that work, as it was forked itself from the server:
the new process goes on from there with a connection of its own. See `process.Worker` and `templates`.
"""

from __future__ import annotations

import faulthandler
import gc
import inspect
import multiprocessing
import os
import sys
import types
from collections.abc import Callable
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import torch

from harness.calls import conditions, cost, life, load, probe, save, workers
from harness.calls.session import Session, failure
from harness.snapshot import describe_process
from harness.system import forking, proc


def about(session: Session) -> dict[str, Any]:
    """What this process is: for the environment, and to see that nothing else is in it."""
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "process": os.getpid(),
        "threads": session.threads,
        "running_threads": proc.threads(),
        "text_hash": hash("a text"),
        "modules": sorted({name.partition(".")[0] for name in sys.modules}),
        "main": sorted(name for name in vars(sys.modules["__main__"]) if not name.startswith("__")),
    }


def use_all_threads(session: Session) -> None:
    """As many threads as torch has of itself: for timed rounds, which have the machine to themselves."""
    torch.set_num_threads(session.threads)


def _calls(*modules: types.ModuleType) -> dict[str, Callable[..., Any]]:
    """The public functions that the modules define, by name."""
    found: dict[str, Callable[..., Any]] = {"about": about, "use_all_threads": use_all_threads}
    for module in modules:
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
                assert name not in found, f"two calls named {name}"
                found[name] = function
    return found


CALLS = _calls(save, load, life, conditions, cost, probe, workers)


def serve(connection: Connection, log: str) -> None:
    """Answer calls until the other end closes. Whatever this process prints goes to the file `log`.

    One thread, until `use_all_threads`: workers run side by side, and two pools of threads on the same cores spend
    their time waiting for each other (the detector's cell took 14 s so, and 1.9 s alone).
    """
    if (parent := multiprocessing.parent_process()) is not None:  # the server waits for its workers to end
        forking.end_with_pipe(parent.sentinel)
    try:
        _print_to(log)
    except FileNotFoundError:  # who asked for this process was interrupted meanwhile
        return
    faulthandler.enable()
    gc.freeze()  # what came with the server stays shared with it: collections would touch, and so copy, its pages
    _empty_main()
    describe_process.started_in(os.getcwd())  # not the server, which stays where it was first needed
    session = Session(threads=torch.get_num_threads())
    torch.set_num_threads(1)
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        if name == "fork":
            connection = _fork(connection, **arguments)
            continue
        try:
            answer = ("answer", CALLS[name](session, **arguments))
        except Exception as error:
            answer = ("failure", failure(session, error))
        connection.send(answer)


def _fork(connection: Connection, log: str) -> Connection:
    """Fork; returns the connection on which each of the two processes goes on to serve."""
    theirs, status = (reduction.recv_handle(connection) for _ in range(2))
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()
    if forking.fork(status):
        connection.close()
        _print_to(log)
        # After a fork torch's pool of threads is made anew when it is first asked for. Where autograd's thread and this
        # one did that at once, torch aborted ("Invalid thread pool!", ATen/ParallelOpenMP.cpp): 15 of 49 processes that
        # trained what they had loaded. So it is asked for here, where there is one thread; of 49 none aborted then.
        torch.set_num_threads(torch.get_num_threads())
        return Connection(theirs)
    os.close(theirs)
    return connection


def _print_to(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _empty_main() -> None:
    """Take the names of this process's own start-up out of `__main__`.

    In place: a library that was imported with the server (dill comes with torch where it is installed) holds on to the
    module, and would take another for a stranger.
    """
    names = vars(sys.modules["__main__"])
    names.clear()
    names.update(vars(types.ModuleType("__main__")))
