"""Traits of numbers that mean something in one process only: addresses, and hashes of texts.

`rare` stands for the branch that a long input takes: the examples do not reach it.
"""

from __future__ import annotations

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


class ById(Words):
    def __init__(self) -> None:
        super().__init__()
        self.gains = {id(self.net): 2.0}

    def rare(self):
        return self.gains.get(id(self.net), 1.0)


def table_keyed_by_id() -> nn.Module:
    return made(ById)


class ByPointer(Words):
    def __init__(self) -> None:
        super().__init__()
        self.gains = {("weight", self.net.weight.data_ptr()): 2.0}

    def rare(self):
        return self.gains.get(("weight", self.net.weight.data_ptr()), 1.0)


def table_keyed_by_pointer() -> nn.Module:
    return made(ByPointer)


class ByHash(Words):
    def __init__(self) -> None:
        super().__init__()
        self.places = {hash(word): place for place, word in enumerate(self.words)}

    def rare(self):
        return self.places.get(hash("high"), -1)


def table_keyed_by_hash_of_text() -> nn.Module:
    return made(ByHash)


class Buckets(Words):
    def preprocess(self, x):
        counts = torch.zeros(3)
        for word in x.split():
            counts[hash(word) % 3] += len(word)
        return counts


def buckets_by_hash_of_text() -> nn.Module:
    return made(Buckets)


class InOrder(Words):
    """Of two texts in a set, which comes first is the same in half of all processes; here in the first two."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = {"cat", "ant"}

    def postprocess(self, output):
        return dict(zip(self.labels, output.tolist(), strict=False))


def labels_in_the_order_of_a_set() -> nn.Module:
    return made(InOrder)
