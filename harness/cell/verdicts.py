"""What came of a cell, in the words of the design: from what its processes answered, raised, or left behind."""

from __future__ import annotations

import re
from typing import Any

from harness.processes.process import Failure, WorkerDied, WorkerFailed


def judge(found: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """The outcome of a model that loaded, from what `calls.load.examine` found."""
    result: dict[str, Any] = {
        "taps": found["taps"],
        "state": found["differences"],
        "differences": found["count"],
        "score_saved": facts.get("score"),
        "score_loaded": found.get("score"),
        "stage": None,
        "error_type": None,
        "message": None,
    }
    if found["failure"] is not None:
        return result | failed(Failure(**found["failure"]))
    changed = facts.get("changed_original")
    verdicts = [*found["taps"].values(), found["state_verdict"]]
    if "different" in verdicts or changed:
        outcome, differences = "mismatch", changed or [item for item in found["differences"] if not item["close"]]
        first = differences[0] if differences else {"path": "?", "message": "a difference past the listed ones"}
        lead = "saving changed the original: " if changed else ""
        if not changed and "different" not in found["taps"].values():
            lead = "outputs equal, state differs: "
        result["message"] = f"{lead}{first['path']}: {first['message']}"
    elif found["score"] is not None and found["score"] != facts.get("score") and "close" not in verdicts:
        outcome, result["message"] = "mismatch", f"score was {facts.get('score')}, is now {found['score']}"
        result["stage"] = "score"
    elif len(found["absent"]) == len(found["taps"]):
        outcome, result["message"] = "mismatch", f"no stage of the model came back, but a {found['type']}"
    elif found["absent"]:
        outcome, result["message"] = "partial", f"not in the artifact: {', '.join(found['absent'])}"
    else:
        outcome = "close" if "close" in verdicts else "exact"
        if outcome == "close":
            first = found["differences"][0]
            result["message"] = f"{first['path']}: {first['message']}"
    return result | {"outcome": outcome}


def edited_code_ran(ran: dict[str, list[str]]) -> dict[str, Any]:
    """The outcome where the model answered with edited code and nothing was said: see `conditions`."""
    names = ", ".join(ran["edited"][:4]) + (", ..." if len(ran["edited"]) > 4 else "")
    beside = f"; beside it the saved {', '.join(ran['saved'][:4])}" if ran["saved"] else ""
    return {"outcome": "mismatch", "code_ran": "edited", "message": f"edited code ran: {names}{beside}"}


RUN_AS = {"notebook": "in a notebook", "main": "as a script"}
"""Ways to run a model's code that not each suits, in words."""


def not_saved(how: str, error: WorkerFailed | WorkerDied) -> dict[str, Any]:
    """What stopped a save; `how` is as in `saving.save`: not every model suits each, which no backend can help."""
    result = stopped(error, "save")
    if how in RUN_AS and result["stage"] == "build":  # which says nothing of the backend
        message = f"this model's code does not run {RUN_AS[how]}: {result['error_type']}: {result['message']}"
        return result | {"outcome": "unavailable", "message": message}
    if how == "cuda" and result["stage"] == "condition":
        message = f"this model cannot be moved to a GPU and back: {result['error_type']}: {result['message']}"
        return result | {"outcome": "unavailable", "message": message}
    return result


def of_the_model(result: dict[str, Any], own: Failure | None) -> dict[str, Any]:
    """What to say instead of `failed` where classes moved and the project raises the same of itself, so that it is not
    the backend's doing: code that finds them by a text, or by more steps than `project.edits` follows."""
    if own is None or (own.error_type, own.message.strip()) != (result["error_type"], result["message"]):
        return {}
    message = f"this model's code does not run after its classes moved: {result['error_type']}: {result['message']}"
    return {"outcome": "unavailable", "stage": "build", "message": message}


def of_the_model_in_workers(result: dict[str, Any], own: dict[str, Any] | None) -> dict[str, Any]:
    """What to say where a model that came back does not work in spawned workers, as `result` has it, and the original
    itself stopped as `own` has it; None: it works there. A method that adds a reason of its own is to blame for it."""
    if own is None or any(own[field] != result[field] for field in ("outcome", "stage", "error_type", "message")):
        return result
    message = f"this model does not work in spawned workers, whatever saves it: {own['error_type']}: {own['message']}"
    return result | {"outcome": "unavailable", "stage": "build", "message": message}


def stopped(error: WorkerFailed | WorkerDied, where: str) -> dict[str, Any]:
    """A call that raised, or whose process ended; `where` is the stage, if that did not get to tell it."""
    if isinstance(error, WorkerDied):
        return {"outcome": "crashed", "stage": where, "error_type": "WorkerDied", "message": str(error)}
    return failed(error.failure)


def failed(failure: Failure) -> dict[str, Any]:
    """An exception, with the last lines of its traceback."""
    outcome = "unsupported" if failure.unsupported else "failed"
    return {
        "outcome": outcome,
        "stage": failure.stage,
        "error_type": failure.error_type,
        "message": failure.message.strip(),
        "traceback": "\n".join(failure.traceback.strip().splitlines()[-8:]),
    }


def where(last_words: str) -> str:
    """The stage in which a process died that had loaded its model, as far as its last words tell."""
    found = re.search(r"\bin (preprocess|forward|postprocess)$", last_words)
    return found.group(1) if found else "compare"
