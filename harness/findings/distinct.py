"""The traits that show all there is to see: the fewest in which every backend still gives each of its answers.

Hundreds of traits get far fewer kinds of answer. Who changes a backend wants to know soon which of them changed; the
whole corpus is for the night.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from harness.findings.remedies import remedy
from harness.records import Record

# What a cell shows: where, how it ended and at which step, by which error, and what a user should do.
Answer = tuple[str | None, ...]


def distinct(names: Collection[str], records: Iterable[Record]) -> list[str]:
    """Of `names` (as `trait/NAME`) few in which every answer of the records still occurs, chosen greedily.

    The next is always the one that shows most new answers for its time [1]. A trait that the records do not know stays:
    nobody knows its answers.

    [1] V. Chvátal, "A Greedy Heuristic for the Set-Covering Problem", Mathematics of Operations Research 4(3), 1979.
    """
    answers: dict[str, set[Answer]] = defaultdict(set)
    spent_s: dict[str, float] = defaultdict(float)
    for record in records:
        if record.kind == "cell" and record.model in names:
            answers[record.model].add(_answer(record))
            spent_s[record.model] += record.duration_s or 0.0
    missing = set().union(*answers.values())
    chosen: set[str] = set()
    while missing:
        best = max(sorted(answers), key=lambda name: len(answers[name] & missing) / (spent_s[name] or 1.0))
        chosen.add(best)
        missing -= answers[best]
    return [name for name in names if name in chosen or name not in answers]


def _answer(record: Record) -> Answer:
    where = record.backend, record.condition, record.interpreter
    return *where, record.outcome, record.stage, record.error_type, remedy(record)
