"""A model whose code is a function of the tests, and what it is described to differ in."""

from __future__ import annotations

import torch

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

OWN = [__name__.partition(".")[0]]


class Base(torch.nn.Module):
    """One."""

    width: int = 1

    def __init__(self, **parts):
        super().__init__()
        vars(self).update(parts)


def model(rarely, **parts):
    """One whose code is `rarely`, a function of a test."""
    made = Base(**parts)
    made.rarely = rarely
    return made


def described(rarely, **parts):
    return snapshot_model(model(rarely, **parts), own_modules=OWN)


def seen(before, after):
    return [(difference.path, difference.kind) for difference in compare(before, after)]


def nothing():
    return Base
