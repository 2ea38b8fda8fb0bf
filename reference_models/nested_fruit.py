"""Nests of strings in, nests of tensors through, a readable nest out: every leaf is batched and split on its own.

Exercises: tuples, lists and dicts in both directions, an int-keyed dictionary of names, tensors and plain numbers as
leaves side by side, outputs of different shapes. The second model of the series.
"""

from __future__ import annotations

import torch
from torch import nn

FRUIT = ("apple", "orange", "pear", "plum")


class NestedFruit(nn.Module):
    """`({'a': {'b': fruit}, 'c': fruit}, (fruit, fruit))` to which of the last two goes best with the first two."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.names = dict(enumerate(FRUIT))
        self.numbers = {name: number for number, name in self.names.items()}
        self.embedding = nn.Embedding(len(FRUIT), width)
        self.mix = nn.Linear(width, width)

    def preprocess(self, x):
        outer, (first, second) = x
        return [
            {"a": {"b": self.numbers[outer["a"]["b"]]}, "c": torch.tensor(self.numbers[outer["c"]])},
            [self.numbers[first], torch.tensor([self.numbers[second]])],
        ]

    def forward(self, batch):
        outer, (first, second) = batch
        b, c = self.embedding(outer["a"]["b"]), self.embedding(outer["c"])
        pair = torch.stack([self.embedding(first), self.embedding(second[:, 0])], dim=1)
        alike = torch.einsum("nw,npw->np", self.mix(b + c), pair)
        return {"alike": alike, "outer": (b.mean(-1), {"c": c})}, (first, second)

    def postprocess(self, output):
        scores, (first, second) = output
        brightness, inner = scores["outer"]
        names = (self.names[int(first)], self.names[int(second[0])])
        return {
            "closest": names[int(scores["alike"].argmax())],
            "scores": [(name, float(score)) for name, score in zip(names, scores["alike"], strict=True)],
            "mood": {"bright": float(brightness) > 0, "strength": float(inner["c"].norm())},
        }


def build() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        return NestedFruit().eval()


def examples() -> list:
    return [
        ({"a": {"b": "orange"}, "c": "pear"}, ("apple", "apple")),
        ({"a": {"b": "plum"}, "c": "apple"}, ("pear", "orange")),
        ({"a": {"b": "apple"}, "c": "orange"}, ("plum", "pear")),
    ]
