"""Life after load of one cell: asks both processes, and lets the loaded model go through a round trip of its own."""

from __future__ import annotations

from pathlib import Path

from harness import round_trip
from harness.process import WorkerDied, WorkerFailed
from harness.round_trip import Loaded, Saved

LEVELS = ("none", "quick", "full")
"""`quick` costs about as much as the comparison; `full` seconds a cell, for torch's compiler and another save."""


def life(saved: Saved, loaded: Loaded, full: bool) -> dict[str, str]:
    """The checks of `calls_life` on a model that loaded; the loading process may be dead afterwards.

    Never raises for what the backend or model does.
    """
    reference = str(saved.reference)
    found: dict[str, str] = {}
    try:
        if not Path(f"{reference}.life").exists():  # the original was not asked for all backends: see `templates`
            saved.worker.call("describe_life", reference=reference, full=full)
        again = _save_again(saved, loaded) if full else ""
        found = loaded.worker.call("life", reference=reference, full=full)
        if full:
            found["saves_again"] = again or _load_again(saved, loaded)
    except WorkerDied as error:
        found["crashed"] = f"failed: {error}"
    except WorkerFailed as error:  # of the harness's own reading and writing; a check that raises is a finding
        found["failed"] = f"failed: {error}"
    return found


def _save_again(saved: Saved, loaded: Loaded) -> str:
    """Save what was loaded, before training changes it; why it failed, or an empty text."""
    try:
        loaded.worker.call(
            "save_again",
            backend=saved.backend,
            directory=str(saved.folder / "again"),
            reference=str(saved.reference),
            constructor=saved.facts["constructor"],
        )
    except WorkerFailed as error:
        return f"failed: {error.failure.error_type}: {error.failure.message}"
    return ""


def _load_again(saved: Saved, loaded: Loaded) -> str:
    world = round_trip.here(saved)
    result = round_trip.examine(saved, world, loaded.worker, saved.folder / "again")
    if result["outcome"] == loaded.result["outcome"]:
        return "equal"
    return f"different: {loaded.result['outcome']} at first, then {result['outcome']}: {result['message']}"
