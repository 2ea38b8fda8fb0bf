"""`load`: files, digests and names are checked, then the model is built."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from backends.json_spec import lazy
from backends.json_spec.digests import check_file, read_digests, tensor_digests
from backends.json_spec.errors import ArtifactError
from backends.json_spec.files import SPEC, WEIGHTS, read_file
from backends.json_spec.reader import Reader, audit
from backends.json_spec.sums import read_sums
from backends.json_spec.tensors import Weights
from backends.json_spec.text import parse
from backends.json_spec.trust import trusted_names
from backends.json_spec.writer import FORMAT, VERSION

SPEC_LIMIT = 1 << 28
"""Bytes that spec.json may have."""
MEMBERS = ["format", "version", "root", "objects"]


def load(directory: str | os.PathLike[str], *, trust: Iterable[str] = (), verify: bool | Literal["lazy"] = True) -> Any:
    """The model in `directory`. `trust` names the modules (and what lies in them) whose classes may be used.

    `verify=True` compares SHA-256 of the graph and of every tensor before it returns. `"lazy"` compares the tensors
    when a module of the model is called for the first time; what reads them before that (`preprocess`, `state_dict`,
    a copy of the model) gets them unchecked. `False` compares nothing: files that were edited by hand load.

    Raises ArtifactError where the artifact is damaged or not of this format, UntrustedName where it needs a name that
    is not trusted.
    """
    trust = trusted_names(trust)
    if verify not in (True, False, "lazy"):
        raise ValueError(f"verify is True, 'lazy' or False, not {verify!r}")
    directory = Path(directory)
    with _collector_paused():
        return assemble(directory, trust, read_sums(directory) if verify else None, verify)


def assemble(directory: Path, trust: tuple[str, ...], sums: dict[str, str] | None, verify: bool | str) -> Any:
    """The model: names audited, texts compared with their digests where these are given, tensors as `verify` says.

    Raises ArtifactError.
    """
    spec = read_spec(directory, sums)
    audit(spec["root"], spec["objects"], trust)
    expected = tensor_digests(read_digests(directory, sums), WEIGHTS) if verify and sums is not None else {}
    weights = Weights(directory / WEIGHTS, expected if verify is True else None)
    try:
        model = build(spec, weights, trust)
        if verify == "lazy":
            lazy.check_when_called(model, weights, expected)
        weights.finish()
    finally:
        weights.stop()
    return model


def build(spec: dict[str, Any], weights: Weights, trust: tuple[str, ...]) -> Any:
    """The model of an audited spec. Raises ArtifactError where its graph makes no sense."""
    try:
        return Reader(spec["objects"], weights, trust).build(spec["root"])
    except (ArtifactError, MemoryError):
        raise
    except RecursionError as error:
        raise ArtifactError("the graph is nested too deeply") from error
    except Exception as error:  # whatever a library raises for a value that it does not like
        raise ArtifactError(f"the graph makes no sense: {type(error).__name__}: {error}") from error


def read_spec(directory: Path, sums: dict[str, str] | None = None) -> dict[str, Any]:
    """The parsed spec.json, compared with its digest where digests are given; names are not yet audited."""
    data = read_file(directory / SPEC, SPEC_LIMIT)
    if sums is not None:
        check_file(SPEC, data, sums)
    spec = parse(data, SPEC)
    if not isinstance(spec, dict) or spec.get("format") != FORMAT or spec.get("version") != VERSION:
        raise ArtifactError(f"{SPEC} is not a {FORMAT} file of version {VERSION}")
    if type(spec["version"]) is not int or list(spec) != MEMBERS or not isinstance(spec["objects"], dict):
        raise ArtifactError(f"{SPEC} does not have exactly the members {MEMBERS}")
    return spec


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: it would look at the growing graph again and again and find nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
