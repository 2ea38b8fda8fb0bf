"""How objects of a running process are described, which few pickles take: locks, generators, hashes, databases, queues,
weak references.

A model that has one leaves it out of its state, as a rule, and makes it anew when it is loaded: an empty database, a
generator that begins again. So what the object holds is read where that can be done without a change to it.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import queue
import re
import sqlite3
import threading
import types
import weakref
from typing import TYPE_CHECKING, Any

from harness.snapshot.attributes import added, attributes

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())
_NUMBERS_OF_THREADS = frozenset({"_ident", "_native_id", "_tstate_lock", "_handle"})
_NAME_OF_A_THREAD = re.compile(r"Thread-\d+")
_STATES = {types.GeneratorType: inspect.getgeneratorstate, types.CoroutineType: inspect.getcoroutinestate}
_HASHES = frozenset({"_hashlib", "_blake2", "_md5", "_sha1", "_sha2", "_sha3", "_sha256", "_sha512"})


def describe(value: Any, builder: Builder) -> dict | None:
    """A node, or None for what is none of these."""
    cls = type(value)
    if issubclass(cls, types.GeneratorType | types.CoroutineType | types.AsyncGeneratorType):
        return _generator(value, builder)
    if issubclass(cls, _LOCK):
        return builder.node("lock", value, facts={"locked": value.locked()})
    if issubclass(cls, _RLOCK):
        return builder.node("lock", value, facts={"locked": _is_held(value)})
    if issubclass(cls, threading.Thread):
        return _thread(value, builder)
    if issubclass(cls, weakref.ReferenceType):
        return _reference(value, builder)
    if issubclass(cls, weakref.finalize):
        return _finalizer(value, builder)
    if issubclass(cls, queue.SimpleQueue):
        return builder.node("queue", value, facts={"length": value.qsize()})
    if issubclass(cls, sqlite3.Connection):
        return _database(value, builder)
    if cls.__module__ in _HASHES:
        with contextlib.suppress(Exception):  # a digest of any length has to be told one
            return builder.node("hash", value, facts={"value": value.hexdigest()})
    return None


def proxy(value: Any, builder: Builder) -> dict:
    """A weak proxy, by what it stands for while that lives."""
    try:
        behind = {"()": value.__repr__.__self__}
    except (ReferenceError, AttributeError):
        behind = {}
    return builder.node("weakref", value, builder.named(behind), identity=False)


def _reference(value: weakref.ReferenceType, builder: Builder) -> dict:
    """What it refers to while that lives, what is called when it dies, and what a class of the user's adds."""
    parts = {"()": value()} | added(value, builder.is_own)
    if value.__callback__ is not None:
        parts["__callback__"] = value.__callback__
    return builder.node("weakref", value, builder.named(parts), identity=False)


def _finalizer(value: weakref.finalize, builder: Builder) -> dict:
    """Whom it waits for and what it does then, which the class keeps; nothing once that is done.

    The named arguments of the user's functions alone: `TemporaryDirectory` has a message there with a path in it.
    """
    parts = dict(zip(("obj", "func", "args", "kwargs"), value.peek() or (), strict=False))
    if not builder.is_own(getattr(parts.get("func"), "__module__", None)):
        parts.pop("kwargs", None)
    parts |= {"atexit": value.atexit} if parts else {}
    return builder.node("object", value, builder.named(parts, ".peek()"))


def _generator(value: Any, builder: Builder) -> dict:
    """Which it is and where it stands; of the user's own its variables too, and the iterators that it goes through.

    Its line is told from the first of its function: instructions differ from one Python to the next.
    """
    frame = getattr(value, "gi_frame", None) or getattr(value, "cr_frame", None) or getattr(value, "ag_frame", None)
    facts: dict[str, Any] = {"value": value.__qualname__}
    if frame is None:  # finished
        return builder.node("generator", value, facts=facts)
    facts["line"] = (frame.f_lineno or frame.f_code.co_firstlineno) - frame.f_code.co_firstlineno
    facts["begun"] = _begun(value)
    if not builder.is_own(frame.f_globals.get("__name__")):
        return builder.node("generator", value, facts=facts)
    variables = dict(frame.f_locals)
    known = set(map(id, variables.values()))
    inside = [part for part in gc.get_referents(value) if hasattr(type(part), "__next__") and id(part) not in known]
    return builder.node("generator", value, builder.named(variables), builder.indexed(inside, ".<inside>"), facts=facts)


def _is_held(value: Any) -> bool:
    """Whether another may not take it: dill brings some back that nobody holds and nobody can take."""
    if value._is_owned():
        return True
    if value.acquire(blocking=False):
        value.release()
        return False
    return True


def _thread(value: threading.Thread, builder: Builder) -> dict:
    """Its attributes but for what is another in each process: numbers, and a name that counts threads."""
    parts = {name: part for name, part in attributes(value).items() if name not in _NUMBERS_OF_THREADS}
    if _NAME_OF_A_THREAD.match(value.name):
        del parts["_name"]
    return builder.node("object", value, builder.named(parts))


def _begun(value: Any) -> bool:
    tell = next((tell for cls, tell in _STATES.items() if isinstance(value, cls)), None)
    return tell is None or not tell(value).endswith("_CREATED")


def _database(value: sqlite3.Connection, builder: Builder) -> dict:
    """What a database in memory holds. One in a file is where its file is."""
    with contextlib.suppress(sqlite3.Error):  # closed, or another thread's
        files = [file for _, _, file in value.execute("PRAGMA database_list")]
        if not any(files):
            return builder.node("database", value, facts={"value": list(value.iterdump())})
    return builder.node("opaque", value)
