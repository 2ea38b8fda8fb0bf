"""Artifacts made by hand, as an attacker would: any graph, any bytes, and digests that fit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from forging import vouch

from backends.json_spec.digests import digests_text, sha256
from backends.json_spec.saving import spec_text

HOLDER = "json_spec_things:Holder"
TRUST = ["json_spec_things"]


def craft(
    directory: Path, objects: dict[str, Any], entries: dict[str, tuple[str, list[int], bytes]] | None = None
) -> Path:
    """An artifact whose root is the object `model`; `entries`: name -> (dtype, shape, bytes) of the weights."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "weights.safetensors").write_bytes(weights(entries or {}))
    graph = {"format": "json-spec", "version": 1, "root": {"$ref": "model"}, "objects": objects}
    (directory / "spec.json").write_bytes(spec_text(graph))
    return sign(directory)


def holding(directory: Path, node: Any, entries: dict[str, Any] | None = None, **objects: Any) -> Path:
    """An artifact of a Holder with the attribute `evil`."""
    model = {"$module": HOLDER, "training": True, "attributes": {"evil": node}}
    return craft(directory, {**objects, "model": model}, entries)


def weights(entries: dict[str, tuple[str, list[int], bytes]]) -> bytes:
    """The bytes of a file of tensors, laid out as the format wants it."""
    header, data = {}, b""
    for number, (name, (dtype, shape, held)) in enumerate(entries.items()):
        if filler := -len(data) % 64:
            place = [len(data), len(data) + filler]
            header[f"~fill.{number}"] = {"dtype": "U8", "shape": [filler], "data_offsets": place}
            data += bytes(filler)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(held)]}
        data += held
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text + data


def sign(directory: Path) -> Path:
    """Give an artifact digests that fit whatever lies in it; where a header cannot be read, of nothing."""
    tensors = {path.name: _digests(path.read_bytes()) for path in sorted(directory.glob("*.safetensors"))}
    (directory / "digests.json").write_bytes(digests_text(tensors))
    vouch(directory)
    return directory


def _digests(data: bytes) -> dict[str, Any]:
    start = 8 + int.from_bytes(data[:8], "little")
    entries = {}
    try:
        for name, entry in json.loads(data[8:start]).items():
            low, high = entry["data_offsets"]
            if not name.startswith("~fill."):
                entries[name] = sha256(data[start + low : start + high])
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    return {"header": sha256(data[:start]), "entries": entries}


def forge(directory: Path, change: Any) -> Path:
    """`change(spec)` edits the graph in an artifact; its digests are made to fit."""
    spec = json.loads((directory / "spec.json").read_text("utf-8"))
    change(spec)
    (directory / "spec.json").write_bytes(spec_text(spec))
    return sign(directory)


def replace_text(directory: Path, pattern: str, replacement: str) -> Path:
    """Edit spec.json as text, for what no JSON printer writes."""
    path = directory / "spec.json"
    text, count = re.subn(pattern, lambda _: replacement, path.read_text("utf-8"), count=1)
    assert count, f"{pattern} is not in spec.json"
    path.write_text(text, "utf-8")
    return sign(directory)
