"""A backend in the rounds: the process that its turns take place in, and what they gave. See `measure`.

A process is as fast as the place in memory that it happened to get: of equal ones, each kept over all rounds, some were
3 % and more apart in every round, so that intervals held the truth less often the more rounds there were. What repeats
must be processes, then (Kalibera and Jones, *Rigorous benchmarking in reasonable time*, 2013): each round has new ones,
forked from the one that saved, which did the same once before they are timed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cell.saving import Saved
from harness.processes.process import Worker
from harness.system import proc

RENEWED_S = 0.25
"""Turns that take as long as this together (save, load, predict) stay in one process: where its memory lies matters
less to them, and to warm up anew would be dear."""
DEAR_S = 1.0
"""A save that takes as long as this gets no warm-up: its first round is watched, and counts."""
_TIMES = ("save_s", "load_s", "first_prediction_s", "predictions_per_s", "load_cold_s")


@dataclass
class Competitor:
    """One backend, and what the rounds gave (seconds, bytes; named as in the record).

    Its methods raise WorkerFailed and WorkerDied; who calls them notes in `died` why it takes no further part.
    """

    saved: Saved
    own_modules: tuple[str, ...]
    costs: dict[str, Any] = field(default_factory=lambda: {name: [] for name in _TIMES})
    died: str | None = None

    def __post_init__(self) -> None:
        self._process = Process(self.saved.worker)

    @property
    def backend(self) -> str:
        return self.saved.backend

    def warm_up(self, folder: Path, renewed: bool = True) -> None:
        """One save and one load in the process that saved, watched for its memory; their times are dropped.

        `renewed`: each round gets a new process, if it may be forked and warms up quickly.
        """
        costs, worker = self.costs, self.saved.worker
        worker.call("forget")  # what `same_process` loaded there holds memory, and files if it maps
        spent_s = self.saved.facts["save_s"]
        if spent_s < DEAR_S:
            self._save(worker, folder)
            spent_s = costs["save_s"].pop()
        self._load(worker)
        spent_s += costs["load_s"].pop() + 2 * costs["first_prediction_s"].pop()
        costs["predictions_per_s"].clear()
        if not self._process.renew(renewed and spent_s < RENEWED_S):
            worker.call("use_all_threads")

    def save(self, folder: Path) -> None:
        """One timed save, into a directory that is removed."""
        worker, is_new = self._process.turn("save")
        if is_new:
            self._save(worker, folder)
            self.costs["save_s"].pop()
        self._save(worker, folder)

    def load(self) -> None:
        """One timed load, and the first predictions after it."""
        worker, is_new = self._process.turn("load")
        if is_new:
            self._call(worker, "load", watched=False)
            worker.call("first_prediction", reference=str(self.saved.reference), repeated=False)
        self._load(worker)

    def load_cold(self) -> None:
        """One timed load of an artifact that is not in the page cache; nothing where the system keeps it there."""
        worker, _ = self._process.turn("cold")
        if worker.call("evict", directory=str(self.saved.artifact)):
            self.costs["load_cold_s"].append(self._call(worker, "load", watched=False)["load_s"])

    def close(self) -> None:
        """End the process of the last turns; the one that saved stays."""
        self._process.close()

    def _save(self, worker: Worker, folder: Path) -> None:
        costs, watched = self.costs, "peak_anon_bytes_save" not in self.costs
        with _scratch(folder) as directory:
            call = worker.call_watched if watched else worker.call
            answer = call("save", backend=self.backend, directory=str(directory))
        if watched:
            answer, peak = answer
            _keep_peak(costs, "save", peak)
            costs |= {name: answer[name] for name in ("written_bytes_save", "dirtied_bytes_save")}
        costs["save_s"].append(answer["save_s"])

    def _load(self, worker: Worker) -> None:
        costs, watched = self.costs, "peak_anon_bytes_load" not in self.costs
        if watched:
            worker.call("forget")
        answer = self._call(worker, "load", watched)
        if watched:
            answer, peak = answer
            _keep_peak(costs, "load", peak)
        costs["load_s"].append(answer["load_s"])
        for name, value in worker.call("first_prediction", reference=str(self.saved.reference)).items():
            costs[name].append(value)

    def _call(self, worker: Worker, function: str, watched: bool) -> Any:
        return (worker.call_watched if watched else worker.call)(
            function, backend=self.backend, directory=str(self.saved.artifact), trusted_modules=self.own_modules
        )


class Process:
    """Where turns take place: in each round in a new fork of the first process, if that may be."""

    def __init__(self, first: Worker) -> None:
        self._first, self._now = first, first
        self._turns: set[str] = set()
        self._renews = False

    def renew(self, wanted: bool) -> bool:
        """Whether there will be new ones: a process with threads cannot be forked."""
        self._renews = wanted and self._first.call("about")["running_threads"] == 1
        return self._renews

    def turn(self, name: str) -> tuple[Worker, bool]:
        """The process for a turn of that name, of which a round has one; and whether it is new to it."""
        if not self._renews:
            return self._now, False
        if self._now is self._first or name in self._turns:
            self.close()
            self._now = Worker(template=self._first)
            self._now.call("use_all_threads")
        self._turns.add(name)
        return self._now, True

    def close(self) -> None:
        if self._now is not self._first:
            self._now.close()
        self._now = self._first
        self._turns.clear()


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
