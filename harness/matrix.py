"""The matrix: every wanted model × backend × condition, one model at a time, to records.

Both faces, `pytest benchmarks/` and `roundtrip bench`, go through `Run`; it owns the run's folder.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness import environment, measure, registry, round_trip
from harness.conditions import CONDITIONS, condition
from harness.process import Worker
from harness.records import Record, RecordWriter
from harness.registry import ROOT, ModelSource
from harness.staging import stage

TIMED_CONDITION = "fresh_process"
"""Costs are measured where nothing but the process is new."""

QUICK_MODELS = ("nested_fruit", "closure_preprocess", "tabular_wine", "sentiment_gru", "sentiment_gru_lambda")


@dataclass(frozen=True)
class Settings:
    """What to run. Empty tuples mean everything there is."""

    backends: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    rounds: int = 7
    quick: bool = False

    def resolved(self) -> Settings:
        """With all names filled in and checked. Raises UnknownName, ModelFileError."""
        backends = self.backends or tuple(registry.backend_names())
        quick = tuple(name for name in QUICK_MODELS if name in registry.model_names())
        models = self.models or (quick if self.quick else tuple(registry.model_names()))
        conditions = self.conditions or tuple(CONDITIONS)
        for name in backends:
            registry.backend_entry(name)
        for name in models:
            registry.model_source(name)
        for name in conditions:
            condition(name)
        rounds = min(self.rounds, 3) if self.quick else self.rounds
        return dataclasses.replace(
            self, backends=_unique(backends), models=_unique(models), conditions=_unique(conditions), rounds=rounds
        )


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def new_run_id() -> str:
    """Sortable by time, and different for two runs that start in one second."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(2).hex()}"


class Run:
    """One invocation: folder, environment, records. `tick` is told what is going on, for a progress bar."""

    def __init__(
        self, settings: Settings, output: Path | None = None, tick: Callable[[str], None] = lambda _: None
    ) -> None:
        """Create the folder: `output`, or a new one in reports/runs. Raises OutputExists, and as `resolved` does."""
        self.settings = settings.resolved()
        self.run_id = new_run_id()
        self.tick = tick
        self.folder = output or ROOT / "reports" / "runs" / self.run_id
        self._writer = RecordWriter(self.folder)
        with Worker() as worker:
            self.environment = environment.collect(worker.call("about")["threads"])
        (self.folder / "environment.json").write_text(json.dumps(self.environment, indent=2) + "\n")
        self.records: list[Record] = []

    def close(self) -> None:
        self._writer.close()

    def model(self, name: str) -> list[Record]:
        """Run all cells of one model; the records are written when the model is done, and returned."""
        source = registry.model_source(name)
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="roundtrip-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            records = self._cells(source, folder, stack)
        for record in records:
            record.environment_id = self.environment["environment_id"]
        self._writer.write(records)
        self.records += records
        return records

    def _cells(self, source: ModelSource, folder: Path, stack: ExitStack) -> list[Record]:
        settings = self.settings
        staged = stage(source, folder / "staged")
        records: list[Record] = []
        competitors: list[tuple[measure.Competitor, Record]] = []
        for number, backend in enumerate(settings.backends):
            started = time.perf_counter()
            self.tick(f"{source.name} × {backend}: save")
            saved = round_trip.save(backend, source.builder, staged, folder / f"{number:02d}")
            stack.callback(saved.close)
            for name in settings.conditions:
                self.tick(f"{source.name} × {backend}: {name}")
                loaded = round_trip.load(saved, condition(name))
                cell = round_trip.record(self.run_id, saved, loaded, source.name, name)
                if "save_s" in saved.facts:
                    cell.save_s = [saved.facts["save_s"]]
                cell.duration_s, started = time.perf_counter() - started, time.perf_counter()
                records.append(cell)
                if name == TIMED_CONDITION and round_trip.is_timeable(loaded):
                    stack.callback(loaded.close)
                    competitors.append((measure.Competitor(saved, loaded, staged.own_modules), cell))
                else:
                    loaded.close()
        measure.interleave(
            [competitor for competitor, _ in competitors],
            settings.rounds,
            folder / "rounds",
            lambda text: self.tick(f"{source.name}: {text}"),
        )
        for competitor, cell in competitors:
            for field, value in competitor.costs.items():
                setattr(cell, field, value)
            if competitor.died is not None:
                cell.message = f"{cell.message or ''} (in a later round: {competitor.died})".strip()
        return records
