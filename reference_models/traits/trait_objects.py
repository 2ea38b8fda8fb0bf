"""Traits of objects: state behind slots, properties, descriptors, and classes that say how they are to be copied."""

from __future__ import annotations

import functools
import weakref

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


def plain_object() -> nn.Module:
    return made(Readings, Gain(1.5))


# --- where the state is ---


class Slotted:
    __slots__ = ("gain", "never_set")

    def __init__(self, gain) -> None:
        self.gain = gain

    def scale(self, value):
        return self.gain * value


def slots() -> nn.Module:
    return made(Readings, Slotted(1.5))


class SlottedAgain(Slotted):
    __slots__ = ("gain",)

    def __init__(self, gain, base_gain) -> None:
        self.gain = gain
        Slotted.gain.__set__(self, base_gain)

    def scale(self, value):
        return self.gain * Slotted.gain.__get__(self) * value


def slots_of_one_name() -> nn.Module:
    return made(Readings, SlottedAgain(1.5, 0.5))


class SlottedAndMore(Slotted):
    def scale(self, value):
        return super().scale(value) + self.offset


def slots_and_dict() -> nn.Module:
    part = SlottedAndMore(2.0)
    part.offset = 0.5
    return made(Readings, part)


class SetByName:
    __slots__ = ("gain",)

    def __init__(self, **settings) -> None:
        for name, setting in settings.items():
            setattr(self, name, setting)  # a name that is misspelt is refused

    def scale(self, value):
        return SetByName(gain=self.gain).gain * value


def slots_set_by_name() -> nn.Module:
    return made(Readings, SetByName(gain=1.5))


class Private(Gain):
    def __init__(self, gain) -> None:
        self.__gain = gain

    def scale(self, value):
        return self.__gain * value


def mangled_private_name() -> nn.Module:
    return made(Readings, Private(0.75))


class Percent(Gain):
    @property
    def percent(self):
        return self._fraction * 100

    @percent.setter
    def percent(self, percent):
        self._fraction = percent / 100

    def __init__(self, percent) -> None:
        self.percent = percent

    def scale(self, value):
        return value * self.percent / 50


def property_with_setter() -> nn.Module:
    return made(Readings, Percent(120.0))


class Counted(Gain):
    @functools.cached_property
    def table(self):
        return [self.gain, self.gain**2]

    def scale(self, value):
        return value * self.table[1] + len(self.table)


def cached_property() -> nn.Module:
    part = Counted(1.5)
    part.table.append("added to the cache later")
    return made(Readings, part)


class Positive:
    """A descriptor that keeps its values beside the instances."""

    def __init__(self) -> None:
        self.values = weakref.WeakKeyDictionary()

    def __get__(self, instance, owner):
        return self if instance is None else self.values.get(instance, 1.0)

    def __set__(self, instance, value):
        self.values[instance] = abs(value)


class Described(Gain):
    gain = Positive()


def descriptor_outside_the_instance() -> nn.Module:
    return made(Readings, Described(-2.5))


class Virtual:
    """Answers for attributes that it does not have, from a table that must exist first."""

    def __init__(self, table) -> None:
        self.table = table

    def __getattr__(self, name):
        try:
            return self.table[name]
        except KeyError:
            raise AttributeError(name) from None

    def scale(self, value):
        return value * self.gain


def getattr_needs_state() -> nn.Module:
    return made(Readings, Virtual({"gain": 1.25}))


class Delegating(Readings):
    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("net"), name)

    def preprocess(self, x):
        return torch.tensor(x) * self.out_features


def getattr_on_the_model() -> nn.Module:
    return made(Delegating)


class Guarded(Gain):
    def __setattr__(self, name, value):
        if name.startswith("_"):
            raise AttributeError(f"{name} is private")
        super().__setattr__(name, value + 0.5 if isinstance(value, float) else value)


def setattr_changes_values() -> nn.Module:
    return made(Readings, Guarded(1.0))


class Immutable(Gain):
    def __init__(self, gain) -> None:
        object.__setattr__(self, "gain", gain)

    def __setattr__(self, name, value):
        raise AttributeError("immutable")


def setattr_refuses() -> nn.Module:
    return made(Readings, Immutable(1.75))


class Empty(Gain):
    def __len__(self):
        return 0

    def __eq__(self, other):
        return NotImplemented

    __hash__ = None


class IfAny(Readings):
    def preprocess(self, x):
        return torch.tensor(x if self.part is None else [self.part.scale(value) for value in x])


def falsy_and_unhashable_part() -> nn.Module:
    return made(IfAny, Empty(1.5))


class Reclassed(Gain):
    def scale(self, value):
        return self.gain * value - 1


def class_assigned_later() -> nn.Module:
    part = Gain(2.0)
    part.__class__ = Reclassed
    return made(Readings, part)


# --- how it is constructed ---


class Demanding(Gain):
    def __init__(self, low, /, high, *rest, unit, **more) -> None:
        super().__init__((high - low) / (1 + len(rest) + len(more)))
        self.label = unit


def constructor_with_every_kind_of_argument() -> nn.Module:
    return made(Readings, Demanding(0.5, 4.5, "extra", unit="V", tag=1))


class Trained(Gain):
    """The constructor's argument is forgotten; what is kept was computed from it and then changed."""

    def __init__(self, samples) -> None:
        super().__init__(sum(samples) / len(samples))


def changed_after_construction() -> nn.Module:
    part = Trained([1.0, 2.0, 4.5])
    part.gain += 0.125
    part.added_later = True
    return made(Readings, part)


class Singleton(Gain):
    instance = None

    def __new__(cls, *args):
        cls.instance = cls.instance or super().__new__(cls)
        return cls.instance

    def scale(self, value):
        return self.gain * value if self is Singleton.instance else float("nan")


def singleton() -> nn.Module:
    return made(Readings, Singleton(1.5))


class NoInit(Gain):
    def __init__(self):
        raise RuntimeError("use NoInit.load")

    @classmethod
    def load(cls, gain):
        part = cls.__new__(cls)
        part.gain = gain
        return part


def constructor_never_called() -> nn.Module:
    return made(Readings, NoInit.load(0.5))


class Tools(Readings):
    gains = (0.5, 1.5)

    @staticmethod
    def shifted(value):
        return value + 0.25

    @classmethod
    def scaled(cls, value):
        return value * cls.gains[1]

    def preprocess(self, x):
        return torch.tensor([self.scaled(self.shifted(value)) for value in x])


def static_and_class_methods() -> nn.Module:
    return made(Tools)
