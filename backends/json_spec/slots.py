"""From nodes that hold slots to the members of a text: what is shared is named, and the objects are put in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_INNER = frozenset([dict, list])


class Slot:
    """An object with an identity: where it was first met, and how often."""

    def __init__(self, value: Any, path: str, named: bool) -> None:
        self.value, self.path, self.named, self.count = value, path, named, 1
        self.node: Any = None
        self.name = ""


_NODES = frozenset([dict, list, Slot])
"""Types of nodes that may hold slots, or are one."""


def holds_slot(node: Any) -> bool:
    """Whether something in a node has an identity."""
    kind = type(node)
    if kind is Slot:
        return True
    if kind in _INNER:
        return any(type(item) in _NODES and holds_slot(item) for item in (node.values() if kind is dict else node))
    return False


def finished(root: Any, slots: list[Slot], unique: Callable[[str], str]) -> tuple[Any, dict[str, Any]]:
    """The root and the objects as JSON. `slots`: those of named objects, described; `unique` makes a path a name."""
    hoisted: list[Slot] = []

    def finish(node: Any) -> Any:
        """Replace slots by references, or by what they hold where nothing else refers to it."""
        kind = type(node)
        if kind is Slot:
            if not node.named and node.count == 1:
                return finish(node.node)
            if not node.name:
                node.name = unique(node.path)
                hoisted.append(node)
            return {"$ref": node.name}
        if kind is dict:
            return {key: finish(item) if type(item) in _NODES else item for key, item in node.items()}
        if kind is list:
            return [finish(item) if type(item) in _NODES else item for item in node]
        return node

    made: dict[str, Any] = {}
    root = finish(root)
    for slot in slots:
        hoisted.append(slot)
        while hoisted:
            current = hoisted.pop()
            made[current.name] = finish(current.node)
    return root, in_order(root, made)


def in_order(root: Any, objects: dict[str, Any]) -> dict[str, Any]:
    """The objects that `root` reaches, each after all that it refers to, the last reference of a cycle aside.

    That is the order in which a depth-first walk from the root, along references as they are written, leaves them.
    """
    ordered: dict[str, Any] = {}
    entered: set[str] = set()
    walk = [(None, iter(references(root)))]
    while walk:
        name, left = walk[-1]
        target = next(left, None)
        if target is None:
            walk.pop()
            if name is not None:
                ordered[name] = objects[name]
        elif target not in entered:
            entered.add(target)
            walk.append((target, iter(references(objects[target]))))
    return ordered


def references(node: Any) -> list[str]:
    """The names in a node's references, as they are written."""
    found: list[str] = []

    def look(node: Any) -> None:
        if type(node) is dict:
            if "$ref" in node:
                found.append(node["$ref"])
                return
            node = node.values()
        for item in node:
            if type(item) in _INNER:
                look(item)

    if type(node) in _INNER:
        look(node)
    return found
