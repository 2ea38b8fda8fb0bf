"""Codecs of pandas: indexes, series and frames as arrays, texts and numbers; moments and spans of time.

The modules of its classes have changed their names between versions: each of them counts as `pandas`.
"""

from __future__ import annotations

import datetime
import zoneinfo
from typing import Any

import numpy as np

from backends.json_spec.codec import Codec, atom, exactly, list_of, vector, wholes
from backends.json_spec.errors import refuse

MASKED = frozenset([f"{u}Int{bits}" for u in ("", "U") for bits in (8, 16, 32, 64)] + ["Float32", "Float64", "boolean"])
NULLABLE = frozenset(["BooleanDtype" if name == "boolean" else f"{name}Dtype" for name in MASKED])
"""Nullable dtypes of pandas, and their classes; other texts would have pandas parse them and import more libraries."""


def pandas_name(cls: type) -> str | None:
    """The key of PANDAS for a class, None where there is none."""
    if cls.__module__.split(".")[0] != "pandas":
        return None
    name = "pandas:NullableDtype" if cls.__qualname__ in NULLABLE else f"pandas:{cls.__qualname__}"
    return name if name in PANDAS else None


def index(value: Any) -> bool:
    """An index of pandas itself."""
    name = pandas_name(type(value))
    return name is not None and name.endswith("Index")


def column(value: Any) -> bool:
    """What `_values` gives."""
    forms = {
        "numpy": {"data": vector},
        "zoned": {"data": lambda data: vector(data) and data.dtype.kind == "M", "zone": zone},
        "category": {"codes": vector, "dtype": index, "ordered": exactly(bool)},
        "text": {
            "data": list_of(exactly(str, type(None))),
            "storage": lambda name: name in ("python", "pyarrow"),
            "nan": exactly(bool),
        },
        "masked": {"dtype": lambda name: type(name) is str and name in MASKED, "data": vector, "gaps": vector},
    }
    if type(value) is not dict or type(value.get("kind")) is not str or value["kind"] not in forms:
        return False
    form = forms[value["kind"]]
    return set(value) == {"kind", *form} and all(check(value[key]) for key, check in form.items())


def masked(value: Any) -> bool:
    """A column with gaps."""
    return column(value) and value["kind"] == "masked"


def zone(value: Any) -> bool:
    """A zone of the standard library."""
    return type(value) in (zoneinfo.ZoneInfo, datetime.timezone)


def moment(value: Any) -> bool:
    """A moment in the years that the standard library knows: beyond them pandas has no zones."""
    return type(value) is np.datetime64 and _is_kept(value) and FIRST <= value.astype("M8[s]") <= LAST


FIRST, LAST = np.datetime64("0001-01-01T00:00:00"), np.datetime64("9999-12-31T23:59:59")


def span(value: Any) -> bool:
    """A span of time."""
    return type(value) is np.timedelta64 and _is_kept(value)


def _is_kept(time: Any) -> bool:
    """Whether pandas keeps the unit."""
    return not np.isnat(time) and np.datetime_data(time.dtype) in {("s", 1), ("ms", 1), ("us", 1), ("ns", 1)}


def _moment_state(found: Any) -> dict[str, Any]:
    utc = found.to_datetime64()
    if not moment(utc):
        refuse("this", f"the moment {found}, which lies outside the years 1 to 9999", "keep it as a whole number")
    return {"utc": utc, "zone": found.tz}


def _moment(state: dict[str, Any]) -> Any:
    import pandas

    utc = pandas.Timestamp(state["utc"])
    return utc if state["zone"] is None else utc.tz_localize("UTC").tz_convert(state["zone"])


def _span(state: dict[str, Any]) -> Any:
    import pandas

    return pandas.Timedelta(state["span"])


def _pandas(name: str) -> Any:
    import pandas

    return getattr(pandas, name)


def _index_state(index: Any) -> dict[str, Any]:
    return {"values": _values(index.array), "name": index.name}


def _index(state: dict[str, Any]) -> Any:
    import pandas

    values = _extension(state["values"])
    return pandas.Index(values, dtype=values.dtype, name=state["name"], copy=True)  # else objects may turn into text


def _datetime_index(state: dict[str, Any]) -> Any:
    import pandas

    return pandas.DatetimeIndex(_extension(state["values"]), freq=state["freq"], name=state["name"])


def _range_index(state: dict[str, Any]) -> Any:
    import pandas

    return pandas.RangeIndex(*state["range"], name=state["name"])


def _multi_index(state: dict[str, Any]) -> Any:
    import pandas

    return pandas.MultiIndex(levels=state["levels"], codes=state["codes"], names=state["names"])


def _interval_index(state: dict[str, Any]) -> Any:
    import pandas

    return pandas.IntervalIndex.from_arrays(state["left"], state["right"], state["closed"], name=state["name"])


def _category_dtype(state: dict[str, Any]) -> Any:
    import pandas

    return pandas.CategoricalDtype(state["categories"], ordered=state["ordered"])


def _nullable_dtype(state: dict[str, Any]) -> Any:
    import pandas

    return pandas.api.types.pandas_dtype(state["dtype"])


def _series(state: dict[str, Any]) -> Any:
    import pandas

    values = _extension(state["values"])
    series = pandas.Series(values, dtype=values.dtype, index=state["index"], name=state["name"], copy=True)
    series.attrs.update(state["attrs"])
    return series


def _series_state(series: Any) -> dict[str, Any]:
    _check_flags(series)
    return {"index": series.index, "values": _values(series.array), "name": series.name, "attrs": dict(series.attrs)}


def _check_flags(labelled: Any) -> None:
    if not labelled.flags.allows_duplicate_labels:
        refuse(
            "this", "a pandas object that forbids equal labels", "call set_flags(allows_duplicate_labels=True) on it"
        )


def _frame_state(frame: Any) -> dict[str, Any]:
    _check_flags(frame)
    columns = [_values(frame.iloc[:, position].array) for position in range(frame.shape[1])]
    return {"index": frame.index, "columns": frame.columns, "values": columns, "attrs": dict(frame.attrs)}


def _frame(state: dict[str, Any]) -> Any:
    import pandas

    arrays = [_extension(values) for values in state["values"]]
    columns = {n: pandas.Series(a, dtype=a.dtype, index=state["index"]) for n, a in enumerate(arrays)}
    frame = pandas.DataFrame(columns, index=state["index"], copy=True)
    frame.columns = state["columns"]
    frame.attrs.update(state["attrs"])
    return frame


def _values(array: Any) -> dict[str, Any]:
    """An extension array of pandas as plain values. Raises Unsupported for kinds that are not known here."""
    import pandas

    if type(array) is pandas.arrays.NumpyExtensionArray:  # text arrays derive from it
        return {"kind": "numpy", "data": array.to_numpy().copy()}
    if isinstance(array, pandas.Categorical):
        return {"kind": "category", "codes": array.codes.copy(), "dtype": array.categories, "ordered": array.ordered}
    if isinstance(array.dtype, pandas.StringDtype):
        gaps = array.isna()
        texts = [None if gap else str(text) for text, gap in zip(array, gaps, strict=True)]
        return {
            "kind": "text",
            "data": texts,
            "storage": array.dtype.storage,
            "nan": array.dtype.na_value is not pandas.NA,
        }
    if isinstance(array, pandas.arrays.DatetimeArray | pandas.arrays.TimedeltaArray) and not getattr(array, "tz", None):
        return {"kind": "numpy", "data": array.to_numpy().copy()}
    if isinstance(array, pandas.arrays.DatetimeArray):
        return {"kind": "zoned", "data": array.tz_convert("UTC").tz_localize(None).to_numpy().copy(), "zone": array.tz}
    if isinstance(array, pandas.arrays.IntegerArray | pandas.arrays.FloatingArray | pandas.arrays.BooleanArray):
        gaps = array.isna()
        data = array.to_numpy(dtype=getattr(array.dtype, "numpy_dtype", bool), na_value=0)
        return {"kind": "masked", "dtype": str(array.dtype), "data": data.copy(), "gaps": gaps.copy()}
    return refuse("a pandas column", f"of dtype {array.dtype}", "convert it to a NumPy, text or categorical dtype")


def _extension(state: dict[str, Any]) -> Any:
    import pandas

    kind = state["kind"]
    if kind == "numpy":
        return state["data"].copy()
    if kind == "zoned":
        return pandas.DatetimeIndex(state["data"].copy()).tz_localize("UTC").tz_convert(state["zone"]).array
    if kind == "category":
        return pandas.Categorical.from_codes(state["codes"], categories=state["dtype"], ordered=state["ordered"])
    if kind == "text":
        nothing = float("nan") if state["nan"] else pandas.NA
        return pandas.array(state["data"], dtype=pandas.StringDtype(state["storage"], na_value=nothing))
    array = pandas.array(state["data"].copy(), dtype=state["dtype"])
    array[state["gaps"]] = pandas.NA
    return array


LABELLED = {"values": column, "name": atom}
SIDES = ("left", "right", "both", "neither")
_MASKED = Codec(lambda v: {"values": _values(v)}, lambda state: _extension(state["values"]), {"values": masked})

PANDAS: dict[str, Codec] = {
    "pandas:NullableDtype": Codec(
        lambda v: {"dtype": str(v)}, _nullable_dtype, {"dtype": lambda name: type(name) is str and name in MASKED}
    ),
    "pandas:Index": Codec(_index_state, _index, LABELLED),
    "pandas:CategoricalIndex": Codec(_index_state, _index, LABELLED),
    "pandas:DatetimeIndex": Codec(
        lambda v: {**_index_state(v), "freq": v.freqstr},
        _datetime_index,
        {**LABELLED, "freq": lambda freq: freq is None or (type(freq) is str and len(freq) <= 40)},
    ),
    "pandas:IntervalIndex": Codec(
        lambda v: {"left": v.left, "right": v.right, "closed": v.closed, "name": v.name},
        _interval_index,
        {"left": index, "right": index, "closed": lambda side: type(side) is str and side in SIDES, "name": atom},
    ),
    "pandas:RangeIndex": Codec(
        lambda v: {"range": (v.start, v.stop, v.step), "name": v.name},
        _range_index,
        {"range": wholes(3), "name": atom},
    ),
    "pandas:MultiIndex": Codec(
        lambda v: {"levels": list(v.levels), "codes": [c.copy() for c in v.codes], "names": list(v.names)},
        _multi_index,
        {"levels": list_of(index), "codes": list_of(vector), "names": list_of(atom)},
        lambda state: 8 * sum(len(level) for level in state["levels"] if type(level).__qualname__ == "RangeIndex"),
        own=frozenset(["sortorder"]),
    ),
    "pandas:CategoricalDtype": Codec(
        lambda v: {"categories": v.categories, "ordered": v.ordered},
        _category_dtype,
        {"categories": lambda found: found is None or index(found), "ordered": exactly(bool, type(None))},
    ),
    "pandas:IntegerArray": _MASKED,
    "pandas:FloatingArray": _MASKED,
    "pandas:BooleanArray": _MASKED,
    "pandas:Timestamp": Codec(
        _moment_state, _moment, {"utc": moment, "zone": lambda value: value is None or zone(value)}
    ),
    "pandas:Timedelta": Codec(lambda v: {"span": v.to_timedelta64()}, _span, {"span": span}),
    "pandas:NaTType": Codec(lambda v: {}, lambda state: _pandas("NaT"), {}),
    "pandas:NAType": Codec(lambda v: {}, lambda state: _pandas("NA"), {}),
    "pandas:Series": Codec(
        _series_state,
        _series,
        {"index": index, **LABELLED, "attrs": exactly(dict)},
        kept=frozenset(["attrs"]),
    ),
    "pandas:DataFrame": Codec(
        _frame_state,
        _frame,
        {"index": index, "columns": index, "values": list_of(column), "attrs": exactly(dict)},
        kept=frozenset(["attrs"]),
    ),
}
"""`pandas:qualname` of the exact class -> its codec."""
