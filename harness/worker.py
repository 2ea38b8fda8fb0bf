"""What runs inside a fresh process: torch, one backend, the user's module, and no more (no pandas, no pytest).

`serve` answers calls that come through a pipe, one after the other, until the pipe closes. Each public function below
is such a call: it gets the process's `Session` first. An exception becomes data, with the stage in which it happened.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import importlib.util
import inspect
import os
import pickle
import random
import re
import sys
import time
import traceback
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from backends import UnsupportedModel
from harness import compare, inference, snapshot
from harness.registry import ROOT, load_backend

TAPS = ("preprocess", "forward", "postprocess")
LISTED_DIFFERENCES = 20


@dataclass
class Session:
    """What the process holds between calls."""

    stage: str = "condition"
    own_modules: tuple[str, ...] = ()
    user_module: Any = None
    model: Any = None
    """The original, in a saving process."""
    state: dict = field(default_factory=dict)
    """The original's snapshot, taken just before it was saved."""
    loaded: Any = None
    backends: dict[str, Any] = field(default_factory=dict)

    def backend(self, name: str) -> Any:
        if name not in self.backends:
            self.backends[name] = load_backend(name)
        return self.backends[name]


def serve(connection: Connection, log: str) -> None:
    """Answer calls until the other end closes. Whatever this process prints goes to the file `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    faulthandler.enable()
    sys.modules["__main__"] = types.ModuleType("__main__")  # the forkserver's own has names of its start-up
    session = Session()
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = ("answer", globals()[name](session, **arguments))
        except Exception as error:
            answer = ("failure", _failure(session, error))
        connection.send(answer)


def _failure(session: Session, error: Exception) -> dict[str, Any]:
    stage, cause = session.stage, error
    if isinstance(error, inference.InferenceError):
        stage = error.stage if error.stage in TAPS else "forward"
        cause = error.__cause__ or error
    return {
        "stage": stage,
        "error_type": type(cause).__name__,
        "message": _without_folders(str(cause) or repr(cause)),
        "unsupported": isinstance(cause, UnsupportedModel),
        "traceback": _without_folders("".join(traceback.format_exception(error)[-12:])),
    }


def _without_folders(text: str) -> str:
    """A message or traceback whose files are named from where they are installed: the same on every machine."""
    text = re.sub(r'File "[^"]*/(site-packages|python3\.\d+|project)/', r'File "\1/', text)
    return text.replace(f"{ROOT}/", "")


# --- calls ------------------------------------------------------------------------------------------------------


def about(session: Session) -> dict[str, Any]:
    """What this process is: for the environment, and to see that nothing else is in it."""
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "modules": sorted({name.partition(".")[0] for name in sys.modules}),
        "main": sorted(name for name in vars(sys.modules["__main__"]) if not name.startswith("__")),
    }


def build(session: Session, *, project: str, module: str, builder: str, own_modules: Sequence[str]) -> dict[str, Any]:
    """Import the user's module from the staged project and build the model."""
    session.stage = "build"
    session.own_modules = tuple(own_modules)
    sys.path.insert(0, project)
    started = time.perf_counter()
    session.user_module = importlib.import_module(module)
    session.model = getattr(session.user_module, builder)()
    return {"build_s": time.perf_counter() - started, "tensor_bytes": _tensor_bytes(session.model)}


def describe_state(session: Session) -> None:
    """Write down the original's state just before it is saved."""
    session.stage = "build"
    session.state = snapshot.snapshot_model(session.model, own_modules=session.own_modules)


def describe(session: Session, *, reference: str) -> dict[str, Any]:
    """Write down the original's taps over all examples and its score, with its state before the save.

    After the save, so that a model which counts its calls begins as its loaded copy will.
    """
    session.stage = "build"
    model, module = session.model, session.user_module
    # through bytes, as the loading process gets them, and fresh for each pass: preprocess may change its input
    examples = pickle.dumps(list(module.examples()))
    taps, batches = [], []
    for passes in range(2):
        for x in pickle.loads(examples):
            _seed()
            traced = inference.trace(model, x)
            taps.append(_tap_snapshots(session, traced))
            if passes == 0:
                batches.append(traced.preprocessed)
    score = _score(session, model, module)
    written = {
        "state": pickle.dumps(session.state),
        "taps": taps,
        "examples": examples,
        "batches": _dumps_or_none(batches),
        "tolerance": dict(getattr(module, "TOLERANCE", {})),
        "score": score,
    }
    Path(reference).write_bytes(pickle.dumps(written))
    return {"score": score, "examples": len(batches)}


def save(session: Session, *, backend: str, directory: str) -> dict[str, Any]:
    """Save the original into a new directory; seconds, and the bytes of all files."""
    session.stage = "save"
    method = session.backend(backend).save
    os.makedirs(directory)
    arguments = _declared(method, examples=session.user_module.examples)
    started = time.perf_counter()
    method(session.model, Path(directory), **arguments)
    taken = time.perf_counter() - started
    return {"save_s": taken, "artifact_bytes": _size(Path(directory))}


def changed_by_save(session: Session) -> list[dict[str, Any]]:
    """The differences that saving made to the original: there should be none."""
    session.stage = "save"
    actual = snapshot.snapshot_model(session.model, own_modules=session.own_modules)
    return [difference.to_dict() for difference in compare.compare(session.state, actual)]


def enter(session: Session, *, project: str | None, absent: Sequence[str], own_modules: Sequence[str]) -> None:
    """Make the world that a condition wants, and assert it: what should be absent cannot be imported."""
    session.stage = "condition"
    session.own_modules = tuple(own_modules)
    if project is not None:
        sys.path.insert(0, project)
    importlib.invalidate_caches()
    for name in absent:
        spec = importlib.util.find_spec(name)
        if spec is not None or name in sys.modules:
            where = getattr(spec, "origin", None)
            raise RuntimeError(f"module {name!r} should be absent but can be imported from {where}")


def load(session: Session, *, backend: str, directory: str, trusted_modules: Sequence[str]) -> dict[str, Any]:
    """Load the artifact; seconds. The backend's own module is imported before the clock starts."""
    session.stage = "load"
    session.loaded = None
    method = session.backend(backend).load
    arguments = _declared(method, trusted_modules=tuple(trusted_modules))
    started = time.perf_counter()
    session.loaded = method(Path(directory), **arguments)
    return {"load_s": time.perf_counter() - started}


def forget(session: Session) -> None:
    """Drop what was loaded and give its memory back, so that the next load's peak is seen from a level baseline."""
    session.loaded = None
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # not glibc: the baseline then holds what the allocator keeps
        return


def first_prediction(session: Session, *, reference: str) -> dict[str, Any]:
    """Seconds of the first prediction after a load: all stages that the loaded object has, on the first example."""
    written = _read(reference)
    x, batch = pickle.loads(written["examples"])[0], _batches(written)[0]
    _seed()
    started = time.perf_counter()
    inference.trace(session.loaded, x, batch)
    return {"first_prediction_s": time.perf_counter() - started}


def examine(session: Session, *, reference: str, scoring_file: str | None) -> dict[str, Any]:
    """Compare the loaded model with the original: state, then the taps, twice over all examples, then the score."""
    session.stage = "compare"
    written = _read(reference)
    tolerance = compare.Tolerance(**written["tolerance"])
    loaded = session.loaded
    absent = [tap for tap in TAPS if not inference.has_stage(loaded, tap)]
    found: dict[str, Any] = {"absent": absent, "taps": dict.fromkeys(TAPS), "differences": [], "failure": None}
    differences: list[compare.Difference] = []
    if not absent:  # a part of a model has no comparable state: its taps speak for it
        actual = snapshot.snapshot_model(loaded, own_modules=session.own_modules)
        differences += compare.compare(pickle.loads(written["state"]), actual, tolerance)
    found["state_verdict"] = compare.verdict(differences) if not absent else None
    try:
        differences += _compare_taps(session, written, tolerance, found["taps"])
        session.stage = "score"
        found["score"] = None if absent or not scoring_file else _score(session, loaded, _import_copy(scoring_file))
    except Exception as error:
        found["failure"] = _failure(session, error)
        if found["failure"]["stage"] in TAPS:
            found["taps"][found["failure"]["stage"]] = "different"
    found["count"] = len(differences)
    found["differences"] = [difference.to_dict() for difference in differences[:LISTED_DIFFERENCES]]
    return found


def floor(session: Session, *, path: str, tensor_bytes: int) -> dict[str, float]:
    """The physical limit: write, then read, the same number of bytes in one plain file; seconds."""
    data = memoryview(bytearray(tensor_bytes))
    started = time.perf_counter()
    with open(path, "wb") as file:
        file.write(data)
    written = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        file.readinto(data)
    read = time.perf_counter()
    return {"floor_write_s": written - started, "floor_read_s": read - written}


# --- parts ------------------------------------------------------------------------------------------------------


def _compare_taps(
    session: Session, written: dict, tolerance: compare.Tolerance, taps: dict[str, str | None]
) -> list[compare.Difference]:
    examples = pickle.loads(written["examples"]) + pickle.loads(written["examples"])
    batches = _batches(written) * 2
    every: dict[str, list[compare.Difference]] = {tap: [] for tap in TAPS}
    for tap in TAPS:
        if not inference.has_stage(session.loaded, tap):
            taps[tap] = "absent"
    for place, (x, batch, expected) in enumerate(zip(examples, batches, written["taps"], strict=True)):
        _seed()
        reached = inference.Taps()
        try:
            inference.trace(session.loaded, x, batch, into=reached)
        finally:  # what was reached counts, also where a later stage raised
            for tap, actual in _tap_snapshots(session, reached).items():
                if actual is not None and expected[tap] is not None:
                    root = f"{tap}(examples[{place % (len(examples) // 2)}])"
                    every[tap] += compare.compare(expected[tap], actual, tolerance, root)
                    taps[tap] = compare.verdict(every[tap])
    return [difference for tap in TAPS for difference in every[tap]]


def _tap_snapshots(session: Session, traced: inference.Taps) -> dict[str, dict | None]:
    values = {"preprocess": traced.preprocessed, "forward": traced.forward, "postprocess": traced.postprocessed}
    return {
        tap: None if value is inference.ABSENT else snapshot.snapshot_value(value, own_modules=session.own_modules)
        for tap, value in values.items()
    }


def _score(session: Session, model: Any, module: Any) -> dict[str, float] | None:
    if not hasattr(module, "score"):
        return None
    session.stage = "score"
    return {
        name: float(value)
        for name, value in module.score(lambda xs: inference.predict_many(model, xs, batch_size=64)).items()
    }


def _import_copy(path: str) -> Any:
    """The model's file again, under a private name: its `score` is needed also where the project is absent."""
    spec = importlib.util.spec_from_file_location("_roundtrip_scoring", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _seed() -> None:
    random.seed(0)
    torch.manual_seed(0)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(0)


def _read(reference: str) -> dict[str, Any]:
    return pickle.loads(Path(reference).read_bytes())


def _batches(written: dict) -> list:
    try:
        return pickle.loads(written["batches"])
    except Exception:  # made of the user's own types, and the user's module is not here
        return [inference.ABSENT] * len(pickle.loads(written["examples"]))


def _dumps_or_none(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:
        return b""


def _declares(method: Any, name: str) -> bool:
    return name in inspect.signature(method).parameters


def _declared(method: Any, **offered: Any) -> dict[str, Any]:
    """The offered keyword arguments that the method declares; callables are called only then."""
    return {name: value() if callable(value) else value for name, value in offered.items() if _declares(method, name)}


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _tensor_bytes(model: torch.nn.Module) -> int:
    """Bytes of the distinct storages of parameters and buffers."""
    storages = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.layout == torch.strided and tensor.device.type != "meta" and not tensor.is_nested:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        else:
            storages[id(tensor)] = tensor.numel() * tensor.element_size()
    return sum(storages.values())
