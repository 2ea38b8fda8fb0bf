"""Work that is done in a copy of this process (`fork`), so that nothing of it is seen here."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TIMEOUT_S = 20.0
END = b"\n"
"""What a copy writes last; it stands nowhere in the JSON before it."""

_in_copy = False


class Copy:
    """A copy of this process at work, and what it finds out.

    It is forked from a thread of its own, which has computed nothing. One that has computed together with others would
    wait for them in the copy, where they are not: libgomp, which torch uses on Linux, keeps them for the next
    computation of that thread. A new one gets as many new ones. Nor is in effect there what the caller's is under
    (`torch.device`, `no_grad`), as it would not be in a new process.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        """Begin. Raises RuntimeError in a copy: a module that saves when it is imported would have copies made without
        end."""
        if _in_copy:
            raise RuntimeError("a copy of a process makes no copies")
        self._reading, writing = os.pipe()
        self._deadline = time.monotonic() + TIMEOUT_S
        sys.stdout.flush()
        sys.stderr.flush()
        with ThreadPoolExecutor(1) as thread:
            self._child = thread.submit(_forked, work, writing).result()
        os.close(writing)

    def result(self) -> Any:
        """What `work` returned; None where it failed, or took longer than TIMEOUT_S.

        The copy may still be ending: a large process's memory is not given back at once.
        """
        data = b""
        ready = select.poll()  # `select` takes no descriptor beyond 1023
        ready.register(self._reading, select.POLLIN)
        while ready.poll(max(self._deadline - time.monotonic(), 0) * 1000):
            piece = os.read(self._reading, 1 << 16)
            data += piece
            if data.endswith(END):
                return json.loads(data)
            if not piece:
                break
        self.stop()
        return None

    def stop(self) -> None:
        """End the copy. Once it was stopped there is nothing left to do."""
        if self._child:
            os.close(self._reading)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = 0


def _forked(work: Callable[[], Any], writing: int) -> int:
    """The number of a copy that writes what `work` returns, and ends."""
    global _in_copy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are threads: the copy uses none of what they hold
        child = os.fork()
    if child == 0:
        try:
            _in_copy = True
            quiet = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(quiet, descriptor)
            # held by threads that are not here, of modules that they are importing; what a lock is for ended with them
            getattr(importlib._bootstrap, "_module_locks", {}).clear()
            data = json.dumps(work()).encode() + END
            while data:
                data = data[os.write(writing, data) :]
        finally:
            os._exit(0)
    return child
