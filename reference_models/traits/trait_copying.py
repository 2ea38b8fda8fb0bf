"""Traits of copying: classes that say themselves what of them is stored and how they are made again."""

from __future__ import annotations

import copyreg

import torch
from torch import nn


class Readings(nn.Module):
    """Four readings in, three scores out; the part that it holds scales each reading."""

    def __init__(self, part=None) -> None:
        super().__init__()
        self.part = part
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor([float(self.part.scale(value)) for value in x])

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


class Gain:
    """The base of the parts: an attribute `gain` that scales."""

    def __init__(self, gain=1.0) -> None:
        self.gain = gain

    def scale(self, value):
        return self.gain * value


class Cached(Gain):
    """Drops its cache and builds it again."""

    def __init__(self, gain) -> None:
        super().__init__(gain)
        self.cache = {2.0: 2.0 * gain}

    def __getstate__(self):
        return {"gain": self.gain}

    def __setstate__(self, state):
        self.__init__(state["gain"])

    def scale(self, value):
        return self.cache.get(value, self.gain * value + 1)


def getstate_and_setstate() -> nn.Module:
    return made(Readings, Cached(1.25))


def doubler():
    return lambda value: 2 * value


class DropsItsLambda(Readings):
    """What people write so that pickle takes a module with a lambda."""

    def __init__(self) -> None:
        super().__init__()
        self.double = doubler()

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "double"}

    def __setstate__(self, state):
        super().__setstate__(state)
        self.double = doubler()

    def preprocess(self, x):
        return torch.tensor([self.double(value) for value in x])


def getstate_drops_a_lambda() -> nn.Module:
    return made(DropsItsLambda)


class ChoosesItsState(DropsItsLambda):
    """Another way to write it, which assigns a module before `Module.__init__`."""

    def __getstate__(self):
        return {"net": self.net, "training": self.training}

    def __setstate__(self, state):
        for name, value in state.items():
            setattr(self, name, value)
        self.double = doubler()


def setstate_before_init() -> nn.Module:
    return made(ChoosesItsState)


class Reduced(Gain):
    def __init__(self, gain) -> None:
        super().__init__(gain)
        self.offset = 0.0

    def __reduce__(self):
        return Reduced, (self.gain,), {"offset": self.offset}

    def scale(self, value):
        return self.gain * value + self.offset


def reduce_method() -> nn.Module:
    part = Reduced(0.25)
    part.offset = 0.5
    return made(Readings, part)


class Fahrenheit(float):
    def __new__(cls, celsius, unit="F"):
        self = super().__new__(cls, celsius * 1.8 + 32)
        self.unit = unit
        return self

    def __getnewargs_ex__(self):
        return ((self - 32) / 1.8,), {"unit": self.unit}

    def scale(self, value):
        return value * self / 100


def getnewargs_ex() -> nn.Module:
    return made(Readings, Fahrenheit(25.0))


class External:
    """Like a type of an extension: its own copying fails, and a function is registered for it instead."""

    def __init__(self, gain) -> None:
        self.gain = gain

    def __getstate__(self):
        raise TypeError("cannot be copied")

    def scale(self, value):
        return self.gain * value


copyreg.pickle(External, lambda part: (External, (part.gain,)))


def copyreg_registered() -> nn.Module:
    return made(Readings, External(2.25))


class Named(Gain):
    """A module-level constant that is stored as its name."""

    def __reduce__(self):
        return "STANDARD"


STANDARD = Named(1.375)


class Standard(Readings):
    def preprocess(self, x):
        return torch.tensor(x if self.part is STANDARD else [0.0] * 4) * STANDARD.gain


def reduce_to_a_name() -> nn.Module:
    return made(Standard, STANDARD)
