"""Traits of library objects: values whose types are compiled, private or tied to the interpreter.

Loggers, modules, code, layouts: things that a model's preprocessing easily holds on to.
"""

from __future__ import annotations

import csv
import ctypes
import json
import logging
import math
import struct
import sys
import types

import torch
from torch import nn


class Holds(nn.Module):
    """Four readings in, three scores out; subclasses use the resource on each data point."""

    def __init__(self, resource) -> None:
        super().__init__()
        self.resource = resource
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor([float(value) for value in self.use(x)])

    def use(self, x):
        return x

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


class Scale:
    gain = 1.5

    def apply(self, value):
        return value * self.gain


class Logged(Holds):
    def use(self, x):
        self.resource.debug("seen %s", x)
        return [value + len(self.resource.name) for value in x]


def logger() -> nn.Module:
    return made(Logged, logging.getLogger("traits.readings"))


class WithModule(Holds):
    def use(self, x):
        return [self.resource.tanh(value) for value in x]


def module_as_attribute() -> nn.Module:
    return made(WithModule, math)


class WithOwnModule(Holds):
    def use(self, x):
        return [self.resource.Scale().apply(value) for value in x]


def own_module_as_attribute() -> nn.Module:
    return made(WithOwnModule, sys.modules[__name__])


class Called(Holds):
    def use(self, x):
        return [self.resource(value) for value in x]


def ctypes_value() -> nn.Module:
    return made(CType, (ctypes.c_double * 4)(1.0, 2.0, 3.0, 4.0))


class CType(Holds):
    def use(self, x):
        return [value * factor for value, factor in zip(x, self.resource, strict=True)]


def ctypes_callback() -> nn.Module:
    return made(Called, ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(abs))


class Packed(Holds):
    def use(self, x):
        return [self.resource.unpack(self.resource.pack(value))[0] for value in x]


def struct_layout() -> nn.Module:
    return made(Packed, struct.Struct("<e"))


def code_object() -> nn.Module:
    return made(Evaluated, compile("value * 2 if value > 0 else value", "<calibration>", "eval"))


class Evaluated(Holds):
    def use(self, x):
        return [eval(self.resource, {"value": value}) for value in x]


def json_decoder() -> nn.Module:
    return made(Parsed, json.JSONDecoder(parse_float=lambda text: float(text) + 0.5))


class Parsed(Holds):
    def use(self, x):
        return self.resource.decode(json.dumps(x))


class Dialect(Holds):
    def use(self, x):
        ((first, *_),) = csv.reader([f"{x[0]};{x[1]}"], dialect=self.resource)
        return [float(first), *x[1:]]


def csv_dialect() -> nn.Module:
    return made(Dialect, csv.reader([], delimiter=";").dialect)


def types_of_the_interpreter() -> nn.Module:
    return made(CellHeld, types.CellType(2.5))


class CellHeld(Holds):
    def use(self, x):
        return [value * self.resource.cell_contents for value in x]
