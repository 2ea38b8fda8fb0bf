"""What a save and a load cost: interleaved rounds, so that a machine's drift hits all backends alike.

In every round each backend of one model saves, loads and predicts once, in an order shuffled anew, each in a process of
its own that has just done the same once (`competitor`). The floor (the same tensor bytes through one plain file) takes
its turn as one more competitor, and so does its twin, the same thing in another process: two that are equal, so that
what seems to tell them apart is the machine. `rounds` says when they stop.

Before the first round each backend saves and loads once, watched for its memory. After the last, a few loads find the
artifact out of the page cache, where the system lets us evict it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import intervals
from harness.costs import rounds
from harness.costs.competitor import Competitor
from harness.costs.rounds import Plan, Task
from harness.processes.process import Worker, WorkerDied, WorkerFailed
from harness.system import proc

COLD = Plan(rounds=3, least=1, narrow=0.0)
COLD_SHARE = 0.125
"""Of the budget, that the loads with a cold page cache may take besides."""
TWIN_LEVEL = 0.998
"""Of the interval that tells twins apart: a run of nine models, at write and at read, cries wolf once in 28."""
BUSY = 0.5
"""With tasks waiting for a CPU in this part of the time, a duration says nothing that twins did not confirm. Of rounds
alone on two cores it is a tenth."""
NOISY_QUARTILES = 1.5
"""The third quartile over the first, of the twin floors' ratio, from which on a machine is called too noisy."""


@dataclass
class Floor:
    """The floor's times, those of its twin, and what the machine did meanwhile. Seconds; named as in the record."""

    times: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in ("floor_write_s", "floor_read_s", "floor_map_s")}
    )
    twin: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in ("floor_write_s", "floor_read_s", "floor_map_s")}
    )
    cold_s: list[float] = field(default_factory=list)
    waiting_share: float | None = None
    """Part of the rounds' time in which some task, our own threads too, waited for a CPU."""
    stolen_share: float | None = None
    """Part that the hypervisor gave to others."""
    failed: str | None = None

    def ratios(self, name: str) -> list[float]:
        """The floor over its twin, of each round; they are equal, so its median should be near 1."""
        return intervals.paired(self.times[name], self.twin[name])


def interleave(
    competitors: Sequence[Competitor], plan: Plan, folder: Path, tick: Callable[[str], None], seed: int = 0
) -> Floor:
    """Run the rounds; every competitor's `costs` is filled, the floor's times and the verdict on the noise among them.

    A competitor that fails in a round takes no further part; `died` then says why.
    """
    floor = Floor()
    if not competitors or plan.rounds < 1:
        return floor
    folder.mkdir(parents=True, exist_ok=True)
    size = competitors[0].saved.facts["tensor_bytes"]
    for competitor in competitors:
        tick(f"warming up: {competitor.backend}")
        _guarded(competitor, (), lambda c=competitor: c.warm_up(folder, plan.renewed))
    tasks = [task for competitor in competitors for task in _tasks(competitor, floor, folder)]
    references = [
        lambda: _floor_turn(floor, floor.times, size, folder),
        lambda: _floor_turn(floor, floor.twin, size, folder),
    ]
    waiting = proc.Waiting()
    rounds.run(tasks, references, plan, lambda number: tick(f"round {number}, at most {plan.rounds}"), seed=seed)
    floor.waiting_share, floor.stolen_share = waiting.shares()
    if plan.cold:
        cold = dataclasses.replace(COLD, budget_s=COLD_SHARE * plan.budget_s)
        _cold_rounds(competitors, floor, size, folder, cold, tick)
    for competitor in competitors:
        competitor.close()
    _hand_over(competitors, tasks, floor)
    return floor


def too_noisy(floor: Floor) -> str | None:
    """Why the machine cannot rank by these rounds; None where it can.

    Two floors that are equal are told apart, or differ by NOISY_QUARTILES in the middle half of the rounds. Of fewer
    rounds than an interval needs they say nothing: there it is whether other work had the CPUs.
    """
    rounds = len(floor.twin["floor_read_s"])
    if rounds < intervals.LEAST_ROUNDS and (floor.waiting_share or 0.0) > BUSY:
        waited = f"some task waited for a CPU {floor.waiting_share:.0%} of the time"
        return f"{waited}, which so few rounds ({rounds}) cannot even out"
    for name, what in (("floor_write_s", "write"), ("floor_read_s", "read")):
        ratios = floor.ratios(name)
        if len(ratios) < intervals.LEAST_ROUNDS:
            continue
        low, high = intervals.sign_interval(ratios, TWIN_LEVEL) or (0.0, float("inf"))
        if not low <= 1.0 <= high:
            return f"two equal floors differ: one takes {low:.2f} to {high:.2f} times as long to {what} as the other"
        first, third = intervals.quartiles(ratios)
        if third > NOISY_QUARTILES * first:
            return f"two equal floors differ: in half of the rounds by {first:.2f} to {third:.2f} times at {what}"
    return None


def _hand_over(competitors: Sequence[Competitor], tasks: Sequence[Task], floor: Floor) -> None:
    verdict = too_noisy(floor)
    stopped = {task.name: task.stopped for task in tasks}
    for competitor in competitors:
        backend = competitor.backend
        competitor.costs |= floor.times | {
            "floor_read_cold_s": floor.cold_s,
            "save_stopped": stopped[f"{backend}: save"],
            "load_stopped": stopped[f"{backend}: load"],
            "too_noisy": verdict,
        }


def _floor_turn(floor: Floor, into: dict[str, list[float]], size: int, folder: Path) -> None:
    """Write, read and map one plain file, the second time in a new process. Where that fails (the disk is full), there
    is no floor from then on."""
    if floor.failed is not None:
        return
    path = folder / "floor"
    try:
        with Worker() as worker:
            worker.call("floor", path=str(path), tensor_bytes=size)
            for name, seconds in worker.call("floor", path=str(path), tensor_bytes=size).items():
                into[name].append(seconds)
    except (WorkerFailed, WorkerDied) as error:
        floor.failed = str(error)
    path.unlink(missing_ok=True)


def _tasks(competitor: Competitor, floor: Floor, folder: Path) -> list[Task]:
    costs, backend = competitor.costs, competitor.backend
    save = Task(
        f"{backend}: save",
        lambda: _guarded(competitor, tasks, lambda: competitor.save(folder)),
        lambda: intervals.paired(costs["save_s"], floor.times["floor_write_s"]),
    )
    load = Task(
        f"{backend}: load",
        lambda: _guarded(competitor, tasks, competitor.load),
        lambda: intervals.paired(costs["load_s"], floor.times["floor_read_s"]),
    )
    tasks = [save, load]
    for task in tasks:
        task.failed = competitor.died is not None
    return tasks


def _guarded(competitor: Competitor, tasks: Sequence[Task], step: Callable[[], None]) -> None:
    try:
        step()
    except (WorkerFailed, WorkerDied) as error:
        competitor.died = str(error)
        for task in tasks:
            task.stop()


def _cold_rounds(
    competitors: Sequence[Competitor],
    floor: Floor,
    size: int,
    folder: Path,
    plan: Plan,
    tick: Callable[[str], None],
) -> None:
    """Loads of artifacts that are not in the page cache; ends at once where the floor's file cannot be evicted."""
    path = folder / "floor"

    def floor_turn() -> bool:
        with Worker() as worker:
            found = worker.call("floor_cold", path=str(path), tensor_bytes=size)
        floor.cold_s += found.values()
        return bool(found)

    try:
        with Worker() as worker:
            worker.call("floor", path=str(path), tensor_bytes=size)
        if not floor_turn():
            return
        tasks = []
        for competitor in competitors:
            task = Task(competitor.backend, lambda: None, list, failed=competitor.died is not None)
            task.run = lambda c=competitor, t=task: _guarded(c, [t], c.load_cold)
            tasks.append(task)
        rounds.run(tasks, [floor_turn], plan, lambda number: tick(f"cold page cache, round {number} of {plan.rounds}"))
    except (WorkerFailed, WorkerDied) as error:
        floor.failed = str(error)
    finally:
        path.unlink(missing_ok=True)
