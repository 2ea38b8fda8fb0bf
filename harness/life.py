"""Life after load of one cell: asks both processes, and lets the loaded model go through a round trip of its own."""

from __future__ import annotations

from pathlib import Path

from harness import conditions, round_trip
from harness.cell.saving import Saved
from harness.processes import interpreters, templates
from harness.processes.process import WorkerDied, WorkerFailed
from harness.project.staging import Stage
from harness.round_trip import Loaded

LEVELS = ("none", "quick", "full")
"""`quick` costs about as much as the comparison; `full` seconds a cell, for torch's compiler and another save."""


def life(saved: Saved, loaded: Loaded, full: bool, project: Stage) -> dict[str, str]:
    """The checks of `calls.life` on a model that loaded; the loading process may be dead afterwards.

    `project`: one that is in reach. Never raises for what the backend or model does.
    """
    reference = str(saved.reference)
    found: dict[str, str] = {}
    try:
        if not Path(f"{reference}.life").exists():  # the original was not asked for all backends: see `templates`
            saved.worker.call("describe_life", reference=reference, full=full)
        found = loaded.worker.call("life", reference=reference, full=full)
        if full:
            found["saves_again"] = _saves_again(saved, loaded, project)
    except WorkerDied as error:
        found["crashed"] = f"failed: {error}"
    except WorkerFailed as error:  # of the harness's own reading and writing; a check that raises is a finding
        found["failed"] = f"failed: {error}"
    return found


def _saves_again(saved: Saved, loaded: Loaded, project: Stage) -> str:
    """Load, save and load once more, in two new processes: a model that counts its calls has counted in the first one,
    and what is in memory there is not where it will be loaded."""
    world = conditions.prepare(conditions.condition("fresh_process"), project, saved.folder / "lives")
    again = saved.folder / "again"
    with templates.with_library(saved.backend, interpreters.ours()) as worker:
        world.enter(worker)
        trusted = {"trusted_modules": world.own_modules}
        worker.call("load", backend=saved.backend, directory=str(saved.artifact), **trusted)
        try:
            worker.call(
                "save_again",
                backend=saved.backend,
                directory=str(again),
                reference=str(saved.reference),
                constructor=saved.facts["constructor"],
            )
        except WorkerFailed as error:
            return f"failed: {error.failure.error_type}: {error.failure.message}"
    with templates.with_library(saved.backend, interpreters.ours()) as worker:
        world.enter(worker)
        result = round_trip.examine(saved, world, worker, again)
    if result["outcome"] == loaded.result["outcome"]:
        return "equal"
    return f"different: {loaded.result['outcome']} at first, then {result['outcome']}: {result['message']}"
