"""Figures of rounds: median, quartiles, and the interval of a ratio that was measured in pairs.

Two competitors of one round met the same machine, so their *ratio in that round* is free of its drift; the median of
the rounds' ratios is reported, with a percentile bootstrap of that median (scipy.stats.bootstrap, Efron 1979).

What is called the 99 % interval is a percentile bootstrap at 99.8 %. A bootstrap of a median over few rounds covers
less than its name says, for its ends lie between order statistics: at 99.8 % it covers 98 to 99.5 % (simulated with
heavy tails, 7 to 25 rounds), at 99 % only 96 to 98.5 %, at 95 % only 88 to 96 %. Fewer than LEAST_ROUNDS rounds have no
interval, since even the least and the greatest of 5 cover no more than 93.8 %. `roundtrip selftest` measures what is
covered, by A/A runs.

Outliers are kept. A value outside Tukey's fences (1.5 interquartile ranges beyond the quartiles) is counted as one.

Only `bootstrap` needs scipy (extra `report`); nothing is imported until it is asked for. Nothing here imports torch.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

LEVEL = 0.998
"""Of the bootstrap; by its coverage the interval is called that of 99 %."""
LEAST_ROUNDS = 6
RESAMPLES = 2000
BASELINE = "pickle"
"""What a backend is compared with beside the floor, unless another is chosen."""
HOW_TO_INSTALL = "intervals need scipy: pip install 'roundtrip-bench[report]'"


@dataclass(frozen=True)
class Spread:
    """What the rounds of one duration look like; in the values' own unit."""

    median: float
    low_quartile: float
    high_quartile: float
    rounds: int
    outliers: int
    """Values outside Tukey's fences; they are part of the other figures."""


@dataclass(frozen=True)
class Ratio:
    """A competitor over another, of the rounds that both took part in."""

    median: float
    low: float | None
    """The interval's ends; None with fewer than LEAST_ROUNDS rounds, or without scipy."""
    high: float | None
    rounds: int
    outliers: int

    @property
    def verdict(self) -> str:
        """ "faster", "slower", "no difference" (the interval holds 1), or "" where there is no interval."""
        if self.low is None or self.high is None:
            return ""
        if self.low <= 1.0 <= self.high:
            return "no difference"
        return "faster" if self.high < 1.0 else "slower"


def spread(values: Sequence[float]) -> Spread | None:
    """Median, quartiles and the count of outliers; None of nothing."""
    if not values:
        return None
    low, high = quartiles(values)
    return Spread(statistics.median(values), low, high, len(values), outliers(values))


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and third quartile, by linear interpolation between the values (numpy's default)."""
    if len(values) == 1:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def outliers(values: Sequence[float]) -> int:
    """How many values lie outside Tukey's fences, 1.5 interquartile ranges beyond the quartiles."""
    low, high = quartiles(values)
    reach = 1.5 * (high - low)
    return sum(not low - reach <= value <= high + reach for value in values)


def paired(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """value / other of each round in which both were measured. A competitor that stopped early has the first rounds."""
    return [value / other for value, other in zip(values, others, strict=False) if other > 0]


def ratio(values: Sequence[float], others: Sequence[float], level: float = LEVEL) -> Ratio | None:
    """The median of the paired ratios with its bootstrap interval; None where no round was shared."""
    ratios = paired(values, others)
    if not ratios:
        return None
    low, high = bootstrap(tuple(ratios), level) or (None, None)
    return Ratio(statistics.median(ratios), low, high, len(ratios), outliers(ratios))


def can_bootstrap() -> bool:
    """Whether scipy is installed; HOW_TO_INSTALL says how."""
    return find_spec("scipy") is not None


@cache
def bootstrap(values: tuple[float, ...], level: float = LEVEL) -> tuple[float, float] | None:
    """The percentile bootstrap interval of the median, the same whenever it is made of the same values.

    None with fewer than LEAST_ROUNDS values, or without scipy.
    """
    if len(values) < LEAST_ROUNDS or not can_bootstrap():
        return None
    import numpy
    from scipy import stats

    if min(values) == max(values):
        return values[0], values[0]
    found = stats.bootstrap(
        (values,), numpy.median, n_resamples=RESAMPLES, confidence_level=level, method="percentile", rng=0
    ).confidence_interval
    return float(found.low), float(found.high)


def sign_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """The interval of the median from order statistics, which assumes nothing of the values' distribution.

    The ends are the k-th least and greatest, k as large as the binomial distribution allows (the sign test turned
    round: Conover, *Practical Nonparametric Statistics*, 3.2). None where the least and the greatest cover less than
    `level`. It needs no package, and decides when rounds may stop.
    """
    ordered, count = sorted(values), len(values)
    place, tail = -1, 0.0
    for number in range(count // 2):
        tail += math.comb(count, number) / 2**count
        if 1 - 2 * tail < level:
            break
        place = number
    return None if place < 0 else (ordered[place], ordered[count - 1 - place])


def half_width(values: Sequence[float], level: float) -> float | None:
    """Half of the sign interval's width, as a part of the median; None where there is no interval."""
    found, middle = sign_interval(values, level), statistics.median(values) if values else 0.0
    return None if found is None or not middle else (found[1] - found[0]) / 2 / abs(middle)
