"""Traits of numpy: arrays, scalars and generators that preprocessing and label tables are made of."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class Holds(nn.Module):
    """Four readings in, three scores out; subclasses change the readings by the value that they hold."""

    def __init__(self, value) -> None:
        super().__init__()
        self.value = value
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.from_numpy(np.asarray(self.change(np.array(x, dtype=np.float32)), dtype=np.float32))

    def change(self, x):
        return x + self.value

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(24)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- arrays ---


def numpy_array() -> nn.Module:
    return made(Holds, np.array([0.5, 1.5, -2.0, 0.1]))


class Kinds(Holds):
    def postprocess(self, output):
        return {"kinds": [type(value).__name__ for value in self.value], "scores": output.tolist()}

    def change(self, x):
        return x * self.value[0] + int(self.value[1])


def numpy_scalars() -> nn.Module:
    return made(Kinds, [np.float32(1.1), np.int64(3), np.bool_(True), np.str_("label"), np.float64(0.5)])


class Cast(Holds):
    def change(self, x):
        return x.astype(self.value)


def numpy_dtype() -> nn.Module:
    return made(Cast, np.dtype("<i2"))


def big_endian_array() -> nn.Module:
    return made(Holds, np.array([1.5, -2.0, 3.25, 4.0], dtype=">f4"))


class Ordered(Holds):
    def change(self, x):
        return x + self.value.ravel(order="K")[:4]


def fortran_ordered_array() -> nn.Module:
    return made(Ordered, np.asfortranarray(np.arange(8.0).reshape(2, 4)))


class Fields(Holds):
    def change(self, x):
        return (x - self.value["mean"]) / self.value["std"]


def structured_array() -> nn.Module:
    rows = [(0.5, 1.0, b"a"), (0.0, 2.0, b"b"), (1.0, 0.5, b""), (2.0, 4.0, b"long")]
    return made(Fields, np.array(rows, dtype=[("mean", "f8"), ("std", "f4"), ("unit", "S4")]))


class Named(Holds):
    def change(self, x):
        return x

    def postprocess(self, output):
        return {"name": self.value[int(output.argmax())]}


def object_array() -> nn.Module:
    return made(Named, np.array([("a", 1), None, {"k": [2]}], dtype=object))


class Hidden(Holds):
    def change(self, x):
        return (x + self.value).filled(-1.0)


def masked_array() -> nn.Module:
    return made(Hidden, np.ma.masked_array([1.0, 2.0, 3.0, 4.0], mask=[0, 1, 0, 1], fill_value=9.0))


class Since(Holds):
    def change(self, x):
        return x + (self.value - np.datetime64("2024-01-01")).astype("timedelta64[D]").astype(float)


def datetime64_array() -> nn.Module:
    return made(Since, np.array(["2024-01-03", "2023-12-31", "2024-02-29", "2024-01-01"], dtype="datetime64[ns]"))


class Writes(Holds):
    """Writes into one array and reads the other."""

    def change(self, x):
        whole, part = self.value
        whole[...] = np.arange(whole.size).reshape(whole.shape)
        return x + part


def array_views_sharing_memory() -> nn.Module:
    whole = np.zeros((2, 4))
    return made(Writes, (whole, whole[1]))


class Bridged(Holds):
    """A buffer whose memory belongs to an array: filling the array changes the buffer."""

    def __init__(self) -> None:
        super().__init__(np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32))
        self.register_buffer("offset", torch.from_numpy(self.value))

    def change(self, x):
        self.value[:] = x
        return x

    def forward(self, batch):
        return self.net(batch + self.offset)


def array_and_buffer_sharing_memory() -> nn.Module:
    return made(Bridged)


class Sealed(Holds):
    def change(self, x):
        return x + self.value if self.value.flags.writeable else x - self.value


def read_only_array() -> nn.Module:
    value = np.arange(4.0)
    value.flags.writeable = False
    return made(Sealed, value)


def broadcast_array() -> nn.Module:
    return made(Holds, np.broadcast_to(np.float64(0.25), (4,)))


class Weights(np.ndarray):
    """An array type of one's own, with an attribute."""

    gain = 1.0

    def __array_finalize__(self, parent):
        self.gain = getattr(parent, "gain", 1.0)


class UsesWeights(Holds):
    def change(self, x):
        return x * np.asarray(self.value) * self.value.gain


def array_subclass() -> nn.Module:
    value = np.array([1.0, 2.0, 3.0, 4.0]).view(Weights)
    value.gain = 0.5
    return made(UsesWeights, value)


# --- functions and chance ---


class Applies(Holds):
    def change(self, x):
        return self.value(x)


def numpy_ufunc() -> nn.Module:
    return made(Applies, np.tanh)


def vectorized_lambda() -> nn.Module:
    return made(Applies, np.vectorize(lambda value: value / 2 if value < 0 else value))


class GlobalNoise(Holds):
    def change(self, x):
        return x + np.random.normal(size=4)


def numpy_random_in_preprocess() -> nn.Module:
    return made(GlobalNoise, None)


class OwnNoise(Holds):
    """Puts its generator back after each data point."""

    def change(self, x):
        state = self.value.bit_generator.state
        noise = self.value.normal(size=4)
        self.value.bit_generator.state = state
        return x + noise


def numpy_generator() -> nn.Module:
    value = np.random.default_rng(25)
    value.random(3)
    return made(OwnNoise, value)


class OldNoise(Holds):
    def change(self, x):
        state = self.value.get_state()
        noise = self.value.normal(size=4)
        self.value.set_state(state)
        return x + noise


def numpy_random_state() -> nn.Module:
    return made(OldNoise, np.random.RandomState(26))


class TakesTurns(Holds):
    """Two generators that draw from the same bits, by turns; afterwards the bits are as before."""

    def change(self, x):
        old, new = self.value
        state = old.get_state()
        noise = np.array([old.random(), new.random(), old.random(), new.random()])
        old.set_state(state)
        return x + noise


def generators_on_the_same_bits() -> nn.Module:
    old = np.random.RandomState(27)
    return made(TakesTurns, (old, np.random.Generator(old._bit_generator)))
