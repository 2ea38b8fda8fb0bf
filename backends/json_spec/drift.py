"""`definitions.json`: the digests of the user's definitions, and what happens where they are no longer right."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from backends.json_spec.definitions import definitions
from backends.json_spec.digests import check_file
from backends.json_spec.errors import ArtifactError, SourceDrift, SourceDriftWarning
from backends.json_spec.files import DEFINITIONS, read_file
from backends.json_spec.sources import ALWAYS, Project, is_installed, locate
from backends.json_spec.text import parse, render
from backends.json_spec.trust import is_trusted

FORMAT, VERSION = "json-spec-definitions", 1
LIMIT = 1 << 26
"""Bytes that the file may have."""
SHOWN = 6
"""Names of one module in a message."""


def definitions_text(names: Iterable[str], project: Project) -> bytes | None:
    """The bytes of definitions.json for what the named classes and functions reach; None where none has a source."""
    modules = {
        module: {"file": project.source(module).sha256, "definitions": found}
        for module, found in definitions(names, project).items()
    }
    if not modules:
        return None
    return (render({"format": FORMAT, "version": VERSION, "modules": modules}) + "\n").encode("utf-8")


def check(directory: Path, sums: Mapping[str, str] | None, on_drift: str, trust: Collection[str]) -> None:
    """Report every definition that is not what it was: raise SourceDrift ("error"), or warn ("warn").

    Nothing is imported. A module that is not there is left to the import that will fail. Raises ArtifactError where
    the file is damaged.
    """
    changes = []
    for module, was in noted(directory, sums).items():
        if not is_trusted(f"{module}:", trust) and is_installed(module):
            continue  # an installed library that the caller did not name is none of the file's business
        source = locate(module)
        if source is None or source.sha256 == was["file"]:
            continue
        changed: dict[str, list[str]] = {"edited": [], "removed": []}
        for name, digest in was["definitions"].items():
            now = source.digest(name)
            if now != digest:
                changed["edited" if now else "removed"].append("what it does at import" if name == ALWAYS else name)
        told = [f"{_listed(names)} {word}" for word, names in changed.items() if names]
        if told:
            changes.append(f"{module}: {' and '.join(told)} ({source.path})")
    if not changes:
        return
    ways = ["restore the source", "save the model again", 'load with on_drift="warn" to run the code as it is now']
    if (directory / "source").is_dir():
        ways.append('load with trust="bundled" to run the code as it was')
    message = f"the source has changed since the save: {'; '.join(changes)}. Ways out: {'; '.join(ways)}"
    if on_drift == "error":
        raise SourceDrift(message)
    warnings.warn(message, SourceDriftWarning, stacklevel=4)


def _listed(names: list[str]) -> str:
    """The first of them with a verb; a class that moved leaves all that its module imports."""
    if len(names) == 1:
        return f"{names[0]} was"
    more = len(names) - SHOWN
    return f"{', '.join(names[:SHOWN])} and {more} more were" if more > 0 else (
        f"{', '.join(names[:-1])} and {names[-1]} were")  # fmt: skip


def noted(directory: Path, sums: Mapping[str, str] | None) -> dict[str, Any]:
    """Module -> the digests of its file and definitions, as an artifact has them; of none where it has none.

    Raises ArtifactError where the file is damaged.
    """
    present = DEFINITIONS in sums if sums is not None else (directory / DEFINITIONS).exists()
    if not present:
        return {}
    data = read_file(directory / DEFINITIONS, LIMIT)
    check_file(DEFINITIONS, data, sums)
    found = parse(data, DEFINITIONS)
    if not isinstance(found, dict) or list(found) != ["format", "version", "modules"]:
        raise ArtifactError(f"{DEFINITIONS} does not have exactly the members format, version, modules")
    known = (found["format"], found["version"]) == (FORMAT, VERSION) and type(found["version"]) is int
    if not known or not isinstance(found["modules"], dict):
        raise ArtifactError(f"{DEFINITIONS} is not a {FORMAT} file of version {VERSION}")
    for was in found["modules"].values():
        if (
            not isinstance(was, dict)
            or list(was) != ["file", "definitions"]
            or not isinstance(was["definitions"], dict)
        ):
            raise ArtifactError(f"{DEFINITIONS} holds something else than digests")
    return found["modules"]
