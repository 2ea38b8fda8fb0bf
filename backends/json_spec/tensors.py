"""`weights.safetensors`: written in one pass, mapped once, viewed without a copy.

Source of the layout: https://github.com/huggingface/safetensors#format. Every entry starts at a multiple of 64 bytes,
as torch's own CPU allocations do, because kernels may round differently on memory that is aligned differently.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backends.json_spec.batches import Batches
from backends.json_spec.digests import SHA256, Checking, cores, digest_named, reading, shown
from backends.json_spec.errors import ArtifactError
from backends.json_spec.files import DIGESTS, open_file
from backends.json_spec.header import ALIGNMENT, FILLER, SCALARS, read_header
from backends.json_spec.regions import Region

_NOWHERE = (0, -1)
_frombuffer, _from_numpy, _ndarray = torch.frombuffer, torch.from_numpy, np.ndarray
NUMPY_DIMENSIONS = 32
"""Of an array of any NumPy that torch takes."""
THREAD_BYTES = 1 << 16
"""Less than this is hashed sooner than it is handed to another thread."""
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip
"""torch's name -> safetensors' name; everything else is written as U8 bytes."""
SIZES = {code: getattr(torch, name).itemsize for name, code in DTYPES.items()}
_WHOLE = {
    name: (getattr(torch, name), getattr(torch, name).itemsize, np.dtype(name) if hasattr(np, name) else None)
    for name in DTYPES if name != "bool"
}  # fmt: skip
"""torch's name -> its dtype, bytes of an element, NumPy's dtype; of all that any bytes make a value of."""


def write(regions: list[Region], path: Path, digest: str = SHA256) -> Callable[[], dict[str, Any]]:
    """Write the regions. What is returned gives the digests of the header and of every entry, as digests.json has them:
    other threads are computing them, which began with the first region and may end after the last is written.

    Memory is read until then, each region once. Making the file durable is left to the caller.
    """
    header, pieces = layout(regions)
    digest_of = digest_named(digest)
    entries: dict[str, str] = {}
    waiting: dict[str, Future[str]] = {}
    threads = ThreadPoolExecutor(cores())
    try:
        with open(path, "xb", buffering=0) as file:
            batches = Batches(file)
            batches.add(header)
            for name, piece in pieces:
                if isinstance(piece, int):
                    batches.add(bytes(piece))
                    continue
                data = piece.read()
                entries[name] = "" if (is_long := len(data) >= THREAD_BYTES) else digest_of(data)
                if is_long:
                    waiting[name] = threads.submit(digest_of, data)
                batches.add(data)
                if piece.is_gathered():  # a copy, which should not outlive its turn
                    batches.write()
                    if is_long:
                        waiting[name].result()
            batches.write()
    except BaseException:
        threads.shutdown(cancel_futures=True)
        raise
    threads.shutdown(wait=False)  # they end when they have no more to do

    def digests() -> dict[str, Any]:
        entries.update((name, found.result()) for name, found in waiting.items())
        named = {} if digest == SHA256 else {"digest": digest}
        return {**named, "header": digest_of(header), "entries": entries}

    return digests


def layout(regions: list[Region]) -> tuple[bytes, list[tuple[str, Region | int]]]:
    """The header's bytes with its length before it, and the entries that follow: a region, or a number of zeros."""
    header: dict[str, Any] = {}
    pieces: list[tuple[str, Region | int]] = []
    end = 0

    def place(name: str, dtype: str, shape: list[int], size: int, piece: Region | int) -> None:
        nonlocal end
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        pieces.append((name, piece))
        end += size

    for number, region in enumerate(sorted(regions, key=lambda r: (-_alignment(r), r.size % ALIGNMENT != 0))):
        if filler := -end % _alignment(region):
            place(f"{FILLER}{number}", "U8", [filler], filler, filler)
        place(region.name, *_type_of(region), region.size, region)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text, pieces


def _alignment(region: Region) -> int:
    """Of a single number its own size: no kernel takes it in parts."""
    single = region.size in SCALARS and len(region.views) == 1 and region.views[0].itemsize == region.size
    return region.size if single else ALIGNMENT


def _type_of(region: Region) -> tuple[str, list[int]]:
    """The entry's dtype and shape: the tensor's own where one contiguous tensor fills it, else bytes."""
    view = region.covering()
    plain = view is not None and view.dtype in DTYPES and view.is_contiguous()
    if plain and all(other.dtype == view.dtype for other in region.views):
        return DTYPES[view.dtype], list(view.shape)
    return "U8", [region.size]


class Weights:
    """The mapped file: private to the process, copied page by page where it is written to."""

    def __init__(self, path: Path, digests: Mapping[str, Any] | None = None, *, on_cpu: bool = False) -> None:
        """Map the file and check its header; where digests are given, begin to check every entry in other threads.

        `on_cpu`: no tensor goes to a GPU. Raises ArtifactError where the header or the file's size are not what they
        should be.
        """
        self.name = path.name
        self.on_cpu = on_cpu
        handle, size = open_file(path)
        try:
            if size < 8:
                raise ArtifactError(f"{path.name} is truncated: {size} bytes")
            self._map = mmap.mmap(handle, size, access=mmap.ACCESS_COPY)
        except OSError as error:
            raise ArtifactError(f"{path.name} cannot be mapped: {error.strerror or error}") from error
        finally:
            os.close(handle)
        self.size_bytes = size
        self._entries = read_header(self._map, size, path.name, SIZES)
        self._copied: set[str] = set()
        self._fresh = {name: place for name, place in self._entries.items() if not name.startswith(FILLER)}
        """Entries of which there is no view yet."""
        self._bytes: dict[str, torch.Tensor] = {}
        self._whole: dict[str, torch.Tensor] = {}
        self._copies: dict[tuple[str, str], torch.Tensor] = {}
        self._checking = self.checking(digests) if digests is not None else None

    def checking(self, digests: Mapping[str, Any]) -> Checking:
        """The comparison of every entry with its digest, under way. Raises ArtifactError."""
        data = memoryview(self._map)
        start = min((start for start, _ in self._entries.values()), default=len(data))
        digest = digests.get("digest", SHA256)
        if reading(digest)(data[:start]) != digests["header"]:
            raise ArtifactError(
                f"the header of {self.name} is damaged: its {shown(digest)} is not the one in {DIGESTS}"
            )
        places = {}
        for name, (start, size) in self._entries.items():
            if not name.startswith(FILLER):
                places[name] = (start, size)
            elif any(data[start : start + size]):
                raise ArtifactError(f"{self.name} is damaged: {name!r} is not all zeros")
        return Checking(self.name, data, places, digests["entries"], digest)

    def finish(self) -> None:
        """Return when every entry was compared with its digest, if digests were given. Raises ArtifactError."""
        if self._checking is not None:
            self._checking.finish()

    def stop(self) -> None:
        """Let the threads end early."""
        if self._checking is not None:
            self._checking.stop()

    def place(self, entry: str) -> tuple[int, int]:
        """Where an entry starts in the file, and how many bytes it has. Raises ArtifactError where there is none."""
        if entry not in self._entries or entry.startswith(FILLER):
            raise ArtifactError(f"the weights have no entry {entry!r}")
        return self._entries[entry]

    def blob(self, entry: str) -> bytes:
        """A copy of an entry, checked before anything parses it. Raises ArtifactError when it is asked for twice."""
        if entry in self._copied:
            raise ArtifactError(f"two byte strings are the one entry {entry!r} of the weights")
        self._copied.add(entry)
        data = self.bytes_of(entry)
        if self._checking is not None:
            self._checking.check(entry)
        return data.numpy().tobytes()

    def whole(self, entry: str, dtype: str, shape: list[int]) -> torch.Tensor | None:
        """The contiguous tensor that fills an entry, by the shortest way; None where that is not the way.

        That is by NumPy, where it has the dtype: an array has its shape at once, a tensor from a buffer only by a
        second operation of torch's, and one operation takes as long as all else that is done for a tensor.
        """
        if dtype not in _WHOLE:
            return None
        start, size = self._fresh.pop(entry, _NOWHERE)
        own, itemsize, same = _WHOLE[dtype]
        if math.prod(shape) * itemsize != size:
            return None
        if same is not None and len(shape) <= NUMPY_DIMENSIONS:
            tensor = _from_numpy(_ndarray(shape, same, self._map, start))
        else:
            tensor = _frombuffer(self._map, dtype=own, offset=start, count=size // itemsize).resize_(shape)
        self._whole[entry] = tensor
        return tensor

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
        if dtype is torch.bool:
            self._check_truth(entry, shape, stride, offset)
        return tensor

    def array(self, entry: str, dtype: np.dtype, shape: list[int], strides: list[int], offset: int) -> np.ndarray:
        """A NumPy view of an entry; offset and strides in bytes. Raises ArtifactError outside the entry.

        A view of the file, not of the tensor that may lie there too: torch puts a storage elsewhere when it sends it to
        another process, and who looks through the tensor looks at memory that is no longer there.
        """
        start, size = self.place(entry)
        self._fresh.pop(entry, None)
        data = _ndarray((size,), np.uint8, self._map, start)
        reach = [(size - 1) * step for size, step in zip(shape, strides, strict=True)]
        low, high = offset + sum(step for step in reach if step < 0), offset + sum(step for step in reach if step > 0)
        if low < 0 or high + dtype.itemsize > data.size:
            raise ArtifactError(f"an array reaches outside its entry {entry!r} of the weights")
        if dtype.kind == "b":
            self._check_truth(entry, shape, strides, offset)
        try:
            array = np.ndarray(tuple(shape), dtype, data, offset, tuple(strides))
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"an array does not fit its entry {entry!r} of the weights: {error}") from error
        if dtype.kind == "U":
            check_letters(self._few(entry, dtype.itemsize, shape, strides, offset).view(dtype.byteorder + "u4"))
        return array

    def _check_truth(self, entry: str, shape: list[int], strides: list[int], offset: int) -> None:
        """Refuse bytes other than 0 and 1 where truth values lie; kernels take any bit of them."""
        if self._few(entry, 1, shape, strides, offset).max() > 1:
            raise ArtifactError(f"a truth value in entry {entry!r} of the weights is neither 0 nor 1")

    def _few(self, entry: str, itemsize: int, shape: list[int], strides: list[int], offset: int) -> np.ndarray:
        """The bytes of a view's elements, or, where they overlap, of all that it spans: never more than the entry."""
        data = self.bytes_of(entry).numpy()
        steps = [(size, step) for size, step in zip(shape, strides, strict=True) if size > 1 and step]
        count = math.prod(size for size, _ in steps) * itemsize
        if count <= data.size:
            shape, strides = [size for size, _ in steps], [step for _, step in steps]
            part = np.ndarray((*shape, itemsize), np.uint8, data, offset, (*strides, 1))
            return np.ascontiguousarray(part).reshape(-1)
        low = offset + sum((size - 1) * step for size, step in steps if step < 0)
        high = offset + sum((size - 1) * step for size, step in steps if step > 0) + itemsize
        return data[low:high][: (high - low) // itemsize * itemsize]

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
        if entry not in self._bytes:
            start, size = self.place(entry)
            self._fresh.pop(entry, None)
            if entry in self._whole:
                storage = self._whole[entry].untyped_storage()
                self._bytes[entry] = torch.empty(0, dtype=torch.uint8).set_(storage, 0, (size,), (1,))
            else:
                self._bytes[entry] = torch.frombuffer(self._map, dtype=torch.uint8, offset=start, count=size)
        return self._bytes[entry]


def check_letters(codes: np.ndarray) -> None:
    """Refuse numbers that are no letters of Unicode: NumPy would fail only when someone looks at the text."""
    if codes.size and codes.max() > 0x10FFFF:
        raise ArtifactError("a text of NumPy holds a number beyond Unicode")
