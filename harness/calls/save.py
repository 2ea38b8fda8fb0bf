"""A saving process's calls: build the model, describe it, save it. See `worker`."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import pickle
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from harness import compare, inference
from harness.calls.session import Session, declared, read_reference, score, seed, tap_snapshots
from harness.project import notebook
from harness.project.staging import TEMPORARY
from harness.snapshot import library_settings
from harness.snapshot.builder import snapshot_model
from harness.source import syntax
from harness.system import proc


def preload(session: Session, *, modules: Sequence[str]) -> dict[str, Any]:
    """Import libraries, for the processes that will be forked from here; how many seconds that took.

    `module:function` is called too: it builds what does not depend on a model.
    """
    session.stage = "load"
    started = time.perf_counter()
    for name in modules:
        module, _, function = name.partition(":")
        imported = importlib.import_module(module)
        if function:
            getattr(imported, function)()
    return {"imports_s": time.perf_counter() - started, "forkable": _is_forkable(proc.threads())}


def _check_names(project: str, own_modules: Sequence[str]) -> None:
    """Raise ImportError where another module has a name of the project's: it would be tried in its place."""
    for name in own_modules:
        module = sys.modules.get(name)
        found = [file] if (file := getattr(module, "__file__", None)) else list(getattr(module, "__path__", ()))
        if elsewhere := [path for path in found if not Path(path).is_relative_to(project)]:
            raise ImportError(f"{name} is {elsewhere[0]} here: call the model's file or package otherwise")


def build(
    session: Session,
    *,
    project: str,
    module: str,
    builder: str,
    own_modules: Sequence[str],
    backend: str | None = None,
    how: str = "imported",
    noting: bool = True,
) -> dict[str, Any]:
    """Import the user's module from the staged project, or run it as a script or notebook, and build the model.

    `backend` may record how it is built. `noting`: whether what libraries hold is noted first, for `describe_state`.
    `forkable`: whether this process may be forked for others that save the model.
    """
    session.stage = "build"
    session.own_modules = tuple(own_modules)
    sys.path.insert(0, project)
    tempfile.tempdir = f"{project}{TEMPORARY}"  # what the model leaves there is out of reach with the project
    os.makedirs(tempfile.tempdir, exist_ok=True)
    started = time.perf_counter()
    if noting and session.libraries is None:  # as nobody changed them yet
        session.libraries = library_settings.noted(Path(project), own_modules)
    _check_names(project, own_modules)
    session.user_module = _user_module(project, module, how)
    threads, files = proc.threads(), proc.open_files()
    session.constructor = f"{session.user_module.__name__}:{_constructor(session.user_module, builder)}"
    environment = dict(os.environ)
    with _recording(session, backend):
        session.model = getattr(session.user_module, builder)()
    session.set_in_environment = library_settings.variables(environment, Path(project))
    session.state = {}
    return {
        "build_s": time.perf_counter() - started,
        "tensor_bytes": _tensor_bytes(session.model),
        "constructor": session.constructor,
        "builder": f"{session.user_module.__name__}:{builder}",
        "forkable": _is_forkable(threads) and proc.open_files() <= files,  # forks read and write where another did
    }


def _constructor(module: Any, builder: str) -> str:
    """The function that makes the model before it is trained, where the file has one: `construct` beside `build`,
    `construct_small` beside `build_small`. Else the builder."""
    name = builder.replace("build", "construct", 1)
    return name if callable(getattr(module, name, None)) else builder


def _is_forkable(before: int | None) -> bool:
    """Whether this process may be forked; `before`: how many threads it had when its imports were done.

    A thread does not come along in a fork. Those that libraries start when they are imported they see to themselves
    (OpenBLAS and jemalloc do, as they must wherever a DataLoader forks its workers); any other forbids it.
    """
    return before is not None and proc.threads() <= before and threading.active_count() == 1


def records(session: Session, *, backend: str) -> bool:
    """Whether the backend watches how the model is built, so that it must be there when it is."""
    session.stage = "save"
    return hasattr(session.backend(backend), "recording")


@contextlib.contextmanager
def _recording(session: Session, backend: str | None) -> Iterator[None]:
    """The backend's own `recording`, where it has one; what goes wrong under it is the method's, a failure to save."""
    recording = getattr(session.backend(backend), "recording", None) if backend else None
    if recording is None:
        yield
        return
    session.stage = "save"
    with recording(session.user_module):
        yield


def _user_module(project: str, module: str, how: str) -> Any:
    """What defines the model: `how` is as in `saving.save`."""
    if how == "main":
        return _run_as_main(project, module)
    return notebook.run(Path(project), module) if how == "notebook" else importlib.import_module(module)


def _run_as_main(project: str, module: str) -> Any:
    """The user's file as `__main__`, as `python file.py` or, in a package, `python -m package.file` runs it.

    The block under `if __name__ == "__main__"` is left out: here the harness does what stands there.
    """
    package = module.rpartition(".")[0]
    if package:
        importlib.import_module(package)
    path = Path(project, *module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [statement for statement in tree.body if not syntax.asks_for_main(statement)]
    main = sys.modules["__main__"]
    main.__file__, main.__package__ = str(path), package or None
    exec(compile(tree, str(path), "exec", dont_inherit=True), vars(main))
    return main


def describe_state(session: Session) -> None:
    """Write down the original's state just before it is saved."""
    session.stage = "build"
    session.set_in_libraries = (
        library_settings.changed(session.libraries or {}, session.own_modules) + session.set_in_environment
    )
    parts = tuple(f"{name}." for name in session.own_modules)
    session.imported = [name for name in sys.modules if name in session.own_modules or name.startswith(parts)]
    session.state = _snapshot(session)


def _snapshot(session: Session, imported: Sequence[str] = (), is_expected: bool = True) -> dict[str, Any]:
    return snapshot_model(
        session.model,
        own_modules=session.own_modules,
        set_in_libraries=session.set_in_libraries,
        imported=imported,
        is_expected=is_expected,
    )


def take_over(session: Session, *, reference: str, like: str) -> dict[str, Any] | None:
    """After the save, in place of `describe_state`, `changed_by_save` and `describe`: take over another process's
    reference, where the state that it had before its save is the one that the original has now.

    None where it is not: the model is built otherwise each time, or saving changed it.
    """
    session.stage = "save"
    written = read_reference(like)
    session.set_in_libraries = written["set_in_libraries"]
    state = pickle.loads(written["state"])
    if compare.compare(state, _snapshot(session, written["imported"], False)):
        return None
    shutil.copyfile(like, reference)
    if Path(f"{like}.life").exists():
        shutil.copyfile(f"{like}.life", f"{reference}.life")
    return {"score": written["score"], "examples": len(written["taps"]) - 1, "hashes": state["hashes"]}


def describe(session: Session, *, reference: str) -> dict[str, Any]:
    """Write down the original's taps over all examples and once more the first, its score, its state before the save.

    After the save, so that a model which counts its calls begins as its loaded copy will.
    """
    session.stage = "build"
    model, module = session.model, session.user_module
    # through bytes, as the loading process gets them, and the first one twice: preprocess may change its input, and a
    # model what it answers
    examples = pickle.dumps(list(module.examples()))
    taps, batches = [], []
    inputs = pickle.loads(examples) + pickle.loads(examples)[:1]
    for place, x in enumerate(inputs):
        seed(place % (len(inputs) - 1))
        traced = inference.trace(model, x)
        taps.append(tap_snapshots(session, traced))
        batches.append(traced.preprocessed)
    del batches[-1]
    figures = score(session, model, module)
    now = compare.compare(session.state, _snapshot(session))
    session.ran = frozenset(
        (one.path, one.message)
        for one in now
        if any(part in one.path for part in (".__class__.", ".<process>.", ".<libraries>."))
    )
    written = {
        "state": pickle.dumps(session.state),
        "set_in_libraries": session.set_in_libraries,
        "imported": session.imported,
        "taps": taps,
        "examples": examples,
        "batches": _dumps_or_none(batches),
        "tolerance": dict(getattr(module, "TOLERANCE", {})),
        "score": figures,
    }
    Path(reference).write_bytes(pickle.dumps(written))
    return {"score": figures, "examples": len(batches), "hashes": session.state["hashes"]}


def save(session: Session, *, backend: str, directory: str) -> dict[str, Any]:
    """Save the original into a new directory; seconds, the bytes of all files, and what was written to get there."""
    session.stage = "save"
    method = session.backend(backend).save
    os.makedirs(directory)
    arguments = declared(
        method,
        examples=session.user_module.examples,
        batches=lambda: _example_batches(session),
        constructor=session.constructor,
    )
    before = proc.written()
    started = time.perf_counter()
    method(session.model, Path(directory), **arguments)
    taken = time.perf_counter() - started
    after = proc.written()
    written, dirtied = (after[0] - before[0], after[1] - before[1]) if before and after else (None, None)
    return {
        "save_s": taken,
        "artifact_bytes": _size(Path(directory)),
        "written_bytes_save": written,
        "dirtied_bytes_save": dirtied,
    }


def changed_by_save(session: Session) -> list[dict[str, Any]]:
    """The differences that saving made to the original: there should be none."""
    session.stage = "save"
    actual = _snapshot(session, session.imported, is_expected=False)
    return [difference.to_dict() for difference in compare.compare(session.state, actual)]


def _example_batches(session: Session) -> tuple:
    """Batches for a backend that traces, made before the clock starts.

    Preprocessing may change the model (a counter). That is not the save's doing: the state, if it was described, is
    described again.
    """
    if session.preprocessed and not inference.has_stage(session.model, "preprocess"):  # a part, saved again
        return inference.one_and_two(session.preprocessed[:2])
    batches = inference.example_batches(session.model, list(session.user_module.examples())[:2])
    if session.state:
        session.state = _snapshot(session, session.imported)
    return batches


def _dumps_or_none(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:
        return b""


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _tensor_bytes(model: torch.nn.Module) -> int:
    """Bytes of the distinct storages of parameters and buffers."""
    storages = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        if torch.nn.parameter.is_lazy(tensor):  # it has no shape yet
            continue
        if tensor.layout == torch.strided and tensor.device.type != "meta" and not tensor.is_nested:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        else:
            storages[id(tensor)] = tensor.numel() * tensor.element_size()
    return sum(storages.values())
