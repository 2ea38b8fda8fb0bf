"""Traits of quantisation: tensors with a scale and a zero point, packed weights, observers.

`torch.ao.quantization` is deprecated in favour of torchao, and works; models that were made with it are in use.
"""

from __future__ import annotations

import warnings

import torch
import torch.ao.nn.quantized.dynamic as dynamic
import torch.ao.quantization as quantization
from torch import nn


class Readings(nn.Module):
    """Four readings in, three scores out; the builders quantise parts of it."""

    def __init__(self, net=None) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3) if net is None else net

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(make=Readings):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the quantised dtypes and torch.ao say that they are deprecated
        torch.default_generator.manual_seed(17)
        return make().eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


class Kept(Readings):
    """Holds its matrix as a quantised buffer."""

    def __init__(self, weight) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, batch):
        return batch @ self.weight.dequantize().T


def _matrix():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(18))


def quantized_per_tensor() -> nn.Module:
    return made(lambda: Kept(torch.quantize_per_tensor(_matrix(), 0.0371, 5, torch.quint8)))


def quantized_per_channel() -> nn.Module:
    scales, zeros = torch.tensor([0.01, 0.02, 0.04]), torch.tensor([0, 3, -3])
    return made(lambda: Kept(torch.quantize_per_channel(_matrix(), scales, zeros, 0, torch.qint8)))


def dynamically_quantized_linear() -> nn.Module:
    return made(lambda: quantization.quantize_dynamic(Readings(), {nn.Linear}, inplace=True))


def dynamically_quantized_float16() -> nn.Module:
    return made(lambda: quantization.quantize_dynamic(Readings(), {nn.Linear}, torch.float16, inplace=True))


def packed_weights_as_an_attribute() -> nn.Module:
    return made(Packed)


class Packed(Readings):
    """The C++ object that a quantised layer computes with."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.quantize_per_tensor(_matrix(), 0.05, 0, torch.qint8)
        self.packed = torch.ops.quantized.linear_prepack(weight, None)

    def forward(self, batch):
        return torch.ops.quantized.linear_dynamic(batch, self.packed)


def dynamic_lstm() -> nn.Module:
    return made(lambda: Recurrent(dynamic.LSTM(1, 3, batch_first=True)))


class Recurrent(Readings):
    def forward(self, batch):
        output, _ = self.net(batch.unsqueeze(-1))
        return output[:, -1]


def fake_quantized() -> nn.Module:
    def make():
        model = Readings(nn.Sequential(nn.Linear(4, 3), quantization.FakeQuantize()))
        model(3 * torch.randn(16, 4))
        return model.apply(quantization.disable_observer)

    return made(make)


def observed_range() -> nn.Module:
    def make():
        model = Readings(nn.Sequential(nn.Linear(4, 3), quantization.MinMaxObserver()))
        model(torch.randn(16, 4))
        return model

    return made(make)
