"""What the graph formats share: the state in which a model is exported, and the calls that it is recorded from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from backends.base import UnsupportedModel


@contextmanager
def for_inference(model: torch.nn.Module) -> Iterator[None]:
    """Eval mode, which a graph records for good, and no gradients; each module's flag is put back.

    Flag by flag, without `eval`: a model of the user's may freeze its parameters there.
    """
    flags = [(module, module.training) for module in model.modules()]
    for module, _ in flags:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in flags:
            module.training = training


def one_and_two(batches: tuple) -> tuple[Any, Any]:
    """The batch of one data point and that of two. Raises UnsupportedModel where there are none."""
    if not batches:
        raise UnsupportedModel("a graph is recorded from a call, and there are no examples to call `forward` with")
    return batches[0], batches[1]
