"""What an attacker would do: change an artifact and give it valid digests."""

from __future__ import annotations

import json

from backends.json_spec.digests import sha256
from backends.json_spec.saving import spec_text
from backends.json_spec.sums import sums_text


def forge(artifact, change):
    """`change(spec)` edits the graph in `artifact`; its digests are made to fit."""
    spec = json.loads((artifact / "spec.json").read_text("utf-8"))
    change(spec)
    (artifact / "spec.json").write_bytes(spec_text(spec))
    vouch(artifact)


def vouch(artifact):
    """Write SHA256SUMS for the texts that lie there."""
    paths = [path for path in artifact.rglob("*") if path.suffix in (".json", ".py") and path.is_file()]
    sums = {path.relative_to(artifact).as_posix(): sha256(path.read_bytes()) for path in paths}
    (artifact / "SHA256SUMS").write_bytes(sums_text(sums))
