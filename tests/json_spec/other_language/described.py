"""A live model as reader.mjs tells of a saved one. Looks at the model alone, and shares no code with the format."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import functools
import gc
import hashlib
import io
import json
import operator
import pathlib
import random
import re
import struct
import types
import uuid
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import torch
from other_language.described_pandas import LABELLED, Pandas
from PIL import Image
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.hooks import RemovableHandle

BESIDE_ATTRIBUTES = {
    "training", "call_super_init", "dump_patches", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set",
    "_is_full_backward_hook", "_flat_weights", "_flat_weight_refs", *(k for k in vars(nn.Module()) if "hook" in k),
}  # fmt: skip
"""What every nn.Module has; of recurrent layers the lists that repeat their parameters."""
HOOKS = {
    "_forward_pre_hooks": "forward_pre", "_forward_hooks": "forward", "_backward_pre_hooks": "backward_pre",
    "_backward_hooks": "backward", "_state_dict_hooks": "state_dict", "_state_dict_pre_hooks": "state_dict_pre",
    "_load_state_dict_pre_hooks": "load_state_dict_pre", "_load_state_dict_post_hooks": "load_state_dict_post",
}  # fmt: skip
NOTE = "_spec_call"
"""The attribute in which the call that made an object is noted."""
TEXTS = {
    decimal.Decimal: "decimal", uuid.UUID: "uuid", pathlib.PurePosixPath: "pureposixpath",
    pathlib.PureWindowsPath: "purewindowspath", type(pathlib.Path()): "path", datetime.date: "date",
    zoneinfo.ZoneInfo: "zoneinfo", torch.layout: "layout", torch.memory_format: "memory_format",
    torch.qscheme: "qscheme", torch.dtype: "dtype", torch.device: "device",
}  # fmt: skip
"""What is told by the text that Python makes of it."""
PAIRS = {collections.OrderedDict: "ordereddict", collections.Counter: "counter"}
LISTS = {list: "list", tuple: "tuple"}
SETS = {set: "set", frozenset: "frozenset"}
INDICES = {
    torch.sparse_coo: ["_indices"], torch.sparse_csr: ["crow_indices", "col_indices"],
    torch.sparse_csc: ["ccol_indices", "row_indices"], torch.sparse_bsr: ["crow_indices", "col_indices"],
    torch.sparse_bsc: ["ccol_indices", "row_indices"],
}  # fmt: skip


def described(model: Any) -> dict[str, Any]:
    """`model`: every value; `memory`: [path, number of the memory, byte within it] of each tensor and array."""
    walk = Walk(list(model.modules()))
    return {"model": walk.of(model, "model"), "memory": walk.memory()}


def name_of(thing: Any) -> str:
    return f"{thing.__module__}:{thing.__qualname__}"


def function_name(function: Any) -> str:
    """Of one written in C its public place: by what it calls itself (`_VariableFunctionsClass.relu`) none finds it."""
    for module in (torch, nn.functional) if isinstance(function, types.BuiltinFunctionType) else ():
        if vars(module).get(function.__name__) is function:
            return f"{module.__name__}:{function.__name__}"
    return name_of(function)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def constant(value: Any) -> bool:
    """Whether it has no identity: equal ones may be one object."""
    if type(value) in (tuple, frozenset):
        return all(map(constant, value))
    return value is None or isinstance(
        value, bool | str | int | float | complex | bytes | enum.Enum | type | np.generic | np.dtype | pd.Index
    )


class Walk:
    """One walk from the model, depth first, in the order of attributes."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.modules = modules
        self.met: dict[int, str] = {}
        self.kept: list[Any] = []
        self.ranges: list[tuple[str, int, int, int]] = []
        """path, address of the storage, of the first element, of the first byte that is touched"""

    def memory(self) -> list[list[Any]]:
        """Regions are numbered as they are met; the byte is counted from the first that any view touches."""
        numbers: dict[int, int] = {}
        first: dict[int, int] = {}
        for _, storage, _, low in self.ranges:
            numbers.setdefault(storage, len(numbers))
            first[storage] = min(low, first.get(storage, low))
        return [[path, numbers[storage], start - first[storage]] for path, storage, start, _ in self.ranges]

    def named(self, table: dict[str, Any], path: str) -> list[Any]:
        return [[name, self.of(value, f"{path}.{name}")] for name, value in table.items()]

    def items(self, values: Any, path: str) -> list[Any]:
        return [self.of(value, f"{path}[{n}]") for n, value in enumerate(values)]

    def pairs(self, table: Any, path: str) -> list[Any]:
        return [[self.of(k, f"{path}.key[{n}]"), self.of(v, f"{path}[{n}]")] for n, (k, v) in enumerate(table.items())]

    def of(self, value: Any, path: str) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return ["int", str(value)]
        if kind is float:
            return ["float", struct.pack(">d", value if value == value else float("nan")).hex()]
        if kind is complex:
            return ["complex", self.items([value.real, value.imag], path)]
        if kind is bytes:
            return ["bytes", value.hex()]
        if kind in TEXTS:
            return [TEXTS[kind], str(value).removeprefix("torch.")]
        if isinstance(value, torch.finfo | torch.iinfo):
            return [kind.__name__, value.dtype]
        if kind is torch.Size:
            return ["size", list(value)]
        if isinstance(value, enum.Enum):
            one = value.name in kind.__members__
            return ["enum", name_of(kind), value.name if one else [member.name for member in value]]
        if isinstance(value, np.generic):
            return ["npscalar", value.dtype.str, value.tobytes().hex()]
        if isinstance(value, type):
            return ["class", name_of(value)]
        if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
            return ["function", function_name(value)]
        if (told := self.constant(value, kind, path)) is not None:
            return told
        if id(value) in self.met:
            return ["same", self.met[id(value)]]
        if not constant(value):
            self.met[id(value)] = path
        self.kept.append(value)
        return self.identified(value, kind, path)

    def constant(self, value: Any, kind: type, path: str) -> Any:
        """What has no identity and more than a text; None for all else."""
        if value is ... or value is NotImplemented:
            return ["ellipsis" if value is ... else "notimplemented"]
        if kind in (range, slice):
            return [kind.__name__, self.items([value.start, value.stop, value.step], path)]
        if kind is fractions.Fraction:
            return ["fraction", self.items([value.numerator, value.denominator], path)]
        if kind in (datetime.datetime, datetime.time):
            text = value.replace(tzinfo=None).isoformat(timespec="microseconds")
            return [kind.__name__, text, value.fold, self.of(value.tzinfo, f"{path}.zone")]
        if kind is datetime.timedelta:
            return ["timedelta", str(value // datetime.timedelta(microseconds=1))]
        if kind is datetime.timezone:
            named = None if value == datetime.UTC or value.tzname(None)[:3] == "UTC" else value.tzname(None)
            return ["timezone", str(value.utcoffset(None) // datetime.timedelta(microseconds=1)), named]
        if kind is re.Pattern:
            return ["regex", self.of(value.pattern, path), int(value.flags)]
        if isinstance(value, np.dtype):
            return ["npdtype", value.str if value.names is None else [list(field) for field in value.descr]]
        return self.pandas.label(value, path)

    @functools.cached_property
    def pandas(self) -> Pandas:
        return Pandas(self)

    def identified(self, value: Any, kind: type, path: str) -> Any:
        if kind in LISTS:
            return [LISTS[kind], self.items(value, path)]
        if kind in SETS:
            # As JSON.stringify writes them.
            texts = [json.dumps(self.of(v, path), separators=(",", ":"), ensure_ascii=False) for v in value]
            return [SETS[kind], sorted(texts)]
        if kind is dict:
            if all(type(key) is str and not key.startswith("$") for key in value):
                return ["dict", [[key, self.of(item, f"{path}[{n}]")] for n, (key, item) in enumerate(value.items())]]
            return ["dict", self.pairs(value, path)]
        if kind in PAIRS:
            return [PAIRS[kind], self.pairs(value, path)]
        if kind is collections.defaultdict:
            return ["defaultdict", self.of(value.default_factory, path), self.pairs(value, path)]
        if kind is collections.deque:
            return ["deque", self.of(value.maxlen, path), self.items(value, path)]
        if kind is bytearray:
            return ["bytearray", value.hex()]
        if hasattr(kind, "_fields"):
            return ["namedtuple", name_of(kind), self.items(value, path)]
        if kind is functools.partial:
            args = self.items(value.args, path)
            keywords = self.named(value.keywords, path)
            return ["partial", self.of(value.func, f"{path}.func"), args, keywords, self.named(vars(value), path)]
        if kind is types.MethodType:
            return ["method", self.of(value.__self__, f"{path}.self"), value.__name__]
        if kind is io.BytesIO:
            return ["codec", "_io:BytesIO", self.named({"data": value.getvalue(), "position": value.tell()}, path)]
        if kind.__name__ == "SentencePieceProcessor":
            state = {"model": value.serialized_model_proto()}
            return ["codec", "sentencepiece:SentencePieceProcessor", self.named(state, path)]
        if isinstance(value, LABELLED):
            return self.pandas.labelled(value, path)
        if (found := codec_state(value)) is not None:
            return ["codec", found[0], [[key, self.of(found[1][key], f"{path}.{key}")] for key in sorted(found[1])]]
        if isinstance(value, torch.Tensor):
            return self.tensor(value, path)
        if isinstance(value, np.ndarray):
            if value.size:
                self.ranges.append((path, *self.array_memory(value)))
            held = [list(value.shape), list(value.strides) if value.size else None, sha256(value.tobytes())]
            if value.dtype.kind == "O":
                self.ranges.pop()
                return ["objectarray", list(value.shape), self.items(value.ravel(), path)]
            kind = value.dtype.str if value.dtype.names is None else [list(field) for field in value.dtype.descr]
            return ["ndarray", kind, *held, not value.flags.writeable]
        if isinstance(value, nn.Module):
            return self.module(value, path)
        if kind is RemovableHandle:
            return self.handle(value, path)
        content, base = None, next(one for one in kind.__mro__ if one.__module__ in ("builtins", "collections"))
        if base is not object:
            plain = base(value) if base is not collections.defaultdict else base(value.default_factory, value)
            content = self.of(plain if base is not collections.deque else base(value, value.maxlen), f"{path}.content")
        held = {name: item for name, item in getattr(value, "__dict__", {}).items() if name != NOTE}
        slots = [
            f"_{one.__name__}{name}" if name[:2] == "__" else name
            for one in kind.__mro__ for name in vars(one).get("__slots__", ())
        ]  # fmt: skip
        attributes = "its entries" if getattr(value, "__dict__", None) is value else self.named(held, path)
        slotted = self.named({name: getattr(value, name) for name in slots}, path)
        return ["object", name_of(kind), content, attributes, slotted, self.note(value, path)]

    def note(self, value: Any, path: str) -> Any:
        note = getattr(value, "__dict__", {}).get(NOTE)
        return note and [note["of"], self.named(note["arguments"], f"{path}()")]

    def handle(self, handle: RemovableHandle, path: str) -> list[Any]:
        hooks = handle.hooks_dict_ref()
        for module in self.modules:
            for table, on in HOOKS.items():
                if vars(module)[table] is hooks and handle.id in hooks:
                    return ["handle", self.of(module, f"{path}.module"), on, list(hooks).index(handle.id)]
        return ["handle", None, None, None]

    def module(self, module: nn.Module, path: str) -> list[Any]:
        held = vars(module)
        told: dict[str, Any] = {"training": module.training}
        told["parameters"] = self.named(held["_parameters"], path)
        told["buffers"] = self.named(held["_buffers"], path)
        told["non_persistent"] = sorted(held["_non_persistent_buffers_set"])
        told["modules"] = self.named(held["_modules"], path)
        computed = [k for k, v in held.items() if isinstance(v, torch.Tensor) and v.grad_fn is not None]
        beside = {*BESIDE_ATTRIBUTES, *computed, NOTE}
        told["attributes"] = self.named({k: v for k, v in held.items() if k not in beside}, path)
        hooks = [(table, on, *one) for table, on in HOOKS.items() for one in held[table].items()]
        told["hooks"] = [
            [on, self.hook(hook, f"{path}.hooks[{n}]"), self.flags(module, table, number, hook)]
            for n, (table, on, number, hook) in enumerate(hooks)
        ]
        parametrized = parametrize.is_parametrized(module)
        cls = parametrize.type_before_parametrizations(module) if parametrized else type(module)
        told["parametrized"] = list(module.parametrizations) if parametrized else []
        told["computed"] = computed
        told["full_backward"] = module._is_full_backward_hook
        told["call"] = self.note(module, path)
        return ["module", name_of(cls), told]

    def hook(self, hook: Any, path: str) -> Any:
        if type(hook).__name__ == "_WrappedHook":
            return ["wrapped", hook.with_module, self.hook(hook.hook, path)]
        if getattr(hook, "__qualname__", "").endswith("_weight_norm_compat_hook"):
            return ["weight_norm", hook.__closure__[hook.__code__.co_freevars.index("name")].cell_contents]
        return self.of(hook, path)

    @staticmethod
    def flags(module: nn.Module, table: str, number: int, hook: Any) -> list[str]:
        has = {
            "with_kwargs": number in vars(module).get(f"{table}_with_kwargs", ()),
            "always_call": number in vars(module).get(f"{table}_always_called", ()),
            "public": table == "_state_dict_hooks" and getattr(hook, "_from_public_api", False),
        }
        return [name for name, true in has.items() if true]

    def tensor(self, tensor: torch.Tensor, path: str) -> list[Any]:
        kind = str(tensor.dtype).removeprefix("torch.")
        if tensor.layout in INDICES:
            coo = tensor.layout is torch.sparse_coo
            parts = {name.strip("_"): getattr(tensor, name)() for name in INDICES[tensor.layout]}
            parts["values"] = tensor._values() if coo else tensor.values()
            held = [[name, self.of(parts[name], f"{path}.{name}")] for name in sorted(parts)]
            coalesced = coo and tensor.is_coalesced()
            return ["sparse", str(tensor.layout)[6:], list(tensor.shape), coalesced, held, self.common(tensor, path)]
        if tensor.is_quantized:
            parts = {"values": tensor.int_repr()}
            if tensor.qscheme() is torch.per_tensor_affine:
                parts |= {"scale": tensor.q_scale(), "zero_point": tensor.q_zero_point()}
            else:
                parts |= {"scales": tensor.q_per_channel_scales(), "zero_points": tensor.q_per_channel_zero_points()}
                parts |= {"axis": tensor.q_per_channel_axis()}
            return ["quantized", kind, self.named(parts, path), self.common(tensor, path)]
        told = {
            "dtype": kind, "shape": list(tensor.shape), "stride": list(tensor.stride()), "device": str(tensor.device)
        }  # fmt: skip
        if not tensor.is_meta:
            plain = tensor.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
            told["sha256"] = sha256(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
            if tensor.numel():
                storage = tensor.untyped_storage().data_ptr()
                self.ranges.append((path, storage, tensor.data_ptr(), tensor.data_ptr()))
        return ["tensor", {**told, **self.common(tensor, path)}]

    def common(self, tensor: torch.Tensor, path: str) -> dict[str, Any]:
        grad = {} if tensor.grad is None else {"grad": self.of(tensor.grad, f"{path}.grad")}
        told: dict[str, Any] = {"parameter": isinstance(tensor, nn.Parameter), "requires_grad": tensor.requires_grad}
        if type(tensor) not in (torch.Tensor, nn.Parameter):
            told["class"] = self.of(type(tensor), f"{path}.class")
        attributes = {"attributes": self.named(vars(tensor), path)} if vars(tensor) else {}
        return {**told, **grad, **attributes}

    @staticmethod
    def array_memory(array: np.ndarray) -> tuple[int, int, int]:
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        low, _ = np.lib.array_utils.byte_bounds(array)
        return base.__array_interface__["data"][0], array.__array_interface__["data"][0], low


def codec_state(value: Any) -> tuple[str, dict[str, Any]] | None:
    """Name of the codec and what it holds, of libraries' objects whose state Python cannot see."""
    if isinstance(value, io.StringIO):
        return "_io:StringIO", {"state": (value.getvalue(), "\n", value.tell(), None)}
    if isinstance(value, torch.Generator):
        return "torch._C:Generator", {"device": str(value.device), "state": bytes(value.get_state().tolist())}
    if isinstance(value, random.Random):
        return "random:Random", {"state": value.getstate()}
    if isinstance(value, np.random.Generator):
        return "numpy.random._generator:Generator", {
            "bits": value.bit_generator.state,
            "seeds": value.bit_generator.seed_seq.state,
        }
    if isinstance(value, np.random.RandomState):
        return "numpy.random.mtrand:RandomState", {"state": value.get_state(legacy=False)}
    if isinstance(value, array.array):
        return "array:array", {"typecode": value.typecode, "data": value.tobytes()}
    if isinstance(value, types.SimpleNamespace):
        return "types:SimpleNamespace", {"attributes": dict(vars(value))}
    if isinstance(value, types.MappingProxyType):
        return "builtins:mappingproxy", {"mapping": gc.get_referents(value)[0]}
    if isinstance(value, operator.itemgetter):
        return "operator:itemgetter", {"items": value.__reduce__()[1]}
    if isinstance(value, Image.Image):
        state = {"mode": value.mode, "size": value.size, "data": value.tobytes(), "info": dict(value.info)}
        return "PIL.Image:Image", {**state, "palette": value.getpalette() if value.mode == "P" else None}
    return None
