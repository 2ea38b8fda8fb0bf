"""`save`: written aside, loaded again and compared, and only then put in place."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backends.json_spec import files
from backends.json_spec.digests import digests_text, sha256
from backends.json_spec.errors import ArtifactError, Unsupported
from backends.json_spec.loading import MEMBERS, assemble
from backends.json_spec.reader import NAMED
from backends.json_spec.regions import Region
from backends.json_spec.sums import read_sums, sums_text
from backends.json_spec.tensors import layout, write
from backends.json_spec.text import render
from backends.json_spec.trust import allowed
from backends.json_spec.writer import Writer

COMPARED_BYTES = 1 << 20
"""Memory is compared in steps of this size, so that comparing takes no memory of its own."""


@dataclass(frozen=True)
class Written:
    """What was written, as it is in memory."""

    graph: dict[str, Any]
    regions: list[Region]


def save(model: Any, directory: str | os.PathLike[str]) -> None:
    """Write `model` into `directory`, which may be absent, empty, or hold an older artifact.

    The artifact is written aside, loaded again in this process, compared bit by bit with the model, and only then put
    in place. Raises Unsupported where the format cannot express the model, FileExistsError where other files are in
    the way.
    """
    directory = Path(directory).absolute()
    with files.aside(directory) as beside:
        written = write_artifact(model, beside)
        with ThreadPoolExecutor(1) as thread:  # the disk works while the processor compares
            durable = thread.submit(files.make_durable, beside)
            verify_artifact(written, beside)
            durable.result()
        files.put_in_place(beside, directory)


def write_artifact(model: Any, directory: Path) -> Written:
    """Write all files of an artifact into an empty directory. Raises Unsupported."""
    graph, regions = Writer().graph(model)
    tensors = {files.WEIGHTS: write(regions, directory / files.WEIGHTS)}
    texts = {files.SPEC: spec_text(graph), files.DIGESTS: digests_text(tensors)}
    texts[files.SUMS] = sums_text({name: sha256(text) for name, text in texts.items()})
    for name, text in texts.items():
        (directory / name).write_bytes(text)
    return Written(graph, regions)


def spec_text(graph: dict[str, Any]) -> bytes:
    """The bytes of spec.json."""
    return (render({name: graph[name] for name in MEMBERS}) + "\n").encode("utf-8")


def verify_artifact(written: Written, directory: Path) -> None:
    """Load what was written and describe it again: graph and memory must be the same. Raises Unsupported."""
    try:
        model = assemble(directory, tuple(_modules(written.graph)), read_sums(directory), verify=False)
        again, regions = Writer().graph(model)
    except ArtifactError as error:
        raise Unsupported(f"the model was written but does not load again: {error}") from error
    if _canonical(again) != _canonical(written.graph):
        before, after = written.graph["objects"], again["objects"]
        different = (name for name in before if _canonical(after.get(name)) != _canonical(before[name]))
        _not_the_same(next(different, "the order of objects"))
    if layout(regions)[0] != layout(written.regions)[0]:
        _not_the_same("the layout of the tensors")
    for old, new in zip(written.regions, regions, strict=True):
        if not _same_bytes(old.read(), new.read()):
            _not_the_same(old.name)


def _not_the_same(name: str) -> None:
    raise Unsupported(f"{name} does not come back as it was: its class may compute state that the format misses")


def _canonical(graph: Any) -> str:
    """A text that is equal for equal graphs, the order of keys and the types of numbers included."""
    return json.dumps(graph, ensure_ascii=False, separators=(",", ":"))


def _same_bytes(one: memoryview, other: memoryview) -> bool:
    step = COMPARED_BYTES
    a, b = np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8)
    return len(a) == len(b) and all(np.array_equal(a[n : n + step], b[n : n + step]) for n in range(0, len(a), step))


def _modules(node: Any) -> set[str]:
    """Every module named in a graph for what no reader allows of itself: the caller of `save` has them imported."""
    if isinstance(node, list):
        return set().union(*map(_modules, node))
    if not isinstance(node, dict):
        return set()
    names = {node[tag] for tag in NAMED if isinstance(node.get(tag), str)}
    own = {name.partition(":")[0] for name in names - allowed().keys()}
    return own.union(*map(_modules, node.values()))
