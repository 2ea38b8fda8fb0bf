"""Traits of training's tools left on the model: an optimiser, a scheduler, a moving average.

Apart from the other modules' traits because `torch.optim` imports much of torch at its first use.
"""

from __future__ import annotations

import torch
import torch._dynamo  # what torch.optim would import at its first use
from torch import nn


class Readings(nn.Module):
    """Four readings in, some scores out; subclasses build `net` from torch's parts."""

    def __init__(self, net=None) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3) if net is None else net

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.flatten().tolist()}


def made(make):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(13)
        return make().eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


class Learner(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.05)
        self.net(torch.ones(1, 4)).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def postprocess(self, output):
        (group,) = self.optimizer.param_groups
        return {**super().postprocess(output), "same": group["params"][0] is self.net.weight, "lr": group["lr"]}


def optimizer_on_the_model() -> nn.Module:
    return made(Learner)


class Scheduled(Learner):
    def __init__(self) -> None:
        super().__init__()
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda epoch: 0.5**epoch)
        self.optimizer.step()
        self.scheduler.step()


def scheduler_with_a_lambda() -> nn.Module:
    return made(Scheduled)


class Smoothed(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.average = torch.optim.swa_utils.AveragedModel(self.net)
        self.average.update_parameters(nn.Linear(4, 3))
        self.average.update_parameters(nn.Linear(4, 3))

    def forward(self, batch):
        return self.average(batch) + self.average.n_averaged


def averaged_model() -> nn.Module:
    return made(Smoothed)
