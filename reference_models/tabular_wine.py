"""A row of a data frame to a vineyard: statistics that were learned from data and live in pandas objects.

Exercises: a pandas DataFrame as raw input, Series of means, deviations and band edges and a categorical type as
attributes, a network trained on them. Its accuracy on the held-out third is computed at save and again after each load.

The data are scikit-learn's wines, read from where that package keeps them: importing it takes longer than training.
"""

from __future__ import annotations

from importlib.metadata import distribution

import pandas as pd
import torch
from torch import nn

CULTIVARS = ["Barolo", "Grignolino", "Barbera"]
COLUMNS = [
    "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
    "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "dilution", "proline",
]  # fmt: skip


class WineClassifier(nn.Module):
    """A one-row DataFrame with the columns of `frame` to `{"cultivar": name, "probability": p}`."""

    def __init__(self, frame: pd.DataFrame, cultivars: list[str]) -> None:
        super().__init__()
        self.cultivars = cultivars
        self.strengths = pd.CategoricalDtype(["light", "medium", "strong"], ordered=True)
        self.edges = frame["alcohol"].quantile([0.0, 1 / 3, 2 / 3, 1.0])
        self.edges.iloc[[0, -1]] = float("-inf"), float("inf")  # wines to come may be weaker or stronger
        numeric = frame.drop(columns="alcohol")
        self.mean, self.std = numeric.mean(), numeric.std()
        self.embedding = nn.Embedding(len(self.strengths.categories), 4)
        self.net = nn.Sequential(nn.Linear(len(self.mean) + 4, 32), nn.ReLU(), nn.Linear(32, len(cultivars)))

    def preprocess(self, x):
        row = x.iloc[0]
        values = (row[self.mean.index] - self.mean) / self.std
        strength = pd.cut([row["alcohol"]], self.edges, labels=self.strengths.categories)
        return {"numeric": torch.tensor(values.to_numpy(dtype="float32")), "strength": int(strength.codes[0])}

    def forward(self, batch):
        return self.net(torch.cat([batch["numeric"], self.embedding(batch["strength"])], dim=-1))

    def postprocess(self, output):
        probability, best = output.softmax(-1).max(-1)
        return {"cultivar": self.cultivars[int(best)], "probability": float(probability)}


def _data():
    """(frame, labels) for training, (frame, labels) held out; the labels are a Series of numbers."""
    path = distribution("scikit-learn").locate_file("sklearn/datasets/data/wine_data.csv")
    table = pd.read_csv(path, skiprows=1, names=[*COLUMNS, "cultivar"]).sample(frac=1, random_state=0)
    frame, labels = table[COLUMNS], table["cultivar"]
    return (frame[:120], labels[:120]), (frame[120:], labels[120:])


def _train(model: nn.Module, batch: dict, targets: torch.Tensor, steps: int = 100, rate: float = 0.1) -> None:
    """Gradient descent with momentum on the whole batch.

    Written out, since the first optimizer of `torch.optim` imports torch's compiler, which takes seconds.
    """
    parameters = list(model.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    for _ in range(steps):
        gradients = torch.autograd.grad(nn.functional.cross_entropy(model(batch), targets), parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                velocity.mul_(0.9).add_(gradient)
                parameter.sub_(velocity, alpha=rate)


def construct() -> nn.Module:
    """The model before it is trained: what a file of weights needs."""
    (frame, _), _ = _data()
    return WineClassifier(frame, CULTIVARS).eval()


def build() -> nn.Module:
    (frame, labels), _ = _data()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that sums are taken in one order, however many cores there are
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(11)
            model = construct().train()
            items = [model.preprocess(frame.iloc[[row]]) for row in range(len(frame))]
            batch = {
                "numeric": torch.stack([item["numeric"] for item in items]),
                "strength": torch.tensor([item["strength"] for item in items]),
            }
            _train(model, batch, torch.tensor(labels.tolist()))
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def examples() -> list:
    _, (frame, _) = _data()
    return [frame.iloc[[row]] for row in range(3)]


def score(predict) -> dict[str, float]:
    """Accuracy on the held-out wines."""
    _, (frame, labels) = _data()
    answers = predict([frame.iloc[[row]] for row in range(len(frame))])
    right = sum(answer["cultivar"] == CULTIVARS[label] for answer, label in zip(answers, labels, strict=True))
    return {"accuracy": right / len(labels)}
