"""What a model that came back does in the spawned workers of a DataLoader, for the condition `spawned_workers`."""

from __future__ import annotations

from typing import Any

from harness import conditions
from harness.cell.saving import Saved
from harness.processes import interpreters
from harness.processes.process import Worker


def judged(saved: Saved, world: conditions.World, directory: str, outcome: str) -> dict[str, Any]:
    """What a DataLoader's spawned worker makes of the outcome, to be put over the fields of the record.

    Raises WorkerFailed, WorkerDied where the model does not work there at all.
    """
    is_right = outcome in ("exact", "close")
    answers, states = _wrong(saved, world, directory, is_right)
    if not is_right or not (answers or states):
        return {}
    first = (answers or states)[0]
    lead = "in a spawned worker: " if answers else "in a spawned worker: outputs equal, state differs: "
    text = f"{lead}{first['path']}: {first['message']}"
    return {"outcome": "mismatch", "message": text, "state": answers or states}


def _wrong(
    saved: Saved, world: conditions.World, directory: str, with_state: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the model answers otherwise in a DataLoader's spawned worker, and as it should without one; and what differs
    of its state there, before it is asked anything: not where a method put something in the model's classes, to watch
    how it is built, which no worker has.

    Each time in a process of its own: a model that counts its calls has counted. A DataLoader draws a number itself,
    and of all examples one goes on where the other ended: what is drawn in `forward` differs from the original's, here
    as there.
    """
    answers, states = [], []
    for workers in (1, 0):
        with Worker(interpreters.ours(), children=True) as worker:
            world.enter(worker)
            worker.call("load", backend=saved.backend, directory=directory, trusted_modules=world.own_modules)
            if workers and with_state and not worker.call("records", backend=saved.backend):
                states = worker.call("state_in_a_worker", reference=str(saved.reference))
            found = worker.call("answer_in_workers", reference=str(saved.reference), workers=workers)
        answers.append([difference for difference in found if not difference["close"]])
        if not answers[0]:
            break
    of_workers = [difference for difference in answers[0] if difference not in answers[-1]]
    return of_workers, [difference for difference in states if not difference["close"]]
