"""Traits of Pillow: pictures kept inside the model."""

from __future__ import annotations

import io

import torch
from PIL import Image, ImageFilter
from torch import nn


class Holds(nn.Module):
    """Four readings in, three scores out; what it holds makes a picture of 2 x 2 that is added."""

    def __init__(self, picture) -> None:
        super().__init__()
        self.picture = picture
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x) + torch.tensor([value / 255 for value in self.grey(x)])

    def grey(self, x):
        return self.picture.convert("L").tobytes()

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls, picture):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(28)
        return cls(picture).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


def picture() -> nn.Module:
    return made(Holds, Image.frombytes("RGB", (2, 2), bytes(range(0, 240, 20))))


def picture_with_palette() -> nn.Module:
    image = Image.frombytes("P", (2, 2), bytes([0, 1, 2, 1]))
    image.putpalette([10, 20, 30, 200, 100, 0, 0, 0, 255])
    return made(Holds, image)


class Marked(Holds):
    def grey(self, x):
        return [value + int(self.picture.info["dpi"][0]) for value in super().grey(x)]


def picture_with_metadata() -> nn.Module:
    image = Image.new("L", (2, 2), 7)
    image.info["dpi"] = (72, 72)
    return made(Marked, image)


class Filtered(Holds):
    def grey(self, x):
        image = Image.frombytes("L", (4, 4), bytes(int(abs(value) * 80) for value in x * 4))
        return image.filter(self.picture).crop((1, 1, 3, 3)).tobytes()


def picture_filter() -> nn.Module:
    return made(Filtered, ImageFilter.Kernel((3, 3), [0, 1, 0, 1, 4, 1, 0, 1, 0]))


class Lightens(Holds):
    def grey(self, x):
        by = self.picture.gain if max(x) > 1000 else 0  # the examples do not reach it
        return [value + by for value in super().grey(x)]


def picture_from_a_file_with_an_attribute() -> nn.Module:
    file = io.BytesIO()
    Image.new("L", (2, 2), 7).save(file, "PNG")
    image = Image.open(io.BytesIO(file.getvalue()))
    image.load()
    image.gain = 2
    return made(Lightens, image)
