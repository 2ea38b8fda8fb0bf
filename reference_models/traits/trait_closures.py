"""Traits of closures: functions that carry what surrounded them, sometimes shared, changing or circular."""

from __future__ import annotations

import torch
from torch import nn


class Applied(nn.Module):
    """Applies the function that it holds to each of four readings, then weighs the results."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor([float(self.function(value)) for value in x])

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


class Activated(Applied):
    """Applies the function to the whole batch instead."""

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(self.function(batch))


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


def closure_constants() -> nn.Module:
    def normaliser(mean, std):
        return lambda value: (value - mean) / std

    return made(Applied, normaliser(0.5, 1.5))


def closure_mutable_cell() -> nn.Module:
    largest = 1e-6

    def relative(value):
        nonlocal largest
        largest = max(largest, abs(value))
        return value / largest

    relative(16.0)
    return made(Applied, relative)


class Fitted(Applied):
    def preprocess(self, x):
        fit, scaled = self.function
        fit(x)
        return torch.tensor([scaled(value) for value in x])


def closure_shared_cell() -> nn.Module:
    largest = 64.0

    def fit(values):
        nonlocal largest
        largest = max(map(abs, values))

    def scaled(value):
        return value / largest

    return made(Fitted, (fit, scaled))


def closure_recursive() -> nn.Module:
    def power(value, exponent=3):
        return 1.0 if exponent == 0 else value * power(value, exponent - 1)

    return made(Applied, power)


def closures_mutually_recursive() -> nn.Module:
    def climb(value):
        return value if value > 4 else fall(value + 3)

    def fall(value):
        return climb(value - 1) + 0.25

    return made(Applied, climb)


def closure_over_tensor() -> nn.Module:
    weights = torch.tensor([0.25, 0.5, 1.0, 2.0])
    return made(Activated, lambda batch: batch * weights)


def closure_over_model() -> nn.Module:
    model = made(Applied, None)
    model.gain = 1.25
    model.function = lambda value: value * model.gain
    return model


def closure_over_parameter() -> nn.Module:
    model = made(Activated, None)
    weight = model.net.weight
    model.function = lambda batch: batch + weight.sum(0)
    return model


def closure_over_imported_module() -> nn.Module:
    import cmath

    return made(Applied, lambda value: abs(cmath.exp(1j * value) + value))


def closure_over_class() -> nn.Module:
    class Ramp:
        slope = 0.75

        def at(self, value):
            return max(0.0, self.slope * value)

    return made(Applied, lambda value: Ramp().at(value))
