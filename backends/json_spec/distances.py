"""How the values of two tensors, or arrays, of one description differ; for `differences`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from backends.json_spec.layouts import read_strided
from backends.json_spec.leaves import read_array
from backends.json_spec.regions import plain_bytes
from backends.json_spec.tensors import Weights

NUMBERS = frozenset([torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128])
"""Whose distance is told."""


def change(one: Any, other: Any) -> str:
    """How the values of two tensors or arrays of one description differ; empty where their bits are the same."""
    bits, others = _bits(one), _bits(other)
    if bits.shape != others.shape:  # entries around elements that overlap
        return "other bytes"
    different = (bits != others).reshape(bits.shape[0], -1).any(axis=1)
    count = int(different.sum())
    return f"{count} of {len(different)} values differ{_distance(one, other, different)}" if count else ""


def _distance(one: Any, other: Any, different: np.ndarray) -> str:
    """How far apart the floating-point numbers are that differ; empty where that cannot be told."""
    numbers = [_numbers(value, different) for value in (one, other)]
    if any(values is None for values in numbers):
        return ""
    with np.errstate(all="ignore"):
        apart = np.abs(numbers[0] - numbers[1])
    if not apart.any():
        return " in the sign of zero"
    known = apart[~np.isnan(apart)]
    return f" by up to {known.max():.2g}" if known.any() else ""


def _numbers(value: Any, chosen: np.ndarray) -> np.ndarray | None:
    """The chosen elements of a tensor or array of floating-point numbers, in double precision."""
    if isinstance(value, torch.Tensor):
        if value.dtype not in NUMBERS:
            return None
        value = value.detach().reshape(-1)[torch.from_numpy(chosen)]
        return value.to(torch.complex128 if value.is_complex() else torch.float64).numpy()
    if value.dtype.kind not in "fc" or value.dtype.itemsize // (1 + (value.dtype.kind == "c")) > 8:
        return None
    return value.reshape(-1)[chosen].astype(np.complex128 if value.dtype.kind == "c" else np.float64)


def values(tag: str, node: dict[str, Any], weights: Weights) -> Any:
    """A tensor or array; where its elements overlap, the whole entry: as many as it says would fill any memory."""
    memory = {name: item for name, item in node.items() if name not in ("conj", "neg")}  # of both, or of none
    value = (read_strided if tag == "$tensor" else read_array)(memory, weights)
    return value if value.nbytes <= weights.place(node["entry"])[1] else weights.bytes_of(node["entry"])


def _bits(value: Any) -> np.ndarray:
    """The bytes of each element, of shape (elements, bytes)."""
    if isinstance(value, torch.Tensor):
        return plain_bytes(value).numpy().reshape(value.numel(), value.element_size())
    return np.frombuffer(value.tobytes(), np.uint8).reshape(value.size, -1)
