"""The files of an artifact: plain files of fixed names; no link, pipe or device is followed.

And how a directory of them is put in place: written aside first, made durable, then exchanged in one step.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from backends.json_spec.errors import ArtifactError

SPEC, WEIGHTS, DIGESTS, SUMS = "spec.json", "weights.safetensors", "digests.json", "SHA256SUMS"
DEFINITIONS, SOURCE = "definitions.json", "source"
EXAMPLES, EXAMPLE_TENSORS = "examples.json", "examples.safetensors"
GLOBALS, GLOBAL_TENSORS = "globals.json", "globals.safetensors"
NAMES = frozenset(
    [SPEC, WEIGHTS, DIGESTS, SUMS, DEFINITIONS, SOURCE, EXAMPLES, EXAMPLE_TENSORS, GLOBALS, GLOBAL_TENSORS]
)
"""Everything that may lie in an artifact."""


_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


def open_file(path: Path) -> tuple[int, int]:
    """A file descriptor for reading, and the file's size in bytes. The caller closes the descriptor.

    Raises ArtifactError unless `path` is a plain file with one name: a symbolic link could lead anywhere, a hard link
    shares its bytes with a file elsewhere, and a named pipe would let `open` wait for ever. (Links are how several
    readers of ONNX were led to other files: CVE-2024-27318, CVE-2026-27489, CVE-2026-34446.)
    """
    try:
        if not hasattr(os, "O_NOFOLLOW") and os.path.islink(path):
            raise ArtifactError(f"{path.name} is a symbolic link: put the file itself there")
        handle = os.open(path, _FLAGS)
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


def check_folders(directory: Path, name: str) -> None:
    """Raise ArtifactError where a folder on the way from an artifact's directory to one of its files is a link."""
    folder = directory
    for part in name.split("/")[:-1]:
        folder /= part
        if os.path.islink(folder):
            raise ArtifactError(f"{folder.name} is a symbolic link: put the folder itself there")


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a plain file. Raises ArtifactError where it is missing, linked, or longer than `limit` bytes."""
    handle, size = open_file(path)
    try:
        if size > limit:
            raise ArtifactError(f"{path.name} has more than {limit} bytes")
        data = os.read(handle, size + 1)
    finally:
        os.close(handle)
    if len(data) != size:
        raise ArtifactError(f"{path.name} was written to while it was read")
    return data


@contextlib.contextmanager
def aside(directory: Path) -> Iterator[Path]:
    """A new directory beside `directory`, removed in the end if it is still there.

    Raises FileExistsError where `directory` holds other files than an artifact's.
    """
    present = {entry.name for entry in directory.iterdir()} if directory.exists() else set()
    if present - NAMES:
        raise FileExistsError(f"{directory} holds other files than an artifact: {sorted(present - NAMES)}")
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        beside.chmod(directory.stat().st_mode & 0o7777 if directory.exists() else 0o755)
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def files_durable(directory: Path, there: Collection[Path] = ()) -> set[Path]:
    """Return when the bytes of all files in a directory are on the disk; which files that are.

    `there`: files that are on the disk already, to which nobody wrote since. To ask again would be to wait again.
    """
    found = {Path(folder, name) for folder, _, names in os.walk(directory) for name in names}
    for path in sorted(found.difference(there)):
        _sync(path)
    return found


def make_durable(directory: Path, there: Collection[Path] = ()) -> None:
    """Return when all files of a directory, and their names, are on the disk. `there` is as for `files_durable`."""
    files_durable(directory, there)
    if os.name == "posix":
        for folder, _, _ in os.walk(directory):
            _sync(Path(folder))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put_in_place(beside: Path, directory: Path) -> None:
    """Make `directory` be what `beside` is; what was there before goes.

    Where the system can exchange two names (Linux, macOS), there is no moment at which `directory` is absent or
    partly new. Elsewhere an older artifact is renamed away first, and is renamed back if the second step fails.
    """
    if os.name == "posix" and not (directory.exists() and any(directory.iterdir())):
        os.rename(beside, directory)  # replaces an empty directory too
    elif not _exchange(beside, directory):
        old = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent), "artifact")
        if directory.exists():
            os.rename(directory, old)
        try:
            os.rename(beside, directory)
        except OSError:
            if old.exists():
                os.rename(old, directory)
            raise
        finally:
            shutil.rmtree(old.parent, ignore_errors=True)
    if os.name == "posix":
        _sync(directory.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, 2)  # RENAME_SWAP
        else:
            failed = library.renameat2(-100, names[0], -100, names[1], 2)  # AT_FDCWD, RENAME_EXCHANGE
    except (AttributeError, OSError, TypeError):  # no such function here
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), str(other))
