"""Objects of pandas as reader.mjs tells of them: every value one by one, by what pandas itself says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

MASKED = (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray)
TIMES = (pd.Timestamp, pd.Timedelta, type(pd.NaT), type(pd.NA))
LABELLED = (pd.Series, pd.DataFrame, *MASKED, *TIMES)


class Pandas:
    """`walk` describes what lies inside."""

    def __init__(self, walk: Any) -> None:
        self.walk = walk

    def label(self, value: Any, path: str) -> list[Any] | None:
        """An index or a dtype; None for all else."""
        name = f"pandas:{type(value).__name__}"
        if isinstance(value, pd.MultiIndex):
            columns = [
                [None if code < 0 else self.walk.of(_plain(level[code]), path) for code in codes]
                for level, codes in zip(value.levels, value.codes, strict=True)
            ]  # pandas itself gives whole numbers beside a gap as floating-point ones
            rows = [list(row) for row in zip(*columns, strict=True)]
            return [name, rows, self.walk.of(list(value.names), f"{path}.names")]
        if isinstance(value, pd.RangeIndex):
            state = {"name": value.name, "range": (value.start, value.stop, value.step)}
            return ["codec", name, self.walk.named(state, path)]
        if isinstance(value, pd.IntervalIndex):
            state = {"closed": value.closed, "left": value.left, "name": value.name, "right": value.right}
            return ["codec", name, self.walk.named(state, path)]
        if isinstance(value, pd.Index):
            freq = [value.freqstr] if isinstance(value, pd.DatetimeIndex) else []
            return [name, self.column(value.array, path), self.walk.of(value.name, f"{path}.name"), *freq]
        if isinstance(value, pd.CategoricalDtype):
            state = {"categories": value.categories, "ordered": value.ordered}
            return ["codec", name, self.walk.named(state, path)]
        if isinstance(value, pd.api.extensions.ExtensionDtype):
            return ["codec", "pandas:NullableDtype", [["dtype", str(value)]]]
        return None

    def labelled(self, value: Any, path: str) -> list[Any]:
        """A Series or a DataFrame, an array with gaps, a moment or a span of time."""
        if isinstance(value, MASKED):
            return [f"pandas:{type(value).__name__}", self.column(value, path)]
        if isinstance(value, TIMES):
            states = {"Timestamp": lambda: {"utc": value.to_datetime64(), "zone": value.tz},
                      "Timedelta": lambda: {"span": value.to_timedelta64()}}  # fmt: skip
            name = type(value).__name__
            return ["codec", f"pandas:{name}", self.walk.named(states.get(name, dict)(), path)]
        index, of = self.walk.of(value.index, f"{path}.index"), self.walk.of
        if isinstance(value, pd.Series):
            name = of(value.name, f"{path}.name")
            return [
                "pandas:Series",
                index,
                self.column(value.array, path),
                name,
                of(dict(value.attrs), f"{path}.attrs"),
            ]
        columns = [self.column(value.iloc[:, place].array, path) for place in range(value.shape[1])]
        labels = of(value.columns, f"{path}.columns")
        return ["pandas:DataFrame", index, labels, columns, of(dict(value.attrs), f"{path}.attrs")]

    def column(self, held: Any, path: str) -> list[Any]:
        """[kind, what else it has, its values]."""
        of = self.walk.of
        if isinstance(held, pd.Categorical):
            values = [None if code < 0 else of(_plain(held.categories[code]), path) for code in held.codes]
            return ["category", [bool(held.ordered), self.column(held.categories.array, path)], values]
        if isinstance(held.dtype, pd.StringDtype):
            values = [None if pd.isna(value) else str(value) for value in held]
            return ["text", [held.dtype.storage, held.dtype.na_value is not pd.NA], values]
        if isinstance(held, MASKED):
            return ["masked", str(held.dtype), [None if one is pd.NA else of(_plain(one), path) for one in held]]
        if isinstance(held, pd.arrays.DatetimeArray) and held.tz is not None:
            moments = held.tz_convert("UTC").tz_localize(None).to_numpy().view("i8")
            return ["zoned", of(held.tz, path), [of(moment, path) for moment in moments.tolist()]]
        plain = held.to_numpy()
        if plain.dtype.kind == "O":
            return ["numpy", "object", [of(value, f"{path}[{place}]") for place, value in enumerate(plain)]]
        numbers = plain.view("i8") if plain.dtype.kind in "Mm" else plain
        return ["numpy", plain.dtype.str, [of(value, path) for value in numbers.tolist()]]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
