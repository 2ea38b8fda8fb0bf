"""The calls of timed rounds: what is measured beside `save` and `load`. See `worker` and `measure`."""

from __future__ import annotations

import ctypes
import gc
import pickle
import time
from typing import Any

from harness import inference
from harness.session import Session, batches_of, read_reference, seed


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
    written = read_reference(reference)
    x, batch = pickle.loads(written["examples"])[0], batches_of(written)[0]
    seed()
    started = time.perf_counter()
    inference.trace(session.loaded, x, batch)
    return {"first_prediction_s": time.perf_counter() - started}


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
