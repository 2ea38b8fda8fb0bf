"""Artifacts changed behind their backend's back: code planted, a bit flipped, the end cut off.

Every function works on a copy of an artifact's folder. What is planted is inert: it makes an empty folder, the marker,
whose presence afterwards proves that loading ran what the file said. Digests that an artifact keeps of its own files
are made to fit again, as somebody who can write the file would.

Sources: the patterns are those of CVE-2025-32434 (a pickle inside an archive), CVE-2025-1550 (module and function
named in a JSON configuration) and of the pickle documentation's warning.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import pickle
import pickletools
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FLIPS = 6
"""Bits that are flipped, one at a time."""


@dataclass(frozen=True)
class Damage:
    """One changed copy of an artifact, and what was changed."""

    folder: Path
    what: str


# --- code -------------------------------------------------------------------------------------------------------


def planted(artifact: Path, into: Path, marker: Path) -> Iterator[Damage]:
    """Copies with code in every carrier of one kind at a time. Kinds of which the artifact has none give no copy."""
    for number, (kind, plant) in enumerate(PLANTS.items()):
        folder = into / f"plant{number}"
        shutil.copytree(artifact, folder)
        changed = [path for path in _files(folder) if _rewrite(path, lambda data, name, p=plant: p(data, name, marker))]
        if changed:
            _sign_again(artifact, folder)
            yield Damage(folder, f"{kind} in {', '.join(str(path.relative_to(folder)) for path in changed)}")


def _hostile_pickle(marker: Path) -> bytes:
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    return pickle.dumps(Payload(), protocol=2)


def _plant_pickle(data: bytes, name: str, marker: Path) -> bytes | None:
    if _is_pickle(data):
        return _hostile_pickle(marker)
    for wbits in (zlib.MAX_WBITS, zlib.MAX_WBITS | 16):  # zlib's own framing, gzip's
        try:
            inside = zlib.decompress(data, wbits)
        except zlib.error:
            continue
        if _is_pickle(inside):
            packer = zlib.compressobj(wbits=wbits)
            return packer.compress(_hostile_pickle(marker)) + packer.flush()
    return None


def _is_pickle(data: bytes) -> bool:
    """Whether the first operations parse; joblib's streams have arrays between later ones."""
    try:
        return data[:1] == b"\x80" and bool(list(itertools.islice(pickletools.genops(data), 10)))
    except ValueError:
        return False


def _plant_source(data: bytes, name: str, marker: Path) -> bytes | None:
    if not name.endswith(".py"):
        return None
    folder = repr(str(marker))
    return data + f"\n__import__('os').path.isdir({folder}) or __import__('os').mkdir({folder})\n".encode()


def _plant_reduce(data: bytes, name: str, marker: Path) -> bytes | None:
    """jsonpickle's way to say `call this`."""
    if _json(data) is None:
        return None
    call = {"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": [str(marker)]}]}
    return json.dumps(call).encode()


def _plant_caller(data: bytes, name: str, marker: Path) -> bytes | None:
    """A graph of module, caller and arguments, as AI-JSONable and Keras name what to call."""
    if _json(data) is None:
        return None
    return json.dumps({"var0": {"module": "os", "caller": "mkdir", "kwargs": {"path": str(marker)}}}).encode()


def _plant_names(data: bytes, name: str, marker: Path) -> bytes | None:
    """Every dotted name of a JSON text becomes one that makes the marker when it is called with any argument's text."""
    value = _json(data)
    if value is None:
        return None
    text = json.dumps(value)
    changed = re.sub(r'"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"', '"os:mkdir"', text)
    changed = re.sub(r'"(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*"', '"os.mkdir"', changed)
    if changed == text:
        return None
    # arguments: whatever text or number the file gives becomes the marker's path
    return re.sub(r'(?<=: )(?:"(?!os[.:])[^"\\]*"|\d+)(?=[,}\]])', json.dumps(str(marker)), changed).encode()


def _json(data: bytes) -> object | None:
    if data[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(data)
    except ValueError:
        return None


PLANTS: dict[str, Callable[[bytes, str, Path], bytes | None]] = {
    "a pickle that calls os.mkdir": _plant_pickle,
    "a line of Python": _plant_source,
    "a JSON that reduces to a call": _plant_reduce,
    "a JSON that names a caller": _plant_caller,
    "other names in the JSON": _plant_names,
}
"""Kind -> what to put in place of a file's bytes; None where the file is no carrier of that kind."""


# --- damage -----------------------------------------------------------------------------------------------------


def flipped(artifact: Path, into: Path) -> Iterator[Damage]:
    """Copies with one bit flipped: spread over the largest file, where the weights are, and one in each next file."""
    files = sorted(_files(artifact), key=lambda path: -path.stat().st_size)
    places = [(files[0], part / 4) for part in (1, 2, 3)] if files else []
    places += [(path, 0.5) for path in files[1:] if path.stat().st_size]
    for number, (path, part) in enumerate(places[:FLIPS]):
        folder = into / f"flip{number}"
        shutil.copytree(artifact, folder)
        target = folder / path.relative_to(artifact)
        data = bytearray(target.read_bytes())
        at = int(len(data) * part)
        data[at] ^= 1 << 4
        target.write_bytes(data)
        yield Damage(folder, f"bit 4 of byte {at} of {path.relative_to(artifact)}")


def truncated(artifact: Path, into: Path) -> Iterator[Damage]:
    """A copy whose largest file lost its last tenth, as a download that was cut off."""
    path = max(_files(artifact), key=lambda path: path.stat().st_size)
    folder = into / "truncated"
    shutil.copytree(artifact, folder)
    target = folder / path.relative_to(artifact)
    size = target.stat().st_size
    os.truncate(target, size - max(size // 10, 1))
    yield Damage(folder, f"the last {max(size // 10, 1)} bytes of {path.relative_to(artifact)}")


# --- files in files ---------------------------------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _rewrite(path: Path, change: Callable[[bytes, str], bytes | None]) -> bool:
    """Apply `change` to a file, or to the members of an archive; whether anything changed."""
    data = path.read_bytes()
    new = _rewritten(data, path.name, change)
    if new is None:
        return False
    path.write_bytes(new)
    return True


def _rewritten(data: bytes, name: str, change: Callable[[bytes, str], bytes | None]) -> bytes | None:
    if data[:4] == b"PK\x03\x04":
        return _rewritten_zip(data, change)
    if tarfile.is_tarfile(io.BytesIO(data)):
        return _rewritten_tar(data, change)
    return change(data, name)


def _rewritten_zip(data: bytes, change: Callable[[bytes, str], bytes | None]) -> bytes | None:
    out, changed = io.BytesIO(), False
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            inside = old.read(member)
            replaced = _rewritten(inside, member.filename, change)
            changed |= replaced is not None
            new.writestr(member, inside if replaced is None else replaced, member.compress_type)
    return out.getvalue() if changed else None


def _rewritten_tar(data: bytes, change: Callable[[bytes, str], bytes | None]) -> bytes | None:
    out, changed = io.BytesIO(), False
    mode = "w:gz" if data[:2] == b"\x1f\x8b" else "w"
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode=mode) as new:
        for member in old.getmembers():
            file = old.extractfile(member)
            inside = b"" if file is None else file.read()
            replaced = _rewritten(inside, member.name, change) if file is not None else None
            changed |= replaced is not None
            inside = inside if replaced is None else replaced
            member.size = len(inside)
            new.addfile(member, io.BytesIO(inside))
    return out.getvalue() if changed else None


def _sign_again(original: Path, changed: Path) -> None:
    """Replace the SHA-256 and sizes of changed files wherever the artifact's texts state them."""
    for _ in range(2):  # a file of digests may itself have a digest in another
        for old in _files(original):
            new = changed / old.relative_to(original)
            before, after = old.read_bytes(), new.read_bytes()
            if before == after:
                continue
            digests = (hashlib.sha256(before).hexdigest().encode(), hashlib.sha256(after).hexdigest().encode())
            for path in _files(changed):
                text = path.read_bytes()
                if digests[0] in text:
                    path.write_bytes(text.replace(*digests))
