"""The calls of single conditions. See `worker` and `conditions`."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import threading
from collections.abc import Collection
from itertools import chain
from types import FrameType
from typing import Any

import torch

from harness import inference
from harness.calls.save import save
from harness.calls.session import Session, batches_of, read_reference, seed
from harness.project.edits import MARK


def put_on_cuda_once(session: Session) -> dict[str, Any]:
    """Where there is a GPU, move the model there and back: `to` parts what shares memory and drops strides, which no
    method of saving is to blame for. A process that has used a GPU cannot be forked for others that do."""
    if not torch.cuda.is_available():
        return {}
    session.stage = "condition"
    session.model.to("cuda").to("cpu")
    return {"forkable": False}


def save_on_cuda(session: Session, *, backend: str, directory: str) -> dict[str, Any]:
    """As `save.save`, of a model on a GPU; `tagged`: how many storages were said to be.

    Without a GPU the model stays where it is, and `torch.serialization` is told that its storages are on `cuda:0`: all
    that it writes of a storage's place is that word. What a method writes by other means is not reached. A model
    without parameters and buffers has nothing that would move, and is written as it is.
    """
    if not _moves(session.model):
        return save(session, backend=backend, directory=directory) | {"tagged": None}
    if torch.cuda.is_available():
        session.stage = "save"
        session.model.to("cuda")
        try:
            return save(session, backend=backend, directory=directory) | {"tagged": None}
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
        return save(session, backend=backend, directory=directory) | {"tagged": tagged}
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


def answer_of_itself(session: Session, *, builder: str) -> None:
    """Build the model from the project that is here, and let it answer its examples. Raises whatever that raises."""
    build_of_itself(session, builder=builder)
    for x in sys.modules[builder.partition(":")[0]].examples():
        seed()
        inference.predict(session.loaded, x)


def build_of_itself(session: Session, *, builder: str) -> None:
    """Build the model from the project that is here, in place of one that is loaded. Raises whatever that raises."""
    session.stage = "build"
    module, _, name = builder.partition(":")
    session.loaded = getattr(importlib.import_module(module), name)()


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
