"""Traits of the process: what the program set for all of it before it saved, and another process has not.

`rare` stands for the branch that an odd input takes: the examples do not reach it. Each builder begins as a process
does, with `as_started`, so that what one sets is not there when another is saved.
"""

from __future__ import annotations

import builtins
import gettext
import os
import shutil
import sys
import time
import warnings

import numpy as np
import torch
from torch import nn

HANDLES: list = []
SOFTSIGN = nn.functional.softsign
DIGITS = sys.get_int_max_str_digits()


class Readings(nn.Module):
    """Three readings in, two scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.rarely = nn.Linear(3, 2), nn.Softsign()

    def preprocess(self, x):
        return torch.tensor(x if max(x) < 1000 else [float(len(str(self.rare()))), 0.0, 0.0], dtype=torch.float32)

    def rare(self):
        return ""

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def as_started() -> None:
    """The settings that the builders below change, as a process has them when it starts."""
    torch.set_default_dtype(torch.float32)
    np.seterr(divide="warn", over="warn", under="ignore", invalid="warn")
    np.set_printoptions(precision=8)
    warnings.filters[:] = [entry for entry in warnings.filters if entry[:3] != ("error", None, BytesWarning)]
    os.environ.pop("TZ", None)
    os.environ.pop("COLUMNS", None)
    time.tzset()
    sys.set_int_max_str_digits(DIGITS)
    while HANDLES:
        HANDLES.pop().remove()
    nn.functional.softsign = SOFTSIGN
    vars(builtins).pop("_", None)


def made(cls):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    as_started()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(6)
        return cls().eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0], [3.0, 0.25, -0.75]]


class MakesTensors(Readings):
    def rare(self):
        return torch.tensor([0.1]).dtype


def default_dtype_changed() -> nn.Module:
    model = made(MakesTensors)
    torch.set_default_dtype(torch.float64)
    return model


class InTheDefaultDtype(Readings):
    def preprocess(self, x):
        return torch.tensor(x)


def default_dtype_needed() -> nn.Module:
    model = made(InTheDefaultDtype).double()
    torch.set_default_dtype(torch.float64)
    return model


class TakesLogarithms(Readings):
    def rare(self):
        try:
            return np.log(np.array(0.0))
        except FloatingPointError:
            return "none"


def numpy_errors_raised() -> nn.Module:
    model = made(TakesLogarithms)
    np.seterr(divide="raise")
    return model


class PrintsArrays(Readings):
    def rare(self):
        return str(np.array([1 / 3]))


def numpy_prints_fewer_digits() -> nn.Module:
    model = made(PrintsArrays)
    np.set_printoptions(precision=2)
    return model


class Translates(Readings):
    def rare(self):
        return _("odd")  # noqa: F821


def name_among_the_builtins() -> nn.Module:
    model = made(Translates)
    gettext.install("readings")
    return model


class Warns(Readings):
    def rare(self):
        try:
            warnings.warn("odd bytes", BytesWarning, stacklevel=1)
        except BytesWarning:
            return "refused"
        return ""


def warnings_are_errors() -> nn.Module:
    model = made(Warns)
    warnings.simplefilter("error", BytesWarning)
    return model


class TellsTime(Readings):
    def rare(self):
        return time.strftime("%H", time.localtime(0))


def time_zone_of_the_process() -> nn.Module:
    model = made(TellsTime)
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    return model


class PrintsIntegers(Readings):
    def rare(self):
        return 10**6000


def long_integers_allowed() -> nn.Module:
    model = made(PrintsIntegers)
    sys.set_int_max_str_digits(0)
    return model


class Hooked(Readings):
    def rare(self):
        return self.rarely(torch.ones(1))


def doubled(module, inputs, output):
    return 2 * output if isinstance(module, nn.Softsign) else None


def global_forward_hook() -> nn.Module:
    model = made(Hooked)
    HANDLES.append(nn.modules.module.register_module_forward_hook(doubled))
    return model


def tripled(x):
    return 3 * x


def function_of_torch_patched() -> nn.Module:
    model = made(Hooked)
    nn.functional.softsign = tripled
    return model


class Wraps(Readings):
    def rare(self):
        return "-" * shutil.get_terminal_size().columns


def environment_variable_of_a_library() -> nn.Module:
    model = made(Wraps)
    os.environ["COLUMNS"] = "37"
    return model
