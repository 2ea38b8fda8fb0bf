"""The corpus of traits against a backend: hundreds of tiny models, so the models of one file share their processes.

A process costs more than a tiny model does. One process saves the models of a file, one a condition loads them, both
forked where the backend's library is imported already; each model is still built, saved, loaded and compared by itself,
by the calls of any other cell. What the originals answered is described once for all backends (`Place.described`).
What a backend does to a process (a class that it caches, a registry that it changes) can reach the next model, so the
next one gets a new process where something failed or came back otherwise, a model whose process died is tried again
alone, and `tests/test_corpus.py` holds what this gives against cells with
processes of their own that describe for themselves: the same outcome in every cell.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import conditions, registry, round_trip
from harness.cell import saving
from harness.cell.saving import Saved
from harness.processes import interpreters, templates
from harness.processes.interpreters import Interpreter
from harness.processes.process import Worker
from harness.project.staging import Stage, stage
from harness.records import Record
from harness.registry import ModelSource
from harness.system import whole

DEFAULT_CONDITIONS = ("fresh_process",)
IN_MEMORY = Path("/dev/shm")
"""Where Linux has a file system in memory."""
ROOM_BYTES = 1 << 30
"""What two batches and the descriptions of all originals never fill; a container may have 64 MB there."""


def scratch() -> Path | None:
    """Where a run's files lie: in memory, if there is room; None: where temporary files do otherwise.

    No cell of the corpus is timed, and what makes its files durable (json_spec's save calls `fsync` nine times) waits
    for a disk that nobody measures.
    """
    with contextlib.suppress(OSError):
        if os.access(IN_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(IN_MEMORY).free >= ROOM_BYTES:
            return IN_MEMORY
    return None


@dataclass(frozen=True)
class Batch:
    """The models of one file, for one backend."""

    backend: str
    sources: tuple[ModelSource, ...]


def batches(names: Iterable[str], backends: Sequence[str]) -> list[Batch]:
    """Names such as `trait/lambda_attribute` by file, times the backends. Raises UnknownName."""
    files: dict[Path, list[ModelSource]] = {}
    for name in names:
        source = registry.model_source(name)
        files.setdefault(source.path, []).append(source)
    return [Batch(backend, tuple(sources)) for sources in files.values() for backend in backends]


@dataclass(frozen=True)
class Place:
    """Where a batch runs, and what it shares with the others of the run."""

    folder: Path
    """Created and removed."""
    described: Path | None = None
    """What the originals of each file answered, written by the first backend that saves them and read by the others,
    which describe a model themselves only where its state is another; None: everyone describes for itself."""
    interpreters: tuple[Interpreter, ...] = ()
    """Those of the condition `other_interpreter`."""


def run(batch: Batch, wanted: Sequence[str], place: Place, run_id: str, tell: Callable[[str], None]) -> list[Record]:
    """Every cell of the batch."""
    place.folder.mkdir(parents=True)
    try:
        staged = stage(batch.sources[0], place.folder / "staged")
        saved: dict[str, list[_Made]] = {}
        cells: list[Record] = []
        for name in wanted:
            condition = conditions.condition(name)
            if condition.saving not in saved:
                same = any(conditions.condition(other).same_process for other in wanted)
                saved[condition.saving] = _save_all(batch, staged, place, condition.saving, same, tell)
            for interpreter in place.interpreters if name == conditions.OTHER_INTERPRETER else (None,):
                cells += _load_all(batch, saved[condition.saving], condition, interpreter, place, run_id, tell)
        return cells
    finally:
        shutil.rmtree(place.folder, ignore_errors=True)


@dataclass
class _Made:
    """What was saved of one model, and what came of loading it in the process that saved it, where that is asked."""

    saved: Saved
    in_same_process: dict | None = None


def _save_all(
    batch: Batch, staged: Stage, place: Place, how: str, same: bool, tell: Callable[[str], None]
) -> list[_Made]:
    missing = registry.how_to_install(registry.backend_entry(batch.backend))
    if how == "notebook":
        staged = staged.copied(place.folder / how / "project", how)
    found = []
    likes = [place.described and place.described / how / source.name.replace("/", "-") for source in batch.sources]
    noting = not all(like is not None and like.exists() for like in likes)
    alike = 0  # models that were, less those that were not
    with _Shared(lambda: templates.fresh(batch.backend)) as shared:
        for number, (source, like) in enumerate(zip(batch.sources, likes, strict=True)):
            tell(f"{source.name} × {batch.backend}: save")
            made = _Made(Saved(batch.backend, staged, place.folder / how / f"{number:03d}", how))
            found.append(made)
            if missing is not None:
                made.saved.stopped = {
                    "outcome": "unavailable", "stage": "save", "error_type": None, "message": missing
                }  # fmt: skip
                continue
            like = like if alike >= 0 else None
            again = not _make(made, source, like, noting, same, shared.worker())
            if like is not None:
                alike += -1 if again else 1
                if alike < 0:  # a backend that changes every class (hf_mixin): from here on it describes for itself
                    noting = True
                    shared.discard()
            if _leaves_traces(made.saved.stopped) or _leaves_traces(made.in_same_process):
                shared.discard()
            again = again or _died(made.saved.stopped) or _died(made.in_same_process)
            if again:
                made.saved.stopped, made.in_same_process = None, None
                shutil.rmtree(made.saved.folder, ignore_errors=True)
                with templates.fresh(batch.backend) as alone:
                    _make(made, source, None, True, same, alone)
    return found


def _make(made: _Made, source: ModelSource, like: Path | None, noting: bool, same: bool, worker: Worker) -> bool:
    """Save a model, and load it in the same process where that is asked; False where it is not what `like` tells of."""
    saved = made.saved
    if like is not None and like.exists():
        if not saving.fill_alike(saved, source.builder, worker, like, noting):
            return False
    else:
        saving.fill(saved, source.builder, worker)
        if saved.stopped is None and like is not None:
            like.parent.mkdir(parents=True, exist_ok=True)
            whole.write(like, saved.reference.read_bytes())  # another backend may be doing the same
            saved.shares = like
    if same and saved.stopped is None:
        made.in_same_process = round_trip.examine(saved, round_trip.here(saved), worker)
    return True


def _load_all(
    batch: Batch,
    every: list[_Made],
    condition: conditions.Condition,
    interpreter: Interpreter | None,
    place: Place,
    run_id: str,
    tell: Callable[[str], None],
) -> Iterator[Record]:
    world = conditions.prepare(condition, every[0].saved.stage, place.folder / condition.name)

    def entered() -> Worker:
        if interpreter is None and not world.spawns:
            worker = templates.fresh(batch.backend, interpreters.ours())
        else:
            worker = Worker(interpreter or interpreters.ours(), children=world.spawns)
        try:
            world.enter(worker)
        except BaseException:
            worker.close()
            raise
        return worker

    with round_trip.out_of_reach(every[0].saved.stage.folder), _Shared(entered) as shared:
        for source, made in zip(batch.sources, every, strict=True):
            tell(f"{source.name} × {batch.backend}: {condition.name}")
            started = time.perf_counter()
            result = made.in_same_process if condition.same_process else None
            result = made.saved.stopped or result
            if result is None:
                result = round_trip.examine(made.saved, world, shared.worker())
                if _leaves_traces(result):
                    shared.discard()
                if _died(result):
                    with entered() as alone:
                        result = round_trip.examine(made.saved, world, alone)
                result |= round_trip.under_other_seeds(made.saved, world, result)
                if interpreter is not None:
                    result |= round_trip.unavailable_there(made.saved, world, result, interpreter, shared.worker())
            yield _record(run_id, made.saved, result, source, condition, interpreter, started)


def _record(
    run_id: str,
    saved: Saved,
    result: dict,
    source: ModelSource,
    condition: conditions.Condition,
    interpreter: Interpreter | None,
    started: float,
) -> Record:
    cell = round_trip.record(run_id, saved, round_trip.Loaded(dict(result)), source.name, condition.name)
    cell.rerun = f"roundtrip check {source.name} --backend {saved.backend} --condition {condition.name}"
    if interpreter is not None:
        cell.interpreter = interpreter.label
        cell.rerun += f" --interpreter {shlex.quote(interpreter.shown)}"
    return dataclasses.replace(cell, first_load_s=None, duration_s=time.perf_counter() - started)


class _Shared:
    """One process for many models, started when it is first needed and again after it was discarded."""

    def __init__(self, start: Callable[[], Worker]) -> None:
        self._start = start
        self._worker: Worker | None = None

    def __enter__(self) -> _Shared:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def worker(self) -> Worker:
        if self._worker is None:
            self._worker = self._start()
        return self._worker

    def discard(self) -> None:
        if self._worker is not None:
            self._worker.close()
        self._worker = None


def _leaves_traces(result: dict | None) -> bool:
    """Whether the process may be another than it was: what stopped half-way (`with torch.autocast(...)`, where entering
    raised) or changed something would be held against the next model."""
    return result is not None and result.get("outcome") in ("mismatch", "failed", "crashed")


def _died(result: dict | None) -> bool:
    return result is not None and result.get("outcome") == "crashed"
