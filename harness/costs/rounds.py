"""When rounds go on and when they stop: the plan of a measurement, apart from what is measured.

In every round each *task* that is still open runs once, in an order shuffled anew, and so do the references (the
floor), to which ratios are taken. A task is done when the interval of its paired ratio is narrow enough; when the
budget of all does not reach for it; or after the last round. Which one it was is kept.

A budget that does not give all tasks the least rounds gives them to as many as it can: the dearest end first. Before
that it grows with what the first round took, up to a bound: a large model's rounds are dear, and worth as much.
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
    """At least so many before an interval is called narrow."""
    narrow: float = 0.08
    """Half the interval of the ratio, as a part of its median, at which a task is done."""
    budget_s: float = 25.0
    """For all rounds of one model together. One round is always run."""
    most_s: float = 0.0
    """What the budget may grow to where the least rounds would take longer, each as long as the first; at least
    `budget_s`."""
    renewed: bool = True
    """Whether each round has new processes: dearer, and intervals that hold (see `competitor`)."""
    cold: bool = True
    """Whether a few loads with a cold page cache follow."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "least", min(self.least, self.rounds))
        object.__setattr__(self, "most_s", max(self.most_s, self.budget_s))

    def allowed_s(self, first_round_s: float) -> float:
        """The budget, once it is known what a round takes."""
        return min(max(self.budget_s, self.least * first_round_s), self.most_s)


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

    @property
    def per_turn_s(self) -> float:
        return self.used_s / max(self.turns, 1)

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
    began, number, allowed_s = clock(), 0, plan.budget_s
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
        for task in _active(tasks):
            task.stopped = NARROW if _is_narrow(task, plan) else None
        spent_s = clock() - began
        if number == 1:
            allowed_s = plan.allowed_s(spent_s)
        if number < plan.rounds:
            _end_dearest(tasks, plan, allowed_s, spent_s, number)
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


def _is_narrow(task: Task, plan: Plan) -> bool:
    width = intervals.half_width(task.ratios(), STOPPED_LEVEL) if task.turns >= plan.least else None
    return width is not None and width <= plan.narrow


def _end_dearest(tasks: Sequence[Task], plan: Plan, allowed_s: float, spent_s: float, number: int) -> None:
    """End tasks until the budget's rest reaches for those that are left: for their least rounds, else for one more."""
    references_s = (spent_s - sum(task.used_s for task in tasks)) / number
    missing = max(plan.least - number, 1)
    left = sorted(_active(tasks), key=lambda task: task.per_turn_s)
    while left:
        needed_s = references_s * missing + sum(task.per_turn_s * max(plan.least - task.turns, 1) for task in left)
        if spent_s + needed_s <= allowed_s:
            return
        left.pop().stopped = BUDGET
