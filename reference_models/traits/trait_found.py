"""Traits of what only a second look finds: names that are data, settings inside libraries, what a value has beside it.

`rare` stands for the branch that a long input takes: the examples do not reach it. What the program set is set inside
the builder, where a fresh import of this file does not repeat it.
"""

from __future__ import annotations

import calendar
import datetime
import decimal
import hashlib
import itertools
import os
import sqlite3
import sys
import textwrap
import threading
import types

import torch
from torch import nn

LIMIT_BY_DATA = 1.0
LIMIT_OF_MODULE = 1.0
LIMIT_IN_TEXT = 1.0
CALLS = 0
note = "no attribute"
CONTEXT = decimal.getcontext().copy()


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
    """The model with the same weights whenever it is made; the global random state and decimal's context as before."""
    decimal.setcontext(CONTEXT.copy())
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(6)
        return cls().eval()


def examples() -> list:
    return ["low and high", "middle or high, not low"]


# --- names that are data ---


class ByKey(Words):
    def __init__(self) -> None:
        super().__init__()
        self.key = "LIMIT_BY_DATA"

    def rare(self):
        return globals()[self.key]


def global_named_by_an_attribute() -> nn.Module:
    global LIMIT_BY_DATA
    LIMIT_BY_DATA = 0.25
    return made(ByKey)


class ByModule(Words):
    def rare(self):
        return sys.modules[__name__].LIMIT_OF_MODULE


def attribute_of_its_own_module() -> nn.Module:
    global LIMIT_OF_MODULE
    LIMIT_OF_MODULE = 0.25
    return made(ByModule)


class Evaluates(Words):
    def __init__(self) -> None:
        super().__init__()
        self.expression = "LIMIT_IN_TEXT * 2"

    def rare(self):
        return eval(self.expression)


def global_in_an_expression() -> nn.Module:
    global LIMIT_IN_TEXT
    LIMIT_IN_TEXT = 0.25
    return made(Evaluates)


class ByVariable(Words):
    def __init__(self) -> None:
        super().__init__()
        self.variable = "TRAIT_FOUND_GAIN"

    def rare(self):
        return os.environ.get(self.variable, "1")


def environment_variable_named_by_an_attribute() -> nn.Module:
    os.environ["TRAIT_FOUND_GAIN"] = "0.5"
    return made(ByVariable)


class AsksNote(Words):
    def rare(self):
        return float(getattr(self.net, "note", None) is None)


def attribute_of_the_name_of_a_global() -> nn.Module:
    return made(AsksNote)


class Counts(Words):
    def __init__(self) -> None:
        super().__init__()
        self.calls = lambda: CALLS

    def rare(self):
        global CALLS
        CALLS += 1
        return self.calls() / CALLS


def global_written_here_and_read_there() -> nn.Module:
    return made(Counts)


# --- settings inside libraries ---


class Shortens(Words):
    def rare(self):
        return len(textwrap.shorten("low and middle and high", 10))


def default_argument_of_a_library() -> nn.Module:
    textwrap.TextWrapper.__init__.__kwdefaults__["placeholder"] = "..."
    return made(Shortens)


class PrintsMonths(Words):
    def rare(self):
        return calendar.month(2020, 2).index("29")


def object_of_a_library_changed() -> nn.Module:
    calendar.setfirstweekday(6)
    return made(PrintsMonths)


class Divides(Words):
    def __init__(self) -> None:
        super().__init__()
        self.share = decimal.Decimal(1)

    def rare(self):
        return self.share / 3


def precision_of_decimals() -> nn.Module:
    model = made(Divides)
    decimal.getcontext().prec = 4
    return model


# --- what a value has beside it ---


class Price(decimal.Decimal):
    currency = "none"


class Priced(Words):
    def __init__(self) -> None:
        super().__init__()
        self.price = Price("1.5")
        self.price.currency = "EUR"

    def rare(self):
        return len(self.price.currency)


def attribute_of_a_decimal_subclass() -> nn.Module:
    return made(Priced)


class Taken(datetime.datetime):
    sensor = "none"


class Stamped(Words):
    def __init__(self) -> None:
        super().__init__()
        self.taken = Taken(2020, 2, 29)
        self.taken.sensor = "left"

    def rare(self):
        return len(self.taken.sensor)


def attribute_of_a_datetime_subclass() -> nn.Module:
    return made(Stamped)


class Numbers(itertools.count):
    pass


class Numbered(Words):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = Numbers(5)
        next(self.numbers)

    def rare(self):
        return next(self.numbers)


def subclass_of_an_iterator() -> nn.Module:
    return made(Numbered)


class Fails(Words):
    def __init__(self) -> None:
        super().__init__()
        self.error = ValueError("no such word")
        self.error.__cause__ = KeyError("low")

    def rare(self):
        return float(isinstance(self.error.__cause__, KeyError))


def exception_with_a_cause() -> nn.Module:
    return made(Fails)


class Shows(Words):
    def __init__(self) -> None:
        super().__init__()
        self.table = {"low": 1.0}
        self.shown = types.MappingProxyType(self.table)

    def rare(self):
        self.table["high"] = 2.0
        return self.shown.get("high", 0.0)


def view_of_a_dict_that_it_has() -> nn.Module:
    return made(Shows)


class Keeps(Words):
    def __init__(self) -> None:
        super().__init__()
        self.scaled = {"weight": self.net.weight * 2}

    def rare(self):
        return float(self.scaled["weight"].grad_fn is not None)


def tensor_with_its_graph() -> nn.Module:
    return made(Keeps)


# --- made anew when it is loaded ---


class Remakes(Words):
    """Leaves `part` out of its state and makes it anew."""

    def __init__(self) -> None:
        super().__init__()
        self.part = self.fresh()

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "part"}

    def __setstate__(self, state):
        super().__setstate__(state)
        self.part = self.fresh()


class Searches(Remakes):
    def fresh(self):
        return sqlite3.connect(":memory:")

    def rare(self):
        return self.part.execute("select gain from gains").fetchone()[0]


def database_opened_anew() -> nn.Module:
    model = made(Searches)
    model.part.execute("create table gains (gain real)")
    model.part.execute("insert into gains values (0.5)")
    return model


class Steps(Remakes):
    def fresh(self):
        return (step for step in (1.0, 2.0, 4.0))

    def rare(self):
        return next(self.part)


def generator_begun_anew() -> nn.Module:
    model = made(Steps)
    next(model.part)
    return model


class Digests(Remakes):
    def fresh(self):
        return hashlib.sha256()

    def rare(self):
        return self.part.digest()[0]


def hash_begun_anew() -> nn.Module:
    model = made(Digests)
    model.part.update(b"salt")
    return model


class Waits(Remakes):
    def fresh(self):
        return threading.Thread(target=print)

    def rare(self):
        return float(self.part.daemon)


def thread_made_anew() -> nn.Module:
    return made(Waits)


class Schedules(Words):
    def __init__(self) -> None:
        super().__init__()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 1)

    def rare(self):
        return self.schedule.get_last_lr()[0]


def schedule_of_an_optimizer() -> nn.Module:
    return made(Schedules)
