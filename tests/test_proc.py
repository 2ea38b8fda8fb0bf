"""What the system tells: on Linux it is what is expected; where it tells nothing the answer is None."""

from __future__ import annotations

import mmap
import sys

import pytest

from harness.processes.process import Worker
from harness.system import proc
from harness.system.proc import Memory

MB = 1 << 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@linux
def test_a_short_peak_is_seen():
    """Faster than samples could be: 200 MB that are there for a few milliseconds."""
    assert proc.reset_peak()
    before = proc.memory()
    block = bytearray(b"x") * (200 * MB)
    del block
    found = proc.peak(before, [proc.memory()], exact=True)
    assert found.total_bytes == pytest.approx(200 * MB, rel=0.05)
    assert found.anon_bytes == found.total_bytes
    proc.reset_peak()
    assert proc.peak(proc.memory(), [proc.memory()], exact=True).total_bytes < 20 * MB


@linux
def test_mapped_pages_are_not_anonymous(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * (64 * MB))
    proc.reset_peak()
    before = proc.memory()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        with memoryview(mapped) as view:
            view[:: mmap.PAGESIZE].tobytes()
        found = proc.peak(before, [proc.memory()], exact=True)
    assert found.file_bytes == pytest.approx(64 * MB, rel=0.05)
    assert found.anon_bytes < 8 * MB


def test_a_peak_from_samples_and_from_the_kernel():
    before = Memory(100, 50, 150)
    samples = [Memory(130, 50, 150), Memory(110, 90, 260)]
    assert proc.peak(before, samples, exact=False) == proc.PeakMemory(30, 40, 50, False)
    assert proc.peak(before, samples, exact=True) == proc.PeakMemory(70, 40, 110, True)
    assert proc.peak(None, samples, exact=True) == proc.PeakMemory()
    assert proc.peak(before, [], exact=True).total_bytes is None


def test_where_there_is_no_proc_the_answer_is_none(monkeypatch):
    class Nowhere:
        def __init__(self, path) -> None:
            pass

        def read_text(self):
            raise FileNotFoundError

    monkeypatch.setattr(proc, "Path", Nowhere)
    assert proc.memory() is None
    assert proc.written() is None
    assert proc.Waiting().shares() == (None, None)
    assert proc.reset_peak(pid="none") is False
    monkeypatch.delattr(proc.os, "posix_fadvise", raising=False)
    assert proc.evict([]) is False


@linux
def test_written_bytes_count_what_is_written_twice(tmp_path):
    before = proc.written()
    for _ in range(2):
        (tmp_path / "file").write_bytes(b"x" * MB)
    after = proc.written()
    assert 2 * MB <= after[0] - before[0] < 2 * MB + 4096


@linux
def test_eviction_is_verified(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * (4 * MB))
    assert proc.cached_pages(path) == 4 * MB // mmap.PAGESIZE
    if not proc.evict([path]):
        pytest.skip("this file system keeps its pages")
    assert proc.cached_pages(path) == 0
    path.read_bytes()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[0] == ord("x")
        assert proc.evict([path]) is False  # somebody holds it


@linux
def test_a_workers_memory_is_watched():
    with Worker() as worker:
        _, found = worker.call_watched("floor", path="/dev/null", tensor_bytes=0)
        assert found.exact
        assert found.total_bytes < 16 * MB
