"""Traits of what lies outside the model: globals of its module, and changes that the program made while it ran.

"By reference" means as imported, not as it is now. So every change here is made inside the builder, where a fresh
import of this file does not repeat it.
"""

from __future__ import annotations

import collections
import enum
import functools
import os
import sys
import types
from pathlib import Path

import torch
from torch import nn

GAIN = 1.5
NAMES = ("low", "middle", "high")
WEIGHTS = torch.tensor([0.5, 1.0, 1.5, 2.0])
SETTINGS = {"offset": 0.25}
COUNTS: collections.Counter = collections.Counter()
FITTED = None
PRECISION = torch.float64
OFFSETS = {("low", 0): 0.25}


class Readings(nn.Module):
    """Four readings in, three scores out."""

    def __init__(self, part=None) -> None:
        super().__init__()
        self.part = part
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
        torch.default_generator.manual_seed(6)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- globals as imported ---


class GlobalInPreprocess(Readings):
    def preprocess(self, x):
        return torch.tensor(x) * GAIN


def global_constant() -> nn.Module:
    return made(GlobalInPreprocess)


class GlobalOnlyInPostprocess(Readings):
    """`forward` works without the global, so that its loss shows at the very end."""

    def postprocess(self, output):
        return {"name": NAMES[int(output.argmax())]}


def global_only_in_postprocess() -> nn.Module:
    return made(GlobalOnlyInPostprocess)


class GlobalTensor(Readings):
    def forward(self, batch):
        return self.net(batch * WEIGHTS)


def global_tensor() -> nn.Module:
    return made(GlobalTensor)


def centred(values):
    middle = sum(values) / len(values)
    return [value - middle for value in values]


class UsesFunction(Readings):
    def preprocess(self, x):
        return torch.tensor(centred(x))


def module_level_helper() -> nn.Module:
    return made(UsesFunction)


class ImportsInside(Readings):
    def preprocess(self, x):
        import statistics

        return torch.tensor(x) - statistics.median(x)


def import_inside_a_method() -> nn.Module:
    return made(ImportsInside)


class Beside(Readings):
    def postprocess(self, output):
        return {"home": Path(__file__).suffix, "named": __name__ in sys.modules, "scores": output.tolist()}


def file_and_name_of_the_module() -> nn.Module:
    return made(Beside)


class FindsClassByName(Readings):
    def preprocess(self, x):
        return globals()["GlobalInPreprocess"].preprocess(self, x)


def lookup_in_globals() -> nn.Module:
    return made(FindsClassByName)


# --- globals changed while running ---


class UsesFitted(Readings):
    def preprocess(self, x):
        return torch.tensor(x) * (1.0 if FITTED is None else FITTED)


def global_rebound() -> nn.Module:
    global FITTED
    FITTED = 2.5
    return made(UsesFitted)


class UsesPrecision(Readings):
    def preprocess(self, x):
        return torch.tensor([value / 3 for value in x], dtype=PRECISION).float()


def global_dtype_rebound() -> nn.Module:
    global PRECISION
    PRECISION = torch.bfloat16
    return made(UsesPrecision)


class Mode(enum.Enum):
    FAST = "fast"


class UsesMember(Readings):
    def preprocess(self, x):
        return torch.tensor(x) * getattr(self.part, "gain", 1.0)


def attribute_of_a_member() -> nn.Module:
    Mode.FAST.gain = 2.5
    return made(UsesMember, Mode.FAST)


class UsesTable(Readings):
    def preprocess(self, x):
        return torch.tensor(x) + OFFSETS["low", 0]


def global_dict_with_tuples_as_keys_changed() -> nn.Module:
    OFFSETS["low", 0] = 0.75
    return made(UsesTable)


class UsesSettings(Readings):
    def preprocess(self, x):
        return torch.tensor(x) + SETTINGS["offset"]


def global_dict_changed() -> nn.Module:
    SETTINGS["offset"] = 0.75
    return made(UsesSettings)


class Counting(Readings):
    def preprocess(self, x):
        COUNTS["low"] = max(COUNTS["low"], 4)
        return torch.tensor(x) + COUNTS["low"]


def global_counter() -> nn.Module:
    COUNTS["low"] = 40
    return made(Counting)


class ClassTable(Readings):
    offsets = (0.0, 0.0, 0.0, 0.0)

    def preprocess(self, x):
        return torch.tensor(x) + torch.tensor(self.offsets)


def class_attribute_changed() -> nn.Module:
    ClassTable.offsets = (0.5, 1.0, 1.5, 2.0)
    return made(ClassTable)


class SharedTable(Readings):
    seen: dict = {}

    def preprocess(self, x):
        return torch.tensor(x) * self.seen.get("gain", 1.0)


def class_level_dict_changed() -> nn.Module:
    model = made(SharedTable)
    model.seen["gain"] = 0.5
    return model


class Calibrated(Readings):
    def preprocess(self, x):
        return torch.tensor(x) + _offset()


def _offset():
    return 0.0


def module_function_patched() -> nn.Module:
    global _offset
    _offset = _patched_offset
    return made(Calibrated)


def _patched_offset():
    return 1.25


class Original(Readings):
    pass


def class_method_patched() -> nn.Module:
    Original.preprocess = lambda self, x: torch.tensor(x).flip(0)
    return made(Original)


class Extended(Readings):
    def preprocess(self, x):
        return torch.tensor(self.bent(x) if hasattr(self, "bent") else x)


def class_method_added() -> nn.Module:
    def bent(self, x):
        return [value * abs(value) for value in x]

    Extended.bent = bent
    return made(Extended)


def bases_changed() -> nn.Module:
    class Halved(Readings):
        def preprocess(self, x):
            return torch.tensor(x) / 2

    Rebased.__bases__ = (Halved,)
    return made(Rebased)


class Rebased(Readings):
    pass


def attribute_of_function_changed() -> nn.Module:
    shifted.by = 1.5
    return made(UsesShifted)


def shifted(values):
    return [value + shifted.by for value in values]


shifted.by = 0.0


class UsesShifted(Readings):
    def preprocess(self, x):
        return torch.tensor(shifted(x))


@functools.singledispatch
def as_tensor(value):
    raise TypeError(type(value))


@as_tensor.register
def _(value: list):
    return torch.tensor(value)


class Dispatched(Readings):
    def preprocess(self, x):
        return as_tensor(tuple(x)) if tuple in as_tensor.registry else as_tensor(x)


def dispatch_registered_later() -> nn.Module:
    as_tensor.register(tuple, lambda value: torch.tensor(value) + 1)
    return made(Dispatched)


# --- one instance patched ---


def forward_patched_on_the_instance() -> nn.Module:
    model = made(Readings)
    model.forward = lambda batch: model.net(batch) * 2
    return model


def method_bound_to_the_instance() -> nn.Module:
    model = made(Readings)
    model.preprocess = types.MethodType(_reversed, model)
    return model


def _reversed(self, x):
    return torch.tensor(x[::-1])


def layer_forward_patched() -> nn.Module:
    model = made(Readings)
    model.net.forward = functools.partial(torch.nn.functional.linear, weight=model.net.weight)
    return model


# --- the process ---


class UsesPart(Readings):
    def preprocess(self, x):
        return torch.tensor([self.part.scale(value) for value in x])


class UsesEnvironment(Readings):
    def preprocess(self, x):
        return torch.tensor(x) * float(os.environ.get("TRAIT_GAIN", "1"))


def environment_variable() -> nn.Module:
    os.environ["TRAIT_GAIN"] = "0.5"
    return made(UsesEnvironment)


def class_of_a_module_made_at_runtime() -> nn.Module:
    module = types.ModuleType("trait_made_at_runtime")
    exec("class Scale:\n    def scale(self, value):\n        return 3 * value\n", vars(module))
    sys.modules[module.__name__] = module
    return made(UsesPart, module.Scale())


def class_of_a_module_that_is_gone() -> nn.Module:
    namespace = {"__name__": "trait_that_is_gone"}
    exec("class Scale:\n    def scale(self, value):\n        return value - 3\n", namespace)
    return made(UsesPart, namespace["Scale"]())
