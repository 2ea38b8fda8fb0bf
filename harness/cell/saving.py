"""The save of one model with one backend, from a fresh process or a fork of one that built the model.

What comes back is compared with the very object that was saved: its state before the save, and its taps and score, as
the saving process describes them after it, or a fork of the same process where the original was built for several
backends (`templates`). The process stays for the cost rounds of `harness.measure`; who holds it closes it.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import registry
from harness.cell import verdicts
from harness.processes import templates
from harness.processes.process import Worker, WorkerDied, WorkerFailed
from harness.processes.templates import Original
from harness.project.staging import Stage


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

    @property
    def in_workers(self) -> Path:
        """The file of `in_workers`."""
        return Path(f"{self.shares or self.reference}.workers")

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
        built = _build(saved, builder, worker)
        worker.call("describe_state")
        # in a fork, where that can be: what the original's answers leave among the user's globals, the copy that is
        # loaded here would begin with
        with Worker(template=worker) if built["forkable"] else nullcontext(worker) as describer:
            if not _write(saved, worker):
                return
            changed = worker.call("changed_by_save")
            described = describer.call("describe", reference=str(saved.reference))
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
        built = _build(saved, builder, worker, noting)
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


def _build(saved: Saved, builder: str, worker: Worker, noting: bool = True) -> dict[str, Any]:
    """Build the model there, watched by a method that has to see it.

    Where code is run as it is not meant to be, such a method is not to blame for what is raised again in a new process,
    where nothing watches. Raises WorkerFailed, WorkerDied.
    """
    try:
        return templates.build(worker, saved.stage, builder, saved.how, saved.backend, noting)
    except WorkerFailed as watched:
        if watched.failure.stage == "build" or saved.how not in verdicts.RUN_AS:
            raise
        with Worker() as unwatched:
            try:
                templates.build(unwatched, saved.stage, builder, saved.how)
            except WorkerFailed as own:
                told = [(one.failure.error_type, one.failure.message) for one in (watched, own)]
                if told[0] == told[1]:
                    raise own from None
        raise


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
