"""The matrix: every wanted model × backend × condition, one model at a time, to records.

Both faces, `pytest benchmarks/` and `roundtrip bench`, go through `Run`; it owns the run's folder.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import corpus, environment, intervals, life, measure, registry, round_trip
from harness.cell import saving
from harness.conditions import CONDITIONS, OTHER_INTERPRETER, condition, default_names
from harness.costs import cold_start
from harness.costs.competitor import Competitor
from harness.costs.rounds import Plan
from harness.errors import Incomplete, InterpreterError
from harness.processes import interpreters
from harness.processes.interpreters import Interpreter
from harness.processes.process import SPENT, Worker
from harness.processes.templates import Original
from harness.project.staging import Stage, stage
from harness.records import Record, RecordWriter, read_records
from harness.registry import ROOT, ModelSource
from harness.safety import probes

TIMED_CONDITION = "fresh_process"
"""Costs are measured where nothing but the process is new."""

ALL = "all"
"""In place of a condition's name: every condition that this machine can make. In place of a backend's: the slow too."""

BUDGET_S, MOST_S = 0.25, 2.5
"""For the timed rounds of one model, times the number of backends, and what that grows to where rounds are dear: the
largest models, by which costs are shown, have intervals too. With all models a run then takes ten minutes."""
FEW = 10
"""As many backends' time there is at least: a run of one should not end for want of it."""

QUICK_MODELS = ("nested_fruit", "closure_preprocess", "sentiment_gru", "sentiment_gru_lambda")
"""Those whose libraries take no second to import, which each process that loads must do."""
COLD_STARTS = 3
"""How often a new interpreter is started for each backend, where that is asked for."""
COLD_START_MODELS = ("imagenet_resnet",)
"""Those of `--cold-starts some`: a start is seconds of importing torch whatever the model is, so that one model tells
most of it."""
QUICK_CONDITIONS = ("fresh_process", "main_script", "source_absent")
QUICK_ROUNDS = 7
QUICK_BUDGET_S = 3.0


@dataclass(frozen=True)
class Settings:
    """What to run. Empty tuples mean everything there is, but for backends that are slow and conditions that are dear:
    these are named, or asked for with ALL."""

    backends: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    rounds: int = Plan.rounds
    """Timed rounds, at most; they end earlier where the ratios are known well enough."""
    quick: bool = False
    jobs: int = 0
    """How many backends are tried at a time; 0: one a core. Timed rounds have the machine to themselves."""
    budget_s: float | None = None
    """For the timed rounds of one model; None: BUDGET_S to MOST_S a backend."""
    cold_starts: str = "none"
    """Of which models: none, some (COLD_START_MODELS), all."""
    shard: tuple[int, int] = (1, 1)
    """Part (k, n): every n-th model, file of traits and probed backend, from the k-th on; `merging` has the rest."""
    life: str = "quick"
    """How much of life after load is tried, one of `life.LEVELS`."""
    interpreters: tuple[str, ...] = ()
    """Other Pythons for the condition `other_interpreter`; naming one asks for the condition. Empty, and the condition
    asked for: those that `make interpreters` has built."""

    @property
    def plan(self) -> Plan:
        """When the timed rounds end. Rounds that are too few for an interval are not worth what makes one hold."""
        few = self.rounds < intervals.LEAST_ROUNDS
        many = max(len(self.backends), FEW)
        budget_s, most_s = (self.budget_s, 0.0) if self.budget_s else (BUDGET_S * many, MOST_S * many)
        full = not (self.quick or few)
        return Plan(self.rounds, budget_s=budget_s, most_s=most_s, renewed=full, cold=full)

    def resolved(self) -> Settings:
        """With all names filled in and checked. Raises UnknownName, ModelFileError, InterpreterError."""
        known = tuple(registry.backend_names())
        backends = self.backends or tuple(name for name in known if name not in self.left_out())
        if ALL in backends:
            backends = known + tuple(name for name in backends if name != ALL)
        quick = tuple(name for name in QUICK_MODELS if name in registry.model_names())
        models = self.models or (quick if self.quick else tuple(registry.model_names()))
        conditions = self.conditions or (QUICK_CONDITIONS if self.quick else default_names())
        if ALL in conditions:
            conditions = tuple(name for name in CONDITIONS if name != OTHER_INTERPRETER or interpreters.found())
        for name in backends:
            registry.backend_entry(name)
        for name in models:
            registry.model_source(name)
        for name in conditions:
            condition(name)
        others = self.interpreters or (interpreters.found() if OTHER_INTERPRETER in conditions else ())
        if OTHER_INTERPRETER in conditions and not others:
            raise InterpreterError(
                f"{OTHER_INTERPRETER} needs another Python",
                "Name it with --interpreter PATH, or run: make interpreters",
            )
        for path in others:
            interpreters.describe(path)
        return dataclasses.replace(
            self,
            interpreters=_unique(others),
            backends=_unique(backends),
            models=self.part(_unique(models)),
            conditions=_unique((*conditions, OTHER_INTERPRETER) if others else conditions),
            rounds=min(self.rounds, QUICK_ROUNDS) if self.quick else self.rounds,
            budget_s=self.budget_s or (QUICK_BUDGET_S if self.quick else None),
            jobs=self.jobs or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [0]),
        )

    def left_out(self) -> tuple[str, ...]:
        """The backends that are slow, where none is named."""
        names = registry.backend_names()
        return () if self.backends else tuple(name for name in names if registry.backend_entry(name).slow)

    def notice(self) -> str:
        """What a run with these settings leaves out, and how to have it; an empty text where nothing is."""
        left_out = ", ".join(self.left_out())
        return f"Left out, because slow: {left_out}. With --backend {ALL} they take part." if left_out else ""

    def part(self, items: Sequence[Any]) -> tuple[Any, ...]:
        """What of `items` this shard has."""
        return tuple(items[self.shard[0] - 1 :: self.shard[1]])

    def cells(self) -> list[tuple[str, Interpreter | None]]:
        """What a backend is tried under, one cell each: (condition, the interpreter that loads or None)."""
        others = [interpreters.describe(path) for path in self.interpreters]
        return [
            (name, other) for name in self.conditions for other in (others if name == OTHER_INTERPRETER else [None])
        ]


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def new_run_id() -> str:
    """Sortable by time, and different for two runs that start in one second."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(2).hex()}"


class Run:
    """One invocation: folder, environment, records. `tick` is told what is going on, for a progress bar."""

    def __init__(
        self,
        settings: Settings,
        output: Path | None = None,
        tick: Callable[[str], None] = lambda _: None,
        resume: bool = False,
    ) -> None:
        """Create the folder: `output`, or a new one in reports/runs; with `resume`, go on with the run that it holds.

        Raises OutputExists, RecordsError, and as `resolved` does.
        """
        self.settings = settings.resolved()
        self.run_id = new_run_id()
        self.tick = tick
        self._telling = threading.Lock()
        self.folder = output or ROOT / "reports" / "runs" / self.run_id
        self.records: list[Record] = []
        self.broken: dict[str, Exception] = {}
        """What could not be tried, and why; the rest of the run goes on. Their tracebacks are in `errors.log`."""
        if resume and (self.folder / "records.jsonl").is_file():
            self.records = read_records(self.folder).records
            self.run_id = self.records[0].run_id
        self._writer = RecordWriter(self.folder, resume)
        with Worker() as worker:
            self.environment = environment.collect(worker.call("about")["threads"])
        (self.folder / "environment.json").write_text(json.dumps(self.environment, indent=2) + "\n")

    def close(self) -> None:
        self._writer.close()

    def model(self, name: str) -> list[Record]:
        """Run all cells of one model; the records are written when the model is done, and returned."""
        source = registry.model_source(name)
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="roundtrip-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            records = self._cells(source, folder, stack)
        self.keep(records)
        return records

    def traits(self, names: Sequence[str], conditions: Sequence[str] = ()) -> Iterator[list[Record]]:
        """Run tiny models of the corpus against every backend; yields the cells of a file and backend as they are done.

        Raises UnknownName.
        """
        wanted = [condition(name).name for name in conditions or corpus.DEFAULT_CONDITIONS]
        batches = self.settings.part(corpus.batches(names, self.settings.backends))
        with (
            tempfile.TemporaryDirectory(prefix="roundtrip-", dir=corpus.scratch()) as folder,
            ThreadPoolExecutor(self.settings.jobs) as pool,
        ):
            others = tuple(interpreters.describe(path) for path in self.settings.interpreters)
            places = (
                corpus.Place(Path(folder) / str(number), Path(folder) / "described", others)
                for number, _ in enumerate(batches)
            )
            jobs = {}
            for batch, place in zip(batches, places, strict=False):
                job = pool.submit(corpus.run, batch, wanted, place, self.run_id, self._tell)
                jobs[job] = f"{batch.sources[0].path.stem} × {batch.backend}"
            yield from self._finished(jobs)

    def probes(self) -> Iterator[list[Record]]:
        """Probe every backend's safety and transparency; yields a backend's records as they are done."""
        with ThreadPoolExecutor(self.settings.jobs) as pool:
            jobs = {
                pool.submit(probes.probe, name, self.run_id, self._tell): f"probes of {name}"
                for name in self.settings.part(self.settings.backends)
            }
            yield from self._finished(jobs)

    def _finished(self, jobs: dict[Future[list[Record]], str]) -> Iterator[list[Record]]:
        """The jobs' records as they are done; of one that failed none."""
        for job in as_completed(jobs):
            records = []
            with self.going_on(jobs[job]):
                self.keep(records := job.result())
            yield records

    @contextmanager
    def going_on(self, what: str) -> Iterator[None]:
        """Keep an error of the harness in `broken`, so that what comes after is tried all the same."""
        try:
            yield
        except Exception as error:
            self.broken[what] = error
            with open(self.folder / "errors.log", "a", encoding="utf-8") as file:
                file.write(f"{what}\n{''.join(traceback.format_exception(error))}\n")

    def require_all(self) -> None:
        """Raises Incomplete where something could not be tried."""
        if self.broken:
            told = "\n".join(f"  {what}: {type(error).__name__}: {error}" for what, error in self.broken.items())
            raise Incomplete(
                f"{len(self.broken)} parts of the run could not be tried:\n{told}",
                f"What could is in {self.folder}; errors.log there says where it failed.",
            )

    def keep(self, records: Sequence[Record]) -> None:
        """Write records into the run's folder."""
        for record in records:
            record.environment_id = self.environment["environment_id"]
        self._writer.write(records)
        self.records += records

    def _cells(self, source: ModelSource, folder: Path, stack: ExitStack) -> list[Record]:
        profile = _Profile()
        staged = stage(source, folder / "staged")
        tries = [_Try(backend, folder / f"{number:02d}") for number, backend in enumerate(self.settings.backends)]
        with ThreadPoolExecutor(self.settings.jobs) as pool:  # threads that wait: the work is in the workers
            originals = {}
            hows = dict.fromkeys(condition(name).saving for name in self.settings.conditions)
            for original in pool.map(lambda how: self._original(source, staged, folder, how), hows):
                stack.callback(original.close)
                originals[original.how] = original
            for one in tries:
                stack.callback(one.close)  # before the originals: a template tells how its forks end
            list(pool.map(lambda one: self._save(source, originals, staged, one), tries))
            with ExitStack() as away:
                for original in originals.values():
                    away.enter_context(round_trip.out_of_reach(original.stage.folder))
                list(pool.map(lambda one: self._load(source, staged, one), tries))
        profile.phase("outcomes_s")
        timed = [one for one in tries if one.timed is not None]
        competitors = [(Competitor(one.timed, staged.own_modules), one.timed_cell) for one in timed]
        floor = measure.interleave(
            [competitor for competitor, _ in competitors],
            self.settings.plan,
            folder / "rounds",
            lambda text: self._tell(f"{source.name}: {text}"),
        )
        for competitor, cell in competitors:
            for name, value in competitor.costs.items():
                setattr(cell, name, value)
            if competitor.died is not None:
                cell.message = f"{cell.message or ''} (in a later round: {competitor.died})".strip()
        profile.phase("rounds_s")
        records = [record for one in tries for record in one.records]
        if competitors:
            records.append(self._floor_record(source.name, floor))
            records += self._cold_starts([competitor for competitor, _ in competitors], source.name, folder)
        profile.phase("cold_starts_s")
        return [*records, profile.record(self.run_id, source.name)]

    def _cold_starts(self, competitors: Sequence[Competitor], model: str, folder: Path) -> list[Record]:
        wanted = self.settings.cold_starts
        if wanted == "none" or (wanted == "some" and model not in COLD_START_MODELS):
            return []
        living = [competitor for competitor in competitors if competitor.died is None]
        self._tell(f"{model}: {COLD_STARTS * len(living)} cold starts")
        return cold_start.measure(living, COLD_STARTS, folder / "cold", self.run_id, model)

    def _floor_record(self, model: str, floor: measure.Floor) -> Record:
        """What the rounds of a model say of the machine: the floor, its twin, and what went on beside."""
        return Record(
            run_id=self.run_id,
            backend="floor",
            model=model,
            condition=TIMED_CONDITION,
            kind="floor",
            message=floor.failed,
            too_noisy=measure.too_noisy(floor),
            **floor.times,
            floor_read_cold_s=floor.cold_s,
            facts={
                "twin_write_s": floor.twin["floor_write_s"],
                "twin_read_s": floor.twin["floor_read_s"],
                "waiting_share": floor.waiting_share,
                "stolen_share": floor.stolen_share,
                "load_average": environment.load_average(),
            },
        )

    def _original(self, source: ModelSource, staged: Stage, folder: Path, how: str) -> Original:
        self._tell(f"{source.name}: built")
        wanted = self.settings.life != "none" and how == condition(TIMED_CONDITION).saving
        full = self.settings.life == "full" if wanted and TIMED_CONDITION in self.settings.conditions else None
        return Original(source.builder, staged, folder / how, how, full)

    def _save(self, source: ModelSource, originals: dict[str, Original], staged: Stage, one: _Try) -> None:
        """Save in all the ways that the conditions want, and load where it was saved."""
        for how, original in originals.items():
            self._tell(f"{source.name} × {one.backend}: save")
            started = time.perf_counter()
            saved = one.saved[how] = saving.save(one.backend, source.builder, staged, one.folder / how, how, original)
            one.seconds[how] = time.perf_counter() - started
            for name in self.settings.conditions:
                if condition(name).saving == how and condition(name).same_process:
                    started = time.perf_counter()
                    one.loaded[name] = round_trip.load(saved, condition(name))
                    one.seconds[name] = time.perf_counter() - started
            if saved.stopped is not None or how != condition(TIMED_CONDITION).saving:
                saved.close()

    def _load(self, source: ModelSource, staged: Stage, one: _Try) -> None:
        """The backend's cells, in order; of a model that works, the process that saved it stays open.

        It is the one that the timed rounds save from and load in: one process a backend, since dozens of them wait for
        their rounds at a time.
        """
        for name, interpreter in self.settings.cells():
            wanted, started = condition(name), time.perf_counter()
            self._tell(f"{source.name} × {one.backend}: {name}")
            saved = one.saved[wanted.saving]
            if (loaded := one.loaded.get(name)) is None:
                loaded = round_trip.load(saved, wanted, interpreter, staged)
            cell = round_trip.record(self.run_id, saved, loaded, source.name, name)
            if interpreter is not None:
                cell.interpreter = interpreter.label
                cell.rerun += f" --interpreter {shlex.quote(interpreter.shown)}"
            if name == TIMED_CONDITION and round_trip.is_timeable(loaded):
                if self.settings.life != "none":
                    cell.life = life.life(saved, loaded, self.settings.life == "full", staged)
                if self.settings.rounds > 0 or self.settings.cold_starts != "none":
                    one.timed, one.timed_cell = saved, cell
            # a save is counted with the first cell that needs it
            cell.duration_s = time.perf_counter() - started + one.seconds.pop(wanted.saving, 0.0)
            cell.duration_s += one.seconds.pop(name, 0.0)
            one.records.append(cell)
            loaded.close()
        if one.timed is None:
            one.close()

    def _tell(self, text: str) -> None:
        with self._telling:
            self.tick(text)


class _Profile:
    """Where the time of one model went: what passed in each phase, and what calls to workers took, side by side."""

    def __init__(self) -> None:
        self._phases: dict[str, float] = {}
        self._last, self._before = time.monotonic(), SPENT.copy()

    def phase(self, name: str) -> None:
        """The phase of that name ends now."""
        now = time.monotonic()
        self._phases[name], self._last = now - self._last, now

    def record(self, run_id: str, model: str) -> Record:
        calls = {f"calls_{name}_s": seconds for name, seconds in (SPENT - self._before).most_common(8)}
        facts = {name: round(seconds, 3) for name, seconds in (self._phases | calls).items()}
        return Record(
            run_id, "harness", model, "all", kind="profile", duration_s=sum(self._phases.values()), facts=facts
        )


@dataclass
class _Try:
    """One backend's part of a model, while it is being done."""

    backend: str
    folder: Path
    saved: dict[str, saving.Saved] = field(default_factory=dict)
    """By how it was saved."""
    loaded: dict[str, round_trip.Loaded] = field(default_factory=dict)
    """What was loaded where it was saved, by condition."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What a save, or a cell, took so far."""
    records: list[Record] = field(default_factory=list)
    timed: saving.Saved | None = None
    timed_cell: Record | None = None

    def close(self) -> None:
        for saved in self.saved.values():
            saved.close()
