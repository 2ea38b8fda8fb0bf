"""Traits of chance: models that draw numbers, from their own generator or from the process's.

Given the same seeds before each data point, each predicts the same twice.
"""

from __future__ import annotations

import random

import torch
from torch import nn


class Readings(nn.Module):
    """Four readings in, three scores out; subclasses add noise."""

    def __init__(self, source=None) -> None:
        super().__init__()
        self.source = source
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(19)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


class PythonNoise(Readings):
    def preprocess(self, x):
        return torch.tensor([value + random.gauss(0, 1) for value in x])


def python_random_in_preprocess() -> nn.Module:
    return made(PythonNoise)


class TorchNoise(Readings):
    def preprocess(self, x):
        return torch.tensor(x) + torch.randn(4)


def torch_random_in_preprocess() -> nn.Module:
    return made(TorchNoise)


class AlwaysDrops(Readings):
    def forward(self, batch):
        return nn.functional.dropout(self.net(batch), 0.5, training=True)


def dropout_at_inference() -> nn.Module:
    return made(AlwaysDrops)


class OwnPythonNoise(Readings):
    """Draws from a copy of its generator's state, so that each data point sees the same noise."""

    def preprocess(self, x):
        state = self.source.getstate()
        values = [value + self.source.random() for value in x]
        self.source.setstate(state)
        return torch.tensor(values)


def random_instance() -> nn.Module:
    source = random.Random(20)
    source.gauss(0, 1)  # keeps a second number back, which belongs to its state
    return made(OwnPythonNoise, source)


class MarkedNoise(OwnPythonNoise):
    """Scales its noise as a mark on the generator says."""

    def preprocess(self, x):
        return super().preprocess(x) * self.source.gain


def attribute_of_a_random_generator() -> nn.Module:
    source = random.Random(24)
    source.gain = 2.0
    return made(MarkedNoise, source)


class OwnTorchNoise(Readings):
    def preprocess(self, x):
        state = self.source.get_state()
        noise = torch.randn(4, generator=self.source)
        self.source.set_state(state)
        return torch.tensor(x) + noise


def torch_generator() -> nn.Module:
    source = torch.Generator().manual_seed(21)
    torch.rand(3, generator=source)
    return made(OwnTorchNoise, source)


class Advancing(Readings):
    """Its generator goes on from call to call, as the random state of an augmentation does."""

    def preprocess(self, x):
        return torch.tensor(x) + torch.randn(4, generator=self.source)


def torch_generator_that_advances() -> nn.Module:
    return made(Advancing, torch.Generator().manual_seed(22))


class RestoresState(Readings):
    """Keeps the process's random state as a tensor and starts from it."""

    def preprocess(self, x):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.source)
            return torch.tensor(x) + torch.rand(4)


def random_state_tensor() -> nn.Module:
    return made(RestoresState, torch.Generator().manual_seed(23).get_state())
