"""How values of NumPy, pandas, Pillow, SciPy and SentencePiece are described in a snapshot.

A library is looked up among the imported ones only: a value of it can be there only if it was imported.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import sys
from typing import TYPE_CHECKING, Any

from harness.snapshot import describe_asked
from harness.snapshot.attributes import added, attributes
from harness.source import bytecode

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder


def describe(value: Any, builder: Builder) -> dict | None:
    """A node, or None for what is none of these libraries'."""
    for cls in type(value).__mro__:
        if (some := _BY_LIBRARY.get(cls.__module__.partition(".")[0])) is not None:
            return some(value, builder)
    return None


# --- numpy


def _numpy(value: Any, builder: Builder) -> dict | None:
    numpy = sys.modules["numpy"]
    cls = type(value)
    if issubclass(cls, numpy.ndarray):
        return _array(value, builder)
    if issubclass(cls, numpy.generic):
        node = _array(numpy.asarray(value), builder) | {"type": builder.type_name(cls), "identity": False}
        node.pop("storage", None)  # it is a constant: whether two places hold one or two of it cannot matter
        return node
    if issubclass(cls, numpy.dtype):
        metadata = builder.named({"metadata": dict(value.metadata)} if value.metadata else {})
        return builder.node("constant", value, metadata, identity=False, facts={"value": _dtype(value)})
    if issubclass(cls, numpy.ufunc):  # `np.frompyfunc` keeps what it was made of where no attribute leads
        made_of = builder.indexed(filter(callable, gc.get_referents(value)), ".<function>")
        facts = {"value": value.__name__, "arguments": [value.nin, value.nout]}
        return builder.node("constant", value, made_of, identity=False, facts=facts)
    if hasattr(cls, "basis_name") and hasattr(
        value, "coef"
    ):  # a polynomial: a copy has its class's defaults as its own
        parts = {name: getattr(value, name) for name in ("coef", "domain", "window", "symbol")}
        return builder.node("object", value, builder.named(added(value, builder.is_own) | parts))
    if issubclass(cls, numpy.random.Generator):
        return builder.node("generator", value, builder.named({"bit_generator": value.bit_generator}))
    if issubclass(cls, numpy.random.BitGenerator):
        node = builder.node("generator", value, builder.named({"state": value.state}))
        describe_asked.of_generator(value, node, builder)
        return node
    if issubclass(cls, numpy.random.SeedSequence):
        return builder.node("generator", value, builder.named(value.state))
    if issubclass(cls, numpy.random.RandomState):
        parts = {"get_state()": value.get_state(legacy=False), "bit_generator": value._bit_generator}
        return builder.node("generator", value, builder.named(parts))
    return None


_OF_A_MASK = frozenset(
    {"_mask", "_fill_value", "_hardmask", "_sharedmask", "_isfield", "_baseclass", "_optinfo", "_basedict"}
)
"""What NumPy keeps among the attributes of a masked array."""


def _array(value: Any, builder: Builder) -> dict:
    """Class, dtype, shape, values; in a model's state also strides and what memory it is a view of."""
    numpy = sys.modules["numpy"]
    facts: dict[str, Any] = {"dtype": _dtype(value.dtype), "shape": list(value.shape)}
    groups = [builder.named(attributes(value))]
    node: dict[str, Any] = {}
    if builder.state:
        facts["writeable"] = value.flags.writeable
        groups.append(builder.named({"dtype.metadata": dict(value.dtype.metadata)} if value.dtype.metadata else {}))
        facts["stride"] = [step for step, length in zip(value.strides, value.shape, strict=True) if length != 1]
        if value.size == 0:
            facts["stride"] = []
        node |= _memory(value, builder)
        if "storage" in node:
            builder.arrays.append((*_extent(value), node["storage"]))
    if isinstance(value, numpy.ma.MaskedArray):
        parts = {"data": value.data, "mask": value.mask, "fill_value": value.fill_value}
        own = {name: part for name, part in attributes(value).items() if name not in _OF_A_MASK}
        groups = [builder.named(own), builder.named(parts)]
        facts["hardmask"] = value.hardmask
        return builder.node("array", value, *groups, facts=facts, **node)
    plain = numpy.asarray(value)
    if value.dtype.names is not None:
        groups.append(builder.named({f"[{name!r}]": plain[name] for name in value.dtype.names}))
    elif value.dtype.hasobject or value.dtype.kind == "T":  # texts of any length lie elsewhere
        places = (", ".join(map(str, place)) for place in numpy.ndindex(*value.shape))
        groups.append(builder.named({f"[{place}]": plain.flat[at] for at, place in enumerate(places)}))
    elif value.dtype.char in "gG":  # long double: padding bytes are arbitrary, so two doubles that add up to it
        high = plain.astype("<c16" if value.dtype.char == "G" else "<f8")
        with numpy.errstate(invalid="ignore"):
            low = (plain - high).astype(high.dtype)
        groups.append(builder.named({"high": high, "low": low}))
    else:
        kind = value.dtype.kind
        little = plain.astype(value.dtype.newbyteorder("<"), copy=False)
        node["numbers"] = builder.numbers(little.tobytes(), value.dtype.name if kind in "biufc" else None)
    return builder.node("array", value, *groups, facts=facts, **node)


def _dtype(dtype: Any) -> str:
    """With byte order and fields, and what an element with fields is made of: of `np.record` they are attributes."""
    if dtype.names is None:
        return dtype.str if dtype.kind not in "OVT" else repr(dtype)
    try:
        text = repr(dtype.descr)
    except ValueError:  # fields that overlap, or are out of order
        text = str(dtype)
    text = f"{text} aligned" if dtype.isalignedstruct else text
    return text if dtype.type.__name__ == "void" else f"{dtype.type.__name__} {text}"


def _memory(value: Any, builder: Builder) -> dict:
    numpy = sys.modules["numpy"]
    owner = value
    while isinstance(owner.base, numpy.ndarray):
        owner = owner.base
    if value.nbytes == 0:
        return {}
    address = owner.__array_interface__["data"][0]
    start = owner.base.untyped_storage().data_ptr() if hasattr(owner.base, "untyped_storage") else address
    return {"storage": [builder.storage(("cpu", start), owner), value.__array_interface__["data"][0] - start]}


def _extent(value: Any) -> tuple[int, int]:
    """Where an array's first byte lies in memory, and where its last one ends."""
    steps = [(size - 1) * stride for size, stride in zip(value.shape, value.strides, strict=True)]
    address = value.__array_interface__["data"][0]
    low, high = (sum(step for step in steps if step * sign > 0) for sign in (-1, 1))
    return address + low, address + high + value.itemsize


# --- pandas


def _pandas(value: Any, builder: Builder) -> dict | None:
    pandas = sys.modules["pandas"]
    cls = type(value)
    if value is pandas.NaT or value is pandas.NA:
        return builder.node("constant", value, identity=False)
    if issubclass(cls, pandas.Timestamp | pandas.Timedelta):
        facts = {"value": value.isoformat(), "unit": value.unit}
        group = builder.named({"tzinfo": value.tzinfo} if issubclass(cls, pandas.Timestamp) else {})
        return builder.node("scalar", value, group, identity=False, facts=facts)
    if issubclass(cls, pandas.Period | pandas.Interval):
        facts = {"value": str(value), "freq": getattr(value, "freqstr", None)}
        return builder.node("scalar", value, identity=False, facts=facts)
    if issubclass(cls, pandas.api.extensions.ExtensionDtype):
        if isinstance(value, pandas.CategoricalDtype):
            parts = {"categories": value.categories, "ordered": value.ordered}
            return builder.node("constant", value, builder.named(parts), identity=False)
        return builder.node("constant", value, identity=False, facts={"value": str(value)})
    if issubclass(cls, pandas.DataFrame):
        parts = {"columns": value.columns, "index": value.index, "attrs": value.attrs, **_beside(value)}
        parts["flags.allows_duplicate_labels"] = value.flags.allows_duplicate_labels
        unique = value.columns.is_unique
        columns = {
            (f"[{label!r}]" if unique else f".iloc[:, {place}]"): value.iloc[:, place].array
            for place, label in enumerate(value.columns)
        }
        return builder.node("table", value, builder.named(parts), builder.named(columns))
    if issubclass(cls, pandas.Series):
        parts = {"name": value.name, "index": value.index, "attrs": value.attrs, "values": value.array}
        parts |= _beside(value)
        parts["flags.allows_duplicate_labels"] = value.flags.allows_duplicate_labels
        return builder.node("table", value, builder.named(parts))
    if issubclass(cls, pandas.MultiIndex):
        parts = {f"get_level_values({place})": value.get_level_values(place) for place in range(value.nlevels)}
        parts |= {"names": list(value.names), **_public(value)}
        return builder.node("table", value, builder.named(parts), identity=False)
    if issubclass(cls, pandas.Index):
        parts = {"name": value.name, "values": value.array, **_public(value)}
        if (freq := getattr(value, "freq", None)) is not None:
            parts["freq"] = str(freq)
        return builder.node("table", value, builder.named(parts), identity=False)
    if issubclass(cls, pandas.api.extensions.ExtensionArray):
        return _column(value, builder)
    return None


def _beside(value: Any) -> dict[str, Any]:
    """The attributes that the user gave a table: those in `_metadata` are copied, others are not."""
    known = {*type(value)._metadata} - {"_name"}
    return {name: part for name, part in vars(value).items() if not name.startswith("_") or name in known}


def _public(value: Any) -> dict[str, Any]:
    """The attributes that the user gave an index."""
    return {name: part for name, part in vars(value).items() if not name.startswith("_")}


def _column(value: Any, builder: Builder) -> dict:
    """One column's values. Where the memory lies is pandas' affair: its blocks are laid out anew by every copy."""
    pandas = sys.modules["pandas"]
    facts = {"dtype": str(value.dtype)}
    if isinstance(value, pandas.Categorical):
        parts = {"codes": value.codes.copy(), "dtype": value.dtype}
        return builder.node("column", value, builder.named(parts), identity=False, facts=facts)
    dtype = value.dtype
    if type(value).__name__ == "NumpyExtensionArray" and dtype.numpy_dtype.kind in "biufcmM":
        plain = value.to_numpy().copy()
        numbers = builder.numbers(plain.tobytes(), plain.dtype.name)
        facts["shape"] = list(plain.shape)
        return builder.node("column", value, identity=False, facts=facts, numbers=numbers)
    return builder.node("column", value, builder.indexed(value.astype(object)), identity=False, facts=facts)


# --- others


def _pillow(value: Any, builder: Builder) -> dict | None:
    image = sys.modules.get("PIL.Image")
    if image is None or not issubclass(type(value), image.Image):
        return None
    facts = {"mode": value.mode, "size": list(value.size), "palette": value.getpalette(), "format": value.format}
    facts |= {"palette_mode": value.palette and value.palette.mode, "frames": getattr(value, "n_frames", 1)}
    known = vars(image.Image()).keys() if type(value) is image.Image else _set_by_pillow(type(value))
    own = {name: part for name, part in vars(value).items() if name not in known}
    numbers = builder.numbers(value.tobytes(), "uint8")
    node = builder.node("image", value, builder.named({"info": value.info, **own}), facts=facts, numbers=numbers)
    describe_asked.of_picture(value, node, builder)
    return node


@functools.lru_cache(maxsize=64)
def _set_by_pillow(cls: type) -> frozenset[str]:
    """The attributes that code sets in the modules of Pillow in which the class and its bases are: all others of a
    picture that was read from a file are the user's."""
    modules = {base.__module__ for base in cls.__mro__ if base.__module__.startswith("PIL.")}
    codes = [sys.modules[name].__spec__.loader.get_code(name) for name in modules]
    return frozenset(name for code in codes for name in bytecode.attributes_set(code))


_IN_C = frozenset({"this", "_processor"})


def _sentencepiece(value: Any, builder: Builder) -> dict | None:
    if hasattr(type(value), "serialized_model_proto"):  # its state in C++ is one message, its options are attributes
        digest = hashlib.sha256(value.serialized_model_proto()).hexdigest()
        options = {name: part for name, part in attributes(value).items() if name not in _IN_C}
        return builder.node("object", value, builder.named(options), facts={"value": digest})
    return None


def _scipy(value: Any, builder: Builder) -> dict | None:
    """A tree of points by these and their order in it: what it tells `pickle` has addresses in it."""
    spatial = sys.modules.get("scipy.spatial")
    if spatial is None or not issubclass(type(value), spatial.cKDTree):
        return None
    parts = {name: getattr(value, name) for name in ("leafsize", "boxsize")}
    parts |= {name: getattr(value, name).copy() for name in ("data", "indices")}
    return builder.node("object", value, builder.named(attributes(value)), builder.named(parts))


_BY_LIBRARY = {"numpy": _numpy, "pandas": _pandas, "PIL": _pillow, "sentencepiece": _sentencepiece, "scipy": _scipy}
