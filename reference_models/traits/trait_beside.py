"""Traits of a file beside the code, a list of words in `trait_beside_data`: how the model comes to it.

An artifact that carries the code, as text or by value, is not where the file is.
"""

from __future__ import annotations

import inspect
import pkgutil
from pathlib import Path

import torch
from torch import nn


class Words(nn.Module):
    """A few words in, three scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 3)

    def words(self):
        raise NotImplementedError

    def preprocess(self, x):
        return torch.tensor([float(x.count(word)) for word in self.words()])

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return dict(zip(self.words(), output.tolist(), strict=True))


def made(cls):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(7)
        return cls().eval()


def examples() -> list:
    return [["low", "low", "high"], ["middle", "none"]]


class KnowsThem(Words):
    def words(self):
        return self.known


def file_beside_read_when_built() -> nn.Module:
    model = made(KnowsThem)
    model.known = (
        Path(__file__).with_name("trait_beside_data").joinpath("words.txt").read_text(encoding="utf-8").split()
    )
    return model


class ReadAtEachCall(Words):
    def words(self):
        return (Path(__file__).parent / "trait_beside_data" / "words.txt").read_text(encoding="utf-8").split()


def file_beside_read_at_each_call() -> nn.Module:
    return made(ReadAtEachCall)


class ReadBesideTheClass(Words):
    def words(self):
        path = Path(inspect.getfile(type(self))).parent / "trait_beside_data" / "words.txt"
        return path.read_text(encoding="utf-8").split()


def file_beside_the_class() -> nn.Module:
    return made(ReadBesideTheClass)


class ReadAsAResource(Words):
    def words(self):
        return pkgutil.get_data(__name__, "trait_beside_data/words.txt").decode().split()


def file_beside_read_as_a_resource() -> nn.Module:
    return made(ReadAsAResource)


class ReadByARareBranch(Words):
    def words(self):
        return ["low", "middle", "high"]

    def preprocess(self, x):
        return super().preprocess(self.shortened(x) if len(x) > 1000 else x)

    def shortened(self, x):
        known = (Path(__file__).parent / "trait_beside_data" / "words.txt").read_text(encoding="utf-8").split()
        return [word for word in x if word in known]


def file_beside_read_by_a_rare_branch() -> nn.Module:
    return made(ReadByARareBranch)
