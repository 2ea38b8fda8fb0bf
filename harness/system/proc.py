"""What the system tells of a process and of itself: resident memory and its peak, bytes written, waiting for a CPU.

All of it is read from /proc, where Linux has it. Elsewhere, and where it may not be read, the answer is None: no
number in place of a wrong one.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

_RESET_PEAK = b"5"
"""Written to `clear_refs`: the peak of the resident memory (VmHWM) becomes what is resident now. See proc(5)."""


@dataclass(frozen=True)
class Memory:
    """Resident bytes of a process. `file_bytes` are pages of files that it has mapped, the shared ones too."""

    anon_bytes: int
    file_bytes: int
    peak_bytes: int
    """The most of both together since `reset_peak`, or since the process began."""


@dataclass(frozen=True)
class PeakMemory:
    """The most that a call added to a process's resident memory, in bytes; None where the system does not tell."""

    anon_bytes: int | None = None
    file_bytes: int | None = None
    total_bytes: int | None = None
    exact: bool = False
    """The kernel kept the total's peak (VmHWM); otherwise it was sampled, and a short peak may be missed."""


def memory(pid: int | str = "self") -> Memory | None:
    """Resident memory, from /proc/PID/status."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    sizes = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "RssFile", "RssShmem", "VmHWM"):
            sizes[name] = int(value.split()[0]) * 1024
    if not {"RssAnon", "RssFile", "VmHWM"} <= sizes.keys():
        return None
    return Memory(sizes["RssAnon"], sizes["RssFile"] + sizes.get("RssShmem", 0), sizes["VmHWM"])


def open_files() -> set[str]:
    """The files on disk that this process has open, by numbers and names; empty where the system does not tell."""
    found = set()
    with contextlib.suppress(OSError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # the folder itself, which is closed by now
                if stat.S_ISREG(os.fstat(int(number)).st_mode):
                    found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return found


def threads() -> int | None:
    """How many threads this process has, those that Python does not know too."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return None


def reset_peak(pid: int | str = "self") -> bool:
    """Let the peak begin anew; False where that is not permitted."""
    try:
        with open(f"/proc/{pid}/clear_refs", "wb", buffering=0) as file:
            file.write(_RESET_PEAK)
    except OSError:
        return False
    return True


def peak(before: Memory | None, samples: list[Memory], exact: bool) -> PeakMemory:
    """What a call added, from the reading before it and those during and after it.

    With `exact` the kernel's own peak of the total counts, and a sample that came too late for a short peak is mended
    with it: what the total had beyond the mapped files that were seen is anonymous. (No file's page can be missed that
    way but of a file that was mapped, touched and unmapped between two samples; it would be counted as anonymous.)
    """
    if before is None or not samples:
        return PeakMemory()
    anon = max(sample.anon_bytes for sample in samples) - before.anon_bytes
    file = max(sample.file_bytes for sample in samples) - before.file_bytes
    resident = before.anon_bytes + before.file_bytes
    total = max(sample.anon_bytes + sample.file_bytes for sample in samples) - resident
    if exact:
        total = max(total, samples[-1].peak_bytes - resident)
        anon = max(anon, total - max(file, 0))
    return PeakMemory(max(anon, 0), max(file, 0), max(total, 0), exact)


def written() -> tuple[int, int] | None:
    """(bytes that this process gave to write calls, bytes whose pages it made dirty for storage), from /proc/self/io.

    The second leaves out what goes to memory file systems; what is written through a mapping is only in the second.
    """
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    values = dict(line.split(": ") for line in lines)
    return int(values["wchar"]), int(values["write_bytes"])


def evict(paths: list[Path]) -> bool:
    """Take files out of the page cache; whether they really are out (`mincore` says so), which a file system in
    memory, or a mapping that somebody holds, prevents."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # a dirty page is not dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return all(cached_pages(path) == 0 for path in paths)


def cached_pages(path: Path) -> int | None:
    """How many pages of a file are in the page cache, by mincore(2); None where it cannot be asked."""
    size = path.stat().st_size
    if not size:
        return 0
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (OSError, AttributeError):
        return None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as mapped:
        pages = -(-size // mmap.PAGESIZE)
        resident = (ctypes.c_ubyte * pages)()
        start = ctypes.c_char.from_buffer(mapped)  # a private mapping is writable, so its address can be had
        failed = mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), resident)
        del start
    return None if failed else sum(byte & 1 for byte in resident)


def available_memory() -> int | None:
    """Bytes that can be had without swapping (MemAvailable)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


class Waiting:
    """How much of a span of time some task waited for a CPU (pressure stall information), or the hypervisor took."""

    def __init__(self) -> None:
        self._began, self._stalled, self._stolen = time.monotonic(), _stalled_s(), _stolen_s()

    def shares(self) -> tuple[float | None, float | None]:
        """(waiting, stolen) as parts of the time since the beginning, of all CPUs together; None where not told."""
        elapsed = max(time.monotonic() - self._began, 1e-9)
        stalled, stolen = _stalled_s(), _stolen_s()
        return (
            None if stalled is None or self._stalled is None else (stalled - self._stalled) / elapsed,
            None
            if stolen is None or self._stolen is None
            else (stolen - self._stolen) / elapsed / (os.cpu_count() or 1),
        )


def _stalled_s() -> float | None:
    try:
        text = Path("/proc/pressure/cpu").read_text()
    except OSError:
        return None
    return int(text.split("total=", 1)[1].split()[0]) / 1e6


def _stolen_s() -> float | None:
    try:
        values = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return int(values[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None
