"""`SHA256SUMS`: the digests of an artifact's texts, as `sha256sum` writes and checks them.

They stand in a file of their own so that a changed value is one changed line of spec.json, and so that whoever edits
spec.json on purpose can vouch for it: `sha256sum digests.json spec.json > SHA256SUMS`.
"""

from __future__ import annotations

import re
from pathlib import Path

from backends.json_spec.errors import ArtifactError
from backends.json_spec.files import DEFINITIONS, DIGESTS, EXAMPLES, GLOBALS, SOURCE, SPEC, SUMS, read_file

TEXTS = (DIGESTS, SPEC, DEFINITIONS, EXAMPLES, GLOBALS)
"""What may be listed beside the files of carried source; the first two must be."""
SUMS_LIMIT = 1 << 20
"""Bytes that the file may have."""
_LINE = re.compile(r"([0-9a-f]{64})  ([^\x00-\x1f/\\]+(?:/[^\x00-\x1f/\\]+)*)")


def sums_text(digests: dict[str, str]) -> bytes:
    """The file's bytes for name -> SHA-256 in lower-case hexadecimal, sorted by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode("utf-8")


def read_sums(directory: Path) -> dict[str, str]:
    """Name -> SHA-256. Raises ArtifactError where the file is absent or is not exactly of this form."""
    data = read_file(directory / SUMS, SUMS_LIMIT)
    try:
        lines = map(_LINE.fullmatch, data.decode("utf-8").split("\n"))
        found = {line[2]: line[1] for line in lines if line is not None}
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{SUMS} is damaged: it is not UTF-8") from error
    if any(part in (".", "..") for name in found for part in name.split("/")):
        raise ArtifactError(f"{SUMS} lists a file that is not in the artifact's directory")
    if sums_text(found) != data:
        raise ArtifactError(f"{SUMS} is damaged: it does not consist of sorted lines `digest  name`")
    texts = {name for name in found if not name.startswith(f"{SOURCE}/")}
    if not {*TEXTS[:2]} <= texts <= {*TEXTS}:
        raise ArtifactError(f"{SUMS} is damaged: it lists {sorted(texts)} where {list(TEXTS[:2])} are needed")
    if unlisted := [name for name in TEXTS if name not in texts and (directory / name).exists()]:
        raise ArtifactError(f"{unlisted[0]} is there, and {SUMS} does not list it")
    return found
