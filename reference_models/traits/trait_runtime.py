"""Traits of running things: handles to files, threads, databases and half-done work, which no file can hold.

Some formats refuse them, some drop them, some make new ones; each model uses its own in `preprocess`.
"""

from __future__ import annotations

import contextvars
import hashlib
import io
import mmap
import queue
import re
import socket
import sqlite3
import sys
import tempfile
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

ENDED = []


class Holds(nn.Module):
    """Four readings in, three scores out; subclasses use the resource on each data point."""

    def __init__(self, resource) -> None:
        super().__init__()
        self.resource = resource
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor([float(value) for value in self.use(x)])

    def use(self, x):
        return x

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- threads ---


class Locked(Holds):
    """Waits for its lock, but not for ever: a lock that comes back held would stop the program."""

    def use(self, x):
        if not self.resource.acquire(timeout=0.1):
            raise TimeoutError("the lock is held")
        try:
            return [2 * value for value in x]
        finally:
            self.resource.release()


def lock() -> nn.Module:
    return made(Locked, threading.Lock())


def reentrant_lock() -> nn.Module:
    return made(Locked, threading.RLock())


class Waited(Holds):
    def use(self, x):
        return [value + self.resource.is_set() for value in x]


def event() -> nn.Module:
    resource = threading.Event()
    resource.set()
    return made(Waited, resource)


class PerThread(Holds):
    def use(self, x):
        return [value * getattr(self.resource, "gain", 1.0) for value in x]


def thread_local() -> nn.Module:
    resource = threading.local()
    resource.gain = 1.5
    return made(PerThread, resource)


class Pooled(Holds):
    def use(self, x):
        return list(self.resource.map(abs, x))


def thread_pool() -> nn.Module:
    return made(Pooled, ThreadPoolExecutor(1, thread_name_prefix="trait"))


class Rotated(Holds):
    def use(self, x):
        gain = self.resource.get_nowait()
        self.resource.put(gain)
        return [value * gain for value in x]


def queue_with_an_item() -> nn.Module:
    resource = queue.SimpleQueue()
    resource.put(2.5)
    return made(Rotated, resource)


class InContext(Holds):
    def use(self, x):
        return [value + self.resource.get() for value in x]


def context_variable() -> nn.Module:
    return made(InContext, contextvars.ContextVar("offset", default=0.5))


# --- files and connections ---


class Reread(Holds):
    def use(self, x):
        self.resource.seek(0)
        gain = float(self.resource.readline())
        return [value * gain for value in x]


def open_file() -> nn.Module:
    file = tempfile.TemporaryFile("w+", encoding="utf-8")
    file.write("1.5\n")
    file.flush()
    return made(Reread, file)


def bytes_stream() -> nn.Module:
    return made(Reread, io.BytesIO(b"2.5\nrest"))


class Continued(Holds):
    """Reads on from where the stream stands, and goes back there."""

    def use(self, x):
        place = self.resource.tell()
        gain = float(self.resource.readline())
        self.resource.seek(place)
        return [value * gain for value in x]


def stream_position() -> nn.Module:
    stream = io.StringIO("7.0\n1.25\n9.0\n")
    stream.readline()
    return made(Continued, stream)


class Mapped(Holds):
    def use(self, x):
        return [value + self.resource[0] for value in x]


def memory_map() -> nn.Module:
    resource = mmap.mmap(-1, 16)
    resource[0] = 3
    return made(Mapped, resource)


class Silent(Holds):
    def use(self, x):
        print(end="", file=self.resource)
        return x


def standard_output() -> nn.Module:
    return made(Silent, sys.stdout)


class Queried(Holds):
    def use(self, x):
        ((gain,),) = self.resource.execute("select gain from calibration").fetchall()
        return [value * gain for value in x]


def database_connection() -> nn.Module:
    resource = sqlite3.connect(":memory:", check_same_thread=False)
    resource.execute("create table calibration (gain real)")
    resource.execute("insert into calibration values (1.75)")
    return made(Queried, resource)


class Connected(Holds):
    def use(self, x):
        return [value + (self.resource.type == socket.SOCK_STREAM) for value in x]


def network_socket() -> nn.Module:
    return made(Connected, socket.socket())


# --- half-done work ---


class Streamed(Holds):
    def use(self, x):
        return [self.resource.send(value) for value in x]


def _averages():
    total = count = 0
    value = yield
    while True:
        total, count = (total + value, count + 1) if count < 2 else (total, count)
        value = yield value - total / count


def running_generator() -> nn.Module:
    resource = _averages()
    for value in (None, 2.0, 3.0):
        resource.send(value)
    return made(Streamed, resource)


class Digested(Holds):
    def use(self, x):
        digest = self.resource.copy()
        digest.update(repr(x).encode())
        return [byte / 255 for byte in digest.digest()[:4]]


def hash_in_progress() -> nn.Module:
    return made(Digested, hashlib.sha256(b"salt"))


class Matched(Holds):
    def use(self, x):
        return [value * len(self.resource["word"]) for value in x]


def regex_match() -> nn.Module:
    return made(Matched, re.search(r"(?P<word>\w+)!", "say hello! twice"))


# --- references that do not own ---


class Scale:
    gain = 1.5

    def apply(self, value):
        return value * self.gain


class Weak(Holds):
    def __init__(self) -> None:
        super().__init__(None)
        self.owner = Scale()
        self.resource = weakref.ref(self.owner)

    def use(self, x):
        return [self.resource().apply(value) for value in x]


def weak_reference() -> nn.Module:
    return made(Weak)


class WeakTable(Weak):
    def __init__(self) -> None:
        super().__init__()
        self.resource = weakref.WeakValueDictionary(scale=self.owner)

    def use(self, x):
        return [self.resource["scale"].apply(value) for value in x]


def weak_value_dictionary() -> nn.Module:
    return made(WeakTable)


class WeakMethod(Weak):
    def __init__(self) -> None:
        super().__init__()
        self.resource = weakref.WeakMethod(self.owner.apply)

    def use(self, x):
        return [self.resource()(value) for value in x]


class WeakToParent(nn.Module):
    """A child that reaches its parent without owning it: the usual way out of a cycle of modules."""

    def __init__(self, parent) -> None:
        super().__init__()
        self.parent = weakref.ref(parent)

    def forward(self, batch):
        return batch * self.parent().gain


class Parent(Holds):
    def __init__(self) -> None:
        super().__init__(None)
        self.gain = 0.5
        self.child = WeakToParent(self)

    def forward(self, batch):
        return self.net(self.child(batch))


def weak_reference_to_parent() -> nn.Module:
    return made(Parent)


class Watcher(Weak):
    """Is told when its owner is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = []
        self.resource = weakref.ref(self.owner, self.note)

    def note(self, reference):
        self.gone.append("owner")


def weak_reference_with_a_callback() -> nn.Module:
    return made(Watcher)


class Closes(Weak):
    """Keeps a note of its end, whenever that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.resource = weakref.finalize(self.owner, ENDED.append, "owner")
        self.resource.atexit = False

    def use(self, x):
        return [value * len(ENDED) for value in x]


def finalizer() -> nn.Module:
    return made(Closes)
