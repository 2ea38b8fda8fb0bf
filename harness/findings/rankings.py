"""Whether two runs rank the backends alike, wherever both tell a pair apart.

A pair is told apart in a run when the interval of its paired ratio, from order statistics (`intervals.sign_interval`),
does not hold 1. What only one run tells apart is no contradiction: the other says "no difference".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness import intervals
from harness.records import Record

LEVEL = 0.98
"""What the least and the greatest of 7 rounds cover, the fewest that a run makes if it can."""
METRICS = ("save_s", "load_s")


@dataclass(frozen=True)
class Ranking:
    """Pairs of two runs, over all models and metrics."""

    alike: int
    silent: int
    """Not told apart in one of the runs, or in both."""
    reordered: tuple[str, ...]
    """Told apart in both, and the other way round: "pickle, dill at load of digits_cnn"."""

    def __add__(self, other: Ranking) -> Ranking:
        return Ranking(self.alike + other.alike, self.silent + other.silent, self.reordered + other.reordered)

    @property
    def text(self) -> str:
        counts = (
            f"{self.alike} pairs ordered alike, {self.silent} not told apart in both, {len(self.reordered)} reordered"
        )
        return f"{counts}: {'; '.join(self.reordered)}" if self.reordered else counts


def compare_runs(first: Iterable[Record], second: Iterable[Record]) -> Ranking:
    """The rankings of two runs' timed cells. Of a model that a run calls too noisy, nothing is said."""
    before, after = _timed(first), _timed(second)
    found = Ranking(0, 0, ())
    for model in before.keys() & after.keys():
        for metric in METRICS:
            where = f" of {model}"
            found += compare(*({name: getattr(cell, metric) for name, cell in run[model].items()}
                               for run in (before, after)), metric, where)  # fmt: skip
    return found


def compare(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]], metric: str, where: str = ""
) -> Ranking:
    """The same for one metric: backend -> durations, entry i of all being of one round."""
    alike, silent, reordered = 0, 0, []
    for one, other in combinations([name for name in first if name in second], 2):
        orders = {told_apart(run[one], run[other]) for run in (first, second)}
        if 0 in orders:
            silent += 1
        elif len(orders) == 1:
            alike += 1
        else:
            reordered.append(f"{one}, {other} at {metric.removesuffix('_s')}{where}")
    return Ranking(alike, silent, tuple(reordered))


def told_apart(values: Sequence[float], others: Sequence[float]) -> int:
    """-1 for faster, 1 for slower, 0 where the interval holds 1 or there are too few rounds for one."""
    low, high = intervals.sign_interval(intervals.paired(values, others), LEVEL) or (0.0, float("inf"))
    return -1 if high < 1.0 else 1 if low > 1.0 else 0


def _timed(records: Iterable[Record]) -> dict[str, dict[str, Record]]:
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        if record.kind == "cell" and record.load_s and not record.too_noisy:
            found.setdefault(record.model, {})[record.backend] = record
    return found
