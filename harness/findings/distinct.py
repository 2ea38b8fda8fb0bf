"""The traits that tell backends apart: of those that a run answered alike for every backend, one.

Hundreds of traits fall into fewer patterns of outcomes. Who changes a backend wants to know soon which pattern changed;
the whole corpus is for the night.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from harness.records import Record


def distinct(names: Collection[str], records: Iterable[Record]) -> list[str]:
    """Of `names` (as `trait/NAME`) one for each pattern of outcomes in the records, the one that took least time there.

    A trait that the records do not know stays: nobody knows its pattern.
    """
    outcomes: dict[str, set[tuple[str | None, ...]]] = defaultdict(set)
    spent_s: dict[str, float] = defaultdict(float)
    for record in records:
        if record.kind == "cell" and record.model in names:
            outcomes[record.model].add((record.backend, record.condition, record.interpreter, record.outcome))
            spent_s[record.model] += record.duration_s or 0.0
    kept: dict[frozenset[tuple[str | None, ...]], str] = {}
    for name in sorted(outcomes, key=lambda name: (spent_s[name], name)):
        kept.setdefault(frozenset(outcomes[name]), name)
    chosen = set(kept.values())
    return [name for name in names if name in chosen or name not in outcomes]
