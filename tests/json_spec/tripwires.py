"""A user's module that loading may import, full of code that loading must not run; and of names that lead elsewhere."""

from __future__ import annotations

import os
import pathlib
import subprocess
from functools import wraps
from typing import Any

from torch import nn

FIRED: list[Any] = []
"""What ran; loading an artifact adds nothing."""

system = os.system
Popen = subprocess.Popen
operating_system = os
evaluate = eval


def payload(*_: Any, **__: Any) -> None:
    FIRED.append("payload")


class Meta(type):
    """Calling the class, or asking it for what it lacks, fires."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        FIRED.append("metaclass.__call__")
        return super().__call__(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        if not name.startswith("__"):
            FIRED.append(f"metaclass.__getattr__ {name}")
        raise AttributeError(name)


class Descriptor:
    """Getting and setting fire."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        FIRED.append("descriptor.__get__")

    def __set__(self, instance: Any, value: Any) -> None:
        FIRED.append("descriptor.__set__")


class Tripwire(metaclass=Meta):
    """Everything that a class can do when an object of it is made, copied, filled, looked at."""

    watched = Descriptor()
    file = pathlib.Path

    def __new__(cls, *args: Any) -> Any:
        FIRED.append("__new__")
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        FIRED.append("__init__")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        FIRED.append("__init_subclass__")

    def __setattr__(self, name: str, value: Any) -> None:
        FIRED.append("__setattr__")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            FIRED.append(f"__getattr__ {name}")
        raise AttributeError(name)

    def __setstate__(self, state: Any) -> None:
        FIRED.append("__setstate__")

    def __reduce__(self) -> Any:
        FIRED.append("__reduce__")
        return payload, ()

    def __call__(self, *args: Any) -> None:
        FIRED.append("__call__")

    def __len__(self) -> int:
        FIRED.append("__len__")
        return 1

    def __iter__(self) -> Any:
        FIRED.append("__iter__")
        return iter(())

    @property
    def risky(self) -> int:
        FIRED.append("property")
        return 1

    @risky.setter
    def risky(self, value: Any) -> None:
        FIRED.append("property setter")


class TripModule(nn.Module):
    """The same for a module."""

    def __init__(self) -> None:
        FIRED.append("module.__init__")
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        FIRED.append("module.__setattr__")
        super().__setattr__(name, value)

    def __setstate__(self, state: Any) -> None:
        FIRED.append("module.__setstate__")

    def _load_from_state_dict(self, *args: Any) -> None:
        FIRED.append("module._load_from_state_dict")

    def register_buffer(self, *args: Any, **kwargs: Any) -> None:
        FIRED.append("module.register_buffer")


class Asked:
    """A hook that tells what it is asked for."""

    def __getattr__(self, name: str) -> Any:
        FIRED.append(f"__getattr__ {name}")
        raise AttributeError(name)

    def __call__(self, *args: Any) -> None:
        FIRED.append(("called", args[0] if isinstance(args[0], nn.Module) else None))


class Computing(nn.Linear):
    """Has a property where torch looks for a tensor, and answers for what it lacks."""

    def __getattr__(self, name: str) -> Any:
        FIRED.append(f"__getattr__ {name}")
        return super().__getattr__(name)

    @property
    def weight_g(self) -> Any:
        FIRED.append("property weight_g")
        return self.weight_v


class Disguised:
    """Says that it is another."""


Disguised.__qualname__ = "Honest"


@wraps(os.system)
def wrapped(command: str) -> int:
    """Says that it is `os.system`."""
    return 0
