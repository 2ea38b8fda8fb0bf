"""Classes and functions that the tests of json_spec save: a user's module."""

from __future__ import annotations

import enum
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

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
