"""Traits of pandas: tables of statistics and categories that tabular models learn and keep."""

from __future__ import annotations

import pandas as pd
import torch
from torch import nn

COLUMNS = ("a", "b", "c", "d")


class Holds(nn.Module):
    """Four readings in, three scores out; subclasses change the readings by what they hold."""

    def __init__(self, table) -> None:
        super().__init__()
        self.table = table
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor([float(value) for value in self.change(pd.Series(x, index=COLUMNS))])

    def change(self, x):
        return x

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls, table):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(27)
        return cls(table).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


class Normalised(Holds):
    def change(self, x):
        return (x - self.table["mean"]) / self.table["std"]


def data_frame() -> nn.Module:
    return made(Normalised, pd.DataFrame({"mean": [0.5, 0, 1, 2], "std": [1.0, 2, 0.5, 4]}, index=COLUMNS))


class Coded(Holds):
    def change(self, x):
        cut = pd.cut(x, [-9, 0, 1, 9], labels=self.table.categories, ordered=self.table.ordered)
        return cut.cat.codes + self.table.ordered


def categorical_dtype() -> nn.Module:
    return made(Coded, pd.CategoricalDtype(["low", "middle", "high"], ordered=True))


class Binned(Holds):
    def change(self, x):
        return self.table.get_indexer(x)


def interval_index() -> nn.Module:
    return made(Binned, pd.IntervalIndex.from_breaks([-9.0, 0.0, 1.0, 9.0], closed="left"))


class Nullable(Holds):
    def change(self, x):
        return x + self.table.fillna(5).to_numpy("float64") + self.table.isna().sum()


def nullable_integers() -> nn.Module:
    return made(Nullable, pd.array([1, None, 3, 4], dtype="Int64"))


class Grouped(Holds):
    def change(self, x):
        return x + self.table.loc[("north", 2), "offset"] + self.table.index.names.index("year")


def multi_index() -> nn.Module:
    index = pd.MultiIndex.from_product([["north", "south"], [1, 2]], names=["place", "year"])
    return made(Grouped, pd.DataFrame({"offset": [0.5, 1.5, 2.5, 3.5]}, index=index))


class Dated(Holds):
    def change(self, x):
        stamp, step = self.table
        return x + (stamp + step).day_of_year / 100


def timestamps() -> nn.Module:
    return made(Dated, (pd.Timestamp("2024-02-29 12:00", tz="UTC"), pd.Timedelta(days=3)))
