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
from backends.json_spec.files import read_file
from backends.json_spec.reader import NAMED, Reader, audit
from backends.json_spec.sums import SUMS, read_sums, sums_text
from backends.json_spec.tensors import Weights, digest, write
from backends.json_spec.text import parse, render
from backends.json_spec.trust import allowed, trusted_names
from backends.json_spec.writer import FORMAT, VERSION, Writer

SPEC, WEIGHTS = "spec.json", "weights.safetensors"
FILES = {SPEC, WEIGHTS, SUMS}
SPEC_LIMIT = 1 << 28
"""Bytes that spec.json may have."""
MEMBERS = ["format", "version", "root", "objects"]


def save(model: Any, directory: str | os.PathLike[str]) -> None:
    """Write `model` into `directory`, which may be absent, empty, or hold an older artifact.

    The artifact is written aside, loaded again, compared bit by bit with the model, and only then put in place.
    Raises Unsupported where the format cannot express the model, FileExistsError where other files are in the way.
    """
    directory = Path(directory).absolute()
    present = {entry.name for entry in directory.iterdir()} if directory.exists() else set()
    if present - FILES:
        raise FileExistsError(f"{directory} holds other files than an artifact: {sorted(present - FILES)}")
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        aside.chmod(directory.stat().st_mode & 0o7777 if directory.exists() else 0o755)
        graph, regions = Writer().graph(model)
        spec = spec_text(graph)
        sums = sums_text({SPEC: sha256(spec), WEIGHTS: write(regions, aside / WEIGHTS)})
        for name, data in ((SPEC, spec), (SUMS, sums)):
            with open(aside / name, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _verify(aside, sums, graph)
        _sync(aside)
        _put_in_place(aside, directory, bool(present))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load(directory: str | os.PathLike[str], *, trust: Iterable[str] = ()) -> Any:
    """The model in `directory`. `trust` names the modules (and what lies in them) whose classes may be used.

    Raises ArtifactError where the artifact is damaged or not of this format, UntrustedName where it needs a name that
    is not trusted.
    """
    trust = trusted_names(trust)
    directory = Path(directory)
    spec, sums = read_spec(directory)
    audit(spec["root"], spec["objects"], trust)
    audit(list(spec["objects"].values()), spec["objects"], trust)
    weights = Weights(directory / WEIGHTS, sums[WEIGHTS])
    try:
        return Reader(spec["objects"], weights, trust).build(spec["root"])
    except ArtifactError:
        raise
    except RecursionError as error:
        raise ArtifactError("the graph is nested too deeply") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ArtifactError(f"the graph makes no sense: {type(error).__name__}: {error}") from error


def spec_text(graph: dict[str, Any]) -> bytes:
    """The bytes of spec.json."""
    return (render({name: graph[name] for name in MEMBERS}) + "\n").encode("utf-8")


def sha256(data: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_spec(directory: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The parsed and checked spec.json, and the digests of all files; names are not yet audited."""
    sums = read_sums(directory)
    if set(sums) != FILES - {SUMS}:
        raise ArtifactError(f"{SUMS} lists {sorted(sums)} where {sorted(FILES - {SUMS})} are needed")
    data = read_file(directory / SPEC, SPEC_LIMIT)
    if sha256(data) != sums[SPEC]:
        raise ArtifactError(f"{SPEC} is damaged or was edited: its SHA-256 is not the one that {SUMS} states")
    spec = parse(data, SPEC)
    if not isinstance(spec, dict) or spec.get("format") != FORMAT or spec.get("version") != VERSION:
        raise ArtifactError(f"{SPEC} is not a {FORMAT} file of version {VERSION}")
    if type(spec["version"]) is not int or list(spec) != MEMBERS or not isinstance(spec["objects"], dict):
        raise ArtifactError(f"{SPEC} does not have exactly the members {MEMBERS}")
    return spec, sums


def _verify(aside: Path, sums: bytes, graph: dict[str, Any]) -> None:
    """Load what was written and write it again to nowhere: it must give the same bytes."""
    try:
        again, regions = Writer().graph(load(aside, trust=_modules(graph)))
    except ArtifactError as error:
        raise Unsupported(f"the model was written but does not load again: {error}") from error
    if sums_text({SPEC: sha256(spec_text(again)), WEIGHTS: digest(regions)}) != sums:
        name = next((n for n in graph["objects"] if again["objects"].get(n) != graph["objects"][n]), "weights")
        raise Unsupported(f"{name} does not come back as it was: its class may compute state that the format misses")


def _modules(node: Any) -> set[str]:
    """Every module named in a graph for what no reader allows of itself: the caller of `save` has them imported."""
    if isinstance(node, list):
        return set().union(*map(_modules, node))
    if not isinstance(node, dict):
        return set()
    names = {node[tag] for tag in NAMED if isinstance(node.get(tag), str)}
    own = {name.partition(":")[0] for name in names - allowed().keys()}
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
