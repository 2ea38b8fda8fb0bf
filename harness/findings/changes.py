"""What changed between two runs: outcomes that got worse first, then costs that moved by more than chance.

Two runs met two machines, or one on two days. What all competitors of a model share is taken out twice, the floor being
one of them: within a run the drift from round to round, by how far a round's competitors were from their own medians;
between the runs the machine's change, the median competitor's (with fewer than three, the floor's). What is left of a
backend is its own.

A cost counts as changed when it moved further than chance would have it (`moves`) and by LEAST_CHANGE or more: a change
of a few percent is nobody's reason to act. One model's rounds are few, and a backend that got slower did so for all
models, so a backend's models are also looked at together.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.findings import moves
from harness.findings.moves import Move
from harness.intervals import Ratio, ratio
from harness.records import Record

LEAST_CHANGE = 0.10
FLOOR = "the floor"
METRICS = {"save": "floor_write_s", "load": "floor_read_s", "first_prediction": ""}
"""Metric -> its floor; the field is `METRIC_s`."""
LEAST_MODELS = 4
"""As many are looked at together; fewer do not say how much a change differs between them."""
GOODNESS = ("exact", "close", "partial", "unsupported", "failed", "crashed", "mismatch")
"""From best to worst. `unavailable` is not among them: nothing was tried."""

Place = tuple[str, str, str, str]


@dataclass(frozen=True)
class OutcomeChange:
    """A cell whose outcome, or the code that ran in it, is another."""

    backend: str
    model: str
    condition: str
    was: str
    now: str
    worse: bool
    message: str
    rerun: str


@dataclass(frozen=True)
class CostChange:
    """A cost that moved by more than chance: medians in seconds, `now` as if on the machine of `was`."""

    backend: str
    model: str
    metric: str
    was: Ratio
    now: Ratio
    rerun: str

    @property
    def change(self) -> float:
        """0.2 for 20 % dearer."""
        return self.now.median / self.was.median - 1

    @property
    def worse(self) -> bool:
        return self.change > 0


@dataclass(frozen=True)
class BackendChange:
    """A cost of a backend that moved over all models together: 0.2 for 20 % dearer, with the interval's ends."""

    backend: str
    metric: str
    change: float
    low: float
    high: float
    models: int

    @property
    def worse(self) -> bool:
        return self.change > 0


@dataclass
class Changes:
    """All differences, the worst first."""

    outcomes: list[OutcomeChange] = field(default_factory=list)
    costs: list[CostChange] = field(default_factory=list)
    backends: list[BackendChange] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Cells of the first run that the second lacks."""
    new: int = 0
    compared_cells: int = 0
    compared_costs: int = 0
    least_slowdowns: list[float] = field(default_factory=list)
    """Of each cost with intervals, how much slower it would have to be to be found: 0.2 for 20 %."""
    least_over_models: list[float] = field(default_factory=list)
    """The same of each backend's cost over all models."""
    notes: list[str] = field(default_factory=list)

    @property
    def is_regression(self) -> bool:
        """Whether any outcome or cost got worse, or a cell is gone."""
        return bool(self.gone) or any(change.worse for change in [*self.outcomes, *self.costs, *self.backends])


def compare_runs(first: Sequence[Record], second: Sequence[Record]) -> Changes:
    """What changed from the first run to the second."""
    changes = Changes(notes=_notes(first, second))
    before, after = _cells(first), _cells(second)
    for place in before.keys() & after.keys():
        changes.compared_cells += 1
        if (change := _outcome(before[place], after[place])) is not None:
            changes.outcomes.append(change)
    changes.outcomes.sort(key=lambda c: (not c.worse, -_rank(c.now), c.backend, c.model, c.condition))
    changes.gone = sorted(" × ".join(filter(None, place)) for place in before.keys() - after.keys())
    changes.new = len(after.keys() - before.keys())
    costs = _costs(before, after)
    changes.compared_costs = len(costs)
    moved = _moves(costs)
    changes.least_slowdowns = _least(moved.values())
    for place in _real(moved):
        backend, model, metric = place
        rerun = next(cell.rerun for where, cell in after.items() if where[:2] == (backend, model) and cell.load_s)
        changes.costs.append(CostChange(backend, model, metric, *costs[place], rerun))
    changes.costs.sort(key=lambda c: -c.change)
    models = _by_backend(moved)
    over_models = {place: moves.together(found) for place, found in models.items()}
    changes.least_over_models = _least(over_models.values())
    for place in _real(over_models):
        move = over_models[place]
        changes.backends.append(BackendChange(*place, move.change, *move.interval(), len(models[place])))
    changes.backends.sort(key=lambda c: -c.change)
    return changes


def _notes(first: Sequence[Record], second: Sequence[Record]) -> list[str]:
    where = [{record.environment_id for record in records} for records in (first, second)]
    if where[0] != where[1]:
        return ["the runs are of different environments (machine or versions): ratios are compared, seconds are not"]
    return []


def _cells(records: Iterable[Record]) -> dict[Place, Record]:
    return {
        (record.backend, record.model, record.condition, record.interpreter or ""): record
        for record in records
        if record.kind == "cell"
    }


def _rank(outcome: str) -> int:
    return GOODNESS.index(outcome.split(" ")[0]) if outcome.split(" ")[0] in GOODNESS else -1


def _outcome(was: Record, now: Record) -> OutcomeChange | None:
    if "unavailable" in (was.outcome, now.outcome) or (was.outcome, was.code_ran) == (now.outcome, now.code_ran):
        return None
    worse = GOODNESS.index(now.outcome) > GOODNESS.index(was.outcome)
    if now.outcome == was.outcome:  # an edit that was noticed, or the saved code, against edited code
        worse = now.code_ran == "edited"
    texts = [f"{cell.outcome} ({cell.code_ran} code)" if cell.code_ran else cell.outcome for cell in (was, now)]
    return OutcomeChange(now.backend, now.model, now.condition, *texts, worse, now.message or "", now.rerun)


def _costs(first: dict[Place, Record], second: dict[Place, Record]) -> dict[tuple[str, str, str], tuple[Ratio, Ratio]]:
    """(backend, model, metric) -> what both runs measured, drift and machine taken out; seconds."""
    found = {}
    before, after = _timed(first), _timed(second)
    for model in before.keys() & after.keys():
        for metric, floor in METRICS.items():
            was, now = (_levels(runs[model], f"{metric}_s", floor) for runs in (before, after))
            names = was.keys() & now.keys()
            moved = {name: now[name].median / was[name].median for name in names}
            if not moved or (len(names) < 3 and FLOOR not in names):
                continue
            machine = statistics.median(moved.values()) if len(names) >= 3 else moved[FLOOR]
            for name in names - {FLOOR}:
                found[name, model, metric] = was[name], _scaled(now[name], 1 / machine)
    return found


def _moves(costs: dict[tuple[str, str, str], tuple[Ratio, Ratio]]) -> dict[tuple[str, str, str], Move]:
    """How far each cost with intervals moved, and how well that is known."""
    found = {place: move for place, pair in costs.items() if (move := moves.between(*pair)) is not None}
    return dict(zip(found, moves.scattered(list(found.values())), strict=True))


def _by_backend(moved: dict[tuple[str, str, str], Move]) -> dict[tuple[str, str], list[Move]]:
    """(backend, metric) -> how far that moved of each model; of LEAST_MODELS or more."""
    found: dict[tuple[str, str], list[Move]] = defaultdict(list)
    for (backend, _, metric), move in moved.items():
        found[backend, metric].append(move)
    return {place: of_models for place, of_models in found.items() if len(of_models) >= LEAST_MODELS}


def _real(moved: dict[Any, Move]) -> list[Any]:
    """The places whose move is more than chance, and worth telling."""
    real = zip(moved, moves.are_real(list(moved.values())), strict=True)
    return [place for place, is_real in real if is_real and abs(moved[place].change) >= LEAST_CHANGE]


def _least(moved: Iterable[Move]) -> list[float]:
    return [max(LEAST_CHANGE, least) for least in moves.least_found(list(moved))]


def _timed(cells: dict[Place, Record]) -> dict[str, list[Record]]:
    by_model: dict[str, list[Record]] = defaultdict(list)
    for record in cells.values():
        if record.load_s:
            by_model[record.model].append(record)
    return by_model


def _levels(timed: Sequence[Record], name: str, floor: str) -> dict[str, Ratio]:
    """Each competitor's median of drift-corrected durations, the floor's among them; seconds."""
    durations = {record.backend: values for record in timed if (values := getattr(record, name))}
    if floor and (values := max((getattr(record, floor) for record in timed), key=len)):
        durations[FLOOR] = values
    drift = _drift(list(durations.values()))
    return {who: found for who, values in durations.items() if (found := ratio(values, drift)) is not None}


def _drift(durations: Sequence[Sequence[float]]) -> list[float]:
    """Of each round, how far its competitors were from their own medians: 1.1 for 10 % slower. 1 where it is unknown.

    A competitor whose rounds ended early takes part while it lasts.
    """
    medians = [statistics.median(values) for values in durations]
    drift = []
    for number in range(max(map(len, durations), default=0)):
        pairs = zip(durations, medians, strict=True)
        steps = [values[number] / middle for values, middle in pairs if len(values) > number and middle]
        drift.append(statistics.median(steps) if len(steps) >= 3 else 1.0)
    return drift


def _scaled(found: Ratio, factor: float) -> Ratio:
    low, high = (None if end is None else end * factor for end in (found.low, found.high))
    return replace(found, median=found.median * factor, low=low, high=high)
