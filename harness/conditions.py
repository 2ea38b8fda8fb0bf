"""What is true of the process that loads. One small unit a condition: it prepares the world, the worker asserts it.

A condition works on the staged project after the artifact was saved from it, and says what the loading process gets
on its `sys.path` and what must not be importable there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UnknownName
from harness.staging import Stage


@dataclass(frozen=True)
class World:
    """What the loading process sees."""

    project: Path | None
    """On `sys.path`; None: nothing of the user's is."""
    own_modules: tuple[str, ...]
    """The user's modules: trusted, where a backend asks whom to trust."""
    absent: tuple[str, ...] = ()
    """Must not be importable; the loading process asserts it."""


@dataclass(frozen=True)
class Condition:
    """A name, the question that it answers, and how to make it so."""

    name: str
    question: str
    prepare: Callable[[Stage], World]
    same_process: bool = False
    """Load where the model was saved, instead of in a fresh process."""
    saving: str = "imported"
    """How the artifact that it loads was made: see `round_trip.save`."""
    default: bool = True
    """Whether a run has it that does not ask for it; what takes seconds a cell, or needs something, has to be asked."""


def _project_there(stage: Stage) -> World:
    return World(stage.folder, stage.own_modules)


def _project_gone(stage: Stage) -> World:
    shutil.rmtree(stage.folder)
    return World(None, stage.own_modules, absent=stage.own_modules)


CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition("same_process", "Does it load where it was saved?", _project_there, same_process=True),
        Condition("fresh_process", "Does it load in a new process that can import my source?", _project_there),
        Condition("source_absent", "Does it load where my source is not?", _project_gone),
    )
}


def default_names() -> tuple[str, ...]:
    """The conditions of a run that does not say which."""
    return tuple(name for name, condition in CONDITIONS.items() if condition.default)


def condition(name: str) -> Condition:
    """Look a condition up. Raises UnknownName."""
    if name not in CONDITIONS:
        raise UnknownName("condition", name, CONDITIONS)
    return CONDITIONS[name]


def prepare(wanted: Condition, stage: Stage, copy_to: Path) -> World:
    """The world of one cell, made on a copy of the project, so that cells do not see each other's changes."""
    folder = copy_to / "project"
    shutil.copytree(stage.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return wanted.prepare(replace(stage, folder=folder))
