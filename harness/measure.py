"""What a save and a load cost: interleaved rounds, so that a machine's drift hits all backends alike.

In every round each backend of one model saves, loads and predicts once, in an order shuffled anew, each in its own
process that is kept warm. The floor (the same tensor bytes through one plain file) takes its turn as one more
competitor, and so does its twin, the same thing in another process: two that are equal, so that what seems to tell
them apart is the machine. `rounds` says when they stop.

A round before the first warms up; in it memory is watched. After the last, a few loads find the artifact out of the
page cache, where the system lets us evict it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import intervals, proc, rounds
from harness.process import Worker, WorkerDied, WorkerFailed
from harness.round_trip import Loaded, Saved
from harness.rounds import Plan, Task

COLD = Plan(rounds=3, least=1, narrow=0.0, budget_s=6.0, allowance_s=2.0)
NOISY_QUARTILES = 1.5
"""The third quartile over the first, of the twin floors' ratio, from which on a machine is called too noisy."""
DEAR_S = 1.0
"""A save that takes as long as this gets no warm-up: its first round is watched, and counts."""


@dataclass
class Competitor:
    """One backend's warm processes, and what its rounds gave (seconds, bytes; named as in the record)."""

    saved: Saved
    loaded: Loaded
    own_modules: tuple[str, ...]
    costs: dict[str, Any] = field(
        default_factory=lambda: {
            name: [] for name in ("save_s", "load_s", "first_prediction_s", "predictions_per_s", "load_cold_s")
        }
    )
    died: str | None = None


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
    waiting = proc.Waiting()
    with Worker() as worker, Worker() as twin:
        size = competitors[0].saved.facts["tensor_bytes"]
        for one in (worker, twin):  # each worker's first time is no time
            _floor_turn(floor, one, {}, size, folder)
        for competitor in competitors:
            tick(f"warming up: {competitor.saved.backend}")
            _warm_up(competitor, folder)
        tasks = [task for competitor in competitors for task in _tasks(competitor, floor, folder)]
        references = [
            lambda: _floor_turn(floor, worker, floor.times, size, folder),
            lambda: _floor_turn(floor, twin, floor.twin, size, folder),
        ]
        rounds.run(tasks, references, plan, lambda number: tick(f"round {number}, at most {plan.rounds}"), seed=seed)
        floor.waiting_share, floor.stolen_share = waiting.shares()
        if plan.cold:
            _cold_rounds(competitors, floor, worker, size, folder, tick)
    _hand_over(competitors, tasks, floor)
    return floor


def too_noisy(floor: Floor) -> str | None:
    """Why the machine cannot rank by these rounds; None where it can.

    Two floors that are equal are told apart, or differ by NOISY_QUARTILES in the middle half of the rounds.
    """
    for name, what in (("floor_write_s", "write"), ("floor_read_s", "read")):
        ratios = floor.ratios(name)
        if len(ratios) < intervals.LEAST_ROUNDS:
            continue
        low, high = intervals.sign_interval(ratios, rounds.STOPPED_LEVEL) or (0.0, float("inf"))
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
        backend = competitor.saved.backend
        competitor.costs |= floor.times | {
            "floor_read_cold_s": floor.cold_s,
            "save_stopped": stopped[f"{backend}: save"],
            "load_stopped": stopped[f"{backend}: load"],
            "too_noisy": verdict,
        }


def _floor_turn(floor: Floor, worker: Worker, into: dict[str, list[float]], size: int, folder: Path) -> None:
    """Write, read and map one plain file. Where that fails (the disk is full), there is no floor from then on."""
    if floor.failed is not None:
        return
    path = folder / "floor"
    try:
        for name, seconds in worker.call("floor", path=str(path), tensor_bytes=size).items():
            if into:
                into[name].append(seconds)
    except (WorkerFailed, WorkerDied) as error:
        floor.failed = str(error)
    path.unlink(missing_ok=True)


def _tasks(competitor: Competitor, floor: Floor, folder: Path) -> list[Task]:
    costs, backend = competitor.costs, competitor.saved.backend
    save = Task(
        f"{backend}: save",
        lambda: _guarded(competitor, tasks, lambda: _save(competitor, folder)),
        lambda: intervals.paired(costs["save_s"], floor.times["floor_write_s"]),
    )
    load = Task(
        f"{backend}: load",
        lambda: _guarded(competitor, tasks, lambda: _load(competitor)),
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


def _save(competitor: Competitor, folder: Path) -> None:
    saved, costs = competitor.saved, competitor.costs
    watched = "peak_anon_bytes_save" not in costs
    with _scratch(folder) as directory:
        call = saved.worker.call_watched if watched else saved.worker.call
        answer = call("save", backend=saved.backend, directory=str(directory))
    if watched:
        answer, peak = answer
        _keep_peak(costs, "save", peak)
        costs |= {name: answer[name] for name in ("written_bytes_save", "dirtied_bytes_save")}
    costs["save_s"].append(answer["save_s"])


def _load(competitor: Competitor, into: str = "load_s") -> None:
    saved, loaded, costs = competitor.saved, competitor.loaded, competitor.costs
    watched = "peak_anon_bytes_load" not in costs
    if watched:
        loaded.worker.call("forget")
    call = loaded.worker.call_watched if watched else loaded.worker.call
    answer = call("load", backend=saved.backend, directory=str(saved.artifact), trusted_modules=competitor.own_modules)
    if watched:
        answer, peak = answer
        _keep_peak(costs, "load", peak)
    costs[into].append(answer["load_s"])
    if into == "load_s":
        for name, value in loaded.worker.call("first_prediction", reference=str(saved.reference)).items():
            costs[name].append(value)


def _warm_up(competitor: Competitor, folder: Path) -> None:
    """One save and one load, watched; their times are dropped."""
    costs = competitor.costs

    def once() -> None:
        for process in (competitor.saved, competitor.loaded):
            process.worker.call("use_all_threads")
        competitor.saved.worker.call("forget")  # what `same_process` loaded there holds memory, and files if it maps
        if competitor.saved.facts["save_s"] < DEAR_S:
            _save(competitor, folder)
            costs["save_s"].clear()
        _load(competitor)
        for name in ("load_s", "first_prediction_s", "predictions_per_s"):
            costs[name].clear()

    _guarded(competitor, (), once)


def _cold_rounds(
    competitors: Sequence[Competitor],
    floor: Floor,
    worker: Worker,
    size: int,
    folder: Path,
    tick: Callable[[str], None],
) -> None:
    """Loads of artifacts that are not in the page cache; ends at once where the floor's file cannot be evicted."""
    path = folder / "floor"

    def floor_turn() -> None:
        floor.cold_s += worker.call("floor_cold", path=str(path), tensor_bytes=size).values()

    def load(competitor: Competitor) -> None:
        loaded = competitor.loaded
        if loaded.worker.call("evict", directory=str(competitor.saved.artifact)):
            _load(competitor, into="load_cold_s")

    try:
        worker.call("floor", path=str(path), tensor_bytes=size)
        if not worker.call("floor_cold", path=str(path), tensor_bytes=size):
            return
        tasks = []
        for competitor in competitors:
            task = Task(competitor.saved.backend, lambda: None, list, failed=competitor.died is not None)
            task.run = lambda c=competitor, t=task: _guarded(c, [t], lambda: load(c))
            tasks.append(task)
        rounds.run(tasks, [floor_turn], COLD, lambda number: tick(f"cold page cache, round {number} of {COLD.rounds}"))
    except (WorkerFailed, WorkerDied) as error:
        floor.failed = str(error)
    finally:
        path.unlink(missing_ok=True)


def _keep_peak(costs: dict[str, Any], when: str, peak: proc.PeakMemory) -> None:
    costs[f"peak_anon_bytes_{when}"] = peak.anon_bytes
    costs[f"peak_file_bytes_{when}"] = peak.file_bytes
    costs[f"peak_total_bytes_{when}"] = peak.total_bytes
    costs["peak_is_exact"] = peak.exact if peak.total_bytes is not None else None


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A name for a new directory, which is removed afterwards."""
    directory = folder / "save"
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
