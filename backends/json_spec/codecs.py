"""Codecs: objects whose state Python cannot see attribute by attribute.

A Codec turns an object into values of this format and back; `CODECS` maps the class's name to it, so that nothing is
imported for objects that a model does not have. To add one, three lines:

    CODECS["my_lib:Thing"] = Codec(lambda thing: {"blob": thing.to_bytes()}, thing_from_state, {"blob": exactly(bytes)})

The third part says what the state must be: a file may hold anything, and `restore` sees only what passes. Leave it out
and the codec has to check for itself.
"""

from __future__ import annotations

import array
import collections
import gc
import io
import operator
import random
import re
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from backends.json_spec.codec import Codec, atom, exactly, list_of
from backends.json_spec.codecs_pandas import PANDAS, pandas_name
from backends.json_spec.errors import ArtifactError, Unsupported


def restore(name: str, state: dict[str, Any], spend: Callable[[int], None]) -> Any:
    """The object of a state. Raises ArtifactError where the state is not one that the codec writes.

    `spend` accounts for bytes that are about to be made.
    """
    codec = CODECS[name]
    if codec.fields is not None:
        if set(state) != set(codec.fields):
            raise ArtifactError(f"the state of a {name} has {sorted(state)} where {sorted(codec.fields)} are needed")
        for key, check in codec.fields.items():
            if not check(state[key]):
                raise ArtifactError(f"the state of a {name} has {key!r} of type {type(state[key]).__name__}, or unfit")
    spend(codec.makes(state))
    return codec.restore(state)


def device(value: Any) -> bool:
    """The name of a device that has random numbers of its own."""
    return type(value) is str and re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d{1,3})?", value) is not None


def text_stream(value: Any) -> bool:
    """The state of a StringIO: text, newline, position, attributes."""
    if type(value) is not tuple or len(value) != 4 or type(value[0]) is not str or type(value[2]) is not int:
        return False
    return value[1] in (None, "", "\n", "\r", "\r\n") and value[3] in (None, {}) and value[2] >= 0


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


def mersenne(value: Any) -> bool:
    """The state of a `random.Random`: version, numbers, a number or None."""
    return (
        type(value) is tuple
        and len(value) == 3
        and type(value[0]) is int
        and type(value[1]) is tuple
        and all(type(number) is int for number in value[1])
        and type(value[2]) in (int, float, type(None))
    )


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


def _numpy_generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """Its position, and the sequence of seeds that it spawns others from."""
    sequence = generator.bit_generator.seed_seq
    seeds = dict(sequence.state) if type(sequence) is np.random.SeedSequence else None
    if not seed_sequence(seeds) or (seeds is None and hasattr(sequence, "spawn")):
        raise Unsupported("a generator of a seed sequence that is not made of whole numbers: make one of such a seed")
    return {"bits": generator.bit_generator.state, "seeds": seeds}


def seed_sequence(value: Any) -> bool:
    """What a `SeedSequence` is made of; None: of none."""
    if value is None:
        return True
    if type(value) is not dict or set(value) != {"entropy", "spawn_key", "pool_size", "n_children_spawned"}:
        return False
    entropy, key = value["entropy"], value["spawn_key"]
    entropy = entropy if type(entropy) is list else [entropy]
    if type(key) is not tuple or not all(type(n) is int and n >= 0 for n in (*entropy, *key)):
        return False
    pool, spawned = value["pool_size"], value["n_children_spawned"]
    return type(pool) is int and 4 <= pool <= POOL_LIMIT and type(spawned) is int and 0 <= spawned < 2**32


POOL_LIMIT = 64
"""Words of a seed sequence, for which NumPy takes memory; it has 4 unless told."""


def _numpy_generator(state: dict[str, Any]) -> Any:
    kind = getattr(np.random, state["bits"]["bit_generator"])
    if state["seeds"] is not None:
        bits = kind(np.random.SeedSequence(**state["seeds"]))
    else:  # those of a `RandomState` have none
        bits = np.random.RandomState(0)._bit_generator if kind is np.random.MT19937 else kind()
    bits.state = state["bits"]
    return np.random.Generator(bits)


def _random_state(state: dict[str, Any]) -> Any:
    made = np.random.RandomState(0)  # without one it draws seeds, of which one that was given a seed has none
    made.set_state(state["state"])
    return made


def bits(value: Any) -> bool:
    """The state of one of NumPy's own bit generators. NumPy itself takes any position, and reads outside its memory."""
    if type(value) is not dict or type(value.get("state")) is not dict:
        return False
    inner, name = value["state"], value.get("bit_generator")
    numbers = [n for key, n in (*value.items(), *inner.items()) if key not in ("bit_generator", "gauss")]
    if not all(type(n) is int and n >= 0 for n in numbers if type(n) is not np.ndarray and n is not inner):
        return False
    if type(value.get("gauss", 0.0)) not in (int, float):
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


def _behind(proxy: types.MappingProxyType) -> Any:
    """The mapping that is shown read-only: another name for it may write into it. Raises Unsupported for a class's."""
    (mapping,) = gc.get_referents(proxy)
    if {"__module__", "__doc__"} <= mapping.keys():
        raise Unsupported("the attributes of a class, as vars() shows them: keep the class itself")
    return mapping


def _array(state: dict[str, Any]) -> Any:
    return array.array(state["typecode"], state["data"])


CODECS: dict[str, Codec] = {
    "sentencepiece:SentencePieceProcessor": Codec(
        lambda v: {"model": v.serialized_model_proto()},
        _sentencepiece,
        {"model": exactly(bytes)},
        own=frozenset(["this"]),
    ),
    "numpy.random._generator:Generator": Codec(
        _numpy_generator_state,
        _numpy_generator,
        {"bits": bits, "seeds": seed_sequence},
        shares=lambda v: v.bit_generator,
    ),
    "numpy.random.mtrand:RandomState": Codec(
        lambda v: {"state": v.get_state(legacy=False)},
        _random_state,
        {"state": bits},
        shares=lambda v: v._bit_generator,
    ),
    "_io:StringIO": Codec(lambda v: {"state": v.__getstate__()}, _string_io, {"state": text_stream}, own=None),
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
        kept=frozenset(["attributes"]),
        own=None,
    ),
    "builtins:mappingproxy": Codec(
        lambda v: {"mapping": _behind(v)},
        lambda state: types.MappingProxyType(state["mapping"]),
        {"mapping": exactly(dict, collections.OrderedDict)},
        kept=frozenset(["mapping"]),
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
            "device": device,
            "state": exactly(bytes),
        },
    ),
    "random:Random": Codec(
        lambda v: {"state": v.getstate()}, _random, {"state": mersenne}, own=frozenset(["gauss_next"])
    ),
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
        kept=frozenset(["info"]),
        own=frozenset(["im", "info", "palette", "readonly", "encoderinfo", "encoderconfig"]),
    ),
    **PANDAS,
}
"""`module:qualname` of the exact class -> its codec."""


def codec_name(cls: type) -> str | None:
    """The key of CODECS for a class, None where there is none."""
    if (name := pandas_name(cls)) is not None:
        return name
    name = f"{cls.__module__}:{cls.__qualname__}"
    return name if name in CODECS else None
