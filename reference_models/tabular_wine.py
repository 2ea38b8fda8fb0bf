"""A row of a data frame to a vineyard: statistics that were learned from data and live in pandas objects.

Exercises: a pandas DataFrame as raw input, a Series of means and one of deviations as attributes, a categorical column
with learned bins, a trained network. The wine data set that scikit-learn ships; accuracy on the held-out third.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import nn

STRENGTHS = ["light", "medium", "strong"]


class WineClassifier(nn.Module):
    """A one-row DataFrame to `{"cultivar": name, "probability": p}`."""

    def __init__(self, frame: pd.DataFrame, names: list[str]) -> None:
        super().__init__()
        self.names = names
        self.numeric = [column for column in frame.columns if column != "strength"]
        self.mean, self.std = frame[self.numeric].mean(), frame[self.numeric].std()
        self.strengths = pd.CategoricalDtype(STRENGTHS, ordered=True)
        self.embedding = nn.Embedding(len(STRENGTHS), 4)
        self.net = nn.Sequential(nn.Linear(len(self.numeric) + 4, 32), nn.ReLU(), nn.Linear(32, len(names)))

    def preprocess(self, x):
        row = x.iloc[0]
        values = ((row[self.numeric].astype(float) - self.mean) / self.std).to_numpy(dtype="float32")
        code = int(pd.Series([row["strength"]], dtype=self.strengths).cat.codes[0])
        return {"numeric": torch.tensor(values), "strength": code}

    def forward(self, batch):
        return self.net(torch.cat([batch["numeric"], self.embedding(batch["strength"])], dim=-1))

    def postprocess(self, output):
        probability, best = output.softmax(-1).max(-1)
        return {"cultivar": self.names[int(best)], "probability": float(probability)}


def _data():
    """The frame with its binned column, the labels, and the positions of training and held-out rows."""
    from sklearn.datasets import load_wine

    wine = load_wine(as_frame=True)
    frame = wine.data.copy()
    frame["strength"] = pd.cut(frame.pop("alcohol"), [0, 12.5, 13.3, 20], labels=STRENGTHS).astype(str)
    order = torch.randperm(len(frame), generator=torch.Generator().manual_seed(0)).tolist()
    return frame, wine.target.to_numpy(), order[:120], order[120:]


def build() -> nn.Module:
    frame, labels, train, _ = _data()
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = WineClassifier(frame.iloc[train], ["Barolo", "Grignolino", "Barbera"])
        items = [model.preprocess(frame.iloc[[row]]) for row in train]
        batch = {
            "numeric": torch.stack([item["numeric"] for item in items]),
            "strength": torch.tensor([item["strength"] for item in items]),
        }
        targets = torch.as_tensor(labels[train])
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch), targets).backward()
            optimizer.step()
    model.zero_grad(set_to_none=True)
    return model.eval()


def examples() -> list:
    frame, _, _, test = _data()
    return [frame.iloc[[row]] for row in test[:3]]


def score(predict) -> dict[str, float]:
    """Accuracy on the held-out wines."""
    frame, labels, _, test = _data()
    names = ["Barolo", "Grignolino", "Barbera"]
    answers = predict([frame.iloc[[row]] for row in test])
    right = sum(answer["cultivar"] == names[labels[row]] for answer, row in zip(answers, test, strict=True))
    return {"accuracy": right / len(test)}
