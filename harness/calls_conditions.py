"""The calls of single conditions. See `worker` and `conditions`."""

from __future__ import annotations

import importlib
import multiprocessing.util
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Collection, Sequence
from itertools import chain
from types import FrameType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from harness import calls_save, compare, describe_process, inference, snapshot
from harness.project_edits import MARK
from harness.session import Session, batches_of, read_reference, seed, state_differences


def put_on_cuda_once(session: Session) -> dict[str, Any]:
    """Where there is a GPU, move the model there and back: `to` parts what shares memory and drops strides, which no
    method of saving is to blame for. A process that has used a GPU cannot be forked for others that do."""
    if not torch.cuda.is_available():
        return {}
    session.stage = "condition"
    session.model.to("cuda").to("cpu")
    return {"forkable": False}


def save_on_cuda(session: Session, *, backend: str, directory: str) -> dict[str, Any]:
    """As `calls_save.save`, of a model on a GPU; `tagged`: how many storages were said to be.

    Without a GPU the model stays where it is, and `torch.serialization` is told that its storages are on `cuda:0`: all
    that it writes of a storage's place is that word. What a method writes by other means is not reached. A model
    without parameters and buffers has nothing that would move, and is written as it is.
    """
    if not _moves(session.model):
        return calls_save.save(session, backend=backend, directory=directory) | {"tagged": None}
    if torch.cuda.is_available():
        session.stage = "save"
        session.model.to("cuda")
        try:
            return calls_save.save(session, backend=backend, directory=directory) | {"tagged": None}
        finally:
            session.model.to("cpu")
    tagged = 0
    location_tag = torch.serialization.location_tag

    def on_cuda(storage: Any) -> str:
        nonlocal tagged
        tagged += 1
        return "cuda:0" if location_tag(storage) == "cpu" else location_tag(storage)

    places = [torch.serialization, sys.modules.get("torch.package.package_exporter")]
    session.backend(backend)  # its imports may bring torch.package
    for place in filter(None, places):
        place.location_tag = on_cuda
    try:
        return calls_save.save(session, backend=backend, directory=directory) | {"tagged": tagged}
    finally:
        for place in filter(None, places):
            place.location_tag = location_tag


def _moves(model: torch.nn.Module) -> bool:
    return next(chain(model.parameters(), model.buffers()), None) is not None


def without_cuda(session: Session) -> None:
    """Hide all GPUs from this process, and assert it."""
    session.stage = "condition"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if torch.cuda.is_available():
        raise RuntimeError("a GPU is still visible to torch")


def answer_in_workers(session: Session, *, reference: str, workers: int) -> list[dict[str, Any]]:
    """Differences of what the loaded model answers when so many of a DataLoader's spawned workers preprocess.

    Random numbers drawn in `preprocess` come from that worker's own stream.
    """
    session.stage = "preprocess"
    written = read_reference(reference)
    examples = pickle.loads(written["examples"])
    seed()
    answers = inference.predict_many(session.loaded, _Sent(examples), batch_size=1, num_workers=workers)
    found: list[compare.Difference] = []
    for place, (answer, expected) in enumerate(zip(answers, written["taps"], strict=False)):
        actual = snapshot.snapshot_value(answer, own_modules=session.own_modules)
        root = f"postprocess(examples[{place}])"
        found += compare.compare(expected["postprocess"], actual, compare.Tolerance(**written["tolerance"]), root)
    return [difference.to_dict() for difference in found]


def answer_of_itself(session: Session, *, builder: str) -> None:
    """Build the model from the project that is here, and let it answer its examples. Raises whatever that raises."""
    session.stage = "build"
    module, _, name = builder.partition(":")
    file = importlib.import_module(module)
    model = getattr(file, name)()
    for x in file.examples():
        seed()
        inference.predict(model, x)


def state_in_a_worker(session: Session, *, reference: str) -> list[dict[str, Any]]:
    """Differences of the state that the loaded model has in a spawned worker, from the original's.

    The model alone is sent there: what was set beside it in the loading process (globals, classes, settings) is there
    only where importing its modules sets it. Gradients, which no worker needs, torch does not send.
    """
    session.stage = "preprocess"
    inference.require_picklable(session.loaded)
    described = _Described(session.loaded, _Sent([reference]), session.own_modules)
    (found,) = DataLoader(described, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    return [difference for difference in pickle.loads(found) if difference["kind"] != "grad"]


class _Described(Dataset):
    """One item: the differences of the model's state, where the item is asked for."""

    def __init__(self, model: Any, references: Sequence[str], own_modules: tuple[str, ...]) -> None:
        self.model, self.references, self.own_modules = model, references, own_modules
        self.started_in = describe_process.started_in()

    def __len__(self) -> int:
        return len(self.references)

    def __getitem__(self, place: int) -> bytes:
        describe_process.started_in(self.started_in)
        session = Session(own_modules=self.own_modules, loaded=self.model)
        written = read_reference(self.references[place])
        found = state_differences(session, written, compare.Tolerance(**written["tolerance"]))
        return pickle.dumps([difference.to_dict() for difference in found])


class _Sent(Sequence):
    """Values; in the process to which they are sent, temporary files are looked for where they are here."""

    def __init__(self, values: list) -> None:
        self.values, self.temporary = values, tempfile.gettempdir()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: int) -> Any:
        if tempfile.gettempdir() != self.temporary:
            multiprocessing.util.get_temp_dir()  # the paths of its sockets may not be long: they stay where they are
            tempfile.tempdir = self.temporary
        return self.values[place]


def unusable(session: Session, *, names: Collection[str]) -> dict[str, str]:
    """Those of the modules that cannot be imported here, and why."""
    found = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def has_imported(session: Session) -> bool:
    """Whether this process has imported one of the user's modules, or would have, where code runs that did not run yet.

    By its name: an artifact may bring the module along, and may say of any other that it lies where it was saved.
    """
    return session.would_import or any(name.partition(".")[0] in session.own_modules for name in sys.modules)


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
        threading.setprofile(watch)  # of those that the model starts
        sys.setprofile(watch)
        try:
            inference.trace(session.loaded, x, batch)
        except inference.InferenceError:  # `examine` will tell
            raised = True
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    return {"edited": list(ran["edited"]), "saved": list(ran["saved"]), "raised": raised}
