"""When rounds go on and when they stop: the plan of a measurement, apart from what is measured.

In every round each *task* that is still open runs once, in an order shuffled anew, and so do the references (the
floor), to which ratios are taken. A task is done when the interval of its paired ratio is narrow enough; when it has
used its allowance; when the budget of all is spent; or after the last round. Which one it was is kept.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import intervals

NARROW, BUDGET, ROUNDS = "narrow", "budget", "rounds"
STOPPED_LEVEL = 0.95


@dataclass(frozen=True)
class Plan:
    """How long to measure one model. Durations in seconds."""

    rounds: int = 15
    """At most so many."""
    least: int = 7
    """At least so many before an interval is called narrow, and before the budget ends what is cheap."""
    narrow: float = 0.08
    """Half the interval of the ratio, as a part of its median, at which a task is done."""
    budget_s: float = 25.0
    """For all rounds of one model together. One round is always run."""
    allowance_s: float = 4.0
    """For one task: what is so dear that it passes this stops early, and leaves time to the others."""
    renewed: bool = True
    """Whether each round has new processes: dearer, and intervals that hold (see `competitor`)."""
    cold: bool = True
    """Whether a few loads with a cold page cache follow."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "least", min(self.least, self.rounds))


@dataclass
class Task:
    """Something to measure once a round. `run` does it; `ratios` gives the paired ratios that it has so far."""

    name: str
    run: Callable[[], None]
    ratios: Callable[[], Sequence[float]]
    used_s: float = 0.0
    turns: int = 0
    stopped: str | None = None
    failed: bool = False

    def stop(self) -> None:
        """Take no further part, because it cannot."""
        self.failed = True


def run(
    tasks: Sequence[Task],
    references: Sequence[Callable[[], None]],
    plan: Plan,
    tick: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    seed: int = 0,
) -> int:
    """Run rounds until every task has stopped; returns how many there were. `tick` is told each round's number."""
    order = random.Random(seed)
    began, number = clock(), 0
    while number < plan.rounds and (active := _active(tasks)):
        number += 1
        tick(number)
        turns: list[Task | Callable[[], None]] = [*active, *references]
        order.shuffle(turns)
        for turn in turns:
            if isinstance(turn, Task):
                _turn(turn, clock)
            else:
                turn()
        spent = clock() - began
        for task in _active(tasks):
            task.stopped = _verdict(task, plan, spent, number)
    for task in _active(tasks):
        task.stopped = ROUNDS
    return number


def _active(tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if task.stopped is None and not task.failed]


def _turn(task: Task, clock: Callable[[], float]) -> None:
    if task.failed:  # by another task of the same competitor, in this round
        return
    started = clock()
    task.run()
    task.used_s += clock() - started
    task.turns += 1


def _verdict(task: Task, plan: Plan, spent_s: float, number: int) -> str | None:
    """Why the task is done after this round; None where it is not."""
    if task.turns >= plan.least:
        width = intervals.half_width(task.ratios(), STOPPED_LEVEL)
        if width is not None and width <= plan.narrow:
            return NARROW
    per_turn, per_round = task.used_s / max(task.turns, 1), spent_s / number
    # the least rounds are cheap for what is cheap: only a dear task, or a budget far passed, ends before them
    limit_s = plan.budget_s if task.turns >= plan.least else 2 * plan.budget_s
    if spent_s + per_round > limit_s or task.used_s + per_turn > plan.allowance_s:
        return BUDGET
    return None
