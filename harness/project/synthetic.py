"""Models of a wanted size and number of modules, as files that a user could have written. For `selftest`, `growth`."""

from __future__ import annotations

from pathlib import Path

from harness.registry import ModelSource

_TEXT = '''"""A synthetic model: {modules} modules that share {tensor_bytes} bytes of parameters."""

import torch
from torch import nn

MODULES, VALUES = {modules}, {values}


class Block(nn.Module):
    def __init__(self, values):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(values))

    def forward(self, x):
        return x + self.weight[:1]


class Synthetic(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block(VALUES) for _ in range(MODULES))

    def preprocess(self, x):
        return torch.tensor([float(x)])

    def forward(self, batch):
        return self.blocks[-1](self.blocks[0](batch))

    def postprocess(self, output):
        return float(output.sum())


def build():
    model = Synthetic().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(generator=generator)
    return model


def examples():
    return [1.0, 2.5]
'''


def tensor_bytes(wanted: int, modules: int) -> int:
    """The bytes that the model really has: at least one value a module."""
    return max(wanted // (4 * modules), 1) * 4 * modules


def write(folder: Path, wanted: int, modules: int) -> ModelSource:
    """Write the model's file into the new `folder`; about `wanted` bytes of float32 in `modules` modules."""
    folder.mkdir(parents=True)
    path = folder / "synthetic.py"
    values = tensor_bytes(wanted, modules) // 4 // modules
    path.write_text(_TEXT.format(modules=modules, values=values, tensor_bytes=4 * modules * values))
    return ModelSource(name(wanted, modules), path, "build", "a wanted size", self_contained=True)


def name(wanted: int, modules: int) -> str:
    """Such as `synthetic/64MB-10`: the size in powers of two, and the number of modules."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if wanted >= size:
            return f"synthetic/{wanted / size:g}{unit}-{modules}"
    return f"synthetic/{wanted}B-{modules}"
