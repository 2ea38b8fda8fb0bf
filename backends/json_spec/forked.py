"""Work that is done in a copy of this process (`fork`), so that nothing of it is seen here."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

TIMEOUT_S = 20.0
END = b"\n"
"""What a copy writes last; it stands nowhere in the JSON before it."""


class Copy:
    """A copy of this process at work, and what it finds out."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._reading, writing = os.pipe()
        self._deadline = time.monotonic() + TIMEOUT_S
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are threads: the copy uses none of what they hold
            self._child = _forked(work, writing)
        os.close(writing)

    def result(self) -> Any:
        """What `work` returned; None where it failed, or took longer than TIMEOUT_S.

        The copy may still be ending: a large process's memory is not given back at once.
        """
        data = b""
        while select.select([self._reading], [], [], max(self._deadline - time.monotonic(), 0))[0]:
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
    child = os.fork()
    if child == 0:
        try:
            quiet = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(quiet, descriptor)
            data = json.dumps(work()).encode() + END
            while data:
                data = data[os.write(writing, data) :]
        finally:
            os._exit(0)
    return child
