"""From nodes that hold slots to the members of a text: what is shared is named, and the objects are put in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_INNER = frozenset([dict, list])


class Slot:
    """An object with an identity: where it was first met, and how often."""

    __slots__ = ("count", "name", "node", "path", "value")

    def __init__(self, value: Any, path: str, name: str = "") -> None:
        """`name`: of an object that has one in any case; else it gets one when something else refers to it."""
        self.value, self.path, self.name, self.count = value, path, name, 1
        self.node: Any = None


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
    """The root and the objects as JSON. `slots`: those of named objects, described; `unique` makes a path a name.

    It is made of the nodes themselves: where they hold slots, they hold JSON afterwards.
    """
    hoisted: list[Slot] = []
    referred: list[str] = []

    def finish(node: Any) -> Any:
        """Replace slots by references, or by what they hold where nothing else refers to it."""
        kind = type(node)
        if kind is Slot:
            if not node.name:
                if node.count == 1:
                    return finish(node.node)
                node.name = unique(node.path)
                hoisted.append(node)
            referred.append(node.name)
            return {"$ref": node.name}
        if kind is dict:
            for key, item in node.items():
                if type(item) in _NODES:
                    node[key] = finish(item)
        elif kind is list and not _NODES.isdisjoint(map(type, node)):
            node[:] = map(finish, node)
        return node

    made: dict[str, Any] = {}
    references: dict[str, list[str]] = {}
    root = finish(root)
    first, referred = referred, []
    left = slots[::-1]
    while left or hoisted:  # the root may share a list, and have no object in it
        if left:
            hoisted.append(left.pop())
        while hoisted:
            current = hoisted.pop()
            made[current.name] = finish(current.node)
            references[current.name], referred = referred, []
    return root, in_order(first, made, references)


def in_order(first: list[str], objects: dict[str, Any], references: dict[str, list[str]]) -> dict[str, Any]:
    """The objects that the root reaches, each after all that it refers to, the last reference of a cycle aside.

    That is the order in which a depth-first walk from the root, along references as they are written, leaves them.
    `first` are the references of the root, `references` those of each object.
    """
    ordered: dict[str, Any] = {}
    entered: set[str] = set()
    walk = [("", iter(first))]
    while walk:
        name, left = walk[-1]
        target = next(left, None)
        if target is None:
            walk.pop()
            if walk:
                ordered[name] = objects[name]
        elif target not in entered:
            entered.add(target)
            walk.append((target, iter(references[target])))
    return ordered
