"""What a model that came back does in the spawned workers of a DataLoader, for the condition `spawned_workers`.

What the original itself loses on its way to a worker, or answers otherwise there, or that it cannot be sent at all, is
no method's doing: where a copy does the same, the condition does not suit the model. So where a copy is right, and not
as it should be in a worker, the original is asked too, built where the copy is loaded: once for all methods, which take
the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from harness import conditions
from harness.cell import verdicts
from harness.cell.saving import Saved
from harness.processes import interpreters
from harness.processes.process import Worker, WorkerDied, WorkerFailed
from harness.system import whole

Differences = list[dict[str, Any]]


def judged(saved: Saved, world: conditions.World, directory: str, outcome: str) -> dict[str, Any]:
    """What a DataLoader's spawned worker makes of the outcome, to be put over the fields of the record."""

    def loaded(worker: Worker) -> None:
        worker.call("load", backend=saved.backend, directory=directory, trusted_modules=world.own_modules)

    def is_watched(worker: Worker) -> bool:
        return worker.call("records", backend=saved.backend)

    is_right = outcome in ("exact", "close")
    found = _found(saved, world, loaded, is_watched if is_right else lambda _: True)
    if found["raised"]:
        own = _of_itself(saved, world)["raised"] if is_right else None
        return verdicts.of_the_model_in_workers(found["raised"], own)
    if not is_right or not (found["answers"] or found["states"]):
        return {}
    own = _of_itself(saved, world)
    left = {kind: [one for one in found[kind] if one not in own[kind]] for kind in ("answers", "states")}
    if not any(left.values()):
        return _told(found, "this model is another ") | {"outcome": "unavailable", "stage": "build"}
    return _told(left) | {"outcome": "mismatch"}


def _told(found: dict[str, Any], lead: str = "") -> dict[str, Any]:
    """The fields of a record that tell of differences, of the answers where there are any."""
    told = found["answers"] or found["states"]
    lead += "in a spawned worker: " if found["answers"] else "in a spawned worker: outputs equal, state differs: "
    return {"message": f"{lead}{told[0]['path']}: {told[0]['message']}", "state": told}


def _of_itself(saved: Saved, world: conditions.World) -> dict[str, Any]:
    """The same of the original, as far as any method's cell was told it already."""

    def built(worker: Worker) -> None:
        worker.call("build_of_itself", builder=saved.facts["builder"])

    if not saved.in_workers.exists():
        told = json.dumps(_found(saved, world, built, lambda _: False))
        whole.write(saved.in_workers, told.encode())  # another backend's cell may be reading it
    return json.loads(saved.in_workers.read_text(encoding="utf-8"))


def _found(
    saved: Saved, world: conditions.World, made: Callable[[Worker], None], without_state: Callable[[Worker], bool]
) -> dict[str, Any]:
    """What the model answers otherwise in a DataLoader's spawned worker, and as it should without one; what differs of
    its state there, before it is asked anything; and how it stopped where it did, as fields of a record.

    `made` makes it in a process that has entered its world. `without_state`: whether its state is not looked at, as
    where a method put something in the model's classes, to watch how it is built, which no worker has.

    Each time in a process of its own: a model that counts its calls has counted. A DataLoader draws a number itself,
    and of all examples one goes on where the other ended: what is drawn in `forward` differs from the original's, here
    as there.
    """
    answers: list[Differences] = []
    states: Differences = []
    try:
        for workers in (1, 0):
            with Worker(interpreters.ours(), children=True) as worker:
                world.enter(worker)
                made(worker)
                if workers and not without_state(worker):
                    states = worker.call("state_in_a_worker", reference=str(saved.reference))
                found = worker.call("answer_in_workers", reference=str(saved.reference), workers=workers)
            answers.append([difference for difference in found if not difference["close"]])
            if not answers[0]:
                break
    except (WorkerFailed, WorkerDied) as error:
        return {"raised": verdicts.stopped(error, verdicts.where(str(error))), "answers": [], "states": []}
    of_workers = [difference for difference in answers[0] if difference not in answers[-1]]
    return {"raised": None, "answers": of_workers, "states": [one for one in states if not one["close"]]}
