"""Codecs: objects whose state Python cannot see attribute by attribute.

A Codec turns an object into values of this format and back; `CODECS` maps the class's name to it, so that nothing is
imported for objects that a model does not have. To add one, three lines:

    CODECS["my_lib:Thing"] = Codec(lambda thing: {"blob": thing.to_bytes()}, thing_from_state, {"blob": exactly(bytes)})

The third part says what the state must be: a file may hold anything, and `restore` sees only what passes. Leave it out
and the codec has to check for itself.
"""

from __future__ import annotations

import array
import io
import operator
import random
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from backends.json_spec.errors import ArtifactError, refuse

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Codec:
    """`state` gives a dict of values; `restore` makes the object from one equal to it, and that passes `fields`."""

    state: Callable[[Any], dict[str, Any]]
    restore: Callable[[dict[str, Any]], Any]
    fields: Mapping[str, Check] | None = None


def restore(name: str, state: dict[str, Any]) -> Any:
    """The object of a state. Raises ArtifactError where the state is not one that the codec writes."""
    codec = CODECS[name]
    if codec.fields is not None:
        if set(state) != set(codec.fields):
            raise ArtifactError(f"the state of a {name} has {sorted(state)} where {sorted(codec.fields)} are needed")
        for key, check in codec.fields.items():
            if not check(state[key]):
                raise ArtifactError(f"the state of a {name} has {key!r} of type {type(state[key]).__name__}, or unfit")
    return codec.restore(state)


def copied_bytes(state: Any) -> int:
    """Bytes in a state that its codec may copy."""
    if isinstance(state, dict | list | tuple):
        return sum(map(copied_bytes, state.values() if isinstance(state, dict) else state))
    return state.nbytes if isinstance(state, np.ndarray) else len(state) if isinstance(state, bytes) else 0


def exactly(*kinds: type) -> Check:
    """A value of exactly one of these types: a subclass of the user's could bring methods of its own."""
    return lambda value: type(value) in kinds


def atom(value: Any) -> bool:
    """A label as pandas has them: a constant, or a tuple of constants."""
    if type(value) is tuple:
        return all(map(atom, value))
    return type(value) in (type(None), str, int, float, bool, bytes) or isinstance(value, np.generic)


def index(value: Any) -> bool:
    """An index of pandas itself."""
    name = codec_name(type(value))
    return name is not None and name.startswith("pandas:") and name.endswith("Index")


def device(value: Any) -> bool:
    """The name of a device that has random numbers of its own."""
    return type(value) is str and re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d{1,3})?", value) is not None


def wholes(count: int) -> Check:
    """A tuple of this many whole numbers."""
    return lambda value: type(value) is tuple and len(value) == count and all(type(item) is int for item in value)


def list_of(check: Check) -> Check:
    """A plain list of such."""
    return lambda value: type(value) is list and all(map(check, value))


def vector(value: Any) -> bool:
    """An array of one dimension that has memory for each of its elements: copying it costs no more than the file."""
    return type(value) is np.ndarray and value.ndim == 1 and (value.size == 0 or value.strides[0] != 0)


def text_stream(value: Any) -> bool:
    """The state of a StringIO: text, newline, position, attributes."""
    if type(value) is not tuple or len(value) != 4 or type(value[0]) is not str or type(value[2]) is not int:
        return False
    return value[1] in (None, "", "\n", "\r", "\r\n") and value[3] in (None, {}) and value[2] >= 0


def column(value: Any) -> bool:
    """What `_values` gives."""
    forms = {
        "numpy": {"data": vector},
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


MASKED = frozenset([f"{u}Int{bits}" for u in ("", "U") for bits in (8, 16, 32, 64)] + ["Float32", "Float64", "boolean"])
NULLABLE = frozenset(["BooleanDtype" if name == "boolean" else f"{name}Dtype" for name in MASKED])
"""Nullable dtypes of pandas, and their classes; other texts would have pandas parse them and import more libraries."""


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
    data = state["state"]
    if state["device"] == "cpu" and len(data) >= 24:
        left, position = int.from_bytes(data[8:12], "little"), int.from_bytes(data[16:24], "little")
        if left + position > MERSENNE_WORDS + 1:  # torch checks each alone, and would read beyond its table
            raise ArtifactError("a generator's state points outside its own table")
    generator = torch.Generator(state["device"])
    generator.set_state(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return generator


MERSENNE_WORDS = 624
"""Of the Mersenne twister. Source of the layout: CPUGeneratorImplStateLegacy in ATen/CPUGeneratorImpl.cpp."""


def _random(state: dict[str, Any]) -> random.Random:
    generator = random.Random()
    generator.setstate(state["state"])
    return generator


def _picture_state(picture: Any) -> dict[str, Any]:
    palette = picture.getpalette() if picture.mode in ("P", "PA") else None
    return {
        "mode": picture.mode,
        "size": picture.size,
        "palette": palette,
        "data": picture.tobytes(),
        "info": dict(picture.info),
    }


def _picture(state: dict[str, Any]) -> Any:
    from PIL import Image

    width, height = state["size"]
    bits = PICTURE_BITS.get(state["mode"])
    if bits is None or (width * bits + 7) // 8 * height != len(state["data"]):  # PIL would make room for it first
        raise ArtifactError(f"a picture of {width} x {height} in mode {state['mode'][:20]!r} does not fit its bytes")
    picture = Image.frombytes(state["mode"], state["size"], state["data"])
    if state["palette"] is not None:
        picture.putpalette(state["palette"])
    picture.info.update(state["info"])
    return picture


PICTURE_BITS = {
    "1": 1, "L": 8, "P": 8, "LA": 16, "PA": 16, "La": 16, "RGB": 24, "HSV": 24, "YCbCr": 24, "LAB": 24, "RGBA": 32,
    "RGBX": 32, "RGBa": 32, "CMYK": 32, "I": 32, "F": 32, "I;16": 16, "I;16L": 16, "I;16B": 16, "I;16N": 16,
}  # fmt: skip
"""Mode -> bits of a pixel in `Image.tobytes`, each row rounded up to whole bytes."""


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


def _nullable_dtype(state: dict[str, Any]) -> Any:
    import pandas

    return pandas.api.types.pandas_dtype(state["dtype"])


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


LABELLED = {"values": column, "name": atom}


def _numpy_generator(state: dict[str, Any]) -> Any:
    bits = getattr(np.random, state["bits"]["bit_generator"])()
    bits.state = state["bits"]
    return np.random.Generator(bits)


def _random_state(state: dict[str, Any]) -> Any:
    made = np.random.RandomState()
    made.set_state(state["state"])
    return made


def bits(value: Any) -> bool:
    """The state of one of NumPy's own bit generators. NumPy itself takes any position, and reads outside its memory."""
    if type(value) is not dict or type(value.get("state")) is not dict:
        return False
    inner, name = value["state"], value.get("bit_generator")
    wholes = [n for n in (*value.values(), *inner.values()) if type(n) is not np.ndarray and type(n) not in (dict, str)]
    if not all(type(n) in (int, float) and n >= 0 for n in wholes if n != value.get("gauss")):
        return False
    if name == "MT19937":
        return _numbers(inner.get("key"), np.uint32, 624) and type(inner.get("pos")) is int and inner["pos"] <= 624
    if name == "Philox":
        sized = _numbers(inner.get("counter"), np.uint64, 4) and _numbers(inner.get("key"), np.uint64, 2)
        place = value.get("buffer_pos")
        return sized and _numbers(value.get("buffer"), np.uint64, 4) and type(place) is int and place <= 4
    if name == "SFC64":
        return _numbers(inner.get("state"), np.uint64, 4)
    return name in ("PCG64", "PCG64DXSM") and all(type(inner.get(key)) is int for key in ("state", "inc"))


def _numbers(value: Any, dtype: Any, count: int) -> bool:
    return type(value) is np.ndarray and value.dtype == dtype and value.shape == (count,)


def _string_io(state: dict[str, Any]) -> io.StringIO:
    stream = io.StringIO()
    stream.__setstate__(state["state"])
    return stream


def _array(state: dict[str, Any]) -> Any:
    return array.array(state["typecode"], state["data"])


CODECS: dict[str, Codec] = {
    "sentencepiece:SentencePieceProcessor": Codec(
        lambda v: {"model": v.serialized_model_proto()}, _sentencepiece, {"model": exactly(bytes)}
    ),
    "numpy.random._generator:Generator": Codec(
        lambda v: {"bits": v.bit_generator.state}, _numpy_generator, {"bits": bits}
    ),
    "numpy.random.mtrand:RandomState": Codec(
        lambda v: {"state": v.get_state(legacy=False)}, _random_state, {"state": bits}
    ),
    "_io:StringIO": Codec(lambda v: {"state": v.__getstate__()}, _string_io, {"state": text_stream}),
    "array:array": Codec(
        lambda v: {"typecode": v.typecode, "data": v.tobytes()},
        _array,
        {
            "typecode": lambda code: type(code) is str and code in "bBhHiIlLqQfd" and len(code) == 1,
            "data": exactly(bytes),
        },
    ),
    "types:SimpleNamespace": Codec(
        lambda v: {"attributes": dict(vars(v))},
        lambda state: types.SimpleNamespace(**state["attributes"]),
        {"attributes": exactly(dict)},
    ),
    "operator:itemgetter": Codec(
        lambda v: {"items": v.__reduce__()[1]},
        lambda state: operator.itemgetter(*state["items"]),
        {"items": lambda items: type(items) is tuple and items and all(map(atom, items))},
    ),
    "_io:BytesIO": Codec(
        lambda v: {"data": v.getvalue(), "position": v.tell()},
        _bytes_io,
        {"data": exactly(bytes), "position": exactly(int)},
    ),
    "torch._C:Generator": Codec(
        lambda v: {"device": str(v.device), "state": v.get_state().numpy().tobytes()},
        _generator,
        {
            "device": lambda name: type(name) is str and re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d+)?", name),
            "state": exactly(bytes),
        },
    ),
    "random:Random": Codec(lambda v: {"state": v.getstate()}, _random, {"state": exactly(tuple)}),
    "PIL.Image:Image": Codec(
        _picture_state,
        _picture,
        {
            "mode": exactly(str),
            "size": lambda size: (
                type(size) is tuple and len(size) == 2 and all(type(n) is int and n >= 0 for n in size)
            ),
            "palette": lambda palette: palette is None or list_of(exactly(int))(palette),
            "data": exactly(bytes),
            "info": lambda info: type(info) is dict and all(type(key) in (str, tuple) for key in info),
        },
    ),
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
    "pandas:RangeIndex": Codec(
        lambda v: {"range": (v.start, v.stop, v.step), "name": v.name},
        _range_index,
        {"range": wholes(3), "name": atom},
    ),
    "pandas:MultiIndex": Codec(
        lambda v: {"levels": list(v.levels), "codes": [c.copy() for c in v.codes], "names": list(v.names)},
        _multi_index,
        {"levels": list_of(index), "codes": list_of(vector), "names": list_of(atom)},
    ),
    "pandas:CategoricalDtype": Codec(
        lambda v: {"categories": v.categories, "ordered": v.ordered},
        _category_dtype,
        {"categories": lambda found: found is None or index(found), "ordered": exactly(bool, type(None))},
    ),
    "pandas:Series": Codec(
        lambda v: {"index": v.index, "values": _values(v.array), "name": v.name, "attrs": dict(v.attrs)},
        _series,
        {"index": index, **LABELLED, "attrs": exactly(dict)},
    ),
    "pandas:DataFrame": Codec(
        _frame_state,
        _frame,
        {"index": index, "columns": index, "values": list_of(column), "attrs": exactly(dict)},
    ),
}
"""`module:qualname` of the exact class -> its codec; every module of pandas counts as `pandas`."""


def codec_name(cls: type) -> str | None:
    """The key of CODECS for a class, None where there is none."""
    module = cls.__module__
    if module.split(".")[0] == "pandas":
        module = "pandas"
    if module == "pandas" and cls.__qualname__ in NULLABLE:
        return "pandas:NullableDtype"
    name = f"{module}:{cls.__qualname__}"
    return name if name in CODECS else None
