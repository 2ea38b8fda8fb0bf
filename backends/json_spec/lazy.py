"""Checking tensors when the model is first called, for `load(..., verify="lazy")`.

Nothing can tell Python that mapped memory is being read. What can be told is that a module is being called: torch runs
global hooks before every module's `forward`. Ours stands there from the load until the first call of any module of the
model, compares every tensor with its digest, and goes. The model itself carries no trace of it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from backends.json_spec.tensors import Weights


def check_when_called(model: Any, weights: Weights, digests: Mapping[str, Any]) -> None:
    """Have `weights` checked before the first forward of any module of `model`; at once where the model is none."""
    if not isinstance(model, nn.Module):
        weights.checking(digests).finish()
        return
    waiting = weakref.WeakSet(_modules(model))
    lock = threading.Lock()
    done = False

    def before_forward(module: nn.Module, _: Any) -> None:
        nonlocal done
        if module not in waiting:
            return
        with lock:
            if not done:
                weights.checking(digests).finish()
                done = True
                handle.remove()

    handle = register_module_forward_pre_hook(before_forward)
    weakref.finalize(model, handle.remove)


def _modules(model: nn.Module) -> set[nn.Module]:
    """All modules of a model, by its tables alone: the file may have given it an attribute called `modules`."""
    found: set[nn.Module] = set()
    left: list[nn.Module | None] = [model]
    while left:
        module = left.pop()
        if module is not None and module not in found:
            found.add(module)
            left += vars(module)["_modules"].values()
    return found
