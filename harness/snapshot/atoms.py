"""Texts and numbers in a model's state that are more than their value: the very object, or the name of a file.

*The very object* counts in two places. NaN is no key of a dictionary but for the object that went in, since it equals
nothing, itself included; and code may compare with `is`. What a copy made anew of either is not found any more. So
where a NaN is a key or an element of a set, or in one that is a tuple, where code looks for an attribute or compares it
with another (`sought`), and where code compares by `is` a global or an attribute that is a text or number (`names`,
`watched`), the snapshot has a node in place of the value, and which places share it is compared.

*A file*: an absolute path that led somewhere where the model was saved, and leads nowhere now, is the name of what the
artifact lacks. What a temporary file is called is an accident: a copy that made its own is equal, if it holds the same.
So is where the project lies: a copy that found the project's file where it runs is equal.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.project.staging import TEMPORARY

_SMALLEST, _LARGEST = -5, 256
"""Integers that CPython has one object of each."""
_LONGEST_PATH = 4096
_LARGEST_FILE = 64 << 20
"""Of larger temporary files the content is not compared."""
Places = list[tuple[Any, Any, Any]]
"""(entries of a group, key into them, reference there)."""


def is_one(atom: Any) -> bool:
    """Whether equal atoms of this value may be different objects."""
    if type(atom) in (str, bytes):
        return len(atom) > 1
    return type(atom) in (float, complex) or (type(atom) is int and not _SMALLEST <= atom <= _LARGEST)


def replace(
    nodes: list[dict], watched: Iterable[Any], names: Collection[str], sought: Collection[str] = frozenset()
) -> None:
    """Put nodes in the places of such atoms.

    `watched`: atoms that code compares by `is`; `names`: attributes that it compares so; `sought`: attributes by which,
    or by a NaN in which, it finds something.
    """
    kept = {id(atom): atom for atom in watched if is_one(atom)}
    paths: Places = []
    for node in nodes:
        for group in node.get("groups", ()):
            _look(group, names, kept, paths)
            kept |= {id(nan): nan for part in _finding(group, sought) for nan in _nans(nodes, part)}
    made: dict[int, tuple[int]] = {}
    for entries, key, atom in paths:
        if id(atom) not in kept:
            entries[key] = (len(nodes),)
            nodes.append(_path(atom))
    for entries, key, atom in _places(nodes) if kept else ():
        parts = atom if isinstance(atom, tuple) and len(atom) == 2 else (atom,)
        if not any(id(part) in kept for part in parts):
            continue
        for part in parts:
            if id(part) in kept and id(part) not in made:
                made[id(part)] = (len(nodes),)
                nodes.append(_one(part))
        instead = tuple(made.get(id(part), part) for part in parts)
        entries[key] = instead if len(parts) == 2 else instead[0]


def _look(group: dict, names: Collection[str], kept: dict[int, Any], paths: Places) -> None:
    by, entries = group["by"], group["entries"]
    if by == "name":
        for name, part in entries.items():
            if type(part) is str and part[:1] == "/" and _is_path(part):
                paths.append((entries, name, part))
            elif name in names and is_one(part):
                kept[id(part)] = part
    elif by == "index":
        paths += [(entries, place, part) for place, part in enumerate(entries)
                  if type(part) is str and part[:1] == "/" and _is_path(part)]  # fmt: skip


def _finding(group: dict, sought: Collection[str]) -> list[Any]:
    """The parts of a group by which something is found: keys, elements of a set, what is sought."""
    by, entries = group["by"], group["entries"]
    if by == "name":
        return [part for name, part in entries.items() if name in sought]
    return [] if by == "index" else [entry[0] if by == "key" else entry for entry in entries]


def _nans(nodes: list[dict], part: Any) -> Iterator[float]:
    """A NaN, or those in a sequence and in the sequences in it: two of these are equal where they have the same one."""
    left, seen = [part], set()
    while left:
        part = left.pop()
        if type(part) is float and part != part:
            yield part
        elif isinstance(part, tuple) and part[0] not in seen and nodes[part[0]]["kind"] in ("sequence", "mapping"):
            seen.add(part[0])
            for group in nodes[part[0]].get("groups", ()):
                if group["by"] != "name":
                    left += [one for entry in group["entries"] for one in (entry if group["by"] == "key" else (entry,))]


def _places(nodes: list[dict]) -> Places:
    found: Places = []
    for node in nodes:
        for group in node.get("groups", ()):
            entries = group["entries"]
            keys = list(entries) if group["by"] == "name" else range(len(entries))
            found += [(entries, key, entries[key]) for key in keys]
    return found


def _is_path(text: str) -> bool:
    return len(text) < _LONGEST_PATH and text.isprintable() and os.path.lexists(text)


def _path(text: str) -> dict:
    return {"kind": "path", "type": "str", "identity": False, "facts": of_file(text)}


def of_file(path: str) -> dict[str, Any]:
    """Facts of an absolute path that leads somewhere."""
    project = tempfile.gettempdir().removesuffix(TEMPORARY)  # whose folder of temporary files it is, if it is one's
    if not path.startswith(tempfile.gettempdir() + os.sep):
        inside = path.startswith(project + os.sep) and project != tempfile.gettempdir()
        return {"value": path.replace(project, "<project>", 1) if inside else path, "exists": True}
    facts = {"value": "<temporary>", "exists": True}
    with contextlib.suppress(OSError):  # a folder, or not to be read
        if os.path.getsize(path) <= _LARGEST_FILE:
            facts["content"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return facts


def _one(atom: Any) -> dict:
    return {"kind": "atom", "type": type(atom).__name__, "identity": True, "facts": {"value": repr(atom)}}
