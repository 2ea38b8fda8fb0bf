"""Artifacts changed behind their backend's back: code planted, a bit flipped, the end cut off.

Every function works on a copy of an artifact's folder. What is planted is in `plants`. Digests that an artifact keeps
of its own files are made to fit again, as somebody who can write the file would.

Sources: the patterns are those of CVE-2025-32434 (a pickle inside an archive), CVE-2025-1550 (module and function
named in a JSON configuration) and of the pickle documentation's warning.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.safety import plants

FLIPS = 6
"""Bits that are flipped, one at a time."""


@dataclass(frozen=True)
class Damage:
    """One changed copy of an artifact, and what was changed."""

    folder: Path
    what: str


# --- code -------------------------------------------------------------------------------------------------------


def planted(artifact: Path, into: Path, payload: plants.Payload) -> Iterator[Damage]:
    """Copies with code in every carrier of one kind at a time. Kinds of which the artifact has none give no copy."""
    kinds = [(kind, plant, True) for kind, plant in plants.INSIDE.items()]
    kinds += [(kind, plant, False) for kind, plant in plants.WHOLE.items()]
    for number, (kind, plant, inside) in enumerate(kinds):
        folder = into / f"plant{number}"
        shutil.copytree(artifact, folder)

        def change(data: bytes, name: str, plant: plants.Plant = plant) -> bytes | None:
            return plant(data, name, payload)

        changed = [path for path in _files(folder) if _rewrite(path, change, inside)]
        if changed:
            _sign_again(artifact, folder)
            yield Damage(folder, f"{kind}: {', '.join(str(path.relative_to(folder)) for path in changed)}")


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


def _rewrite(path: Path, change: Callable[[bytes, str], bytes | None], inside: bool = True) -> bool:
    """Apply `change` to a file, or (`inside`) to the members of an archive; whether anything changed."""
    data = path.read_bytes()
    new = _rewritten(data, path.name, change) if inside else change(data, path.name)
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
