"""Each guard of plain values alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import io
import zoneinfo
from pathlib import Path

import pytest

from backends.json_spec import values
from backends.json_spec.errors import Unsupported


class Alike:
    def __hash__(self):
        return 1


def test_values():
    values.check_hashes([Alike() for _ in range(values.SAME_HASH)] + [2])
    with pytest.raises(ValueError, match="more than 250 keys have the same hash"):
        values.check_hashes([Alike() for _ in range(values.SAME_HASH + 1)])
    for make, payload, message in [
        ("$regex", [5, 0], "neither text nor bytes"), ("$regex", ["a", 128], "flags are not known"),
        ("$complex", [1, 2.0], "a int stands where a float must"), ("$range", [1, 2.0, 1], "a float stands where"),
        ("$dtype", "relu", "torch has no dtype 'relu'"), ("$layout", "float32", "torch has no layout 'float32'"),
        ("$dtype", "half", "torch has no dtype 'half'"), ("$finfo", "double", "torch has no dtype 'double'"),
    ]:  # fmt: skip
        (tag,) = [tag for tag in values.VALUES.values() if tag.key == make][:1]
        with pytest.raises(ValueError, match=message):
            tag.make(payload, lambda node: node)
    rome = next(path for path in map(Path, zoneinfo.TZPATH) if (path / "Europe/Rome").is_file()) / "Europe/Rome"
    with pytest.raises(Unsupported, match="has no name to find it by"):
        values.VALUES[zoneinfo.ZoneInfo].write(zoneinfo.ZoneInfo.from_file(io.BytesIO(rome.read_bytes())), None)
    with pytest.raises(Unsupported, match="would come back as the cached one"):
        values.VALUES[zoneinfo.ZoneInfo].write(zoneinfo.ZoneInfo.no_cache("Europe/Rome"), None)
