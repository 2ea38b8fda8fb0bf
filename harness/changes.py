"""What changed between two runs: outcomes that got worse first, then costs whose intervals do not overlap.

Two runs met two machines, or one on two days. What all competitors of a model share is taken out twice, the floor being
one of them: within a run the drift from round to round, by how far a round's competitors were from their own medians;
between the runs the machine's change, the median competitor's (with fewer than three, the floor's). What is left of a
backend is its own.

A cost counts as changed when the bootstrap intervals of its two medians do not overlap and the medians are at least
LEAST_CHANGE apart: over hundreds of comparisons some intervals part by chance, and a change of a few percent is
nobody's reason to act.

One model's rounds are few, and a backend that got slower did so for all models: what its models say together is the
mean of their changes, weighted by how well each is known, with the interval of the t distribution. Where models differ
by more than their own intervals explain, it is widened by as much (Birge's ratio: R. T. Birge, Phys. Rev. 40, 207).
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from harness.intervals import LEVEL, Ratio, can_bootstrap, ratio
from harness.records import Record

LEAST_CHANGE = 0.10
FLOOR = "the floor"
METRICS = {"save": "floor_write_s", "load": "floor_read_s", "first_prediction": ""}
"""Metric -> its floor; the field is `METRIC_s`."""
LEAST_MODELS = 4
"""As many are needed to know how much a change differs between them."""
NAMED_LEVEL_Z = 2.576
"""An interval that is called 99 % reaches so many standard deviations to each side."""
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
    """A cost whose intervals do not overlap: medians in seconds, `now` as if on the machine of `was`."""

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
    """A cost of a backend that changed over all models together: 0.2 for 20 % dearer, with the interval's ends."""

    backend: str
    metric: str
    change: float
    low: float
    high: float
    models: int

    @property
    def worse(self) -> bool:
        return self.change > 0

    @property
    def is_known(self) -> bool:
        """Whether the interval leaves out "no change", and the change is worth telling."""
        return not self.low <= 0.0 <= self.high and abs(self.change) >= LEAST_CHANGE


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
    """Of each compared cost, how much slower it would have to be to be found, given both intervals: 0.2 for 20 %."""
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
    for (backend, model, metric), (was, now) in costs.items():
        changes.compared_costs += 1
        if was.high is not None and now.low:
            least = was.high / was.median * now.median / now.low - 1
            changes.least_slowdowns.append(max(LEAST_CHANGE, least))
        if _apart(was, now):
            rerun = next(cell.rerun for place, cell in after.items() if place[:2] == (backend, model) and cell.load_s)
            changes.costs.append(CostChange(backend, model, metric, was, now, rerun))
    changes.costs.sort(key=lambda c: -c.change)
    together = _over_models(costs)
    changes.least_over_models = [max(LEAST_CHANGE, (1 + one.change) / (1 + one.low) - 1) for one in together]
    changes.backends = sorted((one for one in together if one.is_known), key=lambda c: -c.change)
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


def _over_models(costs: dict[tuple[str, str, str], tuple[Ratio, Ratio]]) -> list[BackendChange]:
    """What a backend's models say together, per metric; of those with an interval in both runs, LEAST_MODELS or more.

    In logarithms: x is a model's change, s its standard deviation, of which both intervals tell.
    """
    by_backend: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for (backend, _, metric), (was, now) in costs.items():
        if was.low and was.high and now.low and now.high:
            reach = math.hypot(math.log(was.high / was.low), math.log(now.high / now.low)) / 2
            by_backend[backend, metric].append((math.log(now.median / was.median), max(reach / NAMED_LEVEL_Z, 1e-3)))
    found = []
    for (backend, metric), models in by_backend.items():
        if len(models) < LEAST_MODELS or not can_bootstrap():
            continue
        from scipy import stats

        weights = [s**-2 for _, s in models]
        mean = sum(weight * x for weight, (x, _) in zip(weights, models, strict=True)) / sum(weights)
        misfit = sum(((x - mean) / s) ** 2 for x, s in models) / (len(models) - 1)
        reach = stats.t.ppf((1 + LEVEL) / 2, len(models) - 1) * math.sqrt(max(misfit, 1.0) / sum(weights))
        change, low, high = (math.expm1(mean + step) for step in (0.0, -reach, reach))
        found.append(BackendChange(backend, metric, change, low, high, len(models)))
    return found


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


def _apart(was: Ratio, now: Ratio) -> bool:
    if was.low is None or was.high is None or now.low is None or now.high is None:
        return False
    overlap = was.low <= now.high and now.low <= was.high
    return not overlap and abs(now.median / was.median - 1) >= LEAST_CHANGE
