"""`save` and `load`: files, digests, and the proof that what was saved loads."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backends.json_spec.errors import ArtifactError, Unsupported
from backends.json_spec.reader import NAMED, Reader, audit
from backends.json_spec.tensors import Weights, digest, write
from backends.json_spec.text import DIGEST_PLACE, parse, render
from backends.json_spec.writer import FORMAT, VERSION, Writer

SPEC, WEIGHTS = "spec.json", "weights.safetensors"
SPEC_LIMIT = 1 << 28
"""Bytes that spec.json may have."""
MEMBERS = ["format", "version", "sha256", "weights_sha256", "root", "objects"]


def save(model: Any, directory: str | os.PathLike[str]) -> None:
    """Write `model` into `directory`, which may be absent, empty, or hold an older artifact.

    The artifact is written aside, loaded again, compared bit by bit with the model, and only then put in place.
    Raises Unsupported where the format cannot express the model, FileExistsError where other files are in the way.
    """
    directory = Path(directory).absolute()
    present = {entry.name for entry in directory.iterdir()} if directory.exists() else set()
    if present - {SPEC, WEIGHTS}:
        raise FileExistsError(f"{directory} holds other files than an artifact: {sorted(present - {SPEC, WEIGHTS})}")
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        aside.chmod(directory.stat().st_mode & 0o7777 if directory.exists() else 0o755)
        graph, regions = Writer().graph(model)
        spec = spec_text(graph, write(regions, aside / WEIGHTS))
        with open(aside / SPEC, "xb") as file:
            file.write(spec)
            file.flush()
            os.fsync(file.fileno())
        _verify(aside, spec, graph)
        _sync(aside)
        _put_in_place(aside, directory, bool(present))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load(directory: str | os.PathLike[str], *, trust: Iterable[str] = ()) -> Any:
    """The model in `directory`. `trust` names the modules (and what lies in them) whose classes may be used.

    Raises ArtifactError where the artifact is damaged or not of this format, UntrustedName where it needs a name that
    is not trusted.
    """
    if isinstance(trust, str):
        raise TypeError(f"trust is a list of module names: trust=[{trust!r}]")
    trust = tuple(trust)
    directory = Path(directory)
    spec = read_spec(directory / SPEC)
    audit(spec["root"], spec["objects"], trust)
    audit(list(spec["objects"].values()), spec["objects"], trust)
    weights = Weights(directory / WEIGHTS, spec["weights_sha256"])
    try:
        return Reader(spec["objects"], weights, trust).build(spec["root"])
    except ArtifactError:
        raise
    except RecursionError as error:
        raise ArtifactError("the graph is nested too deeply") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ArtifactError(f"the graph makes no sense: {type(error).__name__}: {error}") from error


def spec_text(graph: dict[str, Any], weights_sha256: str) -> bytes:
    """The bytes of spec.json: the digest in them is that of the same bytes with zeros in its place."""
    members = {**graph, "sha256": DIGEST_PLACE, "weights_sha256": weights_sha256}
    text = (render({name: members[name] for name in MEMBERS}) + "\n").encode("utf-8")
    return text.replace(DIGEST_PLACE.encode(), hashlib.sha256(text).hexdigest().encode(), 1)


def read_spec(path: Path) -> dict[str, Any]:
    """The parsed and checked spec.json; names are not yet audited."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise ArtifactError(f"{path.name} cannot be opened: {error.strerror}") from error
    with open(handle, "rb") as file:
        data = file.read(SPEC_LIMIT + 1)
    if len(data) > SPEC_LIMIT:
        raise ArtifactError(f"{path.name} has more than {SPEC_LIMIT} bytes")
    spec = parse(data, path.name)
    if not isinstance(spec, dict) or spec.get("format") != FORMAT or spec.get("version") != VERSION:
        raise ArtifactError(f"{path.name} is not a {FORMAT} file of version {VERSION}")
    if list(spec) != MEMBERS or not isinstance(spec["objects"], dict) or not isinstance(spec["sha256"], str):
        raise ArtifactError(f"{path.name} does not have exactly the members {MEMBERS}")
    blanked = data.replace(spec["sha256"].encode(), DIGEST_PLACE.encode(), 1)
    if hashlib.sha256(blanked).hexdigest() != spec["sha256"]:
        raise ArtifactError(f"{path.name} is damaged or was edited: its SHA-256 is not the one that it states")
    return spec


def _verify(aside: Path, spec: bytes, graph: dict[str, Any]) -> None:
    """Load what was written and write it again to nowhere: it must give the same bytes."""
    try:
        again, regions = Writer().graph(load(aside, trust=_modules(graph)))
    except ArtifactError as error:
        raise Unsupported(f"the model was written but does not load again: {error}") from error
    text = spec_text(again, digest(regions))
    if text != spec:
        name = next((n for n in graph["objects"] if again["objects"].get(n) != graph["objects"][n]), "weights")
        raise Unsupported(f"{name} does not come back as it was: its class may compute state that the format misses")


def _modules(node: Any) -> set[str]:
    """Every module named in a graph: the caller of `save` has them imported."""
    if isinstance(node, list):
        return set().union(*map(_modules, node))
    if not isinstance(node, dict):
        return set()
    own = {node[tag].partition(":")[0] for tag in NAMED if isinstance(node.get(tag), str)}
    return own.union(*map(_modules, node.values()))


def _sync(directory: Path) -> None:
    if os.name == "posix":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _put_in_place(aside: Path, directory: Path, replaces: bool) -> None:
    old = None
    if replaces:
        old = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent))
        os.rename(directory, old)
    elif os.name != "posix" and directory.exists():
        directory.rmdir()
    try:
        os.rename(aside, directory)
    except OSError:
        if old is not None:
            os.rename(old, directory)
        raise
    _sync(directory.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
