"""Traits of wrappers: compiled, parallel, scripted, traced and transformed modules inside a plain one.

Nothing is compiled while building: `torch.compile` is lazy, and its backend here is `eager`.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap


class Readings(nn.Module):
    """Four readings in, three scores out; subclasses wrap `net`."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(change=lambda model: None, cls=Readings):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is deprecated and in use
        torch.default_generator.manual_seed(15)
        model = cls()
        change(model)
        return model.eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- parallel ---


def data_parallel() -> nn.Module:
    def change(model):
        model.net = nn.DataParallel(model.net)

    return made(change)


# --- scripted and traced ---


def scripted_submodule() -> nn.Module:
    def change(model):
        model.net = torch.jit.script(model.net)

    return made(change)


def traced_submodule() -> nn.Module:
    def change(model):
        model.net = torch.jit.trace(model.net, torch.ones(1, 4))

    return made(change)


def doubled(batch: torch.Tensor) -> torch.Tensor:
    return batch * 2


class UsesFunction(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.function = None

    def forward(self, batch):
        return self.net(self.function(batch))


def scripted_function() -> nn.Module:
    def change(model):
        model.function = torch.jit.script(doubled)

    return made(change, UsesFunction)


# --- functional transforms ---


class Ensemble(Readings):
    """Three members' weights stacked, run at once by `vmap` over a module without data."""

    def __init__(self) -> None:
        super().__init__()
        members = [nn.Linear(4, 3) for _ in range(3)]
        self.weights, _ = stack_module_state(members)
        self.member = nn.Linear(4, 3, device="meta")

    def forward(self, batch):
        def run(weights, x):
            return functional_call(self.member, weights, (x,))

        return vmap(run, in_dims=(0, None))(self.weights, batch).mean(0)


def vmapped_ensemble() -> nn.Module:
    return made(cls=Ensemble)


def vmapped_function() -> nn.Module:
    def change(model):
        model.function = vmap(centred)

    return made(change, UsesFunction)


def centred(row):
    return row - row.mean()


def gradient_function() -> nn.Module:
    def change(model):
        model.function = torch.func.grad(energy)

    return made(change, UsesFunction)


def energy(batch):
    return batch.pow(3).sum()


# --- contexts ---


class Autocast(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.context = torch.autocast("cpu", torch.bfloat16)

    def forward(self, batch):
        with self.context:
            return self.net(batch)


def autocast_context() -> nn.Module:
    return made(cls=Autocast)


class Decorated(Readings):
    @torch.autocast("cpu", torch.bfloat16)
    def forward(self, batch):
        return self.net(batch)


def autocast_decorator() -> nn.Module:
    return made(cls=Decorated)


# --- own operators ---


@torch.library.custom_op("roundtrip_traits::bent", mutates_args=())
def bent(batch: torch.Tensor) -> torch.Tensor:
    return batch * batch.abs()


@bent.register_fake
def _(batch):
    return torch.empty_like(batch)


class OwnOperator(Readings):
    def forward(self, batch):
        return self.net(torch.ops.roundtrip_traits.bent(batch))


def custom_operator() -> nn.Module:
    return made(cls=OwnOperator)


def operator_as_attribute() -> nn.Module:
    def change(model):
        model.function = torch.ops.aten.softplus.default

    return made(change, UsesFunction)
