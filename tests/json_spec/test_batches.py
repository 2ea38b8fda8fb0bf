"""Pieces come into a file whole and in order, however the system takes them."""

from __future__ import annotations

import ctypes
import os
import random
import sys

import pytest

from backends.json_spec import batches
from backends.json_spec.batches import Batches


def written(path, pieces):
    with open(path, "xb", buffering=0) as file:
        into = Batches(file)
        for piece in pieces:
            into.add(piece)
        into.write()
    return path.read_bytes()


def pieces_of(seed):
    noise = random.Random(seed)
    return [noise.randbytes(noise.choice([0, 1, 7, 100, 5000])) for _ in range(300)]


@pytest.mark.parametrize("gathered", [True, False])
def test_pieces_are_written_in_order(tmp_path, monkeypatch, gathered):
    if not gathered:  # Windows has no writev
        monkeypatch.delattr(os, "writev", raising=False)
    monkeypatch.setattr(batches, "BATCH_BYTES", 20_000)
    monkeypatch.setattr(batches, "BATCH_PIECES", 50)
    pieces = pieces_of(1)
    assert written(tmp_path / "file", pieces) == b"".join(pieces)


def test_more_pieces_than_a_call_takes(tmp_path):
    """POSIX systems refuse more than 1,024, and so would the save of a model with more small tensors."""
    assert written(tmp_path / "file", [b"ab"] * 5000) == b"ab" * 5000


@pytest.mark.skipif(not hasattr(os, "writev"), reason="no writev here")
def test_what_the_system_takes_in_parts_is_gone_on_with(tmp_path, monkeypatch):
    whole, calls = os.writev, []

    def part(handle, pieces):
        calls.append(len(pieces))
        return whole(handle, [b"".join(pieces)[:3001]])

    monkeypatch.setattr(os, "writev", part)
    pieces = pieces_of(2)
    assert written(tmp_path / "file", pieces) == b"".join(pieces)
    assert len(calls) > 100


@pytest.mark.skipif(sys.platform != "linux", reason="sync_file_range(2) is of Linux")
def test_the_disk_begins_before_all_is_written(tmp_path, monkeypatch):
    sizes, begin = [], batches.begin
    monkeypatch.setattr(batches, "begin", lambda handle: (sizes.append(os.fstat(handle).st_size), begin(handle)))
    monkeypatch.setattr(batches, "BATCH_BYTES", 1000)
    assert written(tmp_path / "file", [bytes(2000), bytes(100)]) == bytes(2100)
    assert sizes == [2000]
    assert ctypes.CDLL(None).sync_file_range


def test_a_system_that_cannot_be_asked_to_begin_writes_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 1000)
    monkeypatch.setattr(batches.ctypes, "CDLL", lambda name: object())
    assert written(tmp_path / "file", [bytes(2000)]) == bytes(2000)
