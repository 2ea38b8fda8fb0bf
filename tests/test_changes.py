"""Two runs: what counts as a change."""

from __future__ import annotations

import dataclasses
import statistics

import pytest

from harness.findings import moves, rankings
from harness.findings.changes import _cells, _costs, _moves, compare_runs
from tests.noisy_runs import of_models, run

pytest.importorskip("scipy")


def test_rankings_of_two_runs():
    """4 backends: 6 pairs, each at save and load."""
    found = rankings.compare_runs(run(1), run(51))
    assert (found.alike, found.silent, found.reordered) == (12, 0, ())
    found = rankings.compare_runs(run(1), run(51, {"dill": 0.4}))
    assert (found.alike, found.silent) == (8, 0)
    assert found.reordered[0] == "pickle, dill at save of digits_cnn" and len(found.reordered) == 4
    found = rankings.compare_runs(run(1), run(51, {"dill": 0.65}, jitter=0.2))
    assert found.silent >= 2 and not found.reordered
    noisy = [dataclasses.replace(record, too_noisy="two equal floors differ") for record in run(51, {"dill": 0.4})]
    assert rankings.compare_runs(run(1), noisy) == rankings.Ranking(0, 0, ())
    assert rankings.compare_runs(run(1), run(51, rounds=5)).silent == 12


@pytest.mark.parametrize("seed", range(12))
def test_the_same_again_is_no_change(seed):
    changes = compare_runs(run(seed), run(seed + 50))
    assert not changes.outcomes and not changes.costs and not changes.is_regression
    assert changes.compared_costs == 8 and changes.compared_cells == 4


@pytest.mark.parametrize("seed", range(12))
def test_a_planted_slowdown_is_found(seed):
    changes = compare_runs(run(seed, rounds=25), run(seed + 50, {"torch_save": 1.2}, rounds=25))
    assert {change.backend for change in changes.costs} == {"torch_save"}
    assert changes.is_regression
    for change in changes.costs:
        assert change.change == pytest.approx(0.2, abs=0.08)
        assert change.rerun == "rerun torch_save"


@pytest.mark.parametrize("seed", range(4))
def test_how_large_a_slowdown_would_be_found_is_known(seed):
    """Of each cost: a little more is found, and a little less is not."""
    before, after = run(seed)[:3], run(seed + 50)[:3]  # the median competitor is the machine: one hardly moves it
    place = ("dill", "digits_cnn", "load")
    moved = _moves(_costs(_cells(before), _cells(after)))
    least = dict(zip(moved, moves.least_found(list(moved.values())), strict=True))[place]
    assert 0.1 < least < 0.5 and least in compare_runs(before, after).least_slowdowns
    for part, shown in ((0.8, False), (1.25, True)):
        factor = (1 + least * part) / (1 + moved[place].change)
        slow = [dataclasses.replace(one, load_s=[value * (factor if one.backend == "dill" else 1)
                for value in one.load_s])
                for one in after]  # fmt: skip
        assert [(one.backend, one.metric) for one in compare_runs(before, slow).costs] == [place[::2]] * shown


@pytest.mark.parametrize("seed", range(12))
def test_a_planted_slowdown_that_no_model_shows_alone_is_found_over_all(seed):
    changes = compare_runs(of_models(seed), of_models(seed + 50, {"torch_save": 1.45}))
    assert sorted((change.backend, change.metric) for change in changes.backends) == [
        ("torch_save", "load"), ("torch_save", "save"),
    ]  # fmt: skip
    assert dataclasses.replace(changes, costs=[]).is_regression
    assert len(changes.costs) < 18
    for change in changes.backends:
        assert change.models == 9
        assert change.low < 0.45 < change.high
    assert statistics.median(changes.least_over_models) < statistics.median(changes.least_slowdowns) / 2


@pytest.mark.parametrize("seed", range(12))
def test_the_same_again_is_no_change_over_all(seed):
    changes = compare_runs(of_models(seed), of_models(seed + 50))
    assert not changes.backends and not changes.is_regression
    assert len(changes.least_over_models) == 8


def test_a_few_percent_are_nobodys_reason_to_act():
    """Known well over nine models, and less than LEAST_CHANGE."""

    def calm(seed, slower=None):
        return [
            dataclasses.replace(record, model=f"model{number}")
            for number in range(9)
            for record in run(1000 * seed + number, slower, jitter=0.01, run_id="one")
        ]

    assert not compare_runs(calm(1), calm(2, {"dill": 1.07})).backends
    found = compare_runs(calm(1), calm(2, {"dill": 1.13})).backends
    assert {change.backend for change in found} == {"dill"}


def test_models_that_disagree_are_no_change_over_all():
    """Half of them much slower and half of them faster: the interval is as wide as they differ."""
    after = of_models(51)
    for record in after:
        if record.backend == "dill":
            factor = 2.5 if int(record.model[-1]) % 2 else 0.8
            record.load_s = [value * factor for value in record.load_s]
    changes = compare_runs(of_models(1), after)
    assert ("dill", "load") not in {(change.backend, change.metric) for change in changes.backends}
    assert any(change.backend == "dill" for change in changes.costs)


def test_few_models_say_nothing_together():
    changes = compare_runs(of_models(1, count=3), of_models(2, {"dill": 3.0}, count=3))
    assert not changes.backends and not changes.least_over_models
    assert any(change.backend == "dill" for change in changes.costs)


def test_medians_apart_are_no_change_where_intervals_overlap():
    """Noise alone parts medians by more than the least change; the intervals know."""
    apart = 0
    for seed in range(6):
        before, after = run(seed, jitter=0.6), run(seed + 50, jitter=0.6)
        assert not compare_runs(before, after).costs
        medians = [[statistics.median(record.load_s) for record in records] for records in (before, after)]
        moved = [now / was for was, now in zip(*medians, strict=True)]
        apart += max(moved) / min(moved) > 1.1
    assert apart == 6


def test_what_got_faster_is_no_regression():
    changes = compare_runs(run(1), run(2, {"dill": 0.5}))
    assert [change.worse for change in changes.costs] == [False, False]
    assert not changes.is_regression


def test_outcomes_come_worst_first():
    before, after = run(1), run(2)
    after[0] = dataclasses.replace(after[0], outcome="failed", message="gone")
    after[1] = dataclasses.replace(after[1], outcome="mismatch", message="model.weight")
    before[2] = dataclasses.replace(before[2], outcome="failed")
    changes = compare_runs(before, after)
    assert [(change.backend, change.now, change.worse) for change in changes.outcomes] == [
        ("dill", "mismatch", True),
        ("pickle", "failed", True),
        ("torch_save", "exact", False),
    ]


@pytest.mark.parametrize(("was", "now", "worse"), [("refused", "edited", True), ("edited", "saved", False)])
def test_which_code_ran_counts(was, now, worse):
    before, after = ([dataclasses.replace(run(1)[0], code_ran=ran)] for ran in (was, now))
    (change,) = compare_runs(before, after).outcomes
    assert change.worse == worse


def test_a_cell_that_is_gone_is_a_regression():
    changes = compare_runs(run(1), run(1)[1:])
    assert changes.gone == ["pickle × digits_cnn × fresh_process"]
    assert changes.is_regression


def test_one_backend_alone_is_held_against_the_floor():
    assert not compare_runs(run(1)[:1], run(2)[:1]).costs
    assert {change.metric for change in compare_runs(run(1)[:1], run(2, {"pickle": 2.0})[:1]).costs} == {"load", "save"}


def test_few_rounds_say_nothing():
    assert compare_runs(run(1, rounds=3), run(2, {"dill": 3.0}, rounds=3)).costs == []


def test_another_machine_is_noted():
    moved = [dataclasses.replace(record, environment_id="other") for record in run(1)]
    assert "different environments" in compare_runs(run(1), moved).notes[0]
