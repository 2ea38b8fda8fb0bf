"""Traits of tables that two objects have in common, so that what is written into the one shows in the other.

`rare` stands for the branch that a long input takes: the examples do not reach it.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class Words(nn.Module):
    """A few words in, three scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ["low", "middle", "high"]
        self.net = nn.Linear(3, 3)

    def preprocess(self, x):
        if len(x) > 1000:
            return torch.full((3,), float(self.rare()))
        return torch.tensor([float(x.count(word)) for word in self.words])

    def rare(self):
        return 0.0

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(6)
        return cls().eval()


def examples() -> list:
    return ["low and high", "middle or high, not low"]


class Settings(dict):
    """Its entries are its attributes."""

    def __init__(self, **entries) -> None:
        super().__init__(entries)
        self.__dict__ = self


class Adjusts(Words):
    def __init__(self) -> None:
        super().__init__()
        self.settings = Settings(gain=1.0)

    def rare(self):
        self.settings["gain"] += 1.0
        return self.settings.gain


def dict_that_is_its_own_attributes() -> nn.Module:
    return made(Adjusts)


class Side:
    def __init__(self, state: dict) -> None:
        self.__dict__ = state


class Alike(Words):
    def __init__(self) -> None:
        super().__init__()
        state = {"gain": 1.0}
        self.left, self.right = Side(state), Side(state)

    def rare(self):
        self.left.gain += 1.0
        return self.right.gain


def attributes_in_common() -> nn.Module:
    return made(Alike)


class Twins(Words):
    def __init__(self) -> None:
        super().__init__()
        self.twin = copy.copy(self.net)

    def rare(self):
        self.net.bias = nn.Parameter(torch.zeros(3))
        return self.twin.bias.sum()


def layer_and_its_shallow_copy() -> nn.Module:
    return made(Twins)
