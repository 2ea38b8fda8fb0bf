"""Which code ran, where the project was edited after the save: `saved`, `edited` or `refused`. See `conditions`.

Each question is asked in a process of its own: a model that counts its calls has counted then, be it in a global of its
module.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cell.saving import Saved
from harness.conditions import World
from harness.processes import interpreters, templates
from harness.processes.process import Worker, WorkerDied, WorkerFailed
from harness.project import edits

_EQUAL = ("exact", "close", "partial")


@dataclass(frozen=True)
class Edited:
    """A cell whose project was edited."""

    saved: Saved
    world: World
    artifact: Path
    """What is loaded: what was saved, or a changed copy."""
    examined: Callable[[World, Worker], dict[str, Any]]
    """The fields of the record in another world, which the worker enters."""

    def by_examples(self) -> dict[str, Any]:
        """Which edited functions the examples ran (`edited`), and what raised. Raises WorkerFailed, WorkerDied."""
        with templates.with_library(self.saved.backend, interpreters.ours()) as worker:
            self._load(self.world, worker)
            return worker.call("which_code_ran", reference=str(self.saved.reference), functions=self.world.edited)

    def refused(self) -> bool:
        """Whether the artifact, which did not load, loads beside the project as it was: the edit was refused then."""
        with templates.with_library(self.saved.backend, interpreters.ours()) as worker:
            try:
                self._load(self._beside(self.world.unedited), worker)
            except (WorkerFailed, WorkerDied):
                return False
        return True

    def elsewhere(self, worker: Worker, result: dict[str, Any]) -> dict[str, Any]:
        """What the examples do not show of an edit that did not run in them; empty where there is nothing.

        `worker` has loaded the model, and `result` is what was found there.
        """
        if result["outcome"] == "mismatch":
            before = self._examined_beside(self.world.unedited)
            if before["outcome"] in _EQUAL:
                return {"code_ran": "edited", "message": f"edited code is in the model: {result['message']}"}
        elif result["outcome"] in _EQUAL and worker.call("has_imported"):
            return self._by_values(tuple(result["taps"]))
        return {}

    def _by_values(self, taps: tuple[str, ...]) -> dict[str, Any]:
        """What other constants and data in the project change; empty where nothing does."""
        for number, texts in enumerate((True, False)):
            project = self.world.project.with_name(f"changed-{number}")
            shutil.copytree(self.world.project, project, ignore=shutil.ignore_patterns("__pycache__"))
            edits.change_values(project, texts)
            after = self._examined_beside(project)
            if after["outcome"] == "mismatch" or after["stage"] in taps:
                found = {name: after[name] for name in ("state", "differences", "message")}
                found["message"] = f"constants or data of the edited project count: {found['message']}"
                return found | {"outcome": "mismatch", "code_ran": "edited"}
            if after["stage"] != "load":  # which may be for want of the very text that was changed
                break
        return {}

    def _load(self, world: World, worker: Worker) -> None:
        world.enter(worker)
        names = world.own_modules
        worker.call("load", backend=self.saved.backend, directory=str(self.artifact), trusted_modules=names)

    def _beside(self, project: Path | None) -> World:
        return dataclasses.replace(self.world, project=project)

    def _examined_beside(self, project: Path | None) -> dict[str, Any]:
        with templates.with_library(self.saved.backend, interpreters.ours()) as worker:
            return self.examined(self._beside(project), worker)
