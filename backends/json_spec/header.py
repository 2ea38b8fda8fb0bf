"""The header of `weights.safetensors`, checked before any entry is looked at.

safetensors itself accepts (tried with 0.8): two entries of one name, unknown fields, shapes like `[0, 2^62]`, a truth
value of 7. Nothing of that passes here, and what a header declares is compared with the size that the file has, so that
a small file cannot make a reader ask for a large memory.
"""

from __future__ import annotations

import math
from typing import Any

from backends.json_spec.errors import ArtifactError
from backends.json_spec.forms import sizes
from backends.json_spec.text import parse, parse_uncounted

ALIGNMENT = 64
"""Every entry starts at a multiple of this, as torch's own CPU allocations do; kernels may round differently else."""
FILLER = "~fill."
"""How the entries that hold nothing but zeros between others are called."""
HEADER_LIMIT = 100_000_000
"""Bytes, as in safetensors."""
SCALARS = (1, 2, 4, 8, 16)
"""Bytes of a single element, which may also start at a multiple of its own size."""
FIELDS = 3
"""Of an entry: dtype, shape, data_offsets."""


def read_header(data: Any, size: int, what: str, itemsizes: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Entry -> (start in the file, bytes). Entries must follow one another and fill the file exactly.

    `itemsizes`: safetensors' name of a dtype -> bytes of an element. Raises ArtifactError.
    """
    length = int.from_bytes(data[:8], "little")
    if length > min(size - 8, HEADER_LIMIT):
        raise ArtifactError(f"{what} is damaged: its header claims {length} bytes")
    text = data[8 : 8 + length]
    header, keys = parse_uncounted(text, f"the header of {what}")
    if not isinstance(header, dict):
        raise ArtifactError(f"the header of {what} is not an object")
    entries, end, first = {}, 0, 8 + length
    for name, entry in header.items():
        if type(entry) is not dict or len(entry) != FIELDS:
            raise ArtifactError(f"entry {name[:200]!r} of {what} has other fields than dtype, shape, data_offsets")
        try:
            dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        except KeyError as error:
            raise ArtifactError(f"entry {name[:200]!r} of {what} lacks {error}") from error
        if type(dtype) is not str or (itemsize := itemsizes.get(dtype)) is None:
            raise ArtifactError(f"entry {name[:200]!r} of {what} has an unknown dtype")
        if not sizes(shape):
            raise ArtifactError(f"entry {name[:200]!r} of {what} has a shape that is none")
        start, stop = offsets if type(offsets) is list and len(offsets) == 2 else (None, None)
        if type(start) is not int or type(stop) is not int or not start == end < stop:
            raise ArtifactError(f"entry {name[:200]!r} of {what} has offsets that overlap, leave a gap or run back")
        held, place = stop - start, first + start
        if math.prod(shape) * itemsize != held:
            raise ArtifactError(f"entry {name[:200]!r} of {what} has a shape that does not fit its bytes")
        if place % ALIGNMENT and not (name.startswith(FILLER) or (held in SCALARS and place % held == 0)):
            raise ArtifactError(f"entry {name[:200]!r} of {what} does not start at a multiple of {ALIGNMENT} bytes")
        entries[name] = (place, held)
        end = stop
    if keys != len(header) * (1 + FIELDS):
        parse(text, f"the header of {what}", flat=True)
    if first + end != size:
        raise ArtifactError(f"{what} has {size} bytes where its header describes {first + end}")
    return entries
