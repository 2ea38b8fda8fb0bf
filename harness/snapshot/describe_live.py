"""How objects of a running process are described, which few pickles take: locks, generators, hashes, databases, queues,
weak references.

A model that has one leaves it out of its state, as a rule, and makes it anew when it is loaded: an empty database, a
generator that begins again. So what the object holds is read where that can be done without a change to it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import queue
import re
import sqlite3
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from harness.snapshot import atoms
from harness.snapshot.attributes import added, attributes

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())
_NUMBERS_OF_THREADS = frozenset({"_ident", "_native_id", "_tstate_lock", "_handle"})
_NAME_OF_A_THREAD = re.compile(r"Thread-\d+")
_NAMES_OF_A_POOL = re.compile(r"ThreadPoolExecutor-\d+")
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
        return builder.node("lock", value, facts={"locked": is_held(value)})
    if issubclass(cls, threading.Thread):
        return _thread(value, builder)
    if issubclass(cls, Executor):
        return _pool(value, builder)
    if issubclass(cls, weakref.ReferenceType):
        return _reference(value, builder)
    if issubclass(cls, weakref.finalize):
        return _finalizer(value, builder)
    if issubclass(cls, queue.SimpleQueue):
        return _queue(value, builder)
    if issubclass(cls, sqlite3.Connection):
        return _database(value, builder)
    if cls.__module__ in _HASHES:
        for digest in (value.hexdigest, functools.partial(value.hexdigest, 32)):  # one of any length has to be told one
            with contextlib.suppress(Exception):
                return builder.node("hash", value, facts={"value": digest()})
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


def is_held(value: Any) -> bool:
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


def _pool(value: Executor, builder: Builder) -> dict:
    """Its attributes, but for the names of its threads where these count the pools of the process."""
    parts = attributes(value)
    if _NAMES_OF_A_POOL.fullmatch(str(parts.get("_thread_name_prefix"))):
        del parts["_thread_name_prefix"]
    return builder.node("object", value, builder.named(parts))


def _begun(value: Any) -> bool:
    tell = next((tell for cls, tell in _STATES.items() if isinstance(value, cls)), None)
    return tell is None or not tell(value).endswith("_CREATED")


_ANSWERS = ("row_factory", "text_factory")
_KEPT = ("user_version", "foreign_keys")


def _database(value: sqlite3.Connection, builder: Builder) -> dict:
    """How it answers, and what a database in memory or in a temporary file holds. Of another file where it is."""
    parts = added(value, builder.is_own)
    with contextlib.suppress(sqlite3.Error), _plainly(value) as answers:  # closed, or another thread's
        files = [atoms.of_file(file)["value"] for _, _, file in _asked(value, "database_list") if file]
        facts: dict[str, Any] = {name: getattr(value, name) for name in ("isolation_level", "in_transaction")}
        facts |= {name: next(_asked(value, name))[0] for name in _KEPT}
        facts |= {name: _made_by_the_user(value, name) for name in ("function_list", "collation_list")}
        facts["value"] = files if set(files) - {"<temporary>"} else list(value.iterdump())
        return builder.node("database", value, builder.named(parts | answers), facts=facts)
    return builder.node("opaque", value, builder.named(parts))


@contextlib.contextmanager
def _plainly(value: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """What makes its rows and texts; meanwhile they are tuples and `str`, of which a dump can be made."""
    answers = {name: getattr(value, name) for name in _ANSWERS}
    try:
        value.row_factory, value.text_factory = None, str
        yield answers
    finally:
        for name, made_by in answers.items():
            setattr(value, name, made_by)


def _asked(value: sqlite3.Connection, pragma: str) -> Iterator[tuple]:
    return iter(sqlite3.Connection.execute(value, f"PRAGMA {pragma}"))


def _made_by_the_user(value: sqlite3.Connection, pragma: str) -> list[list[Any]]:
    """The functions, or collations, that SQLite does not have of itself, by names and numbers of arguments."""
    with contextlib.closing(sqlite3.connect(":memory:")) as bare:
        known, found = set(_asked(bare, pragma)), set(_asked(value, pragma))
    if pragma == "collation_list":  # numbered from the newest on
        return sorted([name] for name in {name for _, name in found} - {name for _, name in known})
    return sorted([name, narg] for name, _, _, _, narg, _ in found - known)


def _queue(value: queue.SimpleQueue, builder: Builder) -> dict:
    """What waits in it: CPython tells its garbage collector, before Python 3.13 of a list, at whose end it is."""
    length, own = value.qsize(), added(value, builder.is_own)
    besides = (type(value), getattr(value, "__dict__", None))
    parts = [part for part in gc.get_referents(value) if not any(part is other for other in besides)]
    if sys.version_info < (3, 13) and parts:
        parts = parts[0][len(parts[0]) - length :]
    if len(parts) != length:
        return builder.node("queue", value, builder.named(own), facts={"length": length})
    return builder.node("queue", value, builder.indexed(parts), builder.named(own))
