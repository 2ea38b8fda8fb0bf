"""One model against one backend: save it from a fresh process, load it under each condition, judge what came back.

The comparison is with the very object that was saved: its state before the save, and its taps and score, as the saving
process describes them after it, or a fork of the same process where the original was built for several backends
(`templates`). Processes are kept for the cost rounds of `harness.measure`; who holds them closes them.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness import conditions, hash_seeds, interpreters, project_edits, registry, templates, verdicts
from harness.interpreters import Interpreter
from harness.process import Worker, WorkerDied, WorkerFailed
from harness.records import Record
from harness.staging import TEMPORARY, Stage, libraries_of
from harness.templates import Original


@dataclass
class Saved:
    """A saving process and what it wrote; `stopped` holds the result of every cell if it did not get that far."""

    backend: str
    stage: Stage
    folder: Path
    how: str = "imported"
    worker: Worker | None = None
    stopped: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    described: Path | None = None
    """The reference of the model that was forked for this backend; None: it described its own."""
    shares: Path | None = None
    """The reference that this model's cells have in common with those of other backends; None: no other has it."""

    @property
    def artifact(self) -> Path:
        return self.folder / "artifact"

    @property
    def reference(self) -> Path:
        return self.described or self.folder / "reference.pkl"

    @property
    def hash_seeds(self) -> Path:
        """The file of `hash_seeds`."""
        return Path(f"{self.shares or self.reference}.seeds")

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()


@dataclass
class Loaded:
    """A loading process and the cell that it gave."""

    result: dict[str, Any]
    worker: Worker | None = None

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()


def save(
    backend: str, builder: str, stage: Stage, folder: Path, how: str = "imported", original: Original | None = None
) -> Saved:
    """Build the model in a fresh process, describe it, save it. Never raises for what the backend or model does.

    `how`: "imported", the model's file is a module of the project; "main", it is the script that runs; "notebook", it
    is a notebook, whose cells run; "cuda", as "imported", and the model is on a GPU. The project is copied, so that it
    can be put out of reach of what loads.
    `original`: the model as it was built already, from a project that its owner puts out of reach.
    """
    if original is None:
        stage = stage.copied(folder / "project", how)
    else:
        stage = original.stage
    saved = Saved(backend, stage, folder, how)
    if (missing := registry.how_to_install(registry.backend_entry(backend))) is not None:
        saved.stopped = {"outcome": "unavailable", "stage": "save", "error_type": None, "message": missing}
        return saved
    try:
        if original is not None and _is_shared(saved, original):
            saved.described = original.reference
            if _write(saved, saved.worker):
                saved.facts |= original.facts | {"changed_original": saved.worker.call("changed_by_save")}
            return saved
        saved.worker = templates.with_library(backend)
        if original is not None and original.reference.exists():
            if fill_alike(saved, builder, saved.worker, original.reference):
                return saved
            saved.close()
            saved.worker = templates.with_library(backend)
        fill(saved, builder, saved.worker)
    except (WorkerFailed, WorkerDied) as error:
        saved.stopped = verdicts.not_saved(saved.how, error)
    return saved


def _is_shared(saved: Saved, original: Original) -> bool:
    """Whether the backend saves a fork of the original, which `saved.worker` then is.

    Not where it watches how the model is built, and not where importing its library takes longer than building.
    """
    library = templates.library(saved.backend)
    if not original.forkable or (library is not None and library.imports_s > original.facts["build_s"]):
        return False
    try:
        saved.worker = original.fork()
    except WorkerDied:  # the original is gone, which is not the backend's doing: it builds for itself
        return False
    if saved.worker.call("records", backend=saved.backend):
        saved.worker.close()
        return False
    return True


def fill(saved: Saved, builder: str, worker: Worker) -> None:
    """Build, describe and save in `worker`; `saved` then holds the facts, or where it stopped."""
    try:
        built = templates.build(worker, saved.stage, builder, saved.how, saved.backend)
        worker.call("describe_state")
        if _write(saved, worker):
            changed = worker.call("changed_by_save")
            described = worker.call("describe", reference=str(saved.reference))
            saved.facts |= built | described | {"changed_original": changed}
    except (WorkerFailed, WorkerDied) as error:
        saved.stopped = verdicts.not_saved(saved.how, error)


def fill_alike(saved: Saved, builder: str, worker: Worker, like: Path, noting: bool = False) -> bool:
    """As `fill`, where another process has described the model already, in its reference `like`.

    Describing is most of what a tiny model costs, and once is enough where the state after this save is the one that
    the other had before its own: it was built alike, and saving changed nothing. False where it is not: what was
    written is gone, and the model is to be filled in another process. `noting`: whether another model of the same file
    is still to be filled in this one.
    """
    try:
        built = templates.build(worker, saved.stage, builder, saved.how, saved.backend, noting)
        if _write(saved, worker):
            described = worker.call("take_over", reference=str(saved.reference), like=str(like))
            if described is None:
                shutil.rmtree(saved.artifact)
                saved.facts.clear()
                return False
            saved.facts |= built | described | {"changed_original": []}
            saved.shares = like
    except (WorkerFailed, WorkerDied) as error:
        saved.stopped = verdicts.not_saved(saved.how, error)
    return True


def _write(saved: Saved, worker: Worker) -> bool:
    """Save what `worker` has built; False where the method cannot be tried here. Raises WorkerFailed, WorkerDied."""
    saved.folder.mkdir(parents=True, exist_ok=True)
    save_ = "save_on_cuda" if saved.how == "cuda" else "save"
    written = worker.call(save_, backend=saved.backend, directory=str(saved.artifact))
    if written.get("tagged") == 0:
        saved.stopped = {"outcome": "unavailable", "stage": "save", "error_type": None, "message": _NOT_TAGGED}
        return False
    saved.facts |= written
    return True


_NOT_TAGGED = (
    "no GPU here, and this method does not write where storages are through torch.serialization: what it writes of a "
    "model on a GPU can only be tried with one"
)


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
    world = conditions.prepare(wanted, project or saved.stage, saved.folder / wanted.name)
    with out_of_reach(saved.stage.folder) if project is None else nullcontext():
        if interpreter is None and not world.spawns:
            worker = templates.with_library(saved.backend, interpreters.ours())
        else:
            worker = Worker(interpreter or interpreters.ours(), children=world.spawns)
        try:
            enter(world, worker)
        except (WorkerFailed, WorkerDied) as error:
            return Loaded(verdicts.stopped(error, "load"), worker)
        result = examine(saved, world, worker)
        result |= under_other_seeds(saved, world, result)
        if interpreter is not None:
            result |= {"interpreter": interpreter.label, **unavailable_there(saved, world, result, interpreter, worker)}
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


def enter(world: conditions.World, worker: Worker) -> None:
    """Make the loading process's world. Raises WorkerFailed where something is not as the condition wants it."""
    worker.call(
        "enter",
        project=str(world.project) if world.project else None,
        absent=world.absent,
        own_modules=world.own_modules,
        gone=world.gone,
    )
    if world.without_cuda:
        worker.call("without_cuda")


def examine(saved: Saved, world: conditions.World, worker: Worker, artifact: Path | None = None) -> dict[str, Any]:
    """Load in a process that has entered its world, compare, judge: the fields of the record.

    `artifact`: a changed copy, in place of what was saved.
    """
    directory = str(artifact or saved.artifact)
    first = None
    try:
        first = worker.call("load", backend=saved.backend, directory=directory, trusted_modules=world.own_modules)
        first_load = {"first_load_s": first["load_s"] + worker.imports_s}
        ran = {}
        if world.edited:
            ran = _which_code_ran(saved, world, directory)
            if ran["edited"] and not ran["raised"]:
                return verdicts.edited_code_ran(ran) | first_load
        scored = saved.facts["score"] is not None
        found = worker.call(
            "examine",
            reference=str(saved.reference),
            scoring_file=str(saved.stage.scoring_file) if scored else None,
        )
        elsewhere = _wrong_in_workers(saved, world, directory) if world.spawns else []
    except (WorkerFailed, WorkerDied) as error:
        result = verdicts.stopped(error, "load" if first is None else verdicts.where(str(error)))
        if world.edited and result["stage"] == "load" and _loads_unedited(saved, world, directory):
            result["code_ran"] = "refused"
        return result
    result = verdicts.judge(found, saved.facts) | first_load
    if elsewhere and result["outcome"] in ("exact", "close"):
        text = f"in a spawned worker: {elsewhere[0]['path']}: {elsewhere[0]['message']}"
        result |= {"outcome": "mismatch", "message": text, "state": elsewhere}
    if world.edited and set(result["taps"].values()) & {"equal", "close", "different"}:
        result["code_ran"] = "edited" if ran["edited"] else "saved"
        if not ran["edited"]:
            result |= _edited_all_the_same(saved, world, worker, artifact, result)
    return result


def under_other_seeds(saved: Saved, world: conditions.World, result: dict[str, Any]) -> dict[str, Any]:
    """What other seeds of texts' hashes say of a cell, to be put over the fields of its record: see `hash_seeds`."""
    if not saved.facts.get("hashes"):
        return {}

    def examined(seed: str) -> dict[str, Any]:
        with Worker(interpreters.ours(seed)) as worker:
            return _examined_beside(saved, dataclasses.replace(world, spawns=False), worker)

    return hash_seeds.judged(result, saved.hash_seeds, examined)


def _wrong_in_workers(saved: Saved, world: conditions.World, directory: str) -> list[dict[str, Any]]:
    """What the model answers otherwise in a DataLoader's spawned worker, and as it should without one.

    Each time in a process of its own: a model that counts its calls has counted. A DataLoader draws a number itself,
    and of all examples one goes on where the other ended: what is drawn in `forward` differs from the original's, here
    as there.
    """
    answers = []
    for workers in (1, 0):
        with Worker(interpreters.ours(), children=True) as worker:
            enter(world, worker)
            worker.call("load", backend=saved.backend, directory=directory, trusted_modules=world.own_modules)
            found = worker.call("answer_in_workers", reference=str(saved.reference), workers=workers)
        answers.append([difference for difference in found if not difference["close"]])
        if not answers[0]:
            return []
    return [difference for difference in answers[0] if difference not in answers[1]]


_EQUAL = ("exact", "close", "partial")


def _edited_all_the_same(
    saved: Saved, world: conditions.World, worker: Worker, artifact: Path | None, result: dict[str, Any]
) -> dict[str, Any]:
    """What the examples do not show of an edit, which did not run: see `conditions`. Empty where there is nothing."""
    if result["outcome"] == "mismatch":
        before = _beside_project(saved, world, world.unedited, artifact)
        if before["outcome"] in _EQUAL:
            return {"code_ran": "edited", "message": f"edited code is in the model: {result['message']}"}
    elif result["outcome"] in _EQUAL and worker.call("has_imported"):
        for number, texts in enumerate((True, False)):
            project = world.project.with_name(f"changed-{number}")
            shutil.copytree(world.project, project, ignore=shutil.ignore_patterns("__pycache__"))
            project_edits.change_values(project, texts)
            after = _beside_project(saved, world, project, artifact)
            if after["outcome"] == "mismatch" or after["stage"] in result["taps"]:
                found = {name: after[name] for name in ("state", "differences", "message")}
                found["message"] = f"constants or data of the edited project count: {found['message']}"
                return found | {"outcome": "mismatch", "code_ran": "edited"}
            if after["stage"] != "load":  # which may be for want of the very text that was changed
                break
    return {}


def _beside_project(
    saved: Saved, world: conditions.World, project: Path | None, artifact: Path | None
) -> dict[str, Any]:
    """The fields of the record beside another state of the project."""
    with templates.with_library(saved.backend, interpreters.ours()) as worker:
        return _examined_beside(saved, dataclasses.replace(world, project=project), worker, artifact)


def _examined_beside(
    saved: Saved, world: conditions.World, worker: Worker, artifact: Path | None = None
) -> dict[str, Any]:
    """The fields of the record in another process; it is not asked which code runs."""
    world = dataclasses.replace(world, edited=())
    try:
        enter(world, worker)
    except (WorkerFailed, WorkerDied) as error:
        return verdicts.stopped(error, "load")
    return examine(saved, world, worker, artifact)


def _which_code_ran(saved: Saved, world: conditions.World, directory: str) -> dict[str, Any]:
    """In a process of its own: a model that counts its calls has counted then, be it in a global of its module."""
    with templates.with_library(saved.backend, interpreters.ours()) as worker:
        enter(world, worker)
        worker.call("load", backend=saved.backend, directory=directory, trusted_modules=world.own_modules)
        return worker.call("which_code_ran", reference=str(saved.reference), functions=world.edited)


def _loads_unedited(saved: Saved, world: conditions.World, directory: str) -> bool:
    """Whether the artifact loads beside the project as it was: what refused it then was the edit."""
    with templates.with_library(saved.backend, interpreters.ours()) as worker:
        try:
            enter(dataclasses.replace(world, project=world.unedited), worker)
            worker.call("load", backend=saved.backend, directory=directory, trusted_modules=world.own_modules)
        except (WorkerFailed, WorkerDied):
            return False
    return True


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
    """Whether the process lives and the model runs: what failed has no costs worth comparing."""
    return loaded.worker is not None and loaded.result["outcome"] in ("exact", "close", "partial", "mismatch")
