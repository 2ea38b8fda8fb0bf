"""Statistics on data whose answer is known. No clock takes part."""

from __future__ import annotations

import math
import random
import statistics
import subprocess
import sys

import pytest

from harness import intervals
from harness.findings import ratios
from harness.records import Record


def test_quartiles_and_outliers_of_a_known_list():
    found = intervals.spread([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (found.median, found.low_quartile, found.high_quartile) == (3.0, 2.0, 4.0)
    assert (found.rounds, found.outliers) == (5, 1)  # the fences are at -1 and 7; the 100 is counted and kept
    assert intervals.spread([]) is None
    assert intervals.spread([2.0]).low_quartile == 2.0


def test_ratios_are_of_the_same_round():
    """A machine that gets ten times slower moves both; the ratio of the medians would be wrong here."""
    drift = [1.0, 1.0, 10.0, 10.0, 10.0]
    assert intervals.paired([2 * d for d in drift], drift) == [2.0] * 5
    assert intervals.paired([3.0, 1.0], [1.0, 2.0]) == [3.0, 0.5]
    assert intervals.paired([1.0, 2.0], [1.0, 2.0, 3.0]) == [1.0, 1.0]  # one stopped earlier
    assert intervals.paired([1.0, 2.0], [0.0, 2.0]) == [1.0]


def test_a_ratios_interval_and_verdict():
    floor = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.02]
    slower = [2 * f * n for f, n in zip(floor, [1, 1.02, 0.98, 1.01, 0.99, 1, 1.03], strict=True)]
    found = intervals.ratio(slower, floor)
    assert found.median == pytest.approx(2.0)
    assert 1.96 <= found.low <= 2.0 <= found.high <= 2.07
    assert found.verdict == "slower"
    assert intervals.ratio(floor, slower).verdict == "faster"
    jitter = [f * n for f, n in zip(floor, [1.01, 0.99, 1.02, 0.98, 1, 1.01, 0.97], strict=True)]
    assert intervals.ratio(jitter, floor).verdict == "no difference"


def test_few_rounds_have_no_interval():
    found = intervals.ratio([2.0] * 5, [1.0, 1.1, 0.9, 1.0, 1.2])
    assert (found.low, found.high, found.verdict) == (None, None, "")
    assert intervals.ratio([], [1.0]) is None


def test_the_bootstrap_is_the_same_each_time_and_covers_what_it_promises():
    values = tuple(random.Random(1).lognormvariate(0, 0.1) for _ in range(9))
    intervals.bootstrap.cache_clear()
    first = intervals.bootstrap(values)
    intervals.bootstrap.cache_clear()
    assert intervals.bootstrap(values) == first
    draw = random.Random(2)
    for count in (7, 12):
        held = 0
        for _ in range(400):
            low, high = intervals.bootstrap(tuple(draw.lognormvariate(0, 0.2) for _ in range(count)))
            held += low <= 1.0 <= high
        assert held / 400 >= 0.95  # 98 % in truth: 400 draws of a fair coin would come below one time in a thousand


def test_the_sign_interval_is_the_binomial_tables():
    """Conover's table A3: for n = 10, the 2nd and the 9th cover 97.9 %, the 3rd and 8th 89.1 %."""
    values = list(range(10))
    assert intervals.sign_interval(values, 0.95) == (1, 8)
    assert intervals.sign_interval(values, 0.99) == (0, 9)
    assert intervals.sign_interval(values, 0.89) == (2, 7)
    assert intervals.sign_interval(values[:5], 0.95) is None
    assert math.comb(10, 0) + math.comb(10, 1) == 11  # of 1024, on each side


def test_half_width_is_relative():
    assert intervals.half_width([9.0, 10.0, 10.0, 10.0, 10.0, 10.0, 11.0], 0.95) == pytest.approx(0.1)
    assert intervals.half_width([], 0.95) is None


def test_columns_of_a_record():
    floor = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.02]
    record = Record(
        "r", "b", "m", "fresh_process", load_s=[3 * f for f in floor], floor_read_s=[*floor, 7.0],
        first_prediction_s=[1.0] * 7, tensor_bytes=2 << 20, peak_file_bytes_load=2 << 20,
    )  # fmt: skip
    row = ratios.columns(record)
    assert row["load_x_floor"] == pytest.approx(3.0) == row["load_x_floor_low"]
    assert row["save_x_floor"] is None
    assert row["load_to_prediction_s"] == pytest.approx(statistics.median(record.load_s) + 1)
    assert row["maps"] is True
    record.peak_file_bytes_load = 1 << 10
    assert ratios.maps(record) is False
    record.peak_file_bytes_load = None
    assert ratios.maps(record) is None


def test_against_a_baseline():
    def cell(backend: str, factor: float) -> Record:
        drift = [1.0, 2.0, 1.5, 3.0, 1.0, 1.2, 1.1]
        return Record("r", backend, "m", "fresh_process", save_s=[1.0] * 7, load_s=[factor * d for d in drift])

    found = ratios.against([cell("pickle", 1.0), cell("other", 2.5), cell("same", 1.0)])
    assert found["other", "m"]["load"] == "2.5 [2.5, 2.5] slower"
    assert found["same", "m"]["load"].endswith("no difference")
    assert ("pickle", "m") not in found
    assert ratios.against([cell("a", 1.0), cell("b", 2.0)], baseline="b")["a", "m"]["load"].endswith("faster")


def test_without_scipy_tables_say_how_to_install_it(tmp_path):
    code = """
import sys
sys.modules["scipy"] = None
sys.modules["torch"] = None
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "scipy" else found(name, *rest)
from harness import intervals
intervals.find_spec = importlib.util.find_spec
from harness import tables
from harness.records import Record
rounds = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.02]
record = Record("r", "b", "m", "fresh_process", outcome="exact", save_s=rounds, load_s=rounds, floor_read_s=rounds,
                floor_write_s=rounds, tensor_bytes=8)
table = tables.every_table([record])
print(table["cost"].iloc[0]["interval (load)"], table["cost"].iloc[0]["× floor (load)"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "pip install 'roundtrip-bench[report]' 1.0" in done.stdout
