"""Live values as plain data, so that a model saved in one process and its copy in another can be compared.

The two never meet: they live in different processes, perhaps under different Pythons, perhaps without the user's
classes. A snapshot holds builtins only (dict, list, str, int, float, bytes, None), so it unpickles anywhere.

A node is a dict with a `kind`:

    scalar     type, value                         None, bool, int, str, bytes, float (as hex: -0.0 keeps its sign)
    tensor     type, dtype, shape, stride, ...     data | digest; storage (a number: which one it lies in), offset
    sequence   type, items                         list, tuple, namedtuple (with fields), deque, ...
    mapping    type, pairs                         keys are nodes; order kept
    set        type, items                         sorted by content
    object     type, fields                        attributes of anything else; {} for what hides its state
    function   name, args, defaults, cells         never bytecode, which no two Python versions share
    module     type, training, parts               an nn.Module
    ref        to                                  something mutable that was met before, by its path there

References make sharing and cycles part of the structure: a list that two owners shared and no longer do is a `ref` on
one side and a `sequence` on the other. Storages are numbered in the order of first sight, so aliasing of tensors is
compared as a partition.

Names of modules that belong to the user's project (`own_modules`), and `__main__`, become `<own>`: a class that was
saved by value is still the user's.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import io
import pathlib
import re
import struct
import sys
import types
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Collection, Mapping
from typing import Any

import torch

DIGEST_ABOVE_BYTES = 64 << 20
"""Tensors larger than this are kept as a SHA-256 only: a difference then has no size."""

_BARE = frozenset(vars(torch.nn.Module()))
"""torch's own bookkeeping in a module's `__dict__`: described as parameters, buffers, hooks, not as attributes."""

_HOOKS = tuple(sorted(name for name in _BARE if name.endswith("_hooks")))

_TEXT_TYPES = (datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction,
               pathlib.PurePath, uuid.UUID, range, slice, complex)  # fmt: skip
"""Standard-library values whose `repr` or `str` is their whole content and the same in every version."""


def snapshot_value(value: Any, *, own_modules: Collection[str] = (), root: str = "output") -> dict:
    """Describe any value, a tap's output as a rule. Strides are left out: they are an accident of the last kernel."""
    return _Snapshot(own_modules, strides=False).node(value, root)


def snapshot_model(model: Any, *, own_modules: Collection[str] = (), root: str = "model") -> dict:
    """Describe everything of a module that should come back: see `_Snapshot.module`."""
    return _Snapshot(own_modules, strides=True).node(model, root)


class _Snapshot:
    def __init__(self, own_modules: Collection[str], strides: bool) -> None:
        self.own = frozenset(own_modules)
        self.strides = strides
        self.seen: dict[int, str] = {}
        self.storages: dict[int, int] = {}
        self.alive: list[Any] = []  # ids are only unique while their objects live

    def node(self, value: Any, path: str) -> dict:
        simple = self._scalar(value)
        if simple is not None:
            return simple
        if id(value) in self.seen:
            return {"kind": "ref", "to": self.seen[id(value)]}
        if not isinstance(value, tuple | frozenset):  # equal immutable values may or may not be one object
            self.seen[id(value)] = path
        self.alive.append(value)
        if isinstance(value, torch.nn.Module):
            return self.module(value, path)
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, list | tuple | deque):
            return self._sequence(value, path)
        if isinstance(value, set | frozenset):
            items = [self.node(item, f"{path}{{}}") for item in value]
            return {"kind": "set", "type": self.type_name(type(value)), "items": sorted(items, key=_content_key)}
        if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType | functools.partial):
            return self._callable(value, path)
        return self._library(value, path) or self._object(value, path)

    def type_name(self, cls: type) -> str:
        return f"{self.module_name(cls.__module__)}.{cls.__qualname__}"

    def module_name(self, name: str | None) -> str:
        if name in ("__main__", "__mp_main__") or (name or "").partition(".")[0] in self.own:
            return "<own>"
        return name or "?"

    # --- plain values

    def _scalar(self, value: Any) -> dict | None:
        if isinstance(value, enum.Enum):
            return {"kind": "scalar", "type": self.type_name(type(value)), "value": value.name}
        if value is None or type(value) in (bool, int, str, bytes, bytearray):
            return {
                "kind": "scalar",
                "type": type(value).__name__,
                "value": bytes(value) if type(value) is bytearray else value,
            }
        if type(value) is float:
            return {"kind": "scalar", "type": "float", "value": value.hex() if value == value else "nan"}
        if isinstance(value, complex):
            parts = struct.pack("<dd", value.real, value.imag)
            return {"kind": "scalar", "type": "complex", "value": parts.hex()}
        if isinstance(value, _TEXT_TYPES):
            return {"kind": "scalar", "type": self.type_name(type(value)), "value": str(value)}
        if isinstance(value, re.Pattern):
            return {"kind": "scalar", "type": "re.Pattern", "value": [value.pattern, value.flags]}
        if isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format | torch.finfo):
            return {"kind": "scalar", "type": f"torch.{type(value).__name__}", "value": str(value)}
        if isinstance(value, type):
            return {"kind": "scalar", "type": "class", "value": self.type_name(value)}
        if isinstance(value, types.ModuleType):
            return {"kind": "scalar", "type": "module", "value": self.module_name(value.__name__)}
        if isinstance(value, int | str | bytes):  # subclasses: str enums are above, numpy's strings here
            return {"kind": "scalar", "type": self.type_name(type(value)), "value": value.__class__.__mro__[-2](value)}
        return None

    def _sequence(self, value: Any, path: str) -> dict:
        node = {"kind": "sequence", "type": self.type_name(type(value))}
        if hasattr(value, "_fields"):
            node["fields"] = list(value._fields)
        if isinstance(value, deque):
            node["maxlen"] = value.maxlen
        node["items"] = [self.node(item, f"{path}[{place}]") for place, item in enumerate(value)]
        return node

    def _mapping(self, value: Mapping, path: str) -> dict:
        node = {"kind": "mapping", "type": self.type_name(type(value))}
        if isinstance(value, defaultdict):
            node["default_factory"] = self.node(value.default_factory, f"{path}.default_factory")
        node["pairs"] = [
            [self.node(key, f"{path}<key>"), self.node(item, f"{path}[{key!r}]")] for key, item in value.items()
        ]
        if type(value) not in (dict, OrderedDict, defaultdict) and getattr(value, "__dict__", None):
            node["fields"] = self._fields(vars(value), path)
        return node

    # --- code

    def _callable(self, value: Any, path: str) -> dict:
        if isinstance(value, functools.partial):
            parts = {"func": value.func, "args": value.args, "keywords": value.keywords}
            return {"kind": "object", "type": self.type_name(type(value)), "fields": self._fields(parts, path)}
        if isinstance(value, types.MethodType):
            parts = {"__func__": value.__func__, "__self__": value.__self__}
            return {"kind": "object", "type": "method", "fields": self._fields(parts, path)}
        node = {"kind": "function", "name": f"{self.module_name(value.__module__)}.{value.__qualname__}"}
        if isinstance(value, types.FunctionType) and node["name"].startswith("<own>"):
            code = value.__code__
            node["args"] = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
            node["defaults"] = self.node([value.__defaults__, value.__kwdefaults__], f"{path}.__defaults__")
            node["cells"] = {
                name: self._cell(cell, f"{path}.<{name}>")
                for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=False)
            }
            node["fields"] = self._fields(vars(value), path)
        return node

    def _cell(self, cell: Any, path: str) -> dict:
        """A closure's cell is itself shared: two functions that count together must go on doing so."""
        if id(cell) in self.seen:
            return {"kind": "ref", "to": self.seen[id(cell)]}
        self.seen[id(cell)] = path
        self.alive.append(cell)
        try:
            return self.node(cell.cell_contents, path)
        except ValueError:
            return {"kind": "scalar", "type": "empty cell", "value": None}

    # --- tensors

    def tensor(self, value: torch.Tensor) -> dict:
        node: dict[str, Any] = {
            "kind": "tensor",
            "type": self.type_name(type(value)),
            "dtype": str(value.dtype),
            "shape": list(value.shape) if not value.is_nested else None,
            "device": value.device.type,
            "requires_grad": value.requires_grad,
            "layout": str(value.layout),
        }
        plain = value.detach()
        if value.device.type == "meta":
            return node
        if value.is_quantized:
            node["scale"] = self.node(plain.q_scale() if plain.qscheme() == torch.per_tensor_affine else None, "")
            node["scheme"] = str(plain.qscheme())
            plain = plain.int_repr()
        if value.is_nested or value.layout != torch.strided:
            node["parts"] = [self.tensor(part) for part in _parts(plain)]
            return node
        if self.strides:
            node["stride"] = list(value.stride())
            storage = value.untyped_storage()
            self.alive.append(storage)
            if storage.nbytes():
                node["storage"] = self.storages.setdefault(storage.data_ptr(), len(self.storages))
                node["offset"] = value.storage_offset()
        data = _bytes(plain)
        if len(data) > DIGEST_ABOVE_BYTES:
            node["digest"] = hashlib.sha256(data).hexdigest()
        else:
            node["data"] = data
        return node

    # --- modules and objects

    def module(self, value: torch.nn.Module, path: str) -> dict:
        """Class, training flag, parameters, buffers and their persistence, children, hooks, extra state, attributes."""
        tables = vars(value)
        parts: dict[str, dict] = {}
        for table in ("_parameters", "_buffers", "_modules"):
            for name, item in tables.get(table, {}).items():
                parts[name] = {"where": table, **self.node(item, f"{path}.{name}")}
        skipped = _BARE | _rnn_bookkeeping(value)
        for name, item in tables.items():
            if name not in skipped:
                parts[name] = {"where": "attribute", **self.node(item, f"{path}.{name}")}
        hooks = {name: [self.node(hook, f"{path}.{name}") for hook in tables[name].values()]
                 for name in _HOOKS if isinstance(tables.get(name), dict) and tables[name]}  # fmt: skip
        node = {
            "kind": "module",
            "type": self.type_name(type(value)),
            "training": tables.get("training"),
            "non_persistent": sorted(tables.get("_non_persistent_buffers_set", ())),
            "parts": parts,
            "hooks": hooks,
        }
        if type(value).get_extra_state is not torch.nn.Module.get_extra_state:
            node["extra_state"] = self.node(value.get_extra_state(), f"{path}.<extra state>")
        return node

    def _library(self, value: Any, path: str) -> dict | None:
        """Values of libraries that the process has imported anyway; None for anything else."""
        name = self.type_name(type(value))
        numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
        if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
            node = {"kind": "array", "type": name, "dtype": str(value.dtype), "shape": list(value.shape)}
            if value.dtype.hasobject:
                return node | {"items": [self.node(item, f"{path}[{place}]") for place, item in enumerate(value.flat)]}
            return node | {"data": numpy.ascontiguousarray(value).tobytes()}
        if numpy is not None and isinstance(value, numpy.dtype):
            return {"kind": "scalar", "type": "numpy.dtype", "value": str(value)}
        if pandas is not None and isinstance(value, pandas.DataFrame):
            columns = [
                self.node(value.iloc[:, place], f"{path}[{label!r}]") for place, label in enumerate(value.columns)
            ]
            parts = {"columns": list(value.columns), "index": value.index}
            return {"kind": "object", "type": name, "fields": self._fields(parts, path), "items": columns}
        if pandas is not None and isinstance(value, pandas.Series | pandas.Index):
            parts = {"name": value.name, "values": value.tolist(), "dtype": str(value.dtype)}
            if isinstance(value.dtype, pandas.CategoricalDtype):
                parts |= {"categories": value.dtype.categories, "ordered": value.dtype.ordered}
            if isinstance(value, pandas.Series):
                parts["index"] = value.index
            return {"kind": "object", "type": name, "fields": self._fields(parts, path)}
        if pandas is not None and isinstance(value, pandas.Timestamp | pandas.Timedelta | pandas.Interval):
            return {"kind": "scalar", "type": name, "value": str(value)}
        if (image := sys.modules.get("PIL.Image")) is not None and isinstance(value, image.Image):
            return {"kind": "scalar", "type": "PIL.Image", "value": [value.mode, list(value.size), value.tobytes()]}
        if isinstance(value, io.BytesIO):
            return {"kind": "scalar", "type": name, "value": value.getvalue()}
        if isinstance(value, torch.Generator):
            return {"kind": "scalar", "type": name, "value": bytes(value.get_state().numpy())}
        if hasattr(value, "serialized_model_proto"):  # a SentencePieceProcessor: its state is one message
            return {"kind": "scalar", "type": name, "value": hashlib.sha256(value.serialized_model_proto()).hexdigest()}
        return None

    def _object(self, value: Any, path: str) -> dict:
        parts = dict(getattr(value, "__dict__", {}))
        for cls in type(value).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                    parts.setdefault(name, getattr(value, name))
        node = {"kind": "object", "type": self.type_name(type(value)), "fields": self._fields(parts, path)}
        if dataclasses.is_dataclass(value):
            node["dataclass"] = True
        return node

    def _fields(self, parts: Mapping, path: str) -> dict:
        return {str(name): self.node(item, f"{path}.{name}") for name, item in parts.items()}


def _rnn_bookkeeping(module: torch.nn.Module) -> frozenset[str]:
    """Recurrent layers keep their weights a second time in lists, with weak references: described already."""
    if isinstance(module, torch.nn.RNNBase):
        return frozenset({"_flat_weights", "_flat_weight_refs", "_flat_weights_names", "_all_weights"})
    return frozenset()


def _parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """What a tensor without strides is made of."""
    if tensor.is_nested:
        return list(tensor.unbind())
    if tensor.layout == torch.sparse_coo:
        tensor = tensor if tensor.is_coalesced() else tensor.coalesce()
        return [tensor.indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return [tensor.to_dense()]


def _bytes(tensor: torch.Tensor) -> bytes:
    """The logical values (conjugate and negative views resolved) in C order."""
    tensor = tensor.as_subclass(torch.Tensor).cpu().resolve_conj().resolve_neg().contiguous()
    if tensor.numel() == 0:
        return b""
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def _content_key(node: dict) -> str:
    return repr(sorted(node.items(), key=lambda pair: pair[0]))
