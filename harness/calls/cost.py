"""The calls of timed rounds: what is measured beside `save` and `load`. See `worker` and `measure`."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import mmap
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from harness import inference
from harness.calls.session import Session, batches_of, declared, read_reference, seed
from harness.system import proc

PREDICTING_S = 0.003
"""How long predictions are repeated, at least one of them."""


def state_digest(session: Session) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of parameters and buffers, of what was loaded, else of the original.

    For models of gigabytes, of which a snapshot would be a second copy.
    """
    model = session.model if session.loaded is None else session.loaded
    digest = hashlib.sha256()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def forget(session: Session) -> None:
    """Drop what was loaded, and the original's snapshot, and give their memory back: the next load's peak is then seen
    from a level baseline."""
    session.loaded = None
    session.state = {}
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # not glibc: the baseline then holds what the allocator keeps
        return


def first_prediction(session: Session, *, reference: str, repeated: bool = True) -> dict[str, float]:
    """Seconds of the first prediction after a load, and, `repeated`, how many a second follow it.

    A prediction is all stages that the loaded object has, on the first example; unpickling it is not in the time.
    """
    first_s = _predict(session, reference)
    if not repeated:
        return {"first_prediction_s": first_s}
    count, spent_s = 0, 0.0
    while spent_s < PREDICTING_S:
        spent_s += _predict(session, reference)
        count += 1
    return {"first_prediction_s": first_s, "predictions_per_s": count / spent_s}


def cold_start_inputs(
    session: Session, *, backend: str, reference: str, path: str, trusted_modules: Sequence[str]
) -> dict[str, Any]:
    """Write what a new interpreter predicts to the file `path`; returns the arguments that the load declares."""
    Path(path).write_bytes(pickle.dumps(_inputs(session, reference)))
    return declared(session.backend(backend).load, trusted_modules=tuple(trusted_modules))


def _inputs(session: Session, reference: str) -> tuple[bytes, bytes]:
    """The first example, raw and preprocessed, pickled; read from the reference once."""
    if reference not in session.inputs:
        written = read_reference(reference)
        first = pickle.dumps(pickle.loads(written["examples"])[0])
        session.inputs[reference] = (first, pickle.dumps(batches_of(written)[0]))
    return session.inputs[reference]


def _predict(session: Session, reference: str) -> float:
    # fresh ones, since preprocess may change its input
    x, batch = (pickle.loads(data) for data in _inputs(session, reference))
    seed()
    started = time.perf_counter()
    inference.trace(session.loaded, x, batch)
    return time.perf_counter() - started


def floor(session: Session, *, path: str, tensor_bytes: int) -> dict[str, float]:
    """The physical limit: write the same number of bytes to one plain file, read it into memory, map and touch it."""
    data = memoryview(bytearray(tensor_bytes))
    started = time.perf_counter()
    with open(path, "wb") as file:
        file.write(data)
    written_s = time.perf_counter() - started
    del data
    return {"floor_write_s": written_s, "floor_read_s": _read(path, tensor_bytes), "floor_map_s": _map(path)}


def floor_cold(session: Session, *, path: str, tensor_bytes: int) -> dict[str, float]:
    """Read the file of `floor` after it was taken out of the page cache; nothing where it cannot be."""
    if not proc.evict([Path(path)]):
        return {}
    return {"floor_read_cold_s": _read(path, tensor_bytes)}


def _read(path: str, size: int) -> float:
    into = memoryview(bytearray(size))  # zeroed by the system when it is touched, as a loader's memory is
    started = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        done = 0
        while done < size and (count := file.readinto(into[done:])):  # one call moves 2 GiB at most
            done += count
    return time.perf_counter() - started


def _map(path: str) -> float:
    started = time.perf_counter()
    with open(path, "rb") as file:
        if Path(path).stat().st_size:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
                view[:: mmap.PAGESIZE].tobytes()
    return time.perf_counter() - started


def evict(session: Session, *, directory: str) -> bool:
    """Forget what was loaded and take the artifact out of the page cache; whether it is out."""
    forget(session)
    return proc.evict([path for path in Path(directory).rglob("*") if path.is_file()])
