"""Memory that is cheap to fork: a process's full pages of 4 KB gathered into pages of 2 MB.

A fork copies the table of all pages in memory, and the end of a process takes it down: 94,000 entries, 11 ms and 10 ms,
for a server that holds torch, and 2 ms each with huge pages. Where a forked process writes, it gets small pages, as
before. Standard library alone: the server of another interpreter runs it too.
"""

from __future__ import annotations

import ctypes
import mmap

HUGE_BYTES = 2 << 20
MADV_COLLAPSE = 25
"""Of madvise(2), since Linux 6.1."""
LEAST_FULL = 500 / 512
"""Of a huge page that is gathered: one with holes would count what nobody uses yet, and hide it when it is used."""
_ENTRY_BYTES, _PRESENT = 8, 0x80
"""Of /proc/PID/pagemap: bit 63 of a page's entry says that it is in memory. See proc(5)."""


def gather() -> int:
    """Gather this process's heap; returns the bytes that are in huge pages now: 0 where the system does not do it."""
    try:
        madvise = ctypes.CDLL(None).madvise
        with open("/proc/self/maps") as maps, open("/proc/self/pagemap", "rb", buffering=0) as pages:
            madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            starts = [start for line in maps.readlines() for start in _starts(line) if _is_full(pages, start)]
    except (OSError, AttributeError, OverflowError):
        return 0
    return HUGE_BYTES * sum(madvise(start, HUGE_BYTES, MADV_COLLAPSE) == 0 for start in starts)


def _starts(line: str) -> range:
    """Where huge pages would begin in a mapping of anonymous memory; nowhere in others. `line`: of /proc/self/maps."""
    bounds, rights, _, _, _, *name = line.split(maxsplit=5)
    if not rights.startswith("rw-p") or (name and name[0].strip() != "[heap]"):
        return range(0)
    begin, end = (int(bound, 16) for bound in bounds.split("-"))
    first = -(-begin // HUGE_BYTES) * HUGE_BYTES
    return range(first, end - HUGE_BYTES + 1, HUGE_BYTES)


def _is_full(pages, start: int) -> bool:
    count = HUGE_BYTES // mmap.PAGESIZE
    pages.seek(start // mmap.PAGESIZE * _ENTRY_BYTES)
    entries = pages.read(count * _ENTRY_BYTES)
    present = sum(byte >= _PRESENT for byte in entries[_ENTRY_BYTES - 1 :: _ENTRY_BYTES])
    return present >= LEAST_FULL * count
