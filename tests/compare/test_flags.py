"""Flags of arrays and tables that are neither values nor attributes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.compare import compare
from harness.snapshot.builder import snapshot_model


def masked(hard):
    return np.ma.array([1.0, 2.0], mask=[0, 1], hard_mask=hard)


def locked(writeable):
    array = np.ones(2)
    array.flags.writeable = writeable
    return array


def in_unit(unit):
    return np.ones(2, dtype=np.dtype("f8", metadata={"unit": unit}))


def table(duplicates, kind):
    return kind([1, 2]).set_flags(allows_duplicate_labels=duplicates)


CASES = {
    "hard mask": (masked, True, False, "x"),
    "writeable": (locked, True, False, "x"),
    "metadata": (in_unit, "m", "s", "x.dtype.metadata['unit']"),
    "flags of a table": (lambda flag: table(flag, pd.DataFrame), True, False, "x.flags.allows_duplicate_labels"),
    "flags of a series": (lambda flag: table(flag, pd.Series), True, False, "x.flags.allows_duplicate_labels"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_flag_is_seen(case):
    make, one, other, path = CASES[case]
    before = snapshot_model(make(one), root="x")
    assert compare(before, snapshot_model(make(one), root="x")) == []
    assert [difference.path for difference in compare(before, snapshot_model(make(other), root="x"))] == [path]
