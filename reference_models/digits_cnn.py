"""Handwritten digits: a small network that is really trained, with the constants that training learned.

Exercises: convolution, batch normalisation's running statistics, numbers learned from data beside the weights, NumPy
arrays and PIL images as raw input. Its accuracy on the held-out third is computed at save and again after each load.

The data are scikit-learn's digits, read from where that package keeps them: importing it takes longer than training.
"""

from __future__ import annotations

from importlib.metadata import distribution

import numpy as np
import torch
from torch import nn

# another processor sums in another order; the absolute part is that of torch.testing.assert_close for float32
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


class DigitsCNN(nn.Module):
    """An 8x8 picture, array or PIL image, of grey values from 0 to 16 to a digit and how sure it is."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Linear(32 * 2 * 2, 10)

    def preprocess(self, x):
        grey = torch.from_numpy(np.array(x, dtype="float32"))
        return ((grey - self.mean) / self.std).unsqueeze(0)

    def forward(self, batch):
        return self.head(self.features(batch).flatten(1))

    def postprocess(self, output):
        confidence, label = output.softmax(-1).max(-1)
        return {"label": int(label), "confidence": float(confidence)}


def _data():
    """Training part and held-out part: (images (n, 8, 8) float32, labels (n,) int64) each."""
    path = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(path, delimiter=",", dtype="float32")
    images, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype("int64")
    order = np.random.default_rng(0).permutation(len(table))
    train, test = order[:1200], order[1200:]
    return (images[train], labels[train]), (images[test], labels[test])


def _train(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, epochs: int = 6, rate: float = 0.1) -> None:
    """Stochastic gradient descent with momentum; the rate falls to zero along a line.

    Written out, since the first optimizer of `torch.optim` imports torch's compiler: seconds, against half of one here.
    """
    parameters = list(model.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    batches = [batch for _ in range(epochs) for batch in torch.randperm(len(inputs)).split(64)]
    for step, batch in enumerate(batches):
        loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                velocity.mul_(0.9).add_(gradient)
                parameter.sub_(velocity, alpha=rate * (1 - step / len(batches)))


def construct() -> nn.Module:
    """The model before it is trained: what a file of weights needs."""
    (images, _), _ = _data()
    return DigitsCNN(float(images.mean()), float(images.std())).eval()


def build() -> nn.Module:
    (images, labels), _ = _data()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that sums are taken in one order, however many cores there are
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            model = construct().train()
            _train(model, torch.stack([model.preprocess(image) for image in images]), torch.from_numpy(labels))
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def examples() -> list:
    from PIL import Image

    _, (images, _) = _data()
    return [images[0], images[1], Image.fromarray(images[2].astype("uint8"))]


def score(predict) -> dict[str, float]:
    """Accuracy on the held-out digits."""
    _, (images, labels) = _data()
    answers = predict(list(images))
    right = sum(answer["label"] == label for answer, label in zip(answers, labels.tolist(), strict=True))
    return {"accuracy": right / len(labels)}
