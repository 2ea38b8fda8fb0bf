"""`digests.json`: a digest of every tensor, so that many can be checked at once, late, or one alone.

It is itself listed in SHA256SUMS, as are all files but those of tensors. The digest is SHA-256, or BLAKE3 where the
saver asked for it (https://github.com/BLAKE3-team/BLAKE3-specs): as hard to forge, and several times as fast.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from backends.json_spec.errors import ArtifactError
from backends.json_spec.files import DIGESTS, SUMS, read_file
from backends.json_spec.text import parse, render

FORMAT, VERSION = "json-spec-digests", 1
MEMBERS = ["format", "version", "tensors"]
SHA256, BLAKE3 = "sha256", "blake3"
_OF_FILE = (["header", "entries"], ["digest", "header", "entries"])
"""Members of a file's digests: with `digest` where it is not SHA-256."""
LIMIT = 1 << 26
"""Bytes that digests.json may have."""
INLINE_BYTES = 1 << 20
"""Less than this is hashed without starting a thread."""


def sha256(data: Any) -> str:
    """The digest as it is written: 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_named(name: str) -> Callable[[Any], str]:
    """What gives a digest as it is written, 64 lower-case hexadecimal digits.

    Raises ValueError of another name than "sha256" and "blake3", ImportError where a package is missing.
    """
    if name == SHA256:
        return sha256
    if name != BLAKE3:
        raise ValueError(f"a digest is {SHA256!r} or {BLAKE3!r}, not {name[:50]!r}")
    try:
        import blake3
    except ImportError as error:
        raise ImportError("BLAKE3 digests need the package blake3: pip install blake3") from error
    return lambda data: blake3.blake3(data).hexdigest()


def digests_text(tensors: Mapping[str, Any]) -> bytes:
    """The bytes of digests.json, for file of tensors -> {"header": digest, "entries": {name: digest}}, before which
    `"digest": "blake3"` stands where they are such."""
    return (render({"format": FORMAT, "version": VERSION, "tensors": tensors}) + "\n").encode("utf-8")


def read_digests(directory: Path, sums: Mapping[str, str]) -> dict[str, Any]:
    """The parsed and checked digests.json. Raises ArtifactError."""
    data = read_file(directory / DIGESTS, LIMIT)
    check_file(DIGESTS, data, sums)
    found = parse(data, DIGESTS, flat=True)
    if not isinstance(found, dict) or found.get("format") != FORMAT or found.get("version") != VERSION:
        raise ArtifactError(f"{DIGESTS} is not a {FORMAT} file of version {VERSION}")
    if list(found) != MEMBERS or type(found["version"]) is not int or not isinstance(found["tensors"], dict):
        raise ArtifactError(f"{DIGESTS} does not have exactly the members {MEMBERS}")
    for one in found["tensors"].values():
        if not isinstance(one, dict) or list(one) not in _OF_FILE or not isinstance(one["entries"], dict):
            raise ArtifactError(f"{DIGESTS} holds something else than digests of tensors")
        if one.get("digest", BLAKE3) != BLAKE3:
            raise ArtifactError(f"{DIGESTS} names a digest that is none of this format's: {str(one['digest'])[:50]!r}")
        if not all(isinstance(digest, str) for digest in [one["header"], *one["entries"].values()]):
            raise ArtifactError(f"{DIGESTS} holds something else than digests of tensors")
    return found


def reading(name: str) -> Callable[[Any], str]:
    """`digest_named` of what a file names. Raises ArtifactError where that cannot be computed here."""
    try:
        return digest_named(name)
    except ImportError as error:
        raise ArtifactError(f"{error}, or load with verify=False, which compares nothing") from error


def shown(name: str) -> str:
    """What people call a digest."""
    return {SHA256: "SHA-256", BLAKE3: "BLAKE3"}[name]


def check_file(name: str, data: bytes, sums: Mapping[str, str] | None) -> None:
    """Raise ArtifactError unless SHA256SUMS has this digest for the file; without sums nothing is compared."""
    if sums is not None and sums.get(name) != sha256(data):
        raise ArtifactError(f"{name} is damaged or was edited: its SHA-256 is not the one that {SUMS} states")


def tensor_digests(digests: Mapping[str, Any], name: str) -> dict[str, Any]:
    """{"header": digest, "entries": {...}} of a file of tensors, and perhaps "digest". Raises ArtifactError where there
    is none."""
    if name not in digests["tensors"]:
        raise ArtifactError(f"{DIGESTS} has no digests of {name}")
    return digests["tensors"][name]


class Checking:
    """Pieces of one buffer that are being compared with their digests, in as many threads as there are cores.

    `hashlib` releases the interpreter's lock, so the threads run beside whatever the caller does meanwhile.
    """

    def __init__(
        self, what: str, data: memoryview, places: Mapping[str, tuple[int, int]], expected: Any, digest: str = SHA256
    ) -> None:
        """`places`: name -> (start, bytes). Raises ArtifactError where `expected` does not name the same pieces, or
        `digest` cannot be computed here."""
        if places.keys() != expected.keys():
            odd = sorted(places.keys() ^ expected.keys())[0]
            raise ArtifactError(f"{what} and {DIGESTS} do not agree on whether there is an entry {odd!r}")
        self._what, self._data, self._places, self._expected = what, data, places, expected
        self._digest, self._name = reading(digest), digest
        self._damage: str | None = None
        self._queue: Iterator[str] = iter(sorted(places, key=lambda name: -places[name][1]))
        total = sum(size for _, size in places.values())
        count = min(len(places), cores()) if total > INLINE_BYTES else 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def check(self, name: str) -> None:
        """Compare one piece now. Raises ArtifactError."""
        start, size = self._places[name]
        if self._digest(self._data[start : start + size]) != self._expected[name]:
            raise ArtifactError(
                f"{self._what} is damaged: the {shown(self._name)} of {name!r} is not the one in {DIGESTS}"
            )

    def stop(self) -> None:
        """Begin no further piece."""
        for _ in self._queue:
            pass

    def finish(self) -> None:
        """Return when every piece was compared. Raises ArtifactError for the first that is damaged."""
        self._work()
        for thread in self._threads:
            thread.join()
        if self._damage is not None:
            raise ArtifactError(self._damage)

    def _work(self) -> None:
        while self._damage is None:
            name = next(self._queue, None)  # one step of a list's iterator: safe between threads
            if name is None:
                return
            try:
                self.check(name)
            except ArtifactError as error:
                self._damage = str(error)


def cores() -> int:
    """How many threads are worth starting."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), 8)
    return min(os.cpu_count() or 1, 8)
