"""Which costs moved between two runs by more than chance.

The interval of a median tells how well the rounds of one process know it. Another process has its memory laid out
another way, and there the same code takes a few percent more or less in all rounds, of which no round's interval tells.
So how much further than their intervals costs move is taken from the comparison itself, where most costs have not
changed (an empirical null: B. Efron, JASA 99 (2004), 96): the *scatter* that lets three quarters of all moves lie where
three quarters should. It is never taken for less than LEAST_SCATTER.

Hundreds of costs are looked at together, and some always move far. Those counted as moved are chosen so that at most
CHANCE of them are expected to be none (Benjamini and Hochberg, JRSS B 57 (1995), 289); where nothing has changed at
all, any is counted in at most CHANCE of the comparisons.

What the models of a backend say together is their mean, weighted by how well each is known; where they differ by more
than that explains, it is known less by as much (Birge's ratio: R. T. Birge, Phys. Rev. 40 (1932), 207).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.intervals import Ratio

CHANCE = 0.01
LEAST_SCATTER = 0.035
"""Measured: between four runs of one code on one machine, costs that their rounds knew to 3.5 % or better moved by
2.3 % (median of 33), which is 0.6745 standard deviations."""
INTERVAL_DEVIATIONS = 2.576
"""An interval that is called 99 % reaches so many standard deviations to each side."""
QUANTILE, QUANTILE_DEVIATIONS = 0.75, 1.150
"""Three quarters of a normal distribution lie within so many standard deviations."""
FEW = 12
"""Fewer moves than these do not tell how far moves scatter: one change would be a large part of them."""
SURE = 1e-3
"""A smaller deviation is not believed of any rounds."""


@dataclass(frozen=True)
class Move:
    """How far a cost moved: a natural logarithm, so 0.18 is 20 % dearer."""

    size: float
    deviation: float
    """Its standard deviation, as far as it is known."""
    freedom: float = math.inf
    """Degrees of freedom with which the deviation is known."""

    @property
    def change(self) -> float:
        """0.2 for 20 % dearer."""
        return math.expm1(self.size)

    def interval(self) -> tuple[float, float]:
        """The 99 % interval of `change`."""
        reach = INTERVAL_DEVIATIONS * self.deviation
        return math.expm1(self.size - reach), math.expm1(self.size + reach)


def between(was: Ratio, now: Ratio) -> Move | None:
    """The move from one median to another, with the deviation that both intervals tell of; None without intervals."""
    if not (was.low and was.high and now.low and now.high):
        return None
    reach = math.hypot(math.log(was.high / was.low), math.log(now.high / now.low)) / 2
    deviation = max(reach / INTERVAL_DEVIATIONS, SURE)
    return Move(math.log(now.median / was.median), deviation, was.rounds + now.rounds - 2)


def scattered(moves: Sequence[Move]) -> list[Move]:
    """The same moves, known no better than what they all show of two runs."""
    scatter = _scatter(moves)
    return [Move(move.size, math.hypot(move.deviation, scatter), move.freedom) for move in moves]


def together(moves: Sequence[Move]) -> Move:
    """The mean of one or more moves of `scattered`."""
    weights = [move.deviation**-2 for move in moves]
    mean = sum(weight * move.size for weight, move in zip(weights, moves, strict=True)) / sum(weights)
    misfit = sum(weight * (move.size - mean) ** 2 for weight, move in zip(weights, moves, strict=True))
    birge = max(misfit / (len(moves) - 1), 1.0) if len(moves) > 1 else 1.0
    return Move(mean, math.sqrt(birge / sum(weights)))


def are_real(moves: Sequence[Move]) -> list[bool]:
    """Of each move, whether it is more than chance; needs scipy unless there are none."""
    if not moves:
        return []
    from scipy import stats

    chances = [2 * float(stats.t.sf(abs(move.size) / move.deviation, move.freedom)) for move in moves]
    return [bool(chance <= CHANCE) for chance in stats.false_discovery_control(chances, method="bh")]


def least_found(moves: Sequence[Move]) -> list[float]:
    """Of each, how much dearer it would have to be to be found if it were the only one that changed: 0.2 for 20 %."""
    from scipy import stats

    level = CHANCE / 2 / max(len(moves), 1)
    return [math.expm1(float(stats.t.isf(level, move.freedom)) * move.deviation) for move in moves]


def _scatter(moves: Sequence[Move]) -> float:
    """The least that lets QUANTILE of the moves lie within QUANTILE_DEVIATIONS; LEAST_SCATTER or more."""
    if len(moves) < FEW:
        return LEAST_SCATTER

    def is_too_little(scatter: float) -> bool:
        reach = sorted(abs(move.size) / math.hypot(move.deviation, scatter) for move in moves)
        return reach[int((len(reach) - 1) * QUANTILE)] > QUANTILE_DEVIATIONS

    low, high = LEAST_SCATTER, max([LEAST_SCATTER, *(abs(move.size) for move in moves)])
    if not is_too_little(low):
        return low
    while high - low > LEAST_SCATTER / 100:
        middle = (low + high) / 2
        low, high = (middle, high) if is_too_little(middle) else (low, middle)
    return high
