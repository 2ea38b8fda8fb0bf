"""Traits of classes: where a class is defined, how it is made, and what it inherits.

A format that stores instances needs a way back to their class; each builder makes that way unusual in one respect.
"""

from __future__ import annotations

import abc
import functools
import typing
from typing import Generic, TypeVar

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


# --- where the class is ---


def plain_subclass() -> nn.Module:
    return made(Readings)


class Instrument:
    class Gain:
        def __init__(self, gain) -> None:
            self.gain = gain

        def scale(self, value):
            return self.gain * value


def nested_class() -> nn.Module:
    return made(Scaled, Instrument.Gain(1.5))


def local_model_class() -> nn.Module:
    class LocalReadings(Readings):
        def preprocess(self, x):
            return torch.tensor(x) * 2

    return made(LocalReadings)


def local_part_class() -> nn.Module:
    class Offset:
        def scale(self, value):
            return value + 0.75

    return made(Scaled, Offset())


def dynamic_class() -> nn.Module:
    doubled = type("Doubled", (Readings,), {"preprocess": lambda self, x: torch.tensor(x) * 2})
    return made(doubled)


class Redefined:
    def scale(self, value):
        return 2 * value


original_of_redefined = Redefined


class Redefined:
    def scale(self, value):
        return -value


def class_redefined_since() -> nn.Module:
    return made(Scaled, original_of_redefined())


def class_as_a_value() -> nn.Module:
    return made(ByClass, Instrument.Gain)


class ByClass(Readings):
    def preprocess(self, x):
        return torch.tensor([float(self.part(0.5).scale(value)) for value in x])


class ByTorchClass(Readings):
    def forward(self, batch):
        return self.part()(self.net(batch))


def torch_class_as_a_value() -> nn.Module:
    return made(ByTorchClass, nn.Tanh)


# --- how the class is made ---


class Registry(type):
    """Gives each class a number, and every instance its class's number."""

    classes: typing.ClassVar[list] = []

    def __new__(mcs, name, bases, body):
        cls = super().__new__(mcs, name, bases, body)
        mcs.classes.append(cls)
        return cls

    def __call__(cls, *args, **kwargs):
        instance = super().__call__(*args, **kwargs)
        instance.number = 1 + Registry.classes.index(cls)
        return instance


class Numbered(metaclass=Registry):
    def scale(self, value):
        return value * self.number


class NumberedAgain(Numbered):
    pass


def metaclass() -> nn.Module:
    return made(Scaled, NumberedAgain())


class Plugin:
    known: typing.ClassVar[dict] = {}

    def __init_subclass__(cls, key, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        Plugin.known[key] = cls


class Doubling(Plugin, key="double"):
    def scale(self, value):
        return 2 * value


def init_subclass() -> nn.Module:
    return made(Scaled, Plugin.known["double"]())


def with_offset(cls):
    class Wrapped(cls):
        def scale(self, value):
            return super().scale(value) + 0.25

    return functools.wraps(cls, updated=())(Wrapped)


@with_offset
class Halving:
    def scale(self, value):
        return value / 2


def class_decorator() -> nn.Module:
    return made(Scaled, Halving())


class Scale(abc.ABC):
    @abc.abstractmethod
    def scale(self, value): ...


class ConcreteScale(Scale):
    def scale(self, value):
        return 1.25 * value


def abstract_base_class() -> nn.Module:
    return made(Scaled, ConcreteScale())


Number = TypeVar("Number")


class Box(Generic[Number]):
    def __init__(self, item: Number) -> None:
        self.item = item

    def scale(self, value: Number) -> Number:
        return value * self.item


def generic_class() -> nn.Module:
    return made(Scaled, Box[float](0.5))


class Annotated(Readings):
    gain: float
    part: Unknown | None  # noqa: F821 - never evaluated
    table: dict[str, list[int]]

    def __init__(self) -> None:
        super().__init__()
        self.gain: float = 1.5
        self.table = {"order": [2, 0, 1]}

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.net(batch * self.gain)[:, self.table["order"]]


def type_annotations() -> nn.Module:
    return made(Annotated)


# --- what it inherits ---


class Base(Readings):
    def preprocess(self, x):
        return super().preprocess(x) + 1


class Middle(Base):
    def preprocess(self, x):
        return super().preprocess(x) * 3


class Bottom(Middle):
    def preprocess(self, x):
        return super(Bottom, self).preprocess(x) - 2  # noqa: UP008 - the old spelling looks a global up


def super_chain() -> nn.Module:
    return made(Bottom)


class Names:
    names = ("low", "middle", "high")

    def postprocess(self, output):
        return {**super().postprocess(output), "name": self.names[int(output.argmax())]}


class Margins:
    def postprocess(self, output):
        first, second = output.topk(2).values
        return {**super().postprocess(output), "margin": float(first - second)}


class Mixed(Names, Margins, Readings):
    pass


def multiple_inheritance() -> nn.Module:
    return made(Mixed)


class Gauge(nn.Linear):
    """A layer that is the model itself."""

    def preprocess(self, x):
        return torch.tensor(x)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def subclass_of_a_layer() -> nn.Module:
    return made(Gauge, 4, 3)


class Pipe(nn.Sequential):
    def preprocess(self, x):
        return torch.tensor(x)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def subclass_of_sequential() -> nn.Module:
    return made(lambda: Pipe(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)))
