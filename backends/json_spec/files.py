"""The files of an artifact: plain files of fixed names; no link, pipe or device is followed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from backends.json_spec.errors import ArtifactError


def open_file(path: Path) -> tuple[int, int]:
    """A file descriptor for reading, and the file's size in bytes. The caller closes the descriptor.

    Raises ArtifactError unless `path` is a plain file with one name: a symbolic link could lead anywhere, a hard link
    shares its bytes with a file elsewhere, and a named pipe would let `open` wait for ever. (Links are how several
    readers of ONNX were led to other files: CVE-2024-27318, CVE-2026-27489, CVE-2026-34446.)
    """
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        if not hasattr(os, "O_NOFOLLOW") and os.path.islink(path):
            raise ArtifactError(f"{path.name} is a symbolic link: put the file itself there")
        handle = os.open(path, flags)
    except OSError as error:
        raise ArtifactError(f"{path.name} cannot be opened: {error.strerror or error}") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{path.name} is not a plain file")
        if status.st_nlink > 1:
            raise ArtifactError(f"{path.name} has {status.st_nlink} names (hard links): put a copy of its own there")
    except ArtifactError:
        os.close(handle)
        raise
    return handle, status.st_size


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a plain file. Raises ArtifactError where it is missing, linked, or longer than `limit` bytes."""
    handle, size = open_file(path)
    with open(handle, "rb") as file:
        if size > limit:
            raise ArtifactError(f"{path.name} has more than {limit} bytes")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ArtifactError(f"{path.name} has more than {limit} bytes")
    return data
