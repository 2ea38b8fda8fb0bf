"""What counts as moved: not what chance moves, however many are looked at, and whatever differs from run to run."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from harness.findings import moves
from harness.findings.moves import LEAST_SCATTER, Move
from harness.intervals import Ratio

pytest.importorskip("scipy")


def drawn(seed: int, count: int = 100, scatter: float = 0.08, rounds: int = 13) -> list[Move]:
    """Moves of costs that did not change: each known by its own rounds, and scattered between the runs."""
    noise, found = random.Random(seed), []
    for _ in range(count):
        true = noise.choice([0.02, 0.06, 0.15])
        known = true * math.sqrt(noise.gammavariate((rounds - 1) / 2, 2) / (rounds - 1))
        found.append(Move(noise.gauss(0, math.hypot(true, scatter)), known, rounds - 1))
    return found


@pytest.mark.parametrize("scatter", [0.0, 0.035, 0.08, 0.2])
def test_of_runs_in_which_nothing_changed_few_are_called_changed(scatter):
    """CHANCE of 300 comparisons would be 3."""
    called = sum(any(moves.are_real(moves.scattered(drawn(seed, scatter=scatter)))) for seed in range(300))
    assert called <= 8


def test_intervals_alone_would_call_most_of_them_changed():
    assert sum(any(moves.are_real(drawn(seed))) for seed in range(100)) > 90


def test_scatter_is_what_all_moves_show():
    found = [moves._scatter(drawn(seed, 300)) for seed in range(40)]
    assert statistics.median(found) == pytest.approx(0.08, abs=0.015)
    assert all(moves._scatter(drawn(seed, scatter=0.0)) == LEAST_SCATTER for seed in range(20))


def test_what_changed_does_not_hide_itself():
    """A sixth of the costs three times dearer: all are found, and nothing else."""
    for seed in range(20):
        found = drawn(seed, 120, scatter=0.05)
        for place in range(20):
            found[place] = Move(found[place].size + math.log(3.0), found[place].deviation, found[place].freedom)
        real = moves.are_real(moves.scattered(found))
        assert sum(real[:20]) >= 18 and sum(real[20:]) <= 1


def test_of_few_moves_none_is_taken_for_scatter():
    changed = [Move(0.7, 0.02, 12)] * 2 + [Move(0.0, 0.02, 12)] * 2
    assert moves.are_real(moves.scattered(changed)) == [True, True, False, False]
    assert moves.are_real([]) == []


def test_together_is_the_weighted_mean_and_known_better():
    found = moves.together([Move(0.2, 0.1), Move(0.2, 0.1), Move(0.5, 1.0), Move(0.2, 0.1)])
    assert found.size == pytest.approx((0.2 * 300 + 0.5) / 301)
    assert found.deviation == pytest.approx(301**-0.5)
    alone = moves.together([Move(0.2, 0.1)])
    assert (alone.size, alone.deviation) == pytest.approx((0.2, 0.1))
    assert alone.interval() == pytest.approx((math.expm1(0.2 - 0.2576), math.expm1(0.2 + 0.2576)))


def test_together_is_known_less_where_models_disagree():
    found = moves.together([Move(0.5, 0.01), Move(-0.5, 0.01)])
    assert found.size == pytest.approx(0.0) and found.deviation == pytest.approx(0.5)


def test_a_move_is_as_well_known_as_both_intervals():
    was, now = Ratio(1.0, 0.8, 1.25, 10, 0), Ratio(2.0, 1.6, 2.5, 8, 0)
    move = moves.between(was, now)
    assert move.size == pytest.approx(math.log(2)) and move.change == pytest.approx(1.0) and move.freedom == 16
    assert move.deviation == pytest.approx(math.sqrt(2) * math.log(1.25) / 2.576)
    assert moves.between(was, Ratio(2.0, None, None, 3, 0)) is None


def test_the_least_that_is_found_is_found():
    quiet = [Move(0.0, 0.05, 20)] * 30
    (least, *_) = moves.least_found(quiet)
    for part, found in ((0.99, False), (1.01, True)):
        assert moves.are_real([Move(math.log1p(least * part), 0.05, 20), *quiet[1:]])[0] == found
