"""What a cache remembers counts where computing it anew would give something else, and only there."""

from __future__ import annotations

import functools
import os
import time

import pytest
import torch

from harness.compare import compare
from harness.snapshot import describe_caches
from harness.snapshot.builder import snapshot_model, snapshot_value

OWN = [__name__.partition(".")[0]]
MODE = ["train"]
CALLS = []


@functools.lru_cache
def bounded(*words, **named):
    return [*MODE, words, sorted(named)]


@functools.cache
def counted(word):
    CALLS.append(word)
    return word


@functools.cache
def unbounded(word):
    return [*MODE, word]


@functools.lru_cache(maxsize=4)
def refuses(word):
    if MODE == ["fitted"]:
        raise ValueError(word)
    return word


@functools.cache
def hangs(word):
    if MODE == ["fitted"]:
        time.sleep(60)
    return word


@functools.cache
def dies(word):
    if MODE == ["fitted"]:
        os._exit(3)
    return word


class Model(torch.nn.Module):
    offset = 5

    @functools.lru_cache  # noqa: B019
    def method(self, x):
        return self.offset + x

    def rarely(self, x):
        return bounded(x), unbounded(x), refuses(x), hangs(x), dies(x)


@pytest.fixture(autouse=True)
def anew():
    yield
    MODE[:] = ["train"]
    CALLS.clear()
    for function in (bounded, unbounded, refuses, hangs, dies):
        function.cache_clear()


def changed_by(function, *words, **named):
    """The differences that remembering makes, where the function answers otherwise by now."""
    MODE[:] = ["fitted"]
    before = snapshot_model(Model(), own_modules=OWN)
    MODE[:] = ["train"]
    function(*words, **named)
    MODE[:] = ["fitted"]
    return [one.path for one in compare(before, snapshot_model(Model(), own_modules=OWN))]


@pytest.mark.parametrize("function", [bounded, unbounded, refuses])
@pytest.mark.parametrize("word", ["a", 1, (1, 2)])
def test_what_would_be_answered_otherwise_is_told(function, word):
    (path,) = changed_by(function, word)
    assert path.startswith(f"model.__class__.rarely.__globals__['{function.__name__}']")
    function.cache_clear()
    MODE[:] = ["train"]
    before = snapshot_model(Model(), own_modules=OWN)
    function(word)
    assert compare(before, snapshot_model(Model(), own_modules=OWN)) == []


def test_named_arguments_and_several_entries():
    MODE[:] = ["fitted"]
    bounded("right")
    assert len(changed_by(bounded, "wrong", 2, by=3, of=4)) == 1


def test_an_entry_that_was_changed_in_place():
    before = snapshot_model(Model(), own_modules=OWN)
    unbounded("a").append("more")
    assert len(compare(before, snapshot_model(Model(), own_modules=OWN))) == 1


def test_a_cached_method_of_the_model():
    model = Model()
    before = snapshot_model(model, own_modules=OWN)
    model.method(2)
    assert compare(before, snapshot_model(model, own_modules=OWN)) == []
    Model.offset = 0
    try:
        paths = [one.path for one in compare(before, snapshot_model(model, own_modules=OWN))]
    finally:
        Model.offset = 5
        Model.method.cache_clear()
    assert any("method" in path for path in paths), paths


def test_nothing_is_called_in_this_process():
    counted("a")
    snapshot_model(counted, own_modules=OWN)
    assert CALLS == ["a"]


@pytest.mark.parametrize("function", [hangs, dies])
def test_a_copy_that_does_not_answer_tells_nothing(function, monkeypatch):
    monkeypatch.setattr(describe_caches, "TIMEOUT_S", 0.1)
    assert changed_by(function, "a") == []


def test_a_value_has_no_caches():
    unbounded("a").append("more")
    graph = snapshot_value(unbounded, own_modules=OWN)
    assert "more" not in str(graph)
