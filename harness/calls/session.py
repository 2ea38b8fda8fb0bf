"""What a worker holds between its calls, and what several of them need."""

from __future__ import annotations

import importlib.util
import inspect
import pickle
import random
import sys
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from backends import UnsupportedModel
from harness import compare, inference
from harness.registry import load_backend
from harness.snapshot.builder import WouldImport, snapshot_model, snapshot_value
from harness.system import aside
from harness.wording import everywhere

TAPS = ("preprocess", "forward", "postprocess")
COPY_TIMEOUT_S = 60.0


@dataclass
class Session:
    """What the process holds between calls."""

    threads: int = 1
    """How many torch would use of itself."""
    stage: str = "condition"
    own_modules: tuple[str, ...] = ()
    user_module: Any = None
    constructor: str = ""
    """The user's builder, as "module:function"."""
    model: Any = None
    """The original, in a saving process."""
    state: dict = field(default_factory=dict)
    """The original's snapshot, taken just before it was saved."""
    libraries: dict[tuple[str, ...], Any] | None = None
    """What the libraries that the project imports held before its module was imported: see `library_settings`."""
    set_in_environment: list[tuple[str, ...]] = field(default_factory=list)
    """Names of variables that building the model set."""
    set_in_libraries: list[tuple[str, ...]] = field(default_factory=list)
    """Names of what was another there when the original was described."""
    imported: list[str] = field(default_factory=list)
    """The user's modules that were imported when the original was described."""
    ran: frozenset[tuple[str, str]] = frozenset()
    """(path, message) of what running the original changed of its class, which a copy in the same process shares."""
    preprocessed: list = field(default_factory=list)
    """What the original made of the examples, where what is saved again makes nothing of them itself."""
    loaded: Any = None
    would_import: bool = False
    """Whether what was loaded has code that imports modules of the user's which nothing had imported."""
    inputs: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    """Reference -> its first example, raw and preprocessed, pickled: what is predicted in timed rounds."""
    backends: dict[str, Any] = field(default_factory=dict)

    def backend(self, name: str) -> Any:
        if name not in self.backends:
            self.backends[name] = load_backend(name)
        return self.backends[name]


def failure(session: Session, error: Exception) -> dict[str, Any]:
    """An exception as data, with the stage in which it happened."""
    stage, cause = session.stage, error
    if isinstance(error, inference.InferenceError):
        stage = error.stage if error.stage in TAPS else "forward"
        cause = error.__cause__ or error
    return {
        "stage": stage,
        "error_type": type(cause).__name__,
        "message": everywhere(str(cause) or repr(cause)),
        "unsupported": isinstance(cause, UnsupportedModel),
        "traceback": everywhere("".join(traceback.format_exception(error)[-12:])),
    }


def _declares(method: Any, name: str) -> bool:
    return name in inspect.signature(method).parameters


def declared(method: Any, **offered: Any) -> dict[str, Any]:
    """The offered keyword arguments that the method declares; callables are called only then."""
    return {name: value() if callable(value) else value for name, value in offered.items() if _declares(method, name)}


def seed(place: int = 0) -> None:
    """Begin every random stream at the same place, for models that draw numbers.

    At another for each example: a graph that kept one draw for good would answer all of them right otherwise.
    """
    random.seed(place)
    torch.default_generator.manual_seed(place)  # torch.manual_seed would note a stack trace for each kind of device
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(place)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(place)


def read_reference(reference: str) -> dict[str, Any]:
    """What `save.describe` wrote of the original."""
    return pickle.loads(Path(reference).read_bytes())


def batches_of(written: dict) -> list:
    """The original's preprocessed examples, where this process can read them."""
    try:
        return pickle.loads(written["batches"])
    except Exception:  # made of the user's own types, and the user's module is not here
        return [inference.ABSENT] * len(pickle.loads(written["examples"]))


def state_differences(session: Session, written: dict, tolerance: compare.Tolerance) -> list[compare.Difference]:
    """Differences of the state of what was loaded from the original's, of which `written` tells.

    Where code imports modules of the user's when it runs, and they are not imported yet, in a copy of this process:
    importing one may register what others look for, and the examples would find what they do not find elsewhere. A
    copy lacks the threads of this process, and its GPU: where there are any, it is done here.
    """

    def differences(importing: bool) -> list[compare.Difference]:
        actual = snapshot_model(
            session.loaded,
            own_modules=session.own_modules,
            set_in_libraries=written["set_in_libraries"],
            imported=written["imported"],
            is_expected=False,
            importing=importing,
            of_another_python=before["bytecode"] != importlib.util.MAGIC_NUMBER.hex(),
        )
        return compare.compare(before, actual, tolerance)

    before = pickle.loads(written["state"])
    try:
        return differences(importing=False)
    except WouldImport:
        session.would_import = True
        told = b""
        if threading.active_count() == 1 and not torch.cuda.is_initialized():
            told = aside.in_a_copy(lambda: pickle.dumps(differences(importing=True)), COPY_TIMEOUT_S)
        return pickle.loads(told) if told else differences(importing=True)


def tap_snapshots(session: Session, traced: inference.Taps) -> dict[str, dict | None]:
    """What was reached at each tap, as plain data."""
    values = {"preprocess": traced.preprocessed, "forward": traced.forward, "postprocess": traced.postprocessed}
    return {
        tap: None if value is inference.ABSENT else snapshot_value(value, own_modules=session.own_modules)
        for tap, value in values.items()
    }


def score(session: Session, model: Any, module: Any) -> dict[str, float] | None:
    """The figures that the model's file computes for a model; None where it computes none."""
    if not hasattr(module, "score"):
        return None
    session.stage = "score"
    return {
        name: float(value)
        for name, value in module.score(lambda xs: inference.predict_many(model, xs, batch_size=64)).items()
    }


def import_copy(path: str) -> Any:
    """The model's file again, under a private name: its `score` is needed also where the project is absent."""
    spec = importlib.util.spec_from_file_location("_roundtrip_scoring", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
