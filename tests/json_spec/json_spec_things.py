"""Classes and functions that the tests of json_spec save: a user's module."""

from __future__ import annotations

import enum
import os
from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from backends.json_spec import spec

Pair = namedtuple("Pair", "left right")


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Point:
    x: int
    y: Any


class Slotted:
    __slots__ = ("__hidden", "shown")

    def __init__(self):
        self.__hidden, self.shown = 1, [2]


class Node:
    def __init__(self):
        self.children = []
        self.parent = None

    def method(self):
        return len(self.children)


class Holder(nn.Module):
    """A module with whatever a test puts into it."""

    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


class TiedCharacters(nn.Module):
    """Tied embedding, non-persistent buffer, a dict with int keys."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(5, 5).tril().bool(), persistent=False)
        self.letters = dict(enumerate("abcdefg"))

    def forward(self, x):
        return self.head(self.embedding(x))


def double(x):
    return x * 2


def fixed_model():
    """The same model in every process."""
    torch.manual_seed(0)
    model = TiedCharacters()
    model.words = {"apple", "pear", "plum", "quince"}
    model.recurrent = nn.GRU(3, 2, num_layers=2, bidirectional=True)
    return model


class Celsius(torch.Tensor):
    """A subclass without anything of its own."""


class Bounded(nn.Parameter):
    def __new__(cls, values):
        return super().__new__(cls, torch.tensor(values))


CALLS = []
"""What hooks note that change nothing else."""


def add_one(module, inputs, output):
    return output + 1


def square_output(module, inputs, output):
    return output.square()


def count_keywords(module, args, kwargs, output):
    return output * (1 + len(kwargs))


def keep_keywords(module, args, kwargs):
    return args, kwargs


def double_input(module, inputs):
    return tuple(2 * value for value in inputs)


def reverse_gradient(module, grad_input, grad_output):
    return tuple(-gradient for gradient in grad_input)


def double_gradient(module, grad_output):
    return tuple(2 * gradient for gradient in grad_output)


def note_version(module, state, prefix, metadata):
    state[prefix + "version"] = torch.tensor(2)


def before_state_dict(module, prefix, keep_vars):
    CALLS.append(prefix)


def drop_version(module, state, prefix, *rest):
    CALLS.append(prefix)


def after_loading(module, incompatible):
    CALLS.append(module)


class Watching(nn.Linear):
    def __init__(self):
        super().__init__(2, 1)
        self.seen = []
        self.register_forward_hook(self.note)

    def note(self, module, inputs, output):
        self.seen.append(inputs[0].numel())


class Symmetric(nn.Module):
    def forward(self, x):
        return x + 1

    def right_inverse(self, x):
        return x - 1


def parametrized(layer, *parts):
    for part in parts:
        nn.utils.parametrize.register_parametrization(layer, "weight", part)
    return layer


class Extra(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = 3

    def get_extra_state(self):
        return {"seen": self.seen}

    def set_extra_state(self, state):
        self.seen = state["seen"]


@spec
class Tokenizer:
    def __init__(self, corpus, /, size=10):
        self.words = sorted(set(corpus.split()))[:size]
        self.n_symbols = len(self.words)


@spec
class Layer(nn.Module):
    def __init__(self, n_in, n_hidden=4, *more, activation=double, **options):
        super().__init__()
        self.sizes = [n_in, n_hidden, *more]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(self.sizes))
        self.activation, self.options = activation, options


class Deeper(Layer):
    """Not decorated itself: instances are noted under their own name."""

    def __init__(self, depth):
        super().__init__(2, *[3] * depth)
        self.depth = depth


@spec
@dataclass
class Decoder:
    labels: list
    threshold: float = 0.5


@spec
class Compound(nn.Module):
    def __init__(self, tokenizer, layer, decoder):
        super().__init__()
        self.tokenizer, self.layer, self.decoder = tokenizer, layer, decoder


@spec
class Closed(nn.Module):
    """Makes its layer itself."""

    def __init__(self, width):
        super().__init__()
        self.layer = Layer(width)


@spec
class Heads(nn.Module):
    """Two tensors of one shape, or one under two names."""

    def __init__(self, width, tie=False):
        super().__init__()
        self.embed, self.head = nn.Embedding(3, width), nn.Linear(width, 3, bias=False)
        if tie:
            self.head.weight = self.embed.weight


@spec
def build_compound(n_hidden=4):
    tokenizer = Tokenizer("a b c")
    return Compound(tokenizer, Layer(tokenizer.n_symbols, n_hidden), Decoder(["good", "bad"]))


def plain_compound(n_hidden=4):
    """Not decorated: `spec(plain_compound)(5)` notes one call."""
    return Compound(Tokenizer("a b c"), Layer(3, n_hidden), None)


def ends_list(words):
    """Changes its argument."""
    words.append("end")
    return Holder(words=words)


@spec
@dataclass
class Settings:
    rate: float = 0.1
    tags: list = field(default_factory=list)


UNSET = object()


@spec
class Named(nn.Module):
    """Has arguments of the names that `spec` uses itself, a default that stands for none, and other ways to be made."""

    def __init__(self, of, thing=UNSET, *, cls=1):
        super().__init__()
        self.given = [of, thing is UNSET, cls]

    @classmethod
    def twice(cls, n):
        return cls(2 * n)

    @staticmethod
    def thrice(n):
        return Named(3 * n)


class Heir(Named):
    pass


class Total(nn.Module):
    """Gives one number for the whole batch."""

    def forward(self, x):
        return x.sum()


class Staged(nn.Module):
    """A model with all three stages, which counts its calls and empties a list that it is given."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 7)
        self.letters = {letter: number for number, letter in enumerate("abcdefg")}
        self.longest, self.calls, self.key = 3, 0, "best"

    def preprocess(self, x):
        letters = [self.letters[letter] for letter in x][: self.longest]
        if isinstance(x, list):
            x.clear()
        return {"letters": torch.tensor(letters), "length": len(letters), "draw": torch.rand(1)}

    def forward(self, batch):
        self.calls += 1
        return {
            "scores": self.head(batch["letters"].float().mean(1, keepdim=True)),
            "calls": torch.tensor([self.calls]),
        }

    def postprocess(self, output):
        return {self.key: list(self.letters)[int(output["scores"].argmax())]}


class Restless(Staged):
    """Gives another answer each time it is asked."""

    runs = 0

    def postprocess(self, output):
        type(self).runs += 1
        return {"best": type(self).runs}


class Mode(enum.Flag):
    A = 1
    B = 2
    C = 4


class Words(dict):
    """A dict with a method that must not run at load, and an attribute."""

    def __setitem__(self, key, value):
        raise AssertionError("a method of the user's ran")

    @classmethod
    def of(cls, pairs):
        made = cls(pairs)
        made.size = len(made)
        return made


class AttrDict(dict):
    """Its entries are its attributes."""

    def __init__(self, *args, **entries):
        super().__init__(*args, **entries)
        self.__dict__ = self


class Row(list):
    pass


class Table(nn.Module, dict):
    """A module with a dict under it."""


class Version(tuple):
    __slots__ = ()


class Text(str):
    pass


class Level(int):
    pass


class Ordered(OrderedDict):
    pass


class Default(defaultdict):
    pass


class Queue(deque):
    pass


class Bag(set):
    pass


class Maker:
    scale = 3

    @classmethod
    def scaled(cls, x):
        return cls.scale * x

    @staticmethod
    def halved(x):
        return x / 2


@lru_cache
def cached(x):
    return x + 1


LIMIT = 5
COUNTS: list = []


class Global:
    """Its methods read what is outside."""

    scale = 1.0
    gone = None

    def read(self):
        return double(LIMIT) + len(COUNTS)

    def again(self):
        return len(COUNTS) + LIMIT


OFFSET_NAME = "ROUNDTRIP_OFFSET"


class Environment:
    """What it gives depends on the process."""

    def read(self):
        return float(os.environ.get("ROUNDTRIP_GAIN", "1")) + float(os.getenv(OFFSET_NAME, "0"))


class Decorated(nn.Module):
    """A decorator that keeps something of its own, which belongs to the class."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 2)

    @torch.autocast("cpu", torch.bfloat16)
    def forward(self, batch):
        return self.net(batch)
