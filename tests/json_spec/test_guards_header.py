"""Each guard of the weights' header alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import json

import pytest
import torch

from backends.json_spec import header as headers
from backends.json_spec.errors import ArtifactError
from backends.json_spec.header import read_header
from backends.json_spec.tensors import SIZES


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


HEADERS = {
    "no object": ([entry()], 8, "not an object"),
    "an entry that is none": ({"a": [1]}, 8, "other fields"),
    "another field": ({"a": entry(name="b")}, 8, "other fields"),
    "a field that is not there": ({"a": {"dtype": "F32", "shape": [2]}}, 8, "other fields"),
    "another in its place": ({"a": {"dtype": "F32", "shape": [2], "offsets": [0, 8]}}, 8, "lacks 'data_offsets'"),
    "an unknown dtype": ({"a": entry(dtype="F33")}, 8, "unknown dtype"),
    "a dtype that is no text": ({"a": entry(dtype=["F32"])}, 8, "unknown dtype"),
    "a negative size": ({"a": entry(shape=(-1, -2))}, 8, "a shape that is none"),
    "a size that is no number": ({"a": entry(shape=(2.0,))}, 8, "a shape that is none"),
    "a gap": ({"a": entry(offsets=(64, 72))}, 72, "overlap, leave a gap"),
    "an empty entry": ({"a": entry(shape=(0,), offsets=(0, 0))}, 0, "overlap, leave a gap"),
    "offsets that run back": ({"a": entry(shape=(-1,), offsets=(0, -4))}, 0, "a shape that is none|run back"),
    "another count of offsets": ({"a": entry(offsets=(0, 8, 8))}, 8, "overlap, leave a gap"),
    "one offset": ({"a": entry(offsets=(0,))}, 8, "overlap, leave a gap"),
    "no offsets": ({"a": entry() | {"data_offsets": None}}, 8, "overlap, leave a gap"),
    "offsets under names": ({"a": entry() | {"data_offsets": {"0": 0, "1": 8}}}, 8, "overlap, leave a gap"),
    "a start that is no whole number": ({"a": entry(offsets=(0.0, 8))}, 8, "overlap, leave a gap"),
    "a start that is a truth value": ({"a": entry(offsets=(False, 8))}, 8, "overlap, leave a gap"),
    "an end that is no whole number": ({"a": entry(offsets=(0, 8.0))}, 8, "overlap, leave a gap"),
    "overlap": ({"a": entry(offsets=(0, 8)), "b": entry(offsets=(4, 12))}, 12, "overlap, leave a gap"),
    "a shape too large": ({"a": entry(shape=(0, 2**62))}, 8, "does not fit|is none"),
    "a shape too small": ({"a": entry(shape=(1,))}, 8, "does not fit its bytes"),
    "a shape larger than its bytes": ({"a": entry(shape=(3,))}, 8, "does not fit its bytes"),
    "no alignment": (
        {"a": entry("U8", (3,), (0, 3)), "b": entry("U8", (3,), (3, 6))}, 6, "not start at a multiple"
    ),
    "no alignment of many numbers": (
        {"a": entry("U8", (32,), (0, 32)), "b": entry("U8", (32,), (32, 64))}, 64, "not start at a multiple"
    ),
    "no alignment of a single number": (
        {"a": entry("U8", (1,), (0, 1)), "b": entry("F32", (), (1, 5))}, 5, "not start at a multiple"
    ),
    "trailing bytes": ({"a": entry()}, 9, "has .* bytes where its header describes"),
    "missing bytes": ({"a": entry()}, 7, "has .* bytes where its header describes"),
}  # fmt: skip


def written(header):
    """The header's bytes, and their number before them."""
    data = json.dumps(header).encode()
    data += b" " * (-(8 + len(data)) % 64)
    return len(data).to_bytes(8, "little") + data


@pytest.mark.parametrize("what", HEADERS)
def test_header(what):
    header, held, message = HEADERS[what]
    data = written(header)
    with pytest.raises(ArtifactError, match=message):
        read_header(data, len(data) + held, "it", SIZES)


def test_a_header_that_fits():
    """The forms above are refused for what is wrong with them, not for all that they share."""
    data = written({"a": entry()})
    assert read_header(data, len(data) + 8, "it", SIZES) == {"a": (len(data), 8)}
    assert torch.float32.itemsize == SIZES["F32"]
    data = written({"a": entry("U8", (4,), (0, 4)), "b": entry("F32", (), (4, 8))})
    assert read_header(data, len(data) + 8, "it", SIZES) == {"a": (len(data), 4), "b": (len(data) + 4, 4)}
    filled = {"a": entry("U8", (1,), (0, 1)), "~fill.1": entry("U8", (63,), (1, 64)), "b": entry(offsets=(64, 72))}
    data = written(filled)
    assert read_header(data, len(data) + 72, "it", SIZES)["b"] == (len(data) + 64, 8)


def test_a_header_as_long_as_it_may_be(monkeypatch):
    data = written({"a": entry()})
    monkeypatch.setattr(headers, "HEADER_LIMIT", len(data) - 8)
    assert read_header(data, len(data) + 8, "it", SIZES)
    monkeypatch.setattr(headers, "HEADER_LIMIT", len(data) - 9)
    with pytest.raises(ArtifactError, match="its header claims"):
        read_header(data, len(data) + 8, "it", SIZES)
    data = written({})  # which is all of the file
    assert read_header(data, len(data), "it", SIZES) == {}
    with pytest.raises(ArtifactError, match="its header claims"):
        read_header(data, len(data) - 1, "it", SIZES)


@pytest.mark.parametrize("size", [8, 2**40])
def test_header_that_claims_more_than_there_is_or_than_may_be(size):
    with pytest.raises(ArtifactError, match="its header claims"):
        read_header((2**39).to_bytes(8, "little"), size, "it", SIZES)


def test_header_with_two_entries_of_one_name():
    one = json.dumps(entry())
    data = f'{{"a": {one}, "a": {one}}}'.encode()
    data += b" " * (-(8 + len(data)) % 64)
    with pytest.raises(ArtifactError, match="'a' twice"):
        read_header(len(data).to_bytes(8, "little") + data, 8 + len(data) + 8, "it", {"F32": 4})
