"""Small files that ask for much: run as a program, under a limit of memory, by test_bombs.py.

python bombs.py FOLDER NAME...    # one line of JSON a name: what came out, seconds, bytes of memory asked for
"""

from __future__ import annotations

import functools
import json
import resource
import sys
import time
from pathlib import Path

import crafting
import json_spec_things  # noqa: F401  (it is what the bombs trust)
import numpy as np
import pandas  # noqa: F401  (their import is no part of what is measured)
import PIL.Image  # noqa: F401
import torch

from backends.json_spec import ArtifactError, load

GIB = 1 << 30
HALF = np.ones(1, np.float32).tobytes()
ONE = {"a": ("F32", [1], HALF)}
BYTES = {"a": ("U8", [64], bytes(64))}


def _collisions(count: int) -> list:
    prime = 2**61 - 1  # the hash of a number is its remainder
    return [{"$int": hex(prime * (k + 1024))} for k in range(count)]


def _header(path: Path, entry: str, data: bytes = bytes(64)) -> Path:
    crafting.holding(path, 1)
    text = entry.encode()
    text += b" " * (-(8 + len(text)) % 64)
    (path / "weights.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    return crafting.sign(path)


def _spec(path: Path, text: bytes) -> Path:
    crafting.holding(path, 1)
    (path / "spec.json").write_bytes(text)
    return crafting.sign(path)


def _chain(path: Path, length: int) -> Path:
    links = {f"t{n}": {"$tuple": [{"$ref": f"t{n + 1}"}]} for n in range(length)}
    return crafting.holding(path, {"$ref": "t0"}, **links, **{f"t{length}": {"$tuple": [1]}})


MEGABYTE = {"a": ("U8", [1 << 20], bytes(1 << 20))}
ARRAY = {"$ndarray": "|u1", "shape": [1 << 20], "entry": "a"}
WIDE = {"$ndarray": "|u1", "shape": [1 << 34], "strides": [0], "entry": "a"}


def _held(what: tuple, path: Path) -> Path:
    return crafting.holding(path, *what)


def _index(data: dict) -> dict:
    return {"$codec": "pandas:Index", "state": {"values": {"kind": "numpy", "data": data}, "name": None}}


def _picture(mode: str, side: int, data: dict) -> dict:
    state = {"mode": mode, "size": {"$tuple": [side, side]}, "palette": None, "data": data, "info": {}}
    return {"$codec": "PIL.Image:Image", "state": state}


def _columns(side: int) -> dict:
    return {"$codec": "pandas:RangeIndex", "state": {"range": {"$tuple": [0, side, 1]}, "name": None}}


def _levels(side: int) -> dict:
    codes = [{"$ndarray": "|u1", "shape": [1], "entry": "a"}]
    return {"$codec": "pandas:MultiIndex", "state": {"levels": [_columns(side)], "codes": codes, "names": [None]}}


def _doubled(levels: int) -> dict:
    """Tuples of which each holds the next one twice."""
    return {f"t{n}": {"$tuple": [{"$ref": f"t{n + 1}"}] * 2} for n in range(levels)} | {f"t{levels}": {"$tuple": [1]}}


def _large(digits: str) -> dict:
    return {"$int": "0x1" + digits * (99_990 // len(digits))}


FRAME = {"index": _columns(1 << 40), "columns": _columns(1 << 20), "values": [], "attrs": {}}
HOLDING = {
    "a shape without bytes": ({"$tensor": "float32", "shape": [1 << 40], "entry": "a"}, ONE),
    "an empty shape with a huge side": ({"$tensor": "float32", "shape": [0, (1 << 62) - 1]},),
    "an empty array with a huge side": ({"$ndarray": "<f4", "shape": [0, 1 << 61]},),
    "an empty array of huge texts": ({"$ndarray": "<U400000000", "shape": [0]},),
    "a million dimensions": ({"$tensor": "float32", "shape": [3] * 1_000_000, "entry": "a"}, ONE),
    "truth values, all of them one byte": (
        {"$tensor": "bool", "shape": [1 << 20, 1 << 20], "stride": [0, 0], "entry": "a"},
        {"a": ("BOOL", [1], b"\1")},
    ),
    "truth values in windows that overlap": (
        {"$tensor": "bool", "shape": [30] * 9, "stride": [1] * 9, "entry": "a"},
        {"a": ("BOOL", [512], b"\1" * 512)},
    ),
    "letters, all of them one": (
        {"$ndarray": "<U1", "shape": [1 << 34], "strides": [0], "entry": "a"},
        {"a": ("U8", [64], b"a\0\0\0" * 16)},
    ),
    "a column that is one byte repeated": (_index(WIDE), BYTES),
    "one array copied by thousands of indexes": ([_index(ARRAY)] * 3000, MEGABYTE),
    "one byte string copied a thousand times": ([{"$blob": 1 << 20, "entry": "a"}] * 4000, MEGABYTE),
    "a picture larger than its bytes": (_picture("F", 100_000, {"$bytes": ""}),),
    "a fraction from text": ({"$fraction": ["1e999999999", None]},),
    "a decimal of a million digits": ({"$decimal": "1" * 1_000_000},),
    "a hexadecimal of ten million digits": ({"$int": "0x1" + "0" * 10_000_000},),
    "numbers with one hash": ({"$set": _collisions(60_000)},),
    "keys with one hash": ({"$dict": [[key, 1] for key in _collisions(60_000)]},),
    "character sets": ([{"$regex": [f"[\\u{n:04x}-\U0010ffff]" * 40, 34]} for n in range(256, 512)],),
    "a deque with room for all": ({"$deque": [1 << 62, []]},),
    "a size of a million": ({"$size": [1 << 62] * 1_000_000},),
    "a level of a trillion": (_levels(1 << 40), BYTES),
    "texts of none": ({"$ndarray": "<U0", "shape": [1 << 36]},),
    "a frame of nothing by a trillion": ({"$codec": "pandas:DataFrame", "state": FRAME},),
}
"""Name -> the value that a module holds, and the weights."""
EMPTY = '{"a":{"dtype":"U8","shape":[0,4611686018427387904],"data_offsets":[0,64]}}'
BOMBS = {name: functools.partial(_held, what) for name, what in HOLDING.items()} | {
    "a million dimensions in the header": lambda path: _header(
        path, json.dumps({"a": {"dtype": "U8", "shape": [2**61] * 300_000, "data_offsets": [0, 64]}})
    ),
    "a header of 2^62 columns": lambda path: _header(path, EMPTY),
    "a header longer than the file": lambda path: _truncated(path),
    "one byte string for a thousand pictures": lambda path: crafting.holding(
        path, [_picture("L", 1024, {"$ref": "b"})] * 4000, MEGABYTE, b={"$blob": 1 << 20, "entry": "a"}
    ),
    "a whole number of a million digits": lambda path: _spec(path, b'{"a": ' + b"1" * 1_000_000 + b"}"),
    "ten thousand lists in each other": lambda path: _spec(path, b"[" * 10_000 + b"]" * 10_000),
    "eleven million lists beside each other": lambda path: _spec(path, b"[" + b"[]," * 11_000_000 + b"[]]"),
    "references within references": lambda path: _chain(path, 30_000),
    "tuples within tuples, hashed": lambda path: crafting.holding(path, {"$set": [{"$ref": "t0"}]}, **_doubled(40)),
    "tuples within tuples in the order of their making, hashed": lambda path: crafting.holding(
        path,
        [[{"$ref": f"t{n}"} for n in range(100_000)], {"$set": [{"$ref": "t99999"}]}],
        t0={"$tuple": [1]},
        **{f"t{n + 1}": {"$tuple": [{"$ref": f"t{n}"}]} for n in range(99_999)},
    ),
    "a fraction named often": lambda path: crafting.holding(
        path, [{"$fraction": [{"$ref": "a"}, {"$ref": "b"}]}] * 10_000, a=_large("1c7e5f3"), b=_large("59a6d1b")
    ),
    "an expression behind a reference": lambda path: crafting.holding(
        path, {"$regex": [{"$ref": "p"}, 34]}, p="".join(f"[\\u{n:04x}-\U0010ffff]" for n in range(256, 20_000))
    ),
}
"""Name -> what writes the artifact into a folder."""


def _truncated(path: Path) -> Path:
    crafting.holding(path, 1)
    (path / "weights.safetensors").write_bytes((99_000_000).to_bytes(8, "little") + b"{}" + b" " * 54)
    return crafting.sign(path)


def main(folder: str, names: list[str]) -> None:
    """Load each bomb and print what came of it."""
    torch.ones(1).numpy()
    sys.setrecursionlimit(10**6)  # as programs do that recurse: nothing may follow a file to the end of the stack
    for number, name in enumerate(names or BOMBS):
        path = BOMBS[name](Path(folder) / str(number))
        memory = _address_space()
        resource.setrlimit(resource.RLIMIT_AS, (memory + GIB, resource.RLIM_INFINITY))
        for verify in (True, False):
            started = time.perf_counter()
            try:
                load(path, trust=crafting.TRUST, verify=verify)
                outcome = "loaded"
            except ArtifactError as error:
                outcome = f"refused: {error}"
            except BaseException as error:
                outcome = f"{type(error).__name__}: {error}"
            spent = {"seconds": time.perf_counter() - started, "bytes": _address_space() - memory}
            print(json.dumps({"bomb": name, "verify": verify, "outcome": outcome[:300], **spent}), flush=True)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
