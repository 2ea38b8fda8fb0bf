"""`weights.safetensors`: written in one pass, mapped once, viewed without a copy.

Source of the layout: https://github.com/huggingface/safetensors#format. Every entry starts at a multiple of 64 bytes,
as torch's own CPU allocations do, because kernels may round differently on memory that is aligned differently.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backends.json_spec.errors import ArtifactError
from backends.json_spec.files import open_file
from backends.json_spec.regions import Region
from backends.json_spec.text import parse

ALIGNMENT = 64
HEADER_LIMIT = 100_000_000
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip
"""torch's name -> safetensors' name; everything else is written as U8 bytes."""
SIZES = {code: getattr(torch, name).itemsize for name, code in DTYPES.items()}


def digest(regions: list[Region]) -> str:
    """SHA-256 of the file that `write` would write."""
    return _emit(regions, None)


def write(regions: list[Region], path: Path) -> str:
    """Write the regions, fsync, and return the file's SHA-256."""
    with open(path, "xb") as file:
        sha256 = _emit(regions, file)
        file.flush()
        os.fsync(file.fileno())
    return sha256


def _emit(regions: list[Region], file: Any) -> str:
    sha256 = hashlib.sha256()

    def put(data: Any) -> None:
        sha256.update(data)
        if file is not None:
            file.write(data)

    header: dict[str, Any] = {}
    end = 0
    ordered = sorted(regions, key=lambda region: region.size % ALIGNMENT != 0)
    fillers = []
    for region in ordered:
        fillers.append(-end % ALIGNMENT)
        if fillers[-1]:
            header[f"~fill.{len(fillers)}"] = {
                "dtype": "U8", "shape": [fillers[-1]], "data_offsets": [end, end + fillers[-1]]
            }  # fmt: skip
            end += fillers[-1]
        dtype, shape = _type_of(region)
        header[region.name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + region.size]}
        end += region.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    put(len(text).to_bytes(8, "little"))
    put(text)
    for region, filler in zip(ordered, fillers, strict=True):
        if filler:
            put(bytes(filler))
        put(region.read())
    return sha256.hexdigest()


def _type_of(region: Region) -> tuple[str, list[int]]:
    """The entry's dtype and shape: the tensor's own where one contiguous tensor fills it, else bytes."""
    view = region.covering()
    if view is not None and view.dtype in DTYPES and len({v.dtype for v in region.views}) == 1:
        expected = view.itemsize
        for size, stride in zip(reversed(view.shape), reversed(view.strides), strict=True):
            if size != 1 and stride != expected:
                break
            expected *= size
        else:
            if expected == region.size:
                return DTYPES[view.dtype], list(view.shape)
    return "U8", [region.size]


class Weights:
    """The mapped file: private to the process, copied page by page where it is written to."""

    def __init__(self, path: Path, sha256: str) -> None:
        """Map and check the file. Raises ArtifactError where its bytes or its header are not what they should be."""
        handle, size = open_file(path)
        try:
            if size < 8:
                raise ArtifactError(f"{path.name} is truncated: {size} bytes")
            self._map = mmap.mmap(handle, size, access=mmap.ACCESS_COPY)
        finally:
            os.close(handle)
        found = hashlib.sha256(self._map).hexdigest()
        if found != sha256:
            raise ArtifactError(f"{path.name} is damaged: its SHA-256 is {found}, SHA256SUMS says {sha256}")
        self._entries = _read_header(self._map, size, path.name)
        self._storages: dict[str, torch.Tensor] = {}
        self._copies: dict[tuple[str, str], torch.Tensor] = {}

    def tensor(
        self, entry: str, dtype: torch.dtype, shape: list[int], stride: list[int], offset: int, device: torch.device
    ) -> torch.Tensor:
        """A view of an entry; `offset` in bytes, `stride` in elements. Raises ArtifactError outside the entry."""
        storage = self._placed(entry, device)
        reach = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        if offset % dtype.itemsize or offset + (reach + 1) * dtype.itemsize > storage.numel():
            raise ArtifactError(f"a tensor reaches outside its entry {entry!r} of the weights")
        tensor = torch.empty(0, dtype=dtype, device=device)
        tensor.set_(storage.untyped_storage(), offset // dtype.itemsize, shape, stride)
        if dtype is torch.bool and tensor.view(torch.uint8).amax().item() > 1:
            raise ArtifactError(f"a truth value in entry {entry!r} of the weights is neither 0 nor 1")
        return tensor

    def array(self, entry: str, dtype: np.dtype, shape: list[int], strides: list[int], offset: int) -> np.ndarray:
        """A NumPy view of an entry; offset and strides in bytes."""
        try:
            return np.ndarray(tuple(shape), dtype, self.bytes_of(entry).numpy(), offset, tuple(strides))
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"an array does not fit its entry {entry!r} of the weights: {error}") from error

    def _placed(self, entry: str, device: torch.device) -> torch.Tensor:
        """An entry on a device, copied there once."""
        if device.type == "cpu":
            return self.bytes_of(entry)
        key = (entry, str(device))
        if key not in self._copies:
            self._copies[key] = self.bytes_of(entry).to(device)
        return self._copies[key]

    def bytes_of(self, entry: str) -> torch.Tensor:
        """An entry as uint8, always the same storage for the same entry."""
        if entry not in self._storages:
            if entry not in self._entries:
                raise ArtifactError(f"the weights have no entry {entry!r}")
            start, size = self._entries[entry]
            self._storages[entry] = torch.frombuffer(self._map, dtype=torch.uint8, offset=start, count=size)
        return self._storages[entry]


def _read_header(data: mmap.mmap, size: int, what: str) -> dict[str, tuple[int, int]]:
    """Entry -> (start in the file, bytes). Entries must follow one another and fill the file exactly."""
    length = int.from_bytes(data[:8], "little")
    if length > min(size - 8, HEADER_LIMIT):
        raise ArtifactError(f"{what} is damaged: its header claims {length} bytes")
    header = parse(data[8 : 8 + length], f"the header of {what}")
    if not isinstance(header, dict):
        raise ArtifactError(f"the header of {what} is not an object")
    entries, end = {}, 0
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ArtifactError(f"entry {name!r} of {what} has other fields than dtype, shape, data_offsets")
        offsets, shape = entry["data_offsets"], entry["shape"]
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in SIZES:
            raise ArtifactError(f"entry {name!r} of {what} has an unknown dtype")
        if not (_sizes(offsets) and _sizes(shape) and len(offsets) == 2 and offsets[0] == end < offsets[1]):
            raise ArtifactError(f"entry {name!r} of {what} has offsets that overlap, leave a hole or run backwards")
        if math.prod(shape) * SIZES[entry["dtype"]] != offsets[1] - offsets[0]:
            raise ArtifactError(f"entry {name!r} of {what} has a shape that does not fit its bytes")
        entries[name] = (8 + length + offsets[0], offsets[1] - offsets[0])
        end = offsets[1]
    if 8 + length + end != size:
        raise ArtifactError(f"{what} has {size} bytes where its header describes {8 + length + end}")
    return entries


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**62 for size in value)
