"""The selftest's verdicts on figures whose answer is known: a broken instrument fails, a busy machine is no pass."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from harness import intervals, selftest
from harness.cli import main
from harness.errors import UnknownName
from harness.records import read_records

MB = 1 << 20


def ratio(low: float, high: float) -> intervals.Ratio:
    return intervals.Ratio((low + high) / 2, low, high, 13, 0)


@pytest.mark.parametrize(("misses", "verdict"), [(0, "pass"), (4, "pass"), (5, "fail")])
def test_equal_backends_are_told_apart_too_often(misses, verdict):
    found = {"save_s": [ratio(0.9, 1.1)] * 40, "load_s": [ratio(0.9, 1.1)] * (40 - misses) + [ratio(1.1, 1.2)] * misses}
    check = selftest.judge_equal(found)
    assert (check.verdict, check.figures["held"]) == (verdict, 80 - misses)


@pytest.mark.parametrize(
    ("found_s", "spread_s", "verdict"),
    [
        (0.0051, 0.0001, "pass"),
        (0.0060, 0.0001, "fail"),  # a millisecond too many, and sure of it
        (0.0060, 0.0020, "too noisy"),
        (0.0000, 0.0001, "fail"),  # an instrument that does not see the delay
    ],
)
def test_a_delay(found_s, spread_s, verdict):
    plain = [0.001] * 13
    delayed = [0.001 + found_s + spread_s * step / 6 for step in range(-6, 7)]
    assert selftest.judge_delay("load", 0.005, delayed, plain).verdict == verdict


def test_memory():
    name = "peak_anon_bytes_load"
    assert selftest.judge_memory(name, 66 * MB, 1 * MB).verdict == "pass"
    assert selftest.judge_memory(name, 50 * MB, 1 * MB).verdict == "fail"  # a peak that samples missed
    assert selftest.judge_memory(name, None, None).verdict == "unavailable"


def test_rankings():
    def costs(**factors: float) -> dict:
        rounds = [1.0, 1.1, 0.9, 1.02, 0.98, 1.05, 0.97]
        return {name: {what: [f * r for r in rounds] for what in ("save_s", "load_s")} for name, f in factors.items()}

    assert selftest.judge_ranking(costs(a=1, b=2), costs(a=1, b=3)).verdict == "pass"
    assert selftest.judge_ranking(costs(a=1, b=2), costs(a=2, b=1)).verdict == "fail"
    assert selftest.judge_ranking(costs(a=1, b=1), costs(a=1, b=1)).verdict == "too noisy"  # nothing was told apart


def test_the_harness_is_slow_or_the_machine_is_busy():
    assert selftest.judge_own_cost([0.03, 0.04], [0.1], 0.1).verdict == "pass"
    assert selftest.judge_own_cost([0.3, 0.4], [0.1], 0.1).verdict == "fail"
    assert selftest.judge_own_cost([0.3, 0.4], [0.1], 0.9).verdict == "too noisy"
    assert selftest.judge_own_cost([0.3, 0.4], [0.1], None).verdict == "fail"


def test_the_worst_verdict_is_the_whole_ones():
    def checks(*verdicts: str) -> list[selftest.Check]:
        return [selftest.Check("", verdict, "") for verdict in verdicts]

    assert selftest.overall(checks("pass", "unavailable")) == "pass"
    assert selftest.overall(checks("pass", "too noisy")) == "too noisy"
    assert selftest.overall(checks("too noisy", "fail", "pass")) == "fail"
    with pytest.raises(UnknownName):
        selftest.chosen(["nothing"])


def test_known_memory_is_found_and_written_down(tmp_path):
    """The command, with the one check that no busy machine spoils."""
    done = CliRunner().invoke(main, ["selftest", "--only", "memory", "--output", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    records = read_records(tmp_path / "run").records
    assert [record.facts["verdict"] for record in records] == ["pass"] * 3
    assert all(record.kind == "selftest" for record in records)


@pytest.mark.nightly
def test_the_instrument(tmp_path):
    """All of it: whatever the machine is busy with, nothing may fail."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "selftest", "--output", str(tmp_path / "run")], timeout=3600
    )
    assert done.returncode in (0, 3)
