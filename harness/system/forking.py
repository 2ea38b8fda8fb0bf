"""Processes that go on where another one is: a fork, and word of how the new one ended.

Standard library alone: the server of another interpreter (`interpreter_server`) runs it too.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import struct

NUMBER = struct.Struct("!q")
STARTED_S = 180.0
_PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""


_reports: dict[int, int] = {}
"""Process -> the pipe into which its end is written."""


def fork(status: int) -> bool:
    """Fork this process, which should have one thread; True in the new one.

    Into the pipe `status` go the new one's id and, when it ended, its exit code, 8 bytes each: whoever reads there
    learns of a crash, for as long as this process lives. It takes over SIGCHLD for that, and should start no process
    by other means.
    """
    signal.signal(signal.SIGCHLD, _report)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # until it is known whose end it is
    parent = os.getpid()
    try:
        pid = os.fork()
        if pid == 0:
            end_with_parent(parent)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for pipe in (status, *_reports.values()):
                os.close(pipe)
            _reports.clear()
            return True
        _reports[pid] = status
        os.write(status, NUMBER.pack(pid))
        return False
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process when `parent`, which forked it, ends, where a kernel does that (Linux).

    A worker learns from its connection that nobody waits for it any more, but not in the middle of a call: a save that
    never ends would outlive a run that was killed, and grow.
    """
    with contextlib.suppress(AttributeError, OSError):  # no such call
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)


def end_with_pipe(descriptor: int) -> None:
    """Have the kernel end this process, likewise, when nobody can write into a pipe any more, which nobody does."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)


def _report(*_: object) -> None:
    """Write down the end of each process that ended.

    Another end may interrupt this, and its turn then tells both: a process that is no longer there was told of.
    """
    for pid, status in list(_reports.items()):
        try:
            ended, code = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
        if ended:
            del _reports[pid]
            with contextlib.suppress(OSError):  # nobody reads any more
                os.write(status, NUMBER.pack(os.waitstatus_to_exitcode(code)))
            os.close(status)


class ForkedProcess:
    """The new process, for who reads the pipe: what `process.Worker` needs of `multiprocessing.Process`.

    `pid` is None where the process that should have forked ended instead.
    """

    def __init__(self, status: int) -> None:
        self._status = status
        self.exitcode: int | None = None
        self.pid = self._read(STARTED_S)

    def is_alive(self) -> bool:
        self.join(0)
        return self.exitcode is None and self._status >= 0

    def join(self, timeout_s: float | None = None) -> None:
        if self._status >= 0 and (code := self._read(timeout_s)) is not None:
            self.exitcode = code
            self._close()

    def kill(self) -> None:
        if self.is_alive() and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _read(self, timeout_s: float | None) -> int | None:
        if not select.select([self._status], [], [], timeout_s)[0]:
            return None
        data = os.read(self._status, NUMBER.size)
        if len(data) < NUMBER.size:  # the process that forked it ended first
            self._close()
            return None
        return NUMBER.unpack(data)[0]

    def _close(self) -> None:
        os.close(self._status)
        self._status = -1
