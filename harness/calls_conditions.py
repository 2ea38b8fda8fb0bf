"""A loading process's calls for single conditions. See `worker` and `conditions`."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Collection
from types import FrameType
from typing import Any

from harness import inference
from harness.project_edits import MARK
from harness.session import Session, batches_of, read_reference, seed


def unusable(session: Session, *, names: Collection[str]) -> dict[str, str]:
    """Those of the modules that cannot be imported here, and why."""
    found = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def which_code_ran(session: Session, *, reference: str, functions: Collection[str]) -> dict[str, Any]:
    """Qualified names of the user's functions that run when the loaded model answers, by version of their code.

    `functions` are those that were edited. A function that has the mark of an edit is `edited`; one of the same name
    that has none, and does not belong to a library, is `saved`. `raised` tells whether the model answered at all.
    """
    session.stage = "compare"
    written = read_reference(reference)
    functions = frozenset(functions)
    ran: dict[str, dict[str, None]] = {"edited": {}, "saved": {}}
    raised = False

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_qualname not in functions:
            return
        if MARK in code.co_varnames:
            ran["edited"][code.co_qualname] = None
        elif not code.co_filename.startswith((sys.prefix, sys.base_prefix)) and "site-packages" not in code.co_filename:
            ran["saved"][code.co_qualname] = None

    for x, batch in zip(pickle.loads(written["examples"]), batches_of(written), strict=True):
        seed()
        sys.setprofile(watch)
        try:
            inference.trace(session.loaded, x, batch)
        except inference.InferenceError:  # `examine` will tell
            raised = True
        finally:
            sys.setprofile(None)
    return {"edited": list(ran["edited"]), "saved": list(ran["saved"]), "raised": raised}
