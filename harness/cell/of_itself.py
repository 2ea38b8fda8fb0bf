"""Whether a project runs in a condition's world at all, nothing saved and nothing loaded: else no backend can help."""

from __future__ import annotations

import functools
import threading

from harness import conditions
from harness.processes import interpreters
from harness.processes.process import Failure, Worker, WorkerDied, WorkerFailed
from harness.project.edits import MOVED
from harness.project.staging import Stage

_ONE_AT_A_TIME = threading.Lock()


def raised(stage: Stage, wanted: conditions.Condition, builder: str) -> Failure | None:
    """What the project raises there when it builds its model and this answers its examples.

    Asked once for all backends, which may ask side by side.
    """
    with _ONE_AT_A_TIME:
        return _asked(stage, wanted, builder)


@functools.lru_cache(maxsize=16)
def _asked(stage: Stage, wanted: conditions.Condition, builder: str) -> Failure | None:
    world = conditions.prepare(wanted, stage, stage.folder.with_name(f"of_itself_{wanted.name}"))
    module, _, name = builder.partition(":")
    if (module, name) in world.gone:  # the class itself, which whoever calls it finds in its new place
        builder = f"{module}{MOVED}:{name}"
    try:
        with Worker(interpreters.ours()) as worker:
            world.enter(worker)
            worker.call("answer_of_itself", builder=builder)
    except WorkerFailed as error:
        return error.failure
    except WorkerDied:
        pass
    return None
