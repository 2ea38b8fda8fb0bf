"""Traits of what a model and its code have in common: whether something writes into it, and how far that is to seek.

No example writes: a copy that has two where there was one answers alike until something does.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import nn

WORDS = ["cold", "mild", "warm"]
NOTES = ["cold", "mild", "warm"]
BANDS = ["cold", "mild", "warm"]
MEAN = torch.tensor([0.5, 1.0, 0.0, 2.0])
note = functools.partial(list.append, NOTES)
LEARNING = {}


class Shares(nn.Module):
    """Four readings in, three scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return self.named(int(output.argmax()))

    def named(self, best):
        return best


def made(cls):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(4)
        return cls().eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- lists


def learning(function):
    LEARNING[function.__name__] = function
    return function


@learning
def add(into, word):
    into.append(word)


class Learns(Shares):
    """Calls by its name, out of a register, the function that adds to the list."""

    def __init__(self) -> None:
        super().__init__()
        self.words = WORDS

    def learn(self, word):
        LEARNING["add"](self.words, word)

    def named(self, best):
        return self.words[best], len(WORDS)


def list_that_a_registered_function_fills() -> nn.Module:
    return made(Learns)


class Notes(Shares):
    """Adds to the list by a partial that the module has."""

    def __init__(self) -> None:
        super().__init__()
        self.notes = NOTES

    def learn(self, word):
        note(word)

    def named(self, best):
        return self.notes[best]


def list_that_a_partial_fills() -> nn.Module:
    return made(Notes)


class Reads(Shares):
    """A variable has the name of the list, which nothing writes: a copy of it is as good."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = BANDS

    def named(self, best):
        bands = []
        for band in self.bands:
            bands.append(band.upper())
        return bands[best], len(BANDS)


def list_of_a_written_variables_name() -> nn.Module:
    return made(Reads)


# --- tensors and objects


class Adapts(Shares):
    """Moves all its buffers, one of which is the module's tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", MEAN)

    def preprocess(self, x):
        return torch.tensor(x) - MEAN

    def adapt(self, rate):
        for value in self.buffers():
            value.mul_(rate)

    def named(self, best):
        return best, self.mean.tolist()


def buffer_that_is_a_global_too() -> nn.Module:
    return made(Adapts)


@dataclass(eq=False)
class Band:
    name: str


UNKNOWN = Band("unknown")


class Compares(Shares):
    """The object without an `__eq__` equals itself alone, which no example comes to ask."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = [Band("cold"), Band("mild"), Band("warm"), UNKNOWN]

    def named(self, best):
        if best == 3 and self.bands[best] == UNKNOWN:
            return "?"
        return self.bands[best].name


def object_that_equals_itself_alone() -> nn.Module:
    return made(Compares)


# --- what a cache gives again


@functools.cache
def vocabulary():
    return {"cold": 0, "mild": 1, "warm": 2}


class Grows(Shares):
    """Has the vocabulary of the process, which a method finds by the function and adds to."""

    def __init__(self) -> None:
        super().__init__()
        self.vocabulary = vocabulary()

    def learn(self, word):
        vocabulary().setdefault(word, len(self.vocabulary))

    def named(self, best):
        return list(self.vocabulary)[best], len(self.vocabulary)


def dictionary_that_a_cache_gives_again() -> nn.Module:
    return made(Grows)
