"""Nests of strings in, nests of tensors through, a sentence out: every leaf is batched and split on its own.

Exercises: tuples, lists and dicts in both directions, an int-keyed dictionary of names, tensors and plain numbers as
leaves side by side, two outputs of different shapes. The series' second model.
"""

from __future__ import annotations

import torch
from torch import nn

FRUIT = ("apple", "orange", "pear", "plum")


class NestedFruit(nn.Module):
    """`({'a': {'b': fruit}, 'c': fruit}, (fruit, fruit))` to its most alike pair."""

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
        names = [self.names[int(first)], self.names[int(second[0])]]
        best = int(scores["alike"].argmax())
        return {
            "closest": names[best],
            "scores": {name: round(float(score), 6) for name, score in zip(names, scores["alike"], strict=True)},
            "mood": "bright" if float(scores["outer"][0]) > 0 else "dull",
        }


def build() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return NestedFruit().eval()


def examples() -> list:
    return [
        ({"a": {"b": "orange"}, "c": "pear"}, ("apple", "apple")),
        ({"a": {"b": "plum"}, "c": "apple"}, ("pear", "orange")),
        ({"a": {"b": "apple"}, "c": "orange"}, ("plum", "pear")),
    ]
