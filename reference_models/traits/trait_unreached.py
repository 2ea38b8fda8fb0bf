"""Traits that the examples do not reach: a rare input does, in production, and then the copy answers otherwise.

`rare` stands for the branch that a long input or an odd word takes. What it reads was changed inside the builder, where
a fresh import of this file does not repeat it, or means something in one process only.
"""

from __future__ import annotations

import enum
import functools
import math
import os
import queue
import random
import sqlite3
import stringprep
import typing
import weakref

import numpy as np
import torch
from torch import nn
from torch.distributions.kl import kl_divergence, register_kl

DRAWS = random.Random(5)
LIMIT_BY_TEXT = 1.0
ACTIVATION = math.tanh
OWNERS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
CURVE = np.frompyfunc(lambda value: value, 1, 1)
MODE = "training"
TIMES = 2


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


# --- globals ---


class Draws(Words):
    def rare(self):
        return DRAWS.random()


def global_generator_in_the_middle() -> nn.Module:
    DRAWS.random()
    return made(Draws)


class LooksUp(Words):
    def rare(self):
        return globals()["LIMIT_BY_TEXT"]


def global_looked_up_by_text() -> nn.Module:
    global LIMIT_BY_TEXT
    LIMIT_BY_TEXT = 0.25
    return made(LooksUp)


class Activated(Words):
    def rare(self):
        return ACTIVATION(1.0)


def global_means_another_function() -> nn.Module:
    global ACTIVATION
    ACTIVATION = math.exp
    return made(Activated)


class Owned(Words):
    def rare(self):
        return OWNERS.get(self.net, 0.0)


def global_weak_table() -> nn.Module:
    model = made(Owned)
    OWNERS[model.net] = 3.0
    return model


class FromEnvironment(Words):
    def rare(self):
        return float(os.environ.get("TRAIT_RARE_GAIN", "1"))


def environment_variable_unreached() -> nn.Module:
    os.environ["TRAIT_RARE_GAIN"] = "0.5"
    return made(FromEnvironment)


class Folds(Words):
    def rare(self):
        return float(len(stringprep.b3_exceptions[0]))


def library_table_extended() -> nn.Module:
    stringprep.b3_exceptions[0] = "low"
    return made(Folds)


class UsesOperator(Words):
    def rare(self):
        return torch.ops.trait_unreached.twice(torch.ones(1)).item()


def operator_registered_later() -> nn.Module:
    global LIBRARY
    if "LIBRARY" not in globals():
        LIBRARY = torch.library.Library("trait_unreached", "DEF")
        LIBRARY.define("twice(Tensor x) -> Tensor")
        LIBRARY.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
    return made(UsesOperator)


# --- classes ---


class Plugins:
    _registry: dict = {}


class UsesPlugins(Words):
    def rare(self):
        return float(len(Plugins._registry))


def private_class_registry() -> nn.Module:
    Plugins._registry["gain"] = 2.0
    return made(UsesPlugins)


class Mangled(Words):
    __made = 0

    def rare(self):
        return float(self.__made)


def mangled_class_counter() -> nn.Module:
    Mangled._Mangled__made += 1
    return made(Mangled)


class Level(enum.Enum):
    LOW = 1


class UsesLevel(Words):
    def rare(self):
        return getattr(Level, "_scale", 1.0)


def enumeration_with_a_private_attribute() -> nn.Module:
    Level._scale = 4.0
    return made(UsesLevel)


# --- caches ---


@functools.lru_cache
def mode_of(word):
    return f"{MODE} {word}"


class AsksMode(Words):
    def rare(self):
        return float(mode_of("low") == "fitting low")


def cached_answer_gone_stale() -> nn.Module:
    global MODE
    MODE = "fitting"
    mode_of("low")
    MODE = "training"
    return made(AsksMode)


@functools.lru_cache
def length(word):
    return TIMES * len(word)


class AsksLength(Words):
    def rare(self):
        return float(length("middle"))


def cached_answer_still_right() -> nn.Module:
    length("middle")
    return made(AsksLength)


# --- values ---


class HardMask(Words):
    def __init__(self) -> None:
        super().__init__()
        self.means = np.ma.array([1.0, 2.0], mask=[False, True], hard_mask=True)

    def rare(self):
        self.means[1] = 7.0
        return float(self.means.sum())


def hard_masked_array() -> nn.Module:
    return made(HardMask)


class Sensors(Words):
    def __init__(self) -> None:
        super().__init__()
        self.means = np.ma.array([1.0, 2.0], mask=[False, True])
        self.means.gain = 2.0

    def rare(self):
        return float(self.means.sum()) * self.means.gain


def attribute_of_a_masked_array() -> nn.Module:
    return made(Sensors)


class Quantity(np.ndarray):
    __slots__ = ("gain",)


class Quantities(Words):
    def __init__(self) -> None:
        super().__init__()
        self.scale = np.array([1.0, 2.0]).view(Quantity)
        self.scale.gain = 2.0

    def rare(self):
        return float(self.scale.sum()) * self.scale.gain


def slot_of_an_array_subclass() -> nn.Module:
    return made(Quantities)


class Remembers(Words):
    def __init__(self) -> None:
        super().__init__()
        try:
            self.means = self.net.means
        except AttributeError as error:
            self.reason = error.with_traceback(None)

    def rare(self):
        return float(len(self.reason.name))


def name_that_an_error_missed() -> nn.Module:
    return made(Remembers)


class Bends(Words):
    def rare(self):
        return float(CURVE(np.ones(2)).sum())


def function_behind_a_ufunc() -> nn.Module:
    global CURVE
    CURVE = np.frompyfunc(lambda value: value * 2, 1, 1)
    return made(Bends)


# --- what torch was told


class Pull(torch.distributions.Distribution):
    """As far from another as their means are apart."""

    arg_constraints = {}

    def __init__(self, mean) -> None:
        self.mean_of_it = mean
        super().__init__(validate_args=False)


def pulled(one, other):
    return (one.mean_of_it - other.loc).abs()


class Diverges(Words):
    def rare(self):
        return kl_divergence(Pull(torch.tensor(3.0)), torch.distributions.Normal(0.0, 1.0))


def divergence_registered_with_torch() -> nn.Module:
    register_kl(Pull, torch.distributions.Normal)(pulled)
    return made(Diverges)


# --- types that are texts


class Band:
    gain = 2.0


def by_band(value: float, band: Band) -> float:
    return value * band.gain


class Injects(Words):
    """Gives a function the parts that its annotations name."""

    def rare(self):
        hints = typing.get_type_hints(by_band)
        return by_band(1.0, hints["band"]())


def parts_named_by_annotations() -> nn.Module:
    return made(Injects)


# --- what is made anew, and otherwise


class Rows(Words):
    """Opens its database again where it is loaded, and does not say how its rows are to come."""

    def __init__(self) -> None:
        super().__init__()
        self.table = self.opened()

    def opened(self):
        table = sqlite3.connect(":memory:")
        table.execute("create table gains (gain real)")
        table.execute("insert into gains values (2.0)")
        return table

    def rare(self):
        row = self.table.execute("select gain from gains").fetchone()
        return row["gain"] if isinstance(row, sqlite3.Row) else -1.0

    def __getstate__(self):
        return {name: part for name, part in vars(self).items() if name != "table"}

    def __setstate__(self, state) -> None:
        super().__setstate__(state)
        self.table = self.opened()


def database_of_rows() -> nn.Module:
    model = made(Rows)
    model.table.row_factory = sqlite3.Row
    return model


class Waits(Words):
    """Begins with an empty answer where it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = queue.SimpleQueue()
        self.waiting.put(0.0)

    def rare(self):
        return self.waiting.get()

    def __getstate__(self):
        return {name: part for name, part in vars(self).items() if name != "waiting"}

    def __setstate__(self, state) -> None:
        super().__setstate__(state)
        self.waiting = queue.SimpleQueue()
        self.waiting.put(0.0)


def queue_begun_anew() -> nn.Module:
    model = made(Waits)
    model.waiting.get()
    model.waiting.put(2.0)
    return model
