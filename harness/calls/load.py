"""A loading process's calls: enter the world of a condition, load, compare with the original. See `worker`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import compare, inference
from harness.calls.session import (
    TAPS,
    Session,
    batches_of,
    declared,
    failure,
    import_copy,
    read_reference,
    score,
    seed,
    state_differences,
    tap_snapshots,
)  # fmt: skip
from harness.project.edits import top_level_names
from harness.project.staging import TEMPORARY

LISTED_DIFFERENCES = 20


def enter(
    session: Session,
    *,
    project: str | None,
    absent: Sequence[str],
    own_modules: Sequence[str],
    gone: Sequence[tuple[str, str]] = (),
) -> None:
    """Make the world that a condition wants, and assert it: what should be absent cannot be imported."""
    session.stage = "condition"
    session.own_modules = tuple(own_modules)
    if project is not None:
        sys.path.insert(0, project)
        tempfile.tempdir = f"{project}{TEMPORARY}"  # as in the process that saved
        os.makedirs(tempfile.tempdir, exist_ok=True)
    importlib.invalidate_caches()
    for name in absent:
        spec = importlib.util.find_spec(name)
        if spec is not None or name in sys.modules:
            where = getattr(spec, "origin", None)
            raise RuntimeError(f"module {name!r} should be absent but can be imported from {where}")
    for module, name in gone:  # by its text: importing it would change the world
        path = Path(project, *module.split(".")).with_suffix(".py")
        if name in top_level_names(path):
            raise RuntimeError(f"{name!r} should have moved but is defined in {path}")


def load(session: Session, *, backend: str, directory: str, trusted_modules: Sequence[str]) -> dict[str, Any]:
    """Load the artifact; seconds. The backend's own module is imported before the clock starts."""
    session.stage = "load"
    session.loaded, session.would_import = None, False
    method = session.backend(backend).load
    arguments = declared(method, trusted_modules=tuple(trusted_modules))
    started = time.perf_counter()
    session.loaded = method(Path(directory), **arguments)
    return {"load_s": time.perf_counter() - started}


def examine(session: Session, *, reference: str, scoring_file: str | None) -> dict[str, Any]:
    """Compare the loaded model with the original: state, then the taps over all examples and once
    more the first, then the score."""
    session.stage = "compare"
    written = read_reference(reference)
    tolerance = compare.Tolerance(**written["tolerance"])
    loaded = session.loaded
    absent = [tap for tap in TAPS if not inference.has_stage(loaded, tap)]
    found: dict[str, Any] = {"absent": absent, "taps": dict.fromkeys(TAPS), "differences": [], "failure": None}
    found["type"] = type(loaded).__name__
    differences: list[compare.Difference] = []
    if not absent:  # a part of a model has no comparable state: its taps speak for it
        states = state_differences(session, written, tolerance)
        differences += [one for one in states if (one.path, one.message) not in session.ran]
    found["state_verdict"] = compare.verdict(differences) if not absent else None
    try:
        differences += _compare_taps(session, written, tolerance, found["taps"])
        session.stage = "score"
        found["score"] = None if absent or not scoring_file else score(session, loaded, import_copy(scoring_file))
    except Exception as error:
        found["failure"] = failure(session, error)
        if found["failure"]["stage"] in TAPS:
            found["taps"][found["failure"]["stage"]] = "different"
    found["count"] = len(differences)
    found["differences"] = [difference.to_dict() for difference in differences[:LISTED_DIFFERENCES]]
    return found


def _compare_taps(
    session: Session, written: dict, tolerance: compare.Tolerance, taps: dict[str, str | None]
) -> list[compare.Difference]:
    examples = pickle.loads(written["examples"]) + pickle.loads(written["examples"])[:1]
    if inference.has_stage(session.loaded, "preprocess"):  # then what it gives goes into `forward`
        batches = [inference.ABSENT] * len(examples)
    else:
        batches = [*batches_of(written), batches_of(written)[0]]
    every: dict[str, list[compare.Difference]] = {tap: [] for tap in TAPS}
    for tap in TAPS:
        if not inference.has_stage(session.loaded, tap):
            taps[tap] = "absent"
    for place, (x, batch, expected) in enumerate(zip(examples, batches, written["taps"], strict=True)):
        seed(place % (len(examples) - 1))
        reached = inference.Taps()
        try:
            inference.trace(session.loaded, x, batch, into=reached)
        finally:  # what was reached counts, also where a later stage raised
            for tap, actual in tap_snapshots(session, reached).items():
                if actual is not None and expected[tap] is not None:
                    root = f"{tap}(examples[{place % (len(examples) - 1)}])"
                    every[tap] += compare.compare(expected[tap], actual, tolerance, root)
                    taps[tap] = compare.verdict(every[tap])
    return [difference for tap in TAPS for difference in every[tap]]
