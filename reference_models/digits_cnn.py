"""Handwritten digits: a small network that is really trained, with the constants that training learned.

Exercises: convolution, batch normalisation's running statistics, numbers learned from data beside the weights, NumPy
arrays as raw input. Its accuracy on the held-out half is computed at save and again after each load.
"""

from __future__ import annotations

import torch
from torch import nn


class DigitsCNN(nn.Module):
    """An 8x8 array of grey values from 0 to 16 to a digit and how sure it is."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Linear(32 * 2 * 2, 10)

    def preprocess(self, x):
        return ((torch.as_tensor(x, dtype=torch.float32) - self.mean) / self.std).unsqueeze(0)

    def forward(self, batch):
        return self.head(self.features(batch).flatten(1))

    def postprocess(self, output):
        probabilities = output.softmax(-1)
        confidence, label = probabilities.max(-1)
        return {"label": int(label), "confidence": float(confidence)}


def _data():
    """Training half, held-out half: (images, labels) each."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = digits.images.astype("float32"), digits.target
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).numpy()
    train, test = order[:1200], order[1200:]
    return (images[train], labels[train]), (images[test], labels[test])


def build() -> nn.Module:
    (images, labels), _ = _data()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DigitsCNN(float(images.mean()), float(images.std()))
        inputs = torch.stack([model.preprocess(image) for image in images])
        targets = torch.as_tensor(labels)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(5):
            for chosen in torch.randperm(len(inputs)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()
                optimizer.step()
    model.zero_grad(set_to_none=True)
    return model.eval()


def examples() -> list:
    _, (images, _) = _data()
    return [images[0], images[1], images[2]]


def score(predict) -> dict[str, float]:
    """Accuracy on the held-out digits."""
    _, (images, labels) = _data()
    answers = predict(list(images))
    right = sum(answer["label"] == int(label) for answer, label in zip(answers, labels, strict=True))
    return {"accuracy": right / len(labels)}
