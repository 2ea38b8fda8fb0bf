"""Curves of growth from records: the fitted exponent, and where a backend leaves the floor. It needs no torch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness import intervals
from harness.records import Record

LEAVES = 2.0
"""A backend has left the floor where it takes so many times as long."""


@dataclass(frozen=True)
class Curve:
    """One cost of one backend over one sweep."""

    backend: str
    sweep: str
    what: str
    exponent: float | None
    """Of cost ~ size ** exponent, over the larger half of the sizes; None with fewer than three points."""
    error: float | None
    """The exponent's standard error."""
    leaves_at: float | None
    """The first size from which on it takes LEAVES times the floor or more; None: it never does."""
    points: tuple[tuple[float, float], ...]


def curves(records: Sequence[Record]) -> list[Curve]:
    """A curve for each backend, sweep and cost that has points; records of other kinds are passed over."""
    found = []
    growth = [record for record in records if record.kind == "growth" and record.load_s]
    for backend in dict.fromkeys(record.backend for record in growth):
        for sweep, size in (("bytes", "tensor_bytes"), ("modules", "modules")):
            swept = sorted(
                (record for record in growth if record.backend == backend and record.facts["sweep"] == sweep),
                key=lambda record: record.facts[size],
            )
            for what in ("save_s", "load_s", "peak_anon_bytes_save", "peak_anon_bytes_load"):
                line = tuple((record.facts[size], record.facts[what]) for record in swept if record.facts.get(what))
                if line:
                    exponent, error = fit(line)
                    found.append(Curve(backend, sweep, what, exponent, error, _leaves(swept, size, what), line))
    return found


def fit(line: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """Exponent and its standard error, by least squares through the logarithms of the larger half of the points.

    The larger half, since what is fixed dominates small models: a sum of a constant and a power bends. None with fewer
    than three points there, or without scipy.
    """
    chosen = line[min(len(line) // 2, max(len(line) - 3, 0)) :]
    if len(chosen) < 3 or not intervals.can_bootstrap():
        return None, None
    import numpy
    from scipy import stats

    sizes, costs = numpy.log(numpy.array(chosen, float)).T
    found = stats.linregress(sizes, costs)
    return float(found.slope), float(found.stderr)


def _leaves(swept: Sequence[Record], size: str, what: str) -> float | None:
    """From where on the ratio to the floor is LEAVES or more, and stays so."""
    floor = {"save_s": "floor_write_s", "load_s": "floor_read_s"}.get(what)
    if floor is None:
        return None
    left = None
    for record in swept:
        ratio = statistics.median(intervals.paired(getattr(record, what), getattr(record, floor)))
        left = (record.facts[size] if left is None else left) if ratio >= LEAVES else None
    return left
