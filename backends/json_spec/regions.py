"""From tensors and arrays to regions of memory: what shares storage is written once.

Views of one storage, and anything else whose bytes overlap in memory (a NumPy array over a tensor), fall into one
region. A region's bytes that no view touches are written as zeros, so uninitialised memory never reaches a file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from backends.json_spec.errors import refuse


@dataclass(slots=True)
class View:
    """One tensor, array or byte string as it lies in memory. Strides in bytes; `low <= first element < high`."""

    name: str
    holder: Any
    node: dict[str, Any]
    """The description in the spec; `entry` and `offset` are filled in by `plan`."""
    space: str
    """The address space: a device, or one of its own for a byte string."""
    address: int
    itemsize: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    storage: int
    low: int = field(init=False)
    high: int = field(init=False)

    def __post_init__(self) -> None:
        self.low = self.high = self.address
        for size, stride in zip(self.shape, self.strides, strict=True):
            if stride > 0:
                self.high += (size - 1) * stride
            else:
                self.low += (size - 1) * stride
        self.high += self.itemsize

    def is_contiguous(self) -> bool:
        """Whether the elements fill low..high without gap or overlap, in the order of the indices."""
        expected = self.itemsize
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1:
                if stride != expected:
                    return False
                expected *= size
        return True

    def is_dense(self) -> bool:
        """Whether the elements fill low..high without gap or overlap, in any order."""
        if self.is_contiguous():
            return True
        expected = self.itemsize
        for stride, size in sorted((abs(t), s) for t, s in zip(self.strides, self.shape, strict=True) if s != 1):
            if stride != expected:
                return False
            expected *= size
        return True


@dataclass
class Region:
    """A run of bytes that becomes one entry of the weights' file."""

    name: str
    low: int
    high: int
    views: list[View]
    _covering: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._covering = self  # not yet looked for

    @property
    def size(self) -> int:
        return self.high - self.low

    def covering(self) -> View | None:
        """A view that fills the region; None where bytes must be gathered from several. Of a region from `plan`."""
        if self._covering is self:
            low, high = self.low, self.high
            full = (view for view in self.views if view.low == low and view.high == high and view.is_dense())
            self._covering = next(full, None)
        return self._covering

    def is_gathered(self) -> bool:
        """Whether to read the region makes a copy of it."""
        whole = self.covering()
        return whole is None or (isinstance(whole.holder, torch.Tensor) and not whole.holder.is_cpu)

    def read(self) -> memoryview:
        """The region's bytes: without a copy for CPU memory that one view fills."""
        whole = self.covering()
        if whole is not None:
            return memoryview(_dense_bytes(whole))
        out = np.zeros(self.size, np.uint8)
        for view in self.views:
            source = _element_bytes(view)
            target = np.ndarray(
                (*view.shape, view.itemsize), np.uint8, out.data, view.address - self.low, (*view.strides, 1)
            )
            target[...] = source
        return memoryview(out)


def view_of_tensor(tensor: torch.Tensor, name: str, node: dict[str, Any]) -> View:
    """Describe a strided tensor's memory."""
    size = tensor.element_size()
    strides = tuple([stride * size for stride in tensor.stride()])
    space = "cpu" if tensor.is_cpu else str(tensor.device)
    dtype, storage = str(tensor.dtype).removeprefix("torch."), tensor.untyped_storage().data_ptr()
    return View(name, tensor, node, space, tensor.data_ptr(), size, tuple(tensor.shape), strides, dtype, storage)


def view_of_array(array: np.ndarray, name: str, node: dict[str, Any]) -> View:
    """Describe a NumPy array's memory; it shares the address space of CPU tensors."""
    address = array.__array_interface__["data"][0]
    base: Any = array
    while isinstance(getattr(base, "base", None), np.ndarray):
        base = base.base
    storage = base.__array_interface__["data"][0] if isinstance(base, np.ndarray) else address
    dtype = array.dtype.name if array.dtype.kind in "biufc" and array.dtype.isnative else "bytes"
    return View(name, array, node, "cpu", address, array.itemsize, array.shape, array.strides, dtype, storage)


def view_of_bytes(data: bytes, name: str, node: dict[str, Any]) -> View:
    """Describe a byte string; it shares memory with nothing."""
    return View(name, np.frombuffer(data, np.uint8), node, f"bytes {name}", 0, 1, (len(data),), (1,), "uint8", 0)


def view_of_buffer(value: Any, name: str) -> list[View]:
    """The memory of a bytearray or array.array, which tensors and arrays may lie in; of an empty one none."""
    return [view_of_array(np.frombuffer(value, np.uint8), name, {})] if len(value) else []


def check_apart(apart: list[View], views: list[View]) -> None:
    """Refuse memory that is written as values and shared: what is written into the one would not show in the other.

    `apart` are views of such memory, `views` of what is written as memory.
    """
    if not apart:
        return
    spans = [(view.low, view.high, view.name, True) for view in apart]
    spans += [(view.low, view.high, view.name, False) for view in views if view.space == "cpu"]
    last: dict[bool, tuple[int, str]] = {}
    for low, high, name, is_apart in sorted(spans):
        for kind, (end, other) in last.items():
            if low < end and (is_apart or kind):
                refuse(name, f"on the same memory as {other}", "give it a copy, or keep one of the two")
        if high > last.get(is_apart, (0, ""))[0]:
            last[is_apart] = (high, name)


def plan(views: list[View]) -> list[Region]:
    """Group views (none of them empty) into regions, in the order of first sight; fills in each view's node."""
    by_storage: dict[tuple[str, int], Region] = {}
    for view in views:
        region = by_storage.setdefault((view.space, view.storage), Region(view.name, view.low, view.high, []))
        region.low, region.high = min(region.low, view.low), max(region.high, view.high)
        region.views.append(view)
    order = {id(view): number for number, view in enumerate(views)}
    merged: list[Region] = []
    for region in sorted(by_storage.values(), key=lambda r: (r.views[0].space, r.low, r.high)):
        last = merged[-1] if merged else None
        if last is not None and last.views[0].space == region.views[0].space and region.low < last.high:
            last.high = max(last.high, region.high)
            last.views.extend(region.views)
        else:
            merged.append(region)
    for region in merged:
        region.views.sort(key=lambda view: order[id(view)])
        region.name = region.views[0].name
        sizes = {view.itemsize for view in region.views}
        if len(sizes) > 1:  # elements of every size must start at a multiple of it
            region.low -= region.low % math.lcm(*sizes)
        for view in region.views:
            view.node["entry"] = region.name
            if view.address != region.low:
                view.node["offset"] = view.address - region.low
    return sorted(merged, key=lambda region: order[id(region.views[0])])


def _dense_bytes(view: View) -> np.ndarray:
    if isinstance(view.holder, np.ndarray):
        array = view.holder
        array = array[(..., *(slice(None, None, -1) if stride < 0 else slice(None) for stride in array.strides))]
        return (
            array.transpose(sorted(range(array.ndim), key=lambda axis: -array.strides[axis])).reshape(-1).view(np.uint8)
        )
    tensor = view.holder.detach()
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset()).cpu().view(torch.uint8).numpy()


def _element_bytes(view: View) -> np.ndarray:
    """The bytes of each element, of shape (*shape, itemsize)."""
    if isinstance(view.holder, np.ndarray):
        return np.frombuffer(view.holder.tobytes(), np.uint8).reshape(*view.shape, view.itemsize)
    return plain_bytes(view.holder).numpy().reshape(*view.shape, view.itemsize)


def plain_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The bytes of a strided tensor's elements one after the other, without a copy where they lie so.

    `contiguous` leaves a single element its stride, and `view` takes another dtype only where that is 1.
    """
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return plain.as_strided((plain.numel(),), (1,)).view(torch.uint8)
