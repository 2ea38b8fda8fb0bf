"""What is gathered into huge pages: full memory and no other, and its content stays."""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path

import pytest

from harness.processes.process import Worker
from harness.system import huge_pages

HUGE = huge_pages.HUGE_BYTES
PER_HUGE = HUGE // mmap.PAGESIZE


def _gathered(address: int) -> int:
    """Bytes in huge pages of the mapping that holds `address`, from /proc/self/smaps."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            begin, end = (int(bound, 16) for bound in bounds.groups())
            inside = begin <= address < end
        elif inside and line.startswith("AnonHugePages:"):
            return int(line.split()[1]) * 1024
    raise LookupError(hex(address))


@pytest.fixture
def memory():
    """Four huge pages' worth of memory that nobody has touched, and the address of the first."""
    with mmap.mmap(-1, 5 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as mapped:
        if not hasattr(mapped, "madvise") or not _can_gather():
            pytest.skip("this system does not gather pages (Linux 6.1 does)")
        mapped.madvise(mmap.MADV_DONTFORK)  # a mapping of its own: the kernel joins equal neighbours
        start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        yield mapped, -start % HUGE, start


def _can_gather() -> bool:
    return huge_pages.gather() > 0


def test_full_memory_is_gathered_and_keeps_its_content(memory):
    mapped, offset, address = memory
    content = bytes(range(256)) * (2 * HUGE // 256)
    mapped[offset : offset + 2 * HUGE] = content
    before = _gathered(address)
    assert huge_pages.gather() >= 2 * HUGE
    assert _gathered(address) - before == 2 * HUGE
    assert mapped[offset : offset + 2 * HUGE] == content


@pytest.mark.parametrize(("touched", "gathered"), [(PER_HUGE, HUGE), (500, HUGE), (499, 0), (1, 0), (0, 0)])
def test_memory_with_holes_is_left_as_it_is(memory, touched, gathered):
    """It would count as used before anybody uses it, and hide it when somebody does."""
    mapped, offset, address = memory
    before = _gathered(address)
    for page in range(touched):
        mapped[offset + page * mmap.PAGESIZE] = 1
    huge_pages.gather()
    assert _gathered(address) - before == gathered


def test_a_fresh_process_comes_from_a_server_with_huge_pages():
    if not _can_gather():
        pytest.skip("this system does not gather pages (Linux 6.1 does)")
    with Worker() as worker:
        pid = worker.call("about")["process"]
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    assert int(re.search(r"AnonHugePages: +(\d+)", rollup).group(1)) * 1024 > 32 * HUGE


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("7f0000000000-7f0000800000 rw-p 00000000 00:00 0 ", 4),
        ("7f0000001000-7f00007ff000 rw-p 00000000 00:00 0 ", 2),
        ("7f0000001000-7f00001ff000 rw-p 00000000 00:00 0 ", 0),
        ("55550e000000-55550e800000 rw-p 00000000 00:00 0                          [heap]", 4),
        ("7f0000000000-7f0000800000 r--p 00000000 00:00 0 ", 0),
        ("7f0000000000-7f0000800000 rw-s 00000000 00:00 0 ", 0),
        ("7f0000000000-7f0000800000 rw-p 00000000 fe:00 11                         /lib/libtorch.so", 0),
        ("7ffe00000000-7ffe00800000 rw-p 00000000 00:00 0                          [stack]", 0),
    ],
)
def test_anonymous_writable_memory_alone_is_looked_at(line, count):
    assert len(huge_pages._starts(line)) == count
