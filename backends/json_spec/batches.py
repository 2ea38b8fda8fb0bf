"""Many pieces into one file: few calls, and a disk that works from the first batch on.

A call that writes gives up the interpreter's lock and waits for it afterwards, while other threads hash and make texts;
so pieces are written by the thousand. The system would begin to bring them to the disk much later, when someone waits
for that, so it is asked to begin with each batch (Linux: sync_file_range(2)). That is a hint, and no more than that:
whether all came to the disk, only fsync says.
"""

from __future__ import annotations

import collections
import ctypes
import os
from typing import Any, BinaryIO

BATCH_BYTES = 1 << 24
"""After so many bytes a batch is written."""
BATCH_PIECES = 1000
"""In one call; POSIX systems take 1,024 (IOV_MAX)."""
_WRITE = 2
"""SYNC_FILE_RANGE_WRITE: begin, and do not wait."""


class Batches:
    """The pieces that go into a file, which was opened without a buffer."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pieces: list[Any] = []
        self._bytes = 0

    def add(self, piece: Any) -> None:
        """The next piece, bytes or a view of some; its memory must stay as it is until it was written."""
        self._pieces.append(piece)
        self._bytes += len(piece)
        if self._bytes >= BATCH_BYTES or len(self._pieces) >= BATCH_PIECES:
            self.write()

    def write(self) -> None:
        """Write what was added."""
        left = collections.deque(memoryview(piece).cast("B") for piece in self._pieces)
        while left:  # a call may take a part: what a full disk has room for, or 2 GiB
            done = os.writev(self._file.fileno(), left) if hasattr(os, "writev") else self._file.write(left[0])
            while left and done >= len(left[0]):  # empty ones too
                done -= len(left.popleft())
            if done:
                left[0] = left[0][done:]
        if self._bytes >= BATCH_BYTES:
            begin(self._file.fileno())
        self._pieces, self._bytes = [], 0


def begin(handle: int) -> None:
    """Ask the system to bring to the disk what is in a file; nothing where it cannot be asked."""
    try:
        library = ctypes.CDLL(None)
        library.sync_file_range(handle, ctypes.c_int64(0), ctypes.c_int64(0), _WRITE)
    except (AttributeError, OSError, TypeError):  # no such function here
        return
