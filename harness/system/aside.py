"""Finding something out in a copy of this process, so that nothing of it is seen here.

What looks at a model may change what it looks at: calling a function, importing a module that registers something. The
copy is a fork, which has this process's objects and none of its threads; what is found out there comes back as bytes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import warnings
from collections.abc import Callable

from harness.system import forking

_AT_A_TIME = 1 << 16


def in_a_copy(answer: Callable[[], bytes], timeout_s: float) -> bytes:
    """What the function gives in a copy of this process; nothing where the copy dies or takes too long, or where a
    process cannot be copied."""
    if not hasattr(os, "fork"):
        return b""
    reading, writing = os.pipe()
    worker = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which do not come along and are not needed
        copy = os.fork()
    if copy == 0:
        try:
            forking.end_with_parent(worker)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            with open(writing, "wb") as pipe:
                pipe.write(answer())
        finally:
            os._exit(0)
    os.close(writing)
    try:
        return _received(reading, time.monotonic() + timeout_s)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(copy, signal.SIGKILL)
        os.waitpid(copy, 0)


def _received(pipe: int, until: float) -> bytes:
    parts = []
    ready = select.poll()  # `select` takes no descriptor beyond 1023
    ready.register(pipe, select.POLLIN)
    while ready.poll(max(0.0, until - time.monotonic()) * 1000):
        if not (part := os.read(pipe, _AT_A_TIME)):
            return b"".join(parts)
        parts.append(part)
    return b""
