"""Numbers that mean something in one process only: a copy that brings them differs, one with its own not."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from harness.compare import compare
from harness.snapshot import addresses
from harness.snapshot.builder import snapshot_model


class Holds(torch.nn.Module):
    def __init__(self, key, inside):
        super().__init__()
        self.layer, self.words, self.array = torch.nn.Linear(2, 2), ["red", "green"], np.zeros(3)
        self.thing, self.key, self.inside = Thing(), key, inside
        torch.nn.init.ones_(self.layer.weight)
        torch.nn.init.ones_(self.layer.bias)
        self.fill()

    def fill(self):
        self.table = self.inside(self.key(self))


class Thing:
    pass


KEYS = {
    "id": lambda model: id(model.layer),
    "hash of an object": lambda model: hash(model.thing),
    "hash of a text": lambda model: hash(model.words[1]),
    "pointer of a tensor": lambda model: model.layer.weight.data_ptr(),
    "pointer of an array": lambda model: model.array.__array_interface__["data"][0],
}
INSIDE = {
    "key": lambda number: {number: 1},
    "in a tuple": lambda number: {("a", number): 1},
    "element": lambda number: {number},
    "value": lambda number: number,
    "in a list": lambda number: [number],
}


def copied(model, key):
    """As another process would have it: the numbers of the original, objects and hashes of its own."""
    key, inside, model.key, model.inside = model.key, model.inside, None, None
    copy = pickle.loads(pickle.dumps(model))
    model.key, model.inside, copy.key, copy.inside = key, inside, key, inside
    copy.words = ["red", "another hash"]
    return copy


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("key", KEYS)
def test_numbers_of_another_process_are_seen(key, inside):
    model = Holds(KEYS[key], INSIDE[inside])
    before = snapshot_model(model)
    copy = copied(model, key)
    differences = [one for one in compare(before, snapshot_model(copy)) if not one.path.startswith("model.words")]
    assert differences
    assert all(one.path.startswith("model.table") for one in differences), differences
    if key != "hash of a text":
        copy.fill()
        copy.words = model.words
        assert compare(before, snapshot_model(copy)) == []


def test_other_numbers_stay_what_they_are():
    numbers = [2**40, -(2**62), 5]
    before = snapshot_model(numbers)
    assert before["nodes"][0]["groups"][0]["entries"] == numbers
    assert compare(before, snapshot_model(list(numbers))) == []
    assert not addresses._is_long(True)


class Asks(torch.nn.Module):
    def __init__(self, process):
        super().__init__()
        self.process = process

    def preprocess(self, x):
        return x if os.getpid() == self.process else -x


class DoesNotAsk(torch.nn.Module):
    def __init__(self, process):
        super().__init__()
        self.process = process


def test_the_number_of_the_process_where_code_asks_for_it(monkeypatch):
    """A copy that brought it along is in another process."""

    def described(model, there):
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(os, "getpid", lambda: there)
            return snapshot_model(model, own_modules=[__name__.partition(".")[0]])

    here = described(Asks(4711), 4711)
    assert compare(here, described(Asks(815), 815)) == []
    ((path, message),) = [(one.path, one.message) for one in compare(here, described(Asks(4711), 815))]
    assert path == "model.process" and "number of the process" in message
    assert compare(described(DoesNotAsk(4711), 4711), described(DoesNotAsk(4711), 815)) == []
