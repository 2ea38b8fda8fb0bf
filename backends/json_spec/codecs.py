"""Codecs: objects whose state Python cannot see attribute by attribute.

A Codec turns an object into values of this format and back; `CODECS` maps the class's name to it, so that nothing is
imported for objects that a model does not have. To add one, three lines:

    CODECS["my_lib:Thing"] = Codec(lambda thing: {"blob": thing.to_bytes()}, thing_from_state)
"""

from __future__ import annotations

import io
import random
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from backends.json_spec.errors import refuse


@dataclass(frozen=True)
class Codec:
    """`state` gives a dict of values; `restore` makes the object from one equal to it."""

    state: Callable[[Any], dict[str, Any]]
    restore: Callable[[dict[str, Any]], Any]


def _sentencepiece(state: dict[str, Any]) -> Any:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    if state["model"]:
        processor.LoadFromSerializedProto(state["model"])
    return processor


def _bytes_io(state: dict[str, Any]) -> io.BytesIO:
    stream = io.BytesIO(state["data"])
    stream.seek(state["position"])
    return stream


def _generator(state: dict[str, Any]) -> torch.Generator:
    generator = torch.Generator(state["device"])
    generator.set_state(torch.frombuffer(bytearray(state["state"]), dtype=torch.uint8))
    return generator


def _random(state: dict[str, Any]) -> random.Random:
    generator = random.Random()
    generator.setstate(state["state"])
    return generator


def _picture_state(picture: Any) -> dict[str, Any]:
    palette = picture.getpalette() if picture.mode in ("P", "PA") else None
    return {"mode": picture.mode, "size": picture.size, "palette": palette, "data": picture.tobytes()}


def _picture(state: dict[str, Any]) -> Any:
    from PIL import Image

    picture = Image.frombytes(state["mode"], state["size"], state["data"])
    if state["palette"] is not None:
        picture.putpalette(state["palette"])
    return picture


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


def _category_dtype(state: dict[str, Any]) -> Any:
    import pandas

    return pandas.CategoricalDtype(state["categories"], ordered=state["ordered"])


def _series(state: dict[str, Any]) -> Any:
    import pandas

    values = _extension(state["values"])
    series = pandas.Series(values, dtype=values.dtype, index=state["index"], name=state["name"], copy=True)
    series.attrs.update(state["attrs"])
    return series


def _frame_state(frame: Any) -> dict[str, Any]:
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
    if kind == "category":
        return pandas.Categorical.from_codes(state["codes"], categories=state["dtype"], ordered=state["ordered"])
    if kind == "text":
        nothing = float("nan") if state["nan"] else pandas.NA
        return pandas.array(state["data"], dtype=pandas.StringDtype(state["storage"], na_value=nothing))
    array = pandas.array(state["data"].copy(), dtype=state["dtype"])
    array[state["gaps"]] = pandas.NA
    return array


CODECS: dict[str, Codec] = {
    "sentencepiece:SentencePieceProcessor": Codec(lambda v: {"model": v.serialized_model_proto()}, _sentencepiece),
    "_io:BytesIO": Codec(lambda v: {"data": v.getvalue(), "position": v.tell()}, _bytes_io),
    "torch._C:Generator": Codec(
        lambda v: {"device": str(v.device), "state": v.get_state().numpy().tobytes()}, _generator
    ),
    "random:Random": Codec(lambda v: {"state": v.getstate()}, _random),
    "PIL.Image:Image": Codec(_picture_state, _picture),
    "pandas:Index": Codec(_index_state, _index),
    "pandas:CategoricalIndex": Codec(_index_state, _index),
    "pandas:DatetimeIndex": Codec(lambda v: {**_index_state(v), "freq": v.freqstr}, _datetime_index),
    "pandas:RangeIndex": Codec(lambda v: {"range": (v.start, v.stop, v.step), "name": v.name}, _range_index),
    "pandas:MultiIndex": Codec(
        lambda v: {"levels": list(v.levels), "codes": [c.copy() for c in v.codes], "names": list(v.names)}, _multi_index
    ),
    "pandas:CategoricalDtype": Codec(lambda v: {"categories": v.categories, "ordered": v.ordered}, _category_dtype),
    "pandas:Series": Codec(
        lambda v: {"index": v.index, "values": _values(v.array), "name": v.name, "attrs": dict(v.attrs)}, _series
    ),
    "pandas:DataFrame": Codec(_frame_state, _frame),
}
"""`module:qualname` of the exact class -> its codec; every module of pandas counts as `pandas`."""


def codec_name(cls: type) -> str | None:
    """The key of CODECS for a class, None where there is none."""
    module = cls.__module__
    if module.split(".")[0] == "pandas":
        module = "pandas"
    name = f"{module}:{cls.__qualname__}"
    return name if name in CODECS else None


DERIVED = ("_flat_weights", "_flat_weight_refs")
"""What torch's recurrent layers compute from their parameters."""


def own_attributes(module: nn.Module, path: str) -> dict[str, Any]:
    """A module's `__dict__` without what torch derives from the rest of it."""
    state = dict(vars(module))
    if isinstance(module, nn.RNNBase):
        expected = [getattr(module, name, None) for name in module._flat_weights_names]
        actual = module._flat_weights
        if len(expected) != len(actual) or any(a is not b for a, b in zip(expected, actual, strict=True)):
            refuse(
                path, "a recurrent layer whose flat weights are not its parameters", "call _init_flat_weights() on it"
            )
        for name in DERIVED:
            state.pop(name, None)
    return state


def restore_derived(module: nn.Module) -> None:
    """Compute again what `own_attributes` left out. Source: torch.nn.modules.rnn.RNNBase._init_flat_weights."""
    if isinstance(module, nn.RNNBase):
        weights = [getattr(module, name, None) for name in module._flat_weights_names]
        vars(module)["_flat_weights"] = weights
        vars(module)["_flat_weight_refs"] = [None if w is None else weakref.ref(w) for w in weights]
        nn.RNNBase.flatten_parameters(module)
