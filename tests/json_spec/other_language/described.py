"""A live model as reader.mjs tells of a saved one. Looks at the model alone, and shares no code with the format."""

from __future__ import annotations

import collections
import enum
import functools
import hashlib
import io
import json
import struct
import types
from typing import Any

import numpy as np
import torch
from torch import nn

BESIDE_ATTRIBUTES = {
    "training", "call_super_init", "dump_patches", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set",
    "_is_full_backward_hook", "_flat_weights", "_flat_weight_refs", *(k for k in vars(nn.Module()) if "hook" in k),
}  # fmt: skip
"""What every nn.Module has; of recurrent layers the lists that repeat their parameters."""
HOOKS = {"_forward_pre_hooks": "forward_pre", "_forward_hooks": "forward"}
PAIRS = {collections.OrderedDict: "ordereddict", collections.Counter: "counter"}
LISTS = {list: "list", tuple: "tuple"}
SETS = {set: "set", frozenset: "frozenset"}
INDICES = {
    torch.sparse_coo: ["_indices"], torch.sparse_csr: ["crow_indices", "col_indices"],
    torch.sparse_csc: ["ccol_indices", "row_indices"],
}  # fmt: skip


def described(model: Any) -> dict[str, Any]:
    """`model`: every value; `memory`: [path, number of the memory, byte within it] of each tensor and array."""
    walk = Walk()
    return {"model": walk.of(model, "model"), "memory": walk.memory()}


def name_of(thing: Any) -> str:
    return f"{thing.__module__}:{thing.__qualname__}"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def constant(value: Any) -> bool:
    """Whether it has no identity: equal ones may be one object."""
    if type(value) in (tuple, frozenset):
        return all(map(constant, value))
    return value is None or isinstance(
        value, bool | str | int | float | complex | bytes | enum.Enum | type | np.generic
    )


class Walk:
    """One walk from the model, depth first, in the order of attributes."""

    def __init__(self) -> None:
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
        if isinstance(value, torch.dtype | torch.device):
            return [kind.__name__, str(value).removeprefix("torch.")]
        if kind is torch.Size:
            return ["size", list(value)]
        if isinstance(value, enum.Enum):
            return ["enum", name_of(kind), value.name]
        if isinstance(value, np.generic):
            return ["npscalar", value.dtype.str, value.tobytes().hex()]
        if isinstance(value, type):
            return ["class", name_of(value)]
        if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
            return ["function", name_of(value)]
        if id(value) in self.met:
            return ["same", self.met[id(value)]]
        if not constant(value):
            self.met[id(value)] = path
        self.kept.append(value)
        return self.identified(value, kind, path)

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
            return ["partial", self.of(value.func, f"{path}.func"), args, self.named(value.keywords, path)]
        if kind is types.MethodType:
            return ["method", self.of(value.__self__, f"{path}.self"), value.__name__]
        if kind is io.BytesIO:
            return ["codec", "_io:BytesIO", self.named({"data": value.getvalue(), "position": value.tell()}, path)]
        if kind.__name__ == "SentencePieceProcessor":
            state = {"model": value.serialized_model_proto()}
            return ["codec", "sentencepiece:SentencePieceProcessor", self.named(state, path)]
        if isinstance(value, torch.Tensor):
            return self.tensor(value, path)
        if isinstance(value, np.ndarray):
            if value.size:
                self.ranges.append((path, *self.array_memory(value)))
            held = [list(value.shape), list(value.strides) if value.size else None, sha256(value.tobytes())]
            return ["ndarray", value.dtype.str, *held, not value.flags.writeable]
        if isinstance(value, nn.Module):
            return self.module(value, path)
        return ["object", name_of(kind), None, self.named(vars(value), path), []]

    def module(self, module: nn.Module, path: str) -> list[Any]:
        held = vars(module)
        told: dict[str, Any] = {"training": module.training}
        told["parameters"] = self.named(held["_parameters"], path)
        told["buffers"] = self.named(held["_buffers"], path)
        told["non_persistent"] = sorted(held["_non_persistent_buffers_set"])
        told["modules"] = self.named(held["_modules"], path)
        told["attributes"] = self.named({k: v for k, v in held.items() if k not in BESIDE_ATTRIBUTES}, path)
        hooks = [(on, hook) for table, on in HOOKS.items() for hook in held[table].values()]
        told["hooks"] = [[on, self.of(hook, f"{path}.hooks[{n}]")] for n, (on, hook) in enumerate(hooks)]
        return ["module", name_of(type(module)), told]

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
            parts = {"values": tensor.int_repr(), "scale": tensor.q_scale(), "zero_point": tensor.q_zero_point()}
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
        return {"parameter": isinstance(tensor, nn.Parameter), "requires_grad": tensor.requires_grad, **grad}

    @staticmethod
    def array_memory(array: np.ndarray) -> tuple[int, int, int]:
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        low, _ = np.lib.array_utils.byte_bounds(array)
        return base.__array_interface__["data"][0], array.__array_interface__["data"][0], low
