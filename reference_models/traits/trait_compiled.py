"""Traits of torch.compile and torch.fx: modules that are Python code which torch wrote.

Nothing is compiled while building, and the backend is `eager`. Apart from the other wrappers because both import much
of torch.
"""

from __future__ import annotations

import torch
import torch._dynamo  # what torch.compile would import at its first use
import torch.fx
from torch import nn


class Readings(nn.Module):
    """Four readings in, three scores out; the builders wrap `net`."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)
        self.function = torch.tanh

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(self.function(batch))

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made():
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(16)
        return Readings().eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


def compiled_submodule() -> nn.Module:
    model = made()
    model.net = torch.compile(model.net, backend="eager")
    return model


def compiled_in_place() -> nn.Module:
    model = made()
    model.net.compile(backend="eager")
    return model


def doubled(batch):
    return batch * 2


def compiled_function() -> nn.Module:
    model = made()
    model.function = torch.compile(doubled, backend="eager")
    return model


def compilation_disabled() -> nn.Module:
    model = made()
    model.function = torch.compiler.disable(doubled)
    return model


def graph_module() -> nn.Module:
    model = made()
    model.net = torch.fx.symbolic_trace(nn.Sequential(model.net, nn.Tanh()).eval())
    return model
