"""Tables in which objects keep their parts, where two have one in common: what is put into the one is in the other too.

A shallow copy of a layer (`copy.copy`) has the tables of its weights and hooks in common with it, objects of one
`__dict__` have all their attributes so, and a dictionary whose `__dict__` is itself has its entries as attributes. A
copy that is made part by part has two tables, of the same content.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

Tables = list[tuple[dict, str, Any]]
"""(node, the name of a table of what it describes, the table)."""
ITSELF = "(itself)"


def of_object(value: Any, node: dict) -> Tables:
    """The table of its attributes; and a dictionary itself, which may be one. By `type`, which no proxy can fake."""
    found: Tables = [(node, ITSELF, value)] if issubclass(type(value), dict) else []
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except Exception:  # it has none; or a property of the user's
        return found
    return [*found, (node, "__dict__", attributes)] if isinstance(attributes, dict) else found


def tell_apart(tables: Tables, nodes: list[dict]) -> None:
    """Note on the nodes of all that have a table in common which it is."""
    members: dict[int, Tables] = defaultdict(list)
    for entry in tables:
        members[id(entry[2])].append(entry)
    for shared in members.values():
        if len({(id(node), name) for node, name, _ in shared}) == 1:
            continue
        for node, name, _ in shared:
            groups = node.setdefault("groups", [])
            group = next((one for one in groups if one["prefix"] == ".<tables>"), None)
            if group is None:
                group = {"by": "name", "prefix": ".<tables>", "word": "identity", "entries": {}}
                groups.append(group)
            group["entries"][name] = (len(nodes),)
        # which table it is, is said by which object it is, where one has it under two names
        has_others = len({id(node) for node, _, _ in shared}) > 1
        nodes.append({"kind": "shared table", "type": "a table in common", "identity": has_others})
