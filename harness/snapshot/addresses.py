"""Numbers in a model's state that mean something in one process only: `id(x)`, `hash(x)`, `x.data_ptr()`, and, where
code asks for it, the number of the process itself.

A table with such keys comes back with the same numbers, and finds nothing by them any more, or the wrong thing. So
where a number is the address of what the model has, or the hash of a text that it has, the snapshot says of what. A
copy that made its table anew is equal; one that brought the numbers along is not.

`hash(x) % n` cannot be told from any other number.
"""

from __future__ import annotations

from typing import Any

_LEAST = 1 << 28
"""Smaller numbers are no addresses; a hash is as small once in 2**35 times."""


def replace(
    nodes: list[dict], alive: list[Any], places: dict[int, int], pointers: dict[int, str], process: int | None = None
) -> None:
    """Put a node of kind `address` in the place of each such number, among the parts of all nodes.

    `places`: id -> place of what is described, all of it among `alive`; `pointers`: addresses of memory, in words;
    `process`: the process's number, where that is looked for.
    """

    def is_one(atom: Any) -> bool:
        return _is_long(atom) or (process is not None and type(atom) is int and atom == process)

    parts = [(group["entries"], key) for node in nodes for group in node.get("groups", ()) for key in _keys(group)]
    if not any(is_one(atom) for entries, key in parts for atom in _atoms(entries[key])):
        return
    meant: dict[int, dict] = {}
    for entries, key in parts:
        for atom in _atoms(entries[key]):
            if type(atom) is str:
                meant[hash(atom)] = _node(f"the hash of {atom!r}")
    for pointer, text in pointers.items():
        meant[pointer] = _node(text)
    if process is not None:
        meant[process] = _node("the number of the process")
    for value in alive:
        if (place := places.get(id(value))) is not None:
            text = f"the address of a {nodes[place]['type']}"
            meant[id(value)] = _node(text, place)
            if type(value).__hash__ is object.__hash__:
                meant[object.__hash__(value)] = _node(f"the hash of a {nodes[place]['type']}", place)
    made: dict[int, int] = {}

    def instead(atom: Any) -> Any:
        if not is_one(atom) or atom not in meant:
            return atom
        if atom not in made:
            made[atom] = len(nodes)
            nodes.append(meant[atom])
        return (made[atom],)

    for entries, key in parts:
        part = entries[key]
        pair = isinstance(part, tuple) and len(part) == 2
        entries[key] = tuple(map(instead, part)) if pair else instead(part)


def _keys(group: dict) -> Any:
    return list(group["entries"]) if group["by"] == "name" else range(len(group["entries"]))


def _atoms(part: Any) -> tuple:
    """A reference, or the two of a pair."""
    return part if isinstance(part, tuple) and len(part) == 2 else (part,)


def _is_long(atom: Any) -> bool:
    return type(atom) is int and abs(atom) >= _LEAST


def _node(text: str, place: int | None = None) -> dict:
    node: dict[str, Any] = {"kind": "address", "type": "int", "identity": False, "facts": {"value": text}}
    if place is not None:
        node["groups"] = [{"by": "name", "prefix": "", "word": None, "entries": {"(what)": (place,)}}]
    return node
