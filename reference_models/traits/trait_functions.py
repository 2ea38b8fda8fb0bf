"""Traits of functions: code that a model holds as a value, which a format must name, copy or refuse.

Each builder gives one tiny model whose output depends on the function that it holds.
"""

from __future__ import annotations

import functools
import operator

import torch
import torch.nn.functional as F
from torch import nn

SCALE = 1.75


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
    """Applies the function to the whole batch instead: what people call an activation."""

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(self.function(batch))


class Whole(Applied):
    """Applies the function to all readings of a data point at once; it returns four numbers."""

    def preprocess(self, x):
        return torch.tensor([float(value) for value in self.function(x)])


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- by name: what pickle can do ---


def clip(value, low, high):
    return min(max(value, low), high)


def module_function() -> nn.Module:
    return made(Applied, halved)


def halved(value):
    return value / 2


def builtin_function() -> nn.Module:
    return made(Applied, abs)


def torch_function() -> nn.Module:
    return made(Activated, F.softplus)


def torch_builtin() -> nn.Module:
    return made(Activated, torch.tanh)


def unbound_method() -> nn.Module:
    return made(Activated, torch.Tensor.sigmoid)


def partial_function() -> nn.Module:
    return made(Applied, functools.partial(clip, low=-1.0, high=1.0))


class Calibration:
    def __init__(self, gain) -> None:
        self.gain = gain

    def apply(self, value):
        return self.gain * value

    def __call__(self, value):
        return self.gain + value

    scaled_up = functools.partialmethod(apply)


def bound_method() -> nn.Module:
    return made(Applied, Calibration(2.5).apply)


def partial_method() -> nn.Module:
    return made(Applied, Calibration(1.5).scaled_up)


def callable_object() -> nn.Module:
    return made(Applied, Calibration(0.5))


class OwnMethod(Applied):
    def __init__(self) -> None:
        super().__init__(None)
        self.gain = 3.0
        self.function = self.amplified

    def amplified(self, value):
        return self.gain * value


def bound_method_of_itself() -> nn.Module:
    return made(OwnMethod)


def bound_builtin_method() -> nn.Module:
    return made(Applied, {0.5: 4.0, 3.0: 5.0, -0.75: 6.0, 0.0: 7.0, 0.25: 8.0, 1.5: 9.0, 2.0: 1.0, -1.25: 2.0}.get)


def operator_itemgetter() -> nn.Module:
    return made(Whole, operator.itemgetter(3, 1, 1, 0))


def static_method_object() -> nn.Module:
    return made(Applied, staticmethod(halved))


@functools.lru_cache(maxsize=8)
def remembered(value):
    return value * value


def lru_cached_function() -> nn.Module:
    return made(Applied, remembered)


def renamed(name):
    def rename(function):
        function.__name__ = function.__qualname__ = name
        return function

    return rename


@renamed("halved")
def tripled(value):
    return 3 * value


def function_under_another_name() -> nn.Module:
    return made(Applied, tripled)


def logged(function):
    @functools.wraps(function)
    def wrapper(value):
        return function(value) + 0.125

    return wrapper


@logged
def decorated(value):
    return 2 * value


def decorated_function() -> nn.Module:
    return made(Applied, decorated)


def wrapped_original() -> nn.Module:
    return made(Applied, decorated.__wrapped__)


# --- by value only: no name leads to it ---


def lambda_attribute() -> nn.Module:
    return made(Applied, lambda value: 2 * value + 1)


def lambda_default_argument() -> nn.Module:
    shifted = [lambda value, shift=shift: value + shift for shift in (1.0, 2.0, 3.0)]
    return made(Applied, shifted[1])


def lambda_reads_global() -> nn.Module:
    return made(Applied, lambda value: value * SCALE)


def lambda_calls_function() -> nn.Module:
    return made(Applied, lambda value: clip(value, -0.5, 0.5))


class Steps(Applied):
    def preprocess(self, x):
        for step in self.function:
            x = [step(value) for value in x]
        return torch.tensor(x)


def lambdas_in_a_list() -> nn.Module:
    return made(Steps, [lambda value: value + 1, lambda value: value * 3])


class Table(Applied):
    def preprocess(self, x):
        return torch.tensor([self.function["neg" if value < 0 else "pos"](value) for value in x])


def lambdas_in_a_dict() -> nn.Module:
    return made(Table, {"neg": lambda value: value / 4, "pos": lambda value: value * 4})


def partial_of_lambda() -> nn.Module:
    return made(Applied, functools.partial(lambda base, value: base**value, 2.0))


def local_function() -> nn.Module:
    def squashed(value):
        return value / (1 + abs(value))

    return made(Applied, squashed)


def keyword_only_defaults() -> nn.Module:
    def shifted(value, *, by=0.5, **rest):
        return value + by + len(rest)

    return made(Applied, shifted)


def mutable_default_argument() -> nn.Module:
    def relative(value, largest=[1e-6]):  # noqa: B006 - people do, to remember
        largest[0] = max(largest[0], abs(value))
        return value / largest[0]

    relative(8.0)
    return made(Applied, relative)


def function_with_attributes() -> nn.Module:
    def shifted(value):
        return value + shifted.by

    shifted.by = 2.5
    return made(Applied, shifted)


def annotated_local_function() -> nn.Module:
    class Reading(float):
        pass

    def doubled(value: Reading) -> Reading:
        return Reading(2 * value)

    doubled.__annotations__ = {"value": Reading, "return": Reading}
    return made(Applied, doubled)


def generator_function() -> nn.Module:
    def running_total(values):
        total = 0.0
        for value in values:
            total += value
            yield total

    return made(Whole, running_total)


class Awaited(Applied):
    def preprocess(self, x):
        return torch.tensor([self.finished(value) for value in x])

    def finished(self, value):
        try:
            self.function(value).send(None)
        except StopIteration as stop:
            return stop.value


def async_function() -> nn.Module:
    async def doubled(value):
        return 2 * value

    return made(Awaited, doubled)


def no_grad_decorated() -> nn.Module:
    @torch.no_grad()
    def centred(batch):
        return batch - batch.mean(-1, keepdim=True)

    return made(Activated, centred)


def function_from_text() -> nn.Module:
    namespace = {"__name__": __name__}
    exec("def bent(value):\n    return value * abs(value)\n", namespace)
    return made(Applied, namespace["bent"])


def cached_local_function() -> nn.Module:
    @functools.cache
    def cubed(value):
        return value**3

    return made(Applied, cubed)
