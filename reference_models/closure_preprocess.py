"""Preprocessing put together by factories: closures that remember together, and a partial.

Exercises: attributes that hold local functions over constants and a mutable cell, two closures that share one cell, a
`functools.partial` of a module-level function. Written as people write it who come from configuration files.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn


def make_normaliser(mean: float, std: float):
    """`normalise`, and `calls`, which tells how often it was called: they share the counter."""
    count = 0

    def normalise(values):
        nonlocal count
        count += 1
        return [(value - mean) / std for value in values]

    def calls():
        return count

    return normalise, calls


def clip(values, low: float, high: float):
    return [min(max(value, low), high) for value in values]


def make_labeller(labels, threshold: float):
    def label(score: float) -> str:
        return labels[score > threshold]

    return label


class Gauge(nn.Module):
    """Four readings to one word."""

    def __init__(self, normaliser, clip, label) -> None:
        super().__init__()
        self.normalise, self.calls = normaliser
        self.clip, self.label = clip, label
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))

    def preprocess(self, x):
        return torch.tensor(self.clip(self.normalise(x)))

    def forward(self, batch):
        return torch.sigmoid(self.net(batch))[:, 0]

    def postprocess(self, output):
        score = float(output)
        # not the count itself: that depends on who else has asked
        return {"label": self.label(score), "score": score, "counting": self.calls() > 0}


def build() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        return Gauge(
            normaliser=make_normaliser(mean=20.0, std=7.5),
            clip=partial(clip, low=-2.0, high=2.0),
            label=make_labeller(("calm", "alarm"), threshold=0.5),
        ).eval()


def examples() -> list:
    return [[18.0, 21.5, 19.25, 60.0], [3.0, 0.0, -4.5, 8.0], [25.0, 31.0, 38.0, 44.0]]
