"""Values to mutate, and `differences`: what the comparer sees between two, through pickle as between processes."""

from __future__ import annotations

import enum
import pickle
from collections import namedtuple
from dataclasses import dataclass

import pandas as pd
import torch

from harness.compare import compare
from harness.snapshot.builder import snapshot_value

OWN = ("compare_things", "tests")
"""The user's modules: this one, and the tests."""
Point = namedtuple("Point", "x y")
Pair = namedtuple("Pair", "x y")


@dataclass
class Setting:
    width: int = 3


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Plain:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Other(Plain):
    pass


class Slotted:
    __slots__ = ("__hidden", "x", "y")

    def __init__(self, x, hidden=0):
        self.x, self.__hidden = x, hidden


class Hidden:
    __slots__ = ("x",)


class Hiding(Hidden):
    __slots__ = ("x",)


def hiding(x):
    """An object with two slots of one name, one of which is another each time."""
    made = Hiding()
    made.x = 0
    Hidden.x.__set__(made, x)
    return made


class Names(list):
    pass


class Text(str):
    pass


class Half(float):
    pass


class Tagged(torch.Tensor):
    pass


def clip(x, low=0):
    return x


def relu(x, low=0):
    return x


def transported(value, snapshot=snapshot_value):
    return pickle.loads(pickle.dumps(snapshot(value, own_modules=OWN)))


def differences(before, after, snapshot=snapshot_value):
    root = "x" if snapshot is snapshot_value else "model"
    return compare(transported(before, snapshot), transported(after, snapshot), root=root)


def seen(before, after, snapshot=snapshot_value):
    return [(difference.path, difference.kind) for difference in differences(before, after, snapshot)]


def t(*values, **options):
    return torch.tensor(values, **options)


def attributed(value, **fields):
    for name, part in fields.items():
        setattr(value, name, part)
    return value


def shared(*make):
    """The same object in each place."""
    part = make[0]()
    return [part, part]


def moved(stream, position):
    stream.seek(position)
    return stream


def nested(*rows, **options):
    return torch.nested.nested_tensor([torch.tensor(row) for row in rows], **options)


def quantised(scale, zero):
    return torch.quantize_per_tensor(t(0.0, scale), scale, zero, torch.quint8)


def per_channel(scale):
    parts = torch.ones(2, 2), t(scale, 0.1, dtype=torch.float64), t(0, 0)
    return torch._make_per_channel_quantized_tensor(torch.ones(2, 2, dtype=torch.int8), *parts[1:], 0)


def fp8(value, dtype=torch.float8_e4m3fn):
    return t(value).to(dtype)


def f_scale(factor):
    return [lambda x: x * 2.5, lambda x: x * 3.5][factor]


def f_names(which):
    return [lambda x: x.sum(), lambda x: x.mean()][which]


def f_small(which):
    return [lambda x: x + 1, lambda x: x + 2][which]


def raising(text):
    return ValueError(text)


def frame(**options):
    return pd.DataFrame({"a": [1, 2], "b": ["u", "v"]}, **options)
