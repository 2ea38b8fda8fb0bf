"""What is true of the process that loads. One small unit a condition: it prepares the world, the worker asserts it.

A condition works on a copy of the staged project after the artifact was saved from it, and says what the loading
process gets on its `sys.path` and what must not be importable there. The project that the artifact was saved from is
out of reach meanwhile (`round_trip.out_of_reach`): a path to it that a backend wrote down leads nowhere, as it would on
another machine.

condition       made by                         the loading process has
same_process    the project, imported           all that the saving process has: it is the saving process
fresh_process   the project, imported           the project
main_script     the project's file, run as      the project; its own `__main__` is empty. `__main__` then holds the
                `__main__`, as `python file.py` user's classes only where the artifact brings them
notebook        the project's file, as cells    the project, the model's file as a notebook in it: no import finds it.
                in a `__main__` without file    `__main__` is empty, as above
source_absent   the project, imported           nothing of the project
source_renamed  the project, imported           the project, its modules renamed and all imports of them; not the old
                                                names
source_edited   the project, imported           the project with every function edited, see below
main_script_edited  the file, run as `__main__`   as source_edited
class_moved     the project, imported           the project; the classes live in new modules beside the old ones, which
                                                keep the rest
saved_on_cuda   the project, imported, the      the project, and no GPU
                model on a GPU, see below
spawned_workers the project, imported           the project; one worker of a DataLoader, spawned from it, preprocesses
other_interpreter   the project, imported       the project, another Python and its own torch and libraries; what these
                                                lack is `unavailable`

Where classes moved and the project raises of itself what a cell raised, the code does not suit the condition, which no
backend can help, and the cell is `unavailable`: a text or an attribute of a package named the class where it was.

`saved_on_cuda` moves the model to a GPU where the machine has one; what a move changes in a model (memory that was
shared, strides) is the original's, and one that cannot be moved is `unavailable`. Where it has none, torch is told that
the storages which it writes are on `cuda:0` (`calls.conditions.save_on_cuda`): pickles, `torch.save` and
`torch.package` then hold what they would hold. A method that writes no storage that way cannot be judged so, and the
cell is `unavailable`.

`spawned_workers` compares what the model answers for its examples where a worker preprocesses, and the state that the
model has there before it is asked: a worker has the model and what importing its modules gives, not what the loading
process set beside it. Gradients, which torch does not send, do not count. Where it does not work there, or is another,
and the original that is sent to a worker does the same (torch sends no attributes of parameters, pickle no lambda), the
condition does not suit the model, whatever the method, and the cell is `unavailable`. Not seen is code that asks if it
is in a worker, where no example shows it, and what more than one worker would do to a model that counts.

`source_edited` asks which code ran (`code_ran` of the record): `saved`, `edited`, or `refused`, where loading raised
and the same artifact loads beside the unedited project, which is tried to tell. The edit is harmless, so that nothing
but the code tells the versions apart; a real one would not be. Edited code that ran without a word is therefore the
outcome `mismatch`, whatever the outputs: what ran is not what was saved. `refused` is `failed`, with the message. Code
counts that runs at the three taps, also in threads that these start, not constructors. What came back equal, and
imports modules of the project's names, is loaded once more where the constants of its modules and classes, the
defaults of arguments and its files of data are others too: where that shows, they are `edited`. So is code that no
example reaches, where the state of the model has it edited. Not seen is what runs in other processes, and what code
that no example reaches would import, where nothing had imported it when the model was saved.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnknownName
from harness.processes.process import Worker
from harness.project import edits
from harness.project.staging import Stage

OTHER_INTERPRETER = "other_interpreter"


@dataclass(frozen=True)
class World:
    """What the loading process sees."""

    project: Path | None
    """On `sys.path`; None: nothing of the user's is."""
    own_modules: tuple[str, ...]
    """The user's modules: trusted, where a backend asks whom to trust."""
    absent: tuple[str, ...] = ()
    """Modules that must not be importable; the loading process asserts it."""
    gone: tuple[tuple[str, str], ...] = ()
    """(module, name) of classes that must not be there; the loading process asserts it."""
    edited: tuple[str, ...] = ()
    """Qualified names of the functions that were edited."""
    without_cuda: bool = False
    """No GPU is to be seen."""
    spawns: bool = False
    """The model is also used in a process that the loading one spawns."""
    unedited: Path | None = None
    """The project as it was, where it was edited: to tell a refusal from an artifact that never loads."""

    def enter(self, worker: Worker) -> None:
        """Make it in the loading process. Raises WorkerFailed where something is not as it should be, WorkerDied."""
        worker.call(
            "enter",
            project=str(self.project) if self.project else None,
            absent=self.absent,
            own_modules=self.own_modules,
            gone=self.gone,
        )
        if self.without_cuda:
            worker.call("without_cuda")


@dataclass(frozen=True)
class Condition:
    """A name, the question that it answers, and how to make it so."""

    name: str
    question: str
    prepare: Callable[[Stage], World]
    same_process: bool = False
    """Load where the model was saved, instead of in a fresh process."""
    saving: str = "imported"
    """How the artifact that it loads was made: see `saving.save`."""
    default: bool = True
    """Whether a run has it that does not ask for it; what takes seconds a cell, or needs something, has to be asked."""


def _project_there(stage: Stage) -> World:
    return World(stage.folder, stage.own_modules)


def _project_with_notebook(stage: Stage) -> World:
    # a package is asked for its modules by importing it, which may need the one that is now a notebook
    return World(stage.folder, stage.own_modules, absent=() if "." in stage.module else (stage.module,))


def _project_gone(stage: Stage) -> World:
    shutil.rmtree(stage.folder)
    return World(None, stage.own_modules, absent=stage.own_modules)


def _project_without_cuda(stage: Stage) -> World:
    return World(stage.folder, stage.own_modules, without_cuda=True)


def _project_and_workers(stage: Stage) -> World:
    return World(stage.folder, stage.own_modules, spawns=True)


def _project_renamed(stage: Stage) -> World:
    names = edits.rename(stage.folder, stage.own_modules)
    # the old names too: classes that the artifact carries keep them, and it is not for lack of trust that they are gone
    return World(stage.folder, (*names, *stage.own_modules), absent=stage.own_modules)


def _project_edited(stage: Stage) -> World:
    before = stage.folder.with_name("unedited")
    shutil.copytree(stage.folder, before)
    return World(stage.folder, stage.own_modules, edited=edits.edit(stage.folder), unedited=before)


def _classes_moved(stage: Stage) -> World:
    gone = edits.move_classes(stage.folder)
    names = {path.stem for path in stage.folder.iterdir() if path.suffix == ".py" or any(path.glob("**/*.py"))}
    return World(stage.folder, tuple(sorted(names)), gone=gone)


CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition("same_process", "Does it load where it was saved?", _project_there, same_process=True),
        Condition("fresh_process", "Does it load in a new process that can import my source?", _project_there),
        Condition("main_script", "Does it load elsewhere when a script saved it?", _project_there, saving="main"),
        Condition(
            "notebook", "Does it load elsewhere when a notebook saved it?", _project_with_notebook, saving="notebook"
        ),
        Condition("source_absent", "Does it load where my source is not?", _project_gone),
        Condition("source_renamed", "Does it load after my module was renamed?", _project_renamed),
        Condition("source_edited", "Does what I saved run, after my code was edited?", _project_edited),
        Condition("class_moved", "Does it load after my class moved to another module?", _classes_moved),
        Condition(
            "main_script_edited",
            "Does what a script saved run, after the script was edited?",
            _project_edited,
            saving="main",
            default=False,
        ),
        Condition(
            "saved_on_cuda",
            "Does it load without a GPU when it was saved with one?",
            _project_without_cuda,
            saving="cuda",
            default=False,
        ),
        Condition(
            "spawned_workers", "Does it work in a DataLoader's spawned workers?", _project_and_workers, default=False
        ),
        Condition(OTHER_INTERPRETER, "Does it load under another Python or torch?", _project_there, default=False),
    )
}


def in_order(names: Iterable[str]) -> list[str]:
    """Each name once, as the table has them; what it lacks (records may be of another version) comes last."""
    order = list(CONDITIONS)
    return sorted(dict.fromkeys(names), key=lambda name: order.index(name) if name in CONDITIONS else len(order))


def default_names() -> tuple[str, ...]:
    """The conditions of a run that does not say which."""
    return tuple(name for name, condition in CONDITIONS.items() if condition.default)


def condition(name: str) -> Condition:
    """Look a condition up. Raises UnknownName."""
    if name not in CONDITIONS:
        raise UnknownName("condition", name, CONDITIONS)
    return CONDITIONS[name]


def prepare(wanted: Condition, stage: Stage, copy_to: Path) -> World:
    """The world of one cell, made on a copy of the project, so that cells do not see each other's changes.

    The name of the folder that is made begins as `copy_to`: a cell may be tried again, or by several interpreters.
    """
    copy_to.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{copy_to.name}-", dir=copy_to.parent)) / "project"
    return wanted.prepare(stage.copied(folder, "notebook" if wanted.saving == "notebook" else "imported"))
