"""Traits of records: dataclasses, named tuples and enumerations, which formats often special-case or flatten."""

from __future__ import annotations

import enum
from collections import namedtuple
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import nn


class Readings(nn.Module):
    """Four readings in, three scores and the best one's number out; subclasses and parts add the trait."""

    def __init__(self, part=None) -> None:
        super().__init__()
        self.part = part
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist(), "best": int(output.argmax())}


class Scaled(Readings):
    """Asks its part to scale each reading."""

    def preprocess(self, x):
        return torch.tensor([float(self.part.scale(value)) for value in x])


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(2)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


@dataclass
class Affine:
    gain: float = 1.0
    offset: float = 0.0
    history: list = field(default_factory=list)
    total: float = field(init=False)

    def __post_init__(self) -> None:
        self.total = self.gain + self.offset

    def scale(self, value):
        return self.gain * value + self.offset + len(self.history) + self.total


def dataclass_part() -> nn.Module:
    part = Affine(1.5, -0.5)
    part.history.append("fitted")
    return made(Scaled, part)


@dataclass(frozen=True, slots=True)
class FrozenAffine:
    gain: float
    offset: float

    def scale(self, value):
        return self.gain * value + self.offset


def frozen_dataclass_with_slots() -> nn.Module:
    return made(Scaled, FrozenAffine(0.75, 2.0))


@dataclass(eq=False)
class DataclassModel(nn.Module):
    width: int = 4
    gain: float = 1.0

    def __post_init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(self.width, 3)

    preprocess = Readings.preprocess
    postprocess = Readings.postprocess

    def forward(self, batch):
        return self.net(batch) * self.gain


def dataclass_model() -> nn.Module:
    return made(DataclassModel, 4, 2.5)


Range = namedtuple("Range", ["low", "high"])


class Ranged(Readings):
    def preprocess(self, x):
        return torch.tensor(x).clamp(self.part.low, self.part.high)


def named_tuple() -> nn.Module:
    return made(Ranged, Range(-0.5, 1.0))


class TypedRange(NamedTuple):
    low: float
    high: float = 2.0

    def scale(self, value):
        return (value - self.low) / (self.high - self.low)


def typed_named_tuple() -> nn.Module:
    return made(Scaled, TypedRange(-1.0))


def local_named_tuple() -> nn.Module:
    return made(Ranged, namedtuple("Bounds", "low high")(-0.25, 0.5))


def misnamed_named_tuple() -> nn.Module:
    return made(Ranged, Renamed(-0.75, 0.25))


Renamed = namedtuple("Original", "low high")


class Level(enum.Enum):
    LOW = "l"
    MIDDLE = "m"
    HIGH = "h"

    @property
    def shout(self):
        return self.name + "!"


class Levelled(Readings):
    def postprocess(self, output):
        level = self.part[int(output.argmax())]
        return {"level": level.shout, "is_high": level is Level.HIGH, "scores": output.tolist()}


def enum_members() -> nn.Module:
    return made(Levelled, [Level.LOW, Level.MIDDLE, Level.HIGH])


class Mode(enum.IntFlag):
    NEGATE = 1
    DOUBLE = 2
    SHIFT = 4


class Moded(Readings):
    def preprocess(self, x):
        values = torch.tensor(x)
        values = -values if Mode.NEGATE in self.part else values
        return values + 1 if Mode.SHIFT in self.part else values


def flag_combination() -> nn.Module:
    return made(Moded, Mode.NEGATE | Mode.SHIFT)


def local_enum() -> nn.Module:
    class Gain(enum.Enum):
        ONE = 1.5

        def scale(self, value):
            return self.value * value

    return made(Scaled, Gain.ONE)
