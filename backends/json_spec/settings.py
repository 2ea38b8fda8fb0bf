"""What libraries keep for a whole process, and a program may change: a new process has it as it begins.

An artifact holds none of it, only what the model's modules set when they are imported comes again. So the second run of
the examples at a save is made as a new process would.
"""

from __future__ import annotations

import builtins
import contextlib
import decimal
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch


class Setting(NamedTuple):
    """How to read it, to set it, and what it is in a new process."""

    get: Callable[[], Any]
    set: Callable[[Any], Any]
    at_start: Any


def _default_device() -> torch.device | None:
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def added_builtins() -> dict[str, Any]:
    """What a program put among the names that every module has, as `gettext.install()` its `_`: name -> it."""
    return {name: thing for name, thing in vars(builtins).items()
            if not (name[:2] == "__" or name in _CONSTANTS or _is_pythons(thing))}  # fmt: skip


_CONSTANTS = frozenset(["None", "True", "False", "Ellipsis", "NotImplemented"])


def _is_pythons(thing: Any) -> bool:
    made_in = type(thing) if type(thing).__module__ == "_sitebuiltins" else thing  # `exit` and `help` are objects
    return getattr(made_in, "__module__", None) in ("builtins", "io", "_io", "_sitebuiltins")


def _set_builtins(added: dict[str, Any]) -> None:
    for name in added_builtins().keys() - added.keys():
        delattr(builtins, name)
    vars(builtins).update(added)


_PRINT_OPTIONS = {
    "precision": 8, "threshold": 1000, "edgeitems": 3, "linewidth": 75, "suppress": False, "nanstr": "nan",
    "infstr": "inf", "sign": "-", "formatter": None, "floatmode": "maxprec", "legacy": False,
}  # fmt: skip
"""Source: https://numpy.org/doc/stable/reference/generated/numpy.set_printoptions.html."""
_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
"""Source: https://numpy.org/doc/stable/reference/generated/numpy.seterr.html."""
SETTINGS = {
    "torch.get_default_dtype()": Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    "torch.get_default_device()": Setting(_default_device, torch.set_default_device, None),
    "torch.get_float32_matmul_precision()": Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
    ),
    "numpy.geterr()": Setting(np.geterr, lambda value: np.seterr(**value), _ERRORS),
    "numpy.get_printoptions()": Setting(
        lambda: {name: value for name, value in np.get_printoptions().items() if name in _PRINT_OPTIONS},
        lambda value: np.set_printoptions(**value),
        _PRINT_OPTIONS,
    ),
    "decimal.getcontext().prec": Setting(
        lambda: decimal.getcontext().prec, lambda value: setattr(decimal.getcontext(), "prec", value), 28
    ),
    "decimal.getcontext().rounding": Setting(
        lambda: decimal.getcontext().rounding,
        lambda value: setattr(decimal.getcontext(), "rounding", value),
        decimal.ROUND_HALF_EVEN,
    ),
    "names added to builtins": Setting(added_builtins, _set_builtins, {}),
}
"""As one reads it -> the setting."""


def changed() -> dict[str, Any]:
    """Those that are not as in a new process, and their values."""
    return {name: value for name, one in SETTINGS.items() if (value := one.get()) != one.at_start}


def reset(names: Iterable[str]) -> None:
    """Set them as they are in a new process."""
    for name in names:
        SETTINGS[name].set(SETTINGS[name].at_start)


@contextlib.contextmanager
def as_at_start(kept: Collection[str]) -> Iterator[dict[str, Any]]:
    """All but those `kept` as a new process has them, meanwhile; those that were not so, and their values."""
    others = {name: value for name, value in changed().items() if name not in kept}
    reset(others)
    try:
        yield others
    finally:
        for name, value in others.items():
            SETTINGS[name].set(value)
