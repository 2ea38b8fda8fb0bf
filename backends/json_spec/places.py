"""In how many places a value stands: forty references, each to a tuple that holds the next one twice, make 2^40.

Nothing of that is made as often as it stands somewhere. But to hash a tuple is to go to all its places, and so are the
checks and copies of codecs. Places are counted before that, and levels: references make any depth of small objects.
"""

from __future__ import annotations

import contextlib
import enum
import types
from typing import Any

import numpy as np
import torch

from backends.json_spec.errors import ArtifactError
from backends.json_spec.text import DEPTH_LIMIT

AGAIN_LIMIT = 1 << 22
"""Places that are gone to again, of one graph: what stands in the file as often is within its other limits."""

_SINGLE = frozenset([str, int, float, bool, type(None)])
"""Types of most that a container holds, which hold nothing themselves."""


class Places:
    """What has been gone through of one graph."""

    def __init__(self) -> None:
        self._met: dict[int, Any] = {}
        self._again = 0

    def meet(self, container: Any, size: int) -> None:
        """Note that the places of a container are gone to. Raises ArtifactError where that was done too often."""
        if id(container) not in self._met:
            self._met[id(container)] = container  # alive, so that no other gets its id
            return
        self._again += size + 1
        if self._again > AGAIN_LIMIT:
            raise ArtifactError(f"what is hashed or copied stands in more than {AGAIN_LIMIT} places")

    def go_through(self, value: Any) -> int:
        """Bytes in all places of a value, of arrays and byte strings.

        Raises ArtifactError where there are too many, or more than DEPTH_LIMIT levels: to hash a tuple, Python goes as
        deep as it is, to the end of the stack and beyond.
        """
        level, size = [value], 0
        for _ in range(DEPTH_LIMIT):
            below: list[Any] = []
            for one in level:
                if isinstance(one, tuple):
                    inner = list(tuple.__iter__(one))
                elif isinstance(one, list):
                    inner = list(list.__iter__(one))
                elif isinstance(one, dict):
                    inner = list(dict.values(one))
                elif isinstance(one, frozenset):
                    inner = list(frozenset.__iter__(one))
                elif isinstance(one, slice):
                    inner = [one.start, one.stop, one.step]
                elif isinstance(one, np.ndarray):
                    size += one.nbytes
                    if one.dtype.kind != "O":
                        continue
                    inner = one.ravel().tolist()
                elif _hashes_fields(type(one)):
                    inner = _fields(one)
                else:
                    size += len(one) if isinstance(one, bytes) else 0
                    continue
                self.meet(one, len(inner))
                below += [item for item in inner if type(item) not in _SINGLE]
            if not below:
                return size
            level = below
        raise ArtifactError(f"what is hashed or copied is nested more than {DEPTH_LIMIT} levels deep")


def _hashes_fields(cls: type) -> bool:
    """Whether a class has a hash written in Python, as a frozen dataclass has: of what its instances hold."""
    return isinstance(cls.__hash__, types.FunctionType) and not issubclass(cls, torch.Tensor | enum.Enum)


def _fields(value: Any) -> list[Any]:
    """The values of attributes and slots; no code of the class runs."""
    found = list(vars(value).values()) if type(value).__dictoffset__ else []
    for base in type(value).__mro__:
        for slot in vars(base).values():
            if isinstance(slot, types.MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # not set
                    found.append(slot.__get__(value))
    return found
