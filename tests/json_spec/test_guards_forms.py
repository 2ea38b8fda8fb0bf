"""Each guard of the grammar alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import pytest

from backends.json_spec.audit import audit
from backends.json_spec.errors import ArtifactError
from backends.json_spec.forms import FORMS, TEXT_LIMIT, numpy_dtype, short_text

APART = {
    "a member and members": {"$enum": "a:B", "member": "A", "members": ["A"]},
    "no member": {"$enum": "a:B"},
    "a gone hook's place": {"$handle": None, "on": "forward", "place": 0},
    "a hook without its place": {"$handle": {"$ref": "a"}, "on": "forward"},
    "indices of another layout": {"$sparse": "sparse_coo", "shape": [1], "values": 1, "indices": 1, "row_indices": 1},
    "no indices": {"$sparse": "sparse_csc", "shape": [1], "values": 1, "ccol_indices": 1},
    "compressed and coalesced": {
        "$sparse": "sparse_csr", "shape": [1], "values": 1, "crow_indices": 1, "col_indices": 1, "coalesced": True
    },
    "a scale and scales": {"$quantized": "qint8", "values": 1, "scale": 1, "zero_point": 0, "scales": 1},
    "no scale": {"$quantized": "qint8", "values": 1},
    "half a scale": {"$quantized": "qint8", "values": 1, "scale": 1},
    "an entry of nothing": {"$tensor": "float32", "shape": [2, 0], "entry": "a"},
    "a Parameter of nothing with an entry": {"$tensor": "float32", "shape": [0], "parameter": True, "entry": "a"},
    "an entry on meta": {"$tensor": "float32", "shape": [2], "entry": "a", "device": "meta"},
    "an offset of nothing": {"$tensor": "float32", "shape": [0], "offset": 4},
    "strides of nothing": {"$ndarray": "<f4", "shape": [0], "strides": [400]},
}  # fmt: skip


@pytest.mark.parametrize("what", APART)
def test_fields_that_do_not_belong_together(what):
    for root, objects in [([APART[what]], {"a": 1}), ({"$ref": "b"}, {"a": 1, "b": APART[what]})]:
        with pytest.raises(ArtifactError, match="do not belong together"):
            audit(root, objects, None)


def test_fields_that_belong_together():
    """The forms above are refused for what is wrong with them, not for all that they share."""
    for node in (
        {"$enum": "a:B", "members": []}, {"$handle": None}, {"$handle": {"$ref": "a"}, "on": "forward", "place": 0},
        {"$sparse": "sparse_coo", "shape": [1], "values": 1, "indices": 1, "coalesced": True},
        {"$sparse": "sparse_bsc", "shape": [1], "values": 1, "ccol_indices": 1, "row_indices": 1},
        {"$quantized": "qint8", "values": 1, "scales": 1, "zero_points": 1, "axis": 0},
        {"$tensor": "float32", "shape": [2, 0], "stride": [1, 1]}, {"$ndarray": "<f4", "shape": [0], "read_only": True},
        {"$deque": [2, [1, 2]]}, {"$deque": [None, [1]]}, {"$npdtype": "|O"},
    ):  # fmt: skip
        audit([node], {"a": 1}, None)


def test_numbers_that_are_elsewhere():
    """A reference would let one large number be divided as often as it is named."""
    audit([{"$fraction": [1, {"$int": "0x" + "1" * 20}]}], {"a": 1}, None)
    for node in ({"$ref": "a"}, {"$int": "0x" + "1" * 20, "more": 1}, 1.0, True):
        with pytest.raises(ArtifactError, match="which is not one"):
            audit([{"$fraction": [1, node]}], {"a": 1}, None)


def test_digits_are_those_of_ascii():
    for tag, value in [("$decimal", "12"), ("$date", "2020-01-31"), ("$device", "cuda:1"), ("$dtype", "float32")]:
        assert FORMS[tag].payload(value)
        odd = value.replace("2", "\u0662").replace("1", "\u0661")
        assert odd != value and not FORMS[tag].payload(odd)


def test_units_of_numpys_times():
    """A multiple of 0 ended the process when the array was converted."""
    for unit, good in [
        ("[25s]", True),
        ("[ns]", True),
        ("", True),
        ("[0s]", False),
        ("[025s]", False),
        ("[00s]", False),
    ]:
        assert numpy_dtype(f"<M8{unit}") is numpy_dtype([["a", f"<m8{unit}"]]) is good, unit


def test_forms_at_their_limits():
    assert short_text("x" * TEXT_LIMIT) and not short_text("x" * (TEXT_LIMIT + 1))
    assert numpy_dtype([["a", "<f4"]] * 1000) and not numpy_dtype([["a", "<f4"]] * 1001) and not numpy_dtype([])
    for field in ("ab", ["a"], ["a", "<f4", 1], [1, "<f4"], ["a", "|b1"], ["a", 4], {"a": 1, "<f4": 2}):
        assert not numpy_dtype([field]), field
