"""Traits of dtypes: numbers narrower, wider or odder than float32, as weights, buffers and bits.

What a kernel cannot compute with is widened in `forward`, so that every bit of it counts in the scores.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class Weighed(nn.Module):
    """Four readings in, three scores out, by a matrix of shape (3, 4) that is widened before use."""

    def __init__(self, weight, as_buffer=True) -> None:
        super().__init__()
        if as_buffer:
            self.register_buffer("weight", weight)
        else:
            self.weight = nn.Parameter(weight)

    def preprocess(self, x):
        return torch.tensor(x)

    def widened(self):
        return self.weight.to(torch.float64)

    def forward(self, batch):
        return batch.to(torch.float64) @ self.widened().T

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(dtype, *, low=-2.0, high=2.0, as_buffer=True, cls=Weighed):
    values = low + (high - low) * torch.rand(3, 4, generator=torch.Generator().manual_seed(7))
    return cls(values.to(dtype), as_buffer).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- parameters ---


def float32_parameter() -> nn.Module:
    return made(torch.float32, as_buffer=False)


def float64_parameter() -> nn.Module:
    return made(torch.float64, as_buffer=False)


def bfloat16_parameter() -> nn.Module:
    return made(torch.bfloat16, as_buffer=False)


def float16_parameter() -> nn.Module:
    return made(torch.float16, as_buffer=False)


class Rotated(Weighed):
    def forward(self, batch):
        return batch.to(self.weight.dtype) @ self.weight.T

    def postprocess(self, output):
        return {"sizes": output.abs().tolist(), "angles": output.angle().tolist()}


def _turned(dtype, as_buffer):
    values = torch.view_as_complex(torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(8)))
    return Rotated(values.to(dtype), as_buffer).eval()


def complex64_parameter() -> nn.Module:
    return _turned(torch.complex64, as_buffer=False)


def complex128_buffer() -> nn.Module:
    return _turned(torch.complex128, as_buffer=True)


class Widened(Rotated):
    def forward(self, batch):
        return batch.to(torch.complex64) @ self.weight.to(torch.complex64).T


def complex32_buffer() -> nn.Module:
    values = torch.view_as_complex(torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(8)).half())
    return Widened(values).eval()


class Mixed(Weighed):
    def __init__(self, weight, as_buffer) -> None:
        super().__init__(weight.half(), as_buffer)
        self.bias = nn.Parameter(weight[:, 0].double())
        self.register_buffer("shift", weight[0].bfloat16())

    def forward(self, batch):
        return super().forward(batch + self.shift) + self.bias


def mixed_precision() -> nn.Module:
    return made(torch.float32, as_buffer=False, cls=Mixed)


# --- eight bits and less ---


def float8_e4m3fn_buffer() -> nn.Module:
    return made(torch.float8_e4m3fn)


def float8_e5m2_buffer() -> nn.Module:
    return made(torch.float8_e5m2)


def float8_e4m3fnuz_parameter() -> nn.Module:
    return made(torch.float8_e4m3fnuz, as_buffer=False)


def float8_e8m0fnu_scales() -> nn.Module:
    return made(torch.float8_e8m0fnu, low=0.25, high=8.0)


class Nibbles(Weighed):
    """Two signed four-bit weights in each byte, and a scale for each row: how weight-only int4 is kept."""

    def __init__(self, weight, as_buffer) -> None:
        nibbles = (weight * 3.5).round().clamp(-8, 7).to(torch.int8) & 0xF
        super().__init__((nibbles[:, ::2] | nibbles[:, 1::2] << 4).to(torch.uint8), as_buffer)
        self.register_buffer("scale", weight.abs().amax(1, keepdim=True).half())

    def bytes_(self):
        return self.weight

    def widened(self):
        low, high = self.bytes_() & 0xF, self.bytes_() >> 4
        nibbles = torch.stack([low, high], dim=-1).flatten(1).to(torch.int8)
        return torch.where(nibbles > 7, nibbles - 16, nibbles) * self.scale.double() / 7


def int4_packed_in_bytes() -> nn.Module:
    return made(torch.float32, cls=Nibbles)


class ShellDtype(Nibbles):
    """The same bytes under one of torch's shell dtypes, which hold bits and can do nothing with them."""

    def __init__(self, weight, as_buffer, dtype=torch.uint4) -> None:
        super().__init__(weight, as_buffer)
        self.weight = self.weight.view(dtype)

    def bytes_(self):
        return self.weight.view(torch.uint8)


def uint4_shell_dtype() -> nn.Module:
    return made(torch.float32, cls=ShellDtype)


class Float4(ShellDtype):
    """Float4 pairs: the values of E2M1 are looked up by their bits."""

    def __init__(self, weight, as_buffer) -> None:
        super().__init__(weight, as_buffer, torch.float4_e2m1fn_x2)
        magnitudes = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
        self.register_buffer("values", torch.cat([magnitudes, -magnitudes]))

    def widened(self):
        codes = torch.stack([self.bytes_() & 0xF, self.bytes_() >> 4], dim=-1).flatten(1)
        return self.values[codes.long()].double()


def float4_pairs() -> nn.Module:
    return made(torch.float32, cls=Float4)


# --- whole numbers and truth ---


def bool_buffer() -> nn.Module:
    return made(torch.bool, low=-1.0, high=0.0, cls=Masked)


class Masked(Weighed):
    def __init__(self, weight, as_buffer) -> None:
        super().__init__(torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]]).to(weight.dtype), as_buffer)


def int8_buffer() -> nn.Module:
    return made(torch.int8, low=-128, high=127)


def _unsigned(dtype, signed, bits):
    generator = torch.Generator().manual_seed(9)
    values = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, (3, 4), generator=generator, dtype=signed)
    return Weighed(values.view(dtype)).eval()


def uint16_buffer() -> nn.Module:
    return _unsigned(torch.uint16, torch.int16, 16)


def uint32_buffer() -> nn.Module:
    return _unsigned(torch.uint32, torch.int32, 32)


def uint64_buffer() -> nn.Module:
    return _unsigned(torch.uint64, torch.int64, 63)


class Numbers(nn.Module):
    """Plain attributes that are torch's own small values."""

    def __init__(self) -> None:
        super().__init__()
        self.dtype, self.device = torch.float64, torch.device("cpu")
        self.shape, self.order = torch.Size([2, 2]), torch.channels_last
        self.layout = torch.strided
        self.net = nn.Linear(4, 3, dtype=self.dtype)
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))

    def preprocess(self, x):
        return torch.tensor(x, dtype=self.dtype, device=self.device).view(self.shape).flatten()

    def forward(self, batch):
        return self.net(batch) + (self.layout is torch.strided)

    def postprocess(self, output):
        return {"scores": output.tolist(), "order": self.order is torch.channels_last, "shape": tuple(self.shape)}


def torch_constants_as_attributes() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return Numbers().eval()


class Limited(Weighed):
    def __init__(self, weight, as_buffer) -> None:
        super().__init__(weight, as_buffer)
        self.limits = torch.finfo(torch.float16)

    def forward(self, batch):
        return (super().forward(batch) * 1e5).clamp(max=self.limits.max)


def limits_of_a_dtype() -> nn.Module:
    return made(torch.float32, cls=Limited)


# --- unusual values of usual dtypes ---


class Special(nn.Module):
    """Keeps each special number apart, where a sum would hide it."""

    def __init__(self, values) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(values))

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return torch.copysign(batch, self.weight), batch * 0 + self.weight, torch.signbit(self.weight).expand_as(batch)

    def postprocess(self, output):
        signs, values, negative = output
        return {"signs": signs.tolist(), "values": values.tolist(), "negative": negative.tolist()}


def nan_and_infinite_weights() -> nn.Module:
    return Special([math.nan, math.inf, -math.inf, 1.0]).eval()


def negative_zero_weight() -> nn.Module:
    return Special([-0.0, 0.0, -0.0, 1.0]).eval()


def subnormal_weights() -> nn.Module:
    return Special([1e-45, -1e-40, 1.1754942e-38, 3.4028235e38]).eval()


def nan_payloads() -> nn.Module:
    """Not-a-number with bits that say why, and one with a sign."""
    model = Special([0.0] * 4).eval()
    bits = torch.tensor([0x7FC00001, -0x3FFFFF, 0x7FABCDEF, 0x3F800000], dtype=torch.int32)
    with torch.no_grad():
        model.weight.copy_(bits.view(torch.float32))
    return model
