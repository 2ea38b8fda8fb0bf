"""The corpus of traits against a backend: hundreds of tiny models, so the models of one file share their processes.

A fresh process costs more than a tiny model does. One process saves the models of a file, one a condition loads
them; each model is still built, described, saved, loaded and compared by itself, by the calls of any other cell.
What a backend does to a process (a class that it caches, a registry that it changes) can reach the next model, so a
model whose process died is tried again alone, and `tests/test_corpus.py` holds what this gives against cells with
processes of their own: the same outcome in every cell, for a sixth of the time.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import conditions, registry, round_trip
from harness.process import Worker
from harness.records import Record
from harness.registry import ModelSource
from harness.round_trip import Saved
from harness.staging import Stage, stage

DEFAULT_CONDITIONS = ("fresh_process", "source_absent")


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


def run(batch: Batch, wanted: Sequence[str], folder: Path, run_id: str, tell: Callable[[str], None]) -> list[Record]:
    """Every cell of the batch; `folder` is created and removed."""
    folder.mkdir(parents=True)
    try:
        staged = stage(batch.sources[0], folder / "staged")
        saved: dict[str, list[Saved]] = {}
        cells: list[Record] = []
        for name in wanted:
            how = conditions.condition(name).saving
            if how not in saved:
                saved[how] = _save_all(batch, staged, folder / how, how, tell)
            cells += _load_all(batch, saved[how], name, folder, run_id, tell)
        return cells
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _save_all(batch: Batch, staged: Stage, folder: Path, how: str, tell: Callable[[str], None]) -> list[Saved]:
    missing = registry.how_to_install(registry.backend_entry(batch.backend))
    found = []
    with _Shared(lambda worker: None) as shared:
        for number, source in enumerate(batch.sources):
            tell(f"{source.name} × {batch.backend}: save")
            saved = Saved(batch.backend, staged, folder / f"{number:03d}", how)
            found.append(saved)
            if missing is not None:
                saved.stopped = {"outcome": "unavailable", "stage": "save", "error_type": None, "message": missing}
                continue
            round_trip.fill(saved, source.builder, shared.worker())
            if _died(saved.stopped):
                shared.discard()
                saved.stopped = None
                shutil.rmtree(saved.folder)
                with Worker() as alone:
                    round_trip.fill(saved, source.builder, alone)
    return found


def _load_all(
    batch: Batch, every: list[Saved], name: str, folder: Path, run_id: str, tell: Callable[[str], None]
) -> Iterator[Record]:
    condition = conditions.condition(name)
    world = conditions.prepare(condition, every[0].stage, folder / name)
    with (
        round_trip.out_of_reach(every[0].stage.folder),
        _Shared(lambda worker: round_trip.enter(world, worker)) as shared,
    ):
        for source, saved in zip(batch.sources, every, strict=True):
            tell(f"{source.name} × {batch.backend}: {name}")
            started = time.perf_counter()
            result = saved.stopped
            if result is None:
                result = round_trip.examine(saved, world, shared.worker())
                if _died(result):
                    shared.discard()
                    with _entered(world) as alone:
                        result = round_trip.examine(saved, world, alone)
            cell = round_trip.record(run_id, saved, round_trip.Loaded(dict(result)), source.name, name)
            cell.rerun = f"roundtrip check {source.name} --backend {batch.backend} --condition {name}"
            yield dataclasses.replace(cell, first_load_s=None, duration_s=time.perf_counter() - started)


class _Shared:
    """One process for many models, started when it is first needed and again after it was discarded."""

    def __init__(self, prepare: Callable[[Worker], None]) -> None:
        self._prepare = prepare
        self._worker: Worker | None = None

    def __enter__(self) -> _Shared:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def worker(self) -> Worker:
        if self._worker is None:
            self._worker = Worker()
            self._prepare(self._worker)
        return self._worker

    def discard(self) -> None:
        if self._worker is not None:
            self._worker.close()
        self._worker = None


@contextmanager
def _entered(world: conditions.World) -> Iterator[Worker]:
    with Worker() as worker:
        round_trip.enter(world, worker)
        yield worker


def _died(result: dict | None) -> bool:
    return result is not None and result.get("outcome") == "crashed"
