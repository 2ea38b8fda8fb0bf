"""A cell, of what `saving` wrote: load it under a condition, judge what came back, make the record.

The loading process is kept for the cost rounds of `harness.measure`; who holds it closes it.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness import conditions, registry
from harness.cell import hash_seeds, in_workers, of_itself, verdicts
from harness.cell.code_ran import Edited
from harness.cell.saving import Saved
from harness.processes import interpreters, templates
from harness.processes.interpreters import Interpreter
from harness.processes.process import Worker, WorkerDied, WorkerFailed
from harness.project.staging import TEMPORARY, Stage, libraries_of
from harness.records import CAN_BE_TIMED, Record


@dataclass
class Loaded:
    """A loading process and the cell that it gave."""

    result: dict[str, Any]
    worker: Worker | None = None

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()


def load(
    saved: Saved, wanted: conditions.Condition, interpreter: Interpreter | None = None, project: Stage | None = None
) -> Loaded:
    """Load under a condition and examine; `interpreter`: another Python than this one does.

    `project`: the same project in another place, where the one that it was saved from is out of reach already. Never
    raises for what the backend or model does.
    """
    if saved.stopped is not None:
        return Loaded(dict(saved.stopped))
    if wanted.same_process:
        return Loaded(examine(saved, here(saved), saved.worker))
    stage = project or saved.stage
    world = conditions.prepare(wanted, stage, saved.folder / wanted.name)
    with out_of_reach(saved.stage.folder) if project is None else nullcontext():
        if interpreter is None and not world.spawns:
            worker = templates.with_library(saved.backend, interpreters.ours())
        else:
            worker = Worker(interpreter or interpreters.ours(), children=world.spawns)
        try:
            world.enter(worker)
        except (WorkerFailed, WorkerDied) as error:
            return Loaded(verdicts.stopped(error, "load"), worker)
        result = examine(saved, world, worker)
        result |= under_other_seeds(saved, world, result)
        if interpreter is not None:
            result |= {"interpreter": interpreter.label, **unavailable_there(saved, world, result, interpreter, worker)}
    if world.gone and result["outcome"] == "failed":
        result |= verdicts.of_the_model(result, of_itself.raised(stage, wanted, saved.facts["builder"]))
    return Loaded(result, worker)


def unavailable_there(
    saved: Saved, world: conditions.World, result: dict, interpreter: Interpreter, worker: Worker
) -> dict[str, Any]:
    """What to say instead of `failed` where the other interpreter lacks what the model or the backend needs."""
    if result["outcome"] != "failed":
        return {}
    libraries = [name for name in libraries_of(world.project, world.own_modules) if _is_installed(name)]
    needed = [*registry.backend_entry(saved.backend).requires, *libraries]
    try:
        missing = worker.call("unusable", names=needed)
    except (WorkerFailed, WorkerDied):
        return {}
    if not missing:
        return {}
    why = "; ".join(f"{name} cannot be imported in {interpreter.label}: {text}" for name, text in missing.items())
    return {"outcome": "unavailable", "message": why}


def _is_installed(name: str) -> bool:
    """Whether a library is here: what is missing on both sides is no reason why a model fails on one."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules


def here(saved: Saved) -> conditions.World:
    """The world in which nothing was changed."""
    return conditions.World(saved.stage.folder, saved.stage.own_modules)


@contextmanager
def out_of_reach(project: Path) -> Iterator[None]:
    """While something loads elsewhere, the project that it was saved from is not where it was, nor are the temporary
    files of the process that built the model."""
    temporary = project.with_name(f"{project.name}{TEMPORARY}")
    moved = [(place, place.with_name(f"{place.name}-{os.urandom(8).hex()}")) for place in (project, temporary)
             if place.exists()]  # fmt: skip
    for place, away in moved:
        place.rename(away)
    try:
        yield
    finally:
        for place, away in moved:
            away.rename(place)


def examine(saved: Saved, world: conditions.World, worker: Worker, artifact: Path | None = None) -> dict[str, Any]:
    """Load in a process that has entered its world, compare, judge: the fields of the record.

    `artifact`: a changed copy, in place of what was saved.
    """
    directory = str(artifact or saved.artifact)
    edited = Edited(saved, world, Path(directory), lambda other, there: _examined_beside(saved, other, there, artifact))
    first = None
    try:
        first = worker.call("load", backend=saved.backend, directory=directory, trusted_modules=world.own_modules)
        first_load = {"first_load_s": first["load_s"] + worker.imports_s}
        ran = {}
        if world.edited:
            ran = edited.by_examples()
            if ran["edited"] and not ran["raised"]:
                return verdicts.edited_code_ran(ran) | first_load
        scored = saved.facts["score"] is not None
        found = worker.call(
            "examine",
            reference=str(saved.reference),
            scoring_file=str(saved.stage.scoring_file) if scored else None,
        )
        result = verdicts.judge(found, saved.facts) | first_load
        if world.spawns:
            result |= in_workers.judged(saved, world, directory, result["outcome"])
    except (WorkerFailed, WorkerDied) as error:
        result = verdicts.stopped(error, "load" if first is None else verdicts.where(str(error)))
        if world.edited and result["stage"] == "load" and edited.refused():
            result["code_ran"] = "refused"
        return result
    if world.edited and set(result["taps"].values()) & {"equal", "close", "different"}:
        result["code_ran"] = "edited" if ran["edited"] else "saved"
        if not ran["edited"]:
            result |= edited.elsewhere(worker, result)
    return result


def under_other_seeds(saved: Saved, world: conditions.World, result: dict[str, Any]) -> dict[str, Any]:
    """What other seeds of texts' hashes say of a cell, to be put over the fields of its record: see `hash_seeds`."""
    if not saved.facts.get("hashes"):
        return {}

    def examined(seed: str) -> dict[str, Any]:
        with Worker(interpreters.ours(seed)) as worker:
            return _examined_beside(saved, dataclasses.replace(world, spawns=False), worker)

    return hash_seeds.judged(result, saved.hash_seeds, examined)


def _examined_beside(
    saved: Saved, world: conditions.World, worker: Worker, artifact: Path | None = None
) -> dict[str, Any]:
    """The fields of the record in another process; it is not asked which code runs."""
    world = dataclasses.replace(world, edited=())
    try:
        world.enter(worker)
    except (WorkerFailed, WorkerDied) as error:
        return verdicts.stopped(error, "load")
    return examine(saved, world, worker, artifact)


def bench_command(backend: str, model: str, condition: str = "fresh_process") -> str:
    """The command that runs one cell again, for a shell."""
    return shlex.join(["pytest", "benchmarks/", "--model", model, "--backend", backend, "--condition", condition])


def record(run_id: str, saved: Saved, loaded: Loaded, model: str, condition: str) -> Record:
    """The cell's record: its result and the facts of the save."""
    facts = {name: saved.facts[name] for name in ("artifact_bytes", "tensor_bytes") if name in saved.facts}
    cell = Record(run_id=run_id, backend=saved.backend, model=model, condition=condition)
    cell.rerun = bench_command(saved.backend, model, condition)
    return dataclasses.replace(cell, **facts, **loaded.result)


def is_timeable(loaded: Loaded) -> bool:
    """Whether the process lives and the model runs."""
    return loaded.worker is not None and loaded.result["outcome"] in CAN_BE_TIMED
