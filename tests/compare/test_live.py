"""What no pickle takes, and what a subclass adds to a value: made anew by a model's own code, and not as it was."""

from __future__ import annotations

import collections
import ctypes
import datetime
import decimal
import fractions
import functools
import hashlib
import heapq
import io
import itertools
import logging
import pickle
import queue
import random
import sys
import tempfile
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import pytest
import torch

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

OWN = [__name__.partition(".")[0]]


class Money(decimal.Decimal):
    pass


class Ratio(fractions.Fraction):
    pass


class Stamp(datetime.datetime):
    pass


class Day(datetime.date):
    pass


class Span(datetime.timedelta):
    pass


class Place(PurePosixPath):
    pass


class Draws(random.Random):
    pass


class Log(io.StringIO):
    pass


class Ids(itertools.count):
    pass


class Pair(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_int)]


class Part:
    pass


class Records(logging.Handler):
    pass


def seen(before, after):
    described = [snapshot_model(value, own_modules=OWN) for value in (before, after)]
    return [(one.path, one.kind) for one in compare(*described)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Money("1.5"), lambda: Ratio(1, 3), lambda: Stamp(2020, 1, 1), lambda: Day(2020, 1, 1),
        lambda: Span(days=1), lambda: Draws(3), Log, lambda: Place("a"),
    ],
)  # fmt: skip
def test_an_attribute_of_a_subclass_of_a_value(make):
    with_one = make()
    with_one.unit = "cm"
    assert seen(with_one, with_one) == []
    assert seen(with_one, make()) == [("model.unit", "missing")]


def moved(iterator, times):
    for _ in range(times):
        next(iterator)
    return iterator


def counting():
    number = 0
    while True:
        yield number
        number += 1


def doubled(values):
    for value in values:
        yield value * 2
        yield value * 2 + 1


def finished(generator):
    list(generator)
    return generator


def test_what_a_base_in_c_keeps_beside_attributes():
    assert seen(moved(Ids(), 1), moved(Ids(), 1)) == []
    assert seen(moved(Ids(), 1), moved(Ids(), 2)) == [("model.__reduce__()[1][0]", "value")]
    assert seen(Pair(1, 2), Pair(1, 2)) == []
    assert seen(Pair(1, 2), Pair(1, 3))
    counter = collections.Counter(a=1)
    assert seen(counter, counter.copy()) == []


@pytest.mark.parametrize(
    ("make", "before", "after"),
    [
        (counting, 0, 1), (counting, 1, 2),  # begun, and by its variables
        (lambda: doubled([1, 1, 1]), 1, 2),  # by its line
        (lambda: doubled([1, 1, 1]), 1, 3),  # by the iterator inside it alone
    ],
)  # fmt: skip
def test_where_a_generator_stands(make, before, after):
    assert seen(moved(make(), before), moved(make(), before)) == []
    assert seen(moved(make(), before), moved(make(), after))


def test_a_generator_that_is_finished():
    assert seen(doubled([]), finished(doubled([]))) != []
    assert seen(finished(doubled([])), finished(doubled([1]))) == []


def test_generators_go_by_their_names_and_those_of_a_library_by_their_place():
    assert ("model", "value") in seen(counting(), doubled([1]))
    assert seen(heapq.merge([1]), heapq.merge([2])) == []
    assert seen(heapq.merge([1]), moved(heapq.merge([1, 2]), 1)) != []


def held(lock):
    lock.acquire()
    return lock


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock])
def test_a_lock_that_is_held(make):
    assert seen(make(), make()) == []
    assert seen(make(), held(make())) == [("model", "locked")]
    lock = make()
    assert seen(lock, lock) == []
    assert "unlocked" in repr(lock)  # as it was


def test_a_lock_that_nobody_holds_and_nobody_can_take():
    taken = threading.RLock()
    taken._acquire_restore((0, 0))
    assert seen(threading.RLock(), taken) == [("model", "locked")]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="cached_property has no lock")
def test_a_cached_property_whose_lock_nobody_can_take():
    def a_class():
        class Gains:
            @functools.cached_property
            def table(self):
                return [1.5]

        return Gains

    kept, taken = a_class(), a_class()
    assert seen(kept(), a_class()()) == []
    vars(taken)["table"].lock._acquire_restore((0, 0))  # as dill brings it back: the first use waits for ever
    assert seen(kept(), taken()) == [("model.__class__.table", "locked")]


class Line(queue.SimpleQueue):
    """A queue that says what it is for."""


def filled(queue_, *values):
    for value in values or (1,):
        queue_.put(value)
    return queue_


def taken(queue_):
    queue_.get()
    return queue_


def test_what_waits_in_a_queue():
    assert seen(filled(queue.SimpleQueue()), filled(queue.SimpleQueue())) == []
    assert seen(filled(queue.SimpleQueue()), queue.SimpleQueue()) == [("model", "length")]
    assert seen(filled(queue.SimpleQueue(), [1]), filled(queue.SimpleQueue(), [2])) == [("model[0][0]", "value")]
    assert seen(taken(filled(queue.SimpleQueue(), 1, 2)), filled(queue.SimpleQueue(), 2)) == []
    first, second = filled(Line()), filled(Line())
    assert seen(first, second) == []
    first.note = "a"
    assert seen(first, second) == [("model.note", "missing")]


def test_what_went_into_a_hash():
    for make in (hashlib.sha256, hashlib.blake2b, hashlib.md5):
        assert seen(make(b"a"), make(b"a")) == []
        assert seen(make(b"a"), make(b"b")) == [("model", "value")]
    assert seen(hashlib.shake_128(b"a"), hashlib.shake_128(b"a")) == []
    assert seen(hashlib.shake_128(b"a"), hashlib.shake_128(b"b")) == [("model", "value")]  # of any length


def test_what_a_weak_proxy_stands_for():
    first, second = Part(), Part()
    parts = [first, second]
    assert seen([parts, weakref.proxy(first)], [parts, weakref.proxy(first)]) == []
    assert seen([parts, weakref.proxy(first)], [parts, weakref.proxy(second)]) == [("model[1]()", "identity")]
    gone = Part()
    proxy = weakref.proxy(gone)
    del gone
    assert seen(weakref.proxy(first), proxy) == [("model()", "missing")]


class Named(weakref.ref):
    """A reference that tells of whom."""

    __slots__ = ("name",)


def test_what_is_called_when_what_a_reference_refers_to_dies():
    part = Part()
    assert seen([part, weakref.ref(part, counting)], [part, weakref.ref(part, counting)]) == []
    lost = [("model[1].__callback__", "missing")]
    assert seen([part, weakref.ref(part, counting)], [part, weakref.ref(part)]) == lost
    records = Records()
    methods = [weakref.WeakMethod(method) for method in (records.flush, records.flush, records.close)]
    assert seen([records, methods[0]], [records, methods[1]]) == []
    assert seen([records, methods[0]], [records, methods[2]]) != []


def test_what_a_class_adds_to_a_reference():
    part = Part()
    first, second = Named(part), Named(part)
    first.name, second.name = "a", "b"
    assert seen([part, first], [part, second]) == [("model[1].name", "value")]


class Kept(weakref.WeakSet):
    """A set that says what it is for."""


def test_what_a_class_adds_to_a_weak_set():
    first, second = Kept(), Kept()
    assert seen(first, second) == []
    first.note, second.note = "a", "b"
    assert seen(first, second) == [("model.note", "value")]


class Known(weakref.WeakValueDictionary):
    """A table that says what it is for."""


class Counted(weakref.WeakKeyDictionary):
    """Another."""


@pytest.mark.parametrize("make", [Known, Counted])
def test_what_a_class_adds_to_a_weak_table(make):
    first, second = make(), make()
    assert seen(first, second) == []
    first.note = "a"
    assert seen(first, second) == [("model.note", "missing")]


def test_what_a_temporary_file_is_called_is_no_difference():
    with tempfile.NamedTemporaryFile() as first, tempfile.NamedTemporaryFile() as second:
        assert seen(first.file, second.file) == []


def test_a_transform_whose_inverse_was_asked_for():
    """It keeps that, and a pickle of it does not; the inverse itself is nothing without it."""
    first, second, other = (torch.distributions.AffineTransform(loc, 2.0) for loc in (1.0, 1.0, 3.0))
    inverse = first.inv
    assert seen(first, second) == []
    assert seen(inverse, second.inv) == []
    assert seen(inverse, other.inv) == [("model._inv.loc", "value")]
    assert seen(inverse, pickle.loads(pickle.dumps(inverse))) == [("model._inv", "type")]


def noting(*words, **named):
    """What a finalizer calls."""


def test_what_a_finalizer_does():
    part = Part()
    first, second = (weakref.finalize(part, noting, "a", by=by) for by in (1, 2))
    assert seen([part, first], [part, weakref.finalize(part, noting, "a", by=1)]) == []
    assert seen([part, first], [part, second]) == [("model[1].peek().kwargs['by']", "value")]
    done = weakref.finalize(part, noting)
    done.detach()
    assert {kind for _, kind in seen([part, first], [part, done])} == {"missing"}
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        library = [weakref.finalize(part, dict, message=text) for text in (one, other)]
        assert seen([part, library[0]], [part, library[1]]) == []


def test_the_name_that_counts_threads_is_no_difference():
    assert seen(threading.Thread(target=counting), threading.Thread(target=counting)) == []
    assert seen(threading.Thread(name="a"), threading.Thread(name="b")) == [("model._name", "value")]
    assert seen(threading.Thread(daemon=True), threading.Thread()) == [("model._daemonic", "value")]


def test_the_name_that_counts_pools_is_no_difference():
    assert seen(ThreadPoolExecutor(1), ThreadPoolExecutor(1)) == []
    assert seen(ThreadPoolExecutor(1), ThreadPoolExecutor(2)) == [("model._max_workers", "value")]
    named = [("model._thread_name_prefix", "value")]
    assert seen(ThreadPoolExecutor(1, "a"), ThreadPoolExecutor(1, "b")) == named


def with_line(number):
    error = SyntaxError("a")
    error.lineno = number
    return error


def ended_with(value):
    error = StopIteration(1)
    error.value = value
    return error


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (with_line, "model.lineno"), (ended_with, "model.value"),
        (lambda number: OSError(2, "a", f"file {number}"), "model.filename"),
    ],
)  # fmt: skip
def test_what_an_exception_keeps_beside_its_arguments(make, path):
    assert seen(make(1), make(1)) == []
    assert seen(make(1), make(2)) == [(path, "value")]
    error = make(3)
    kept = pickle.loads(pickle.dumps(error))
    assert [one for one, _ in seen(error, kept)] == (
        [] if getattr(kept, path[6:]) == getattr(error, path[6:]) else [path]
    )


def test_what_an_exception_was_raised_from():
    first, second = ValueError("a"), ValueError("a")
    first.__cause__ = KeyError("b")
    assert seen(first, first) == []
    assert seen(first, second) == [("model.__cause__", "missing")]


def test_a_logger_of_the_name_of_its_module():
    """Whatever the module is called where the model is loaded."""
    own, private = logging.getLogger(OWN[0]), logging.getLogger(f"<json_spec_0a>.{OWN[0]}")
    assert seen(own, private) == []
    assert seen(own, logging.getLogger("another")) == [("model", "value")]


def test_handlers_and_filters_of_the_users_own(monkeypatch):
    logger = logging.getLogger(f"{__name__}.handled")
    before = snapshot_model(logger, own_modules=OWN)
    for parts, part in ((logger.handlers, Records()), (logger.filters, counting)):
        parts.append(part)
        assert len(compare(before, snapshot_model(logger, own_modules=OWN))) == 1
        parts.clear()
    logger.handlers.append(logging.NullHandler())
    assert compare(before, snapshot_model(logger, own_modules=OWN)) == []
