"""Reading a snapshot: nodes by reference, text for people, and digests that find an element of a set again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

VERSION = 1
"""Of what `builder` writes."""
GIVEN_AGAIN = "given again"
"""The word of the group of what a function's cache would give again that the model has too."""
_LEVELS = 8
"""How deep a digest looks. Digests only pair elements up; what was paired is compared in full."""


class Path:
    """Where a value is, built step by step and written out only for a difference: deep graphs have long paths."""

    __slots__ = ("parent", "step")

    def __init__(self, step: str, parent: Path | None = None) -> None:
        self.step, self.parent = step, parent

    def __truediv__(self, step: str) -> Path:
        return Path(step, self)

    def __str__(self) -> str:
        steps: list[str] = []
        path: Path | None = self
        while path is not None:
            steps.append(path.step)
            path = path.parent
        return "".join(reversed(steps))


class Graph:
    """One snapshot. Raises ValueError for one of another version."""

    def __init__(self, snapshot: dict) -> None:
        if snapshot.get("version") != VERSION:
            raise ValueError(f"a snapshot of version {snapshot.get('version')!r}; this harness reads version {VERSION}")
        self.root, self.bytecode = snapshot["root"], snapshot["bytecode"]
        self.nodes: list[dict] = snapshot["nodes"]
        self._digests: dict[tuple[Any, int], str] = {}

    def node(self, reference: Any) -> dict | None:
        """The node of a reference; None for an atom, which is its own value."""
        return self.nodes[reference[0]] if isinstance(reference, tuple) else None

    def by_content(self, pairs: Iterable[tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
        """Pairs under the digest of their first; the second of two equal ones (NaN can be) under a numbered one."""
        found: dict[str, tuple[Any, Any]] = {}
        seen: Counter[str] = Counter()
        for first, second in pairs:
            digest = self.digest(first)
            seen[digest] += 1
            found[f"{digest} {seen[digest]}"] = (first, second)
        return found

    def digest(self, reference: Any, levels: int = _LEVELS) -> str:
        """Equal for equal values, in any process: no address, number or order of a set takes part."""
        if not isinstance(reference, tuple):
            return repr(reference)  # of atoms, it tells 1, True, 1.0 and '1' apart
        if levels == 0:
            return "..."
        key = (reference, levels)
        if key not in self._digests:
            node = self.nodes[reference[0]]
            parts = [node["kind"], node["type"], repr(sorted(node.get("facts", {}).items())), repr(node.get("numbers"))]
            for group in node.get("groups", ()):
                parts += [group["prefix"], *self._parts(group, levels - 1)]
            self._digests[key] = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
        return self._digests[key]

    def _parts(self, group: dict, levels: int) -> list[str]:
        entries = group["entries"]
        if group["by"] == "name":
            return sorted(f"{name}={self.digest(part, levels)}" for name, part in entries.items())
        if group["by"] == "key":
            return [f"{self.digest(name, levels)}={self.digest(part, levels)}" for name, part in entries]
        digests = [self.digest(part, levels) for part in entries]
        return sorted(digests) if group["by"] == "content" else digests

    def described(self, reference: Any, *, short: bool = False) -> str:
        """A few words for a person: `1 (int)`, `tuple ('a', 1)`, `torch.Tensor [2, 3]`; `short` for a key in a path."""
        node = self.node(reference)
        if node is None:
            text = shown(reference)
            return text if short or reference is None else f"{text} ({type(reference).__name__})"
        facts = node.get("facts", {})
        text = next((shown(facts[word]) for word in ("code", "value", "shape") if word in facts), "")
        if node["kind"] in ("sequence", "set"):
            entries = [entry for group in node.get("groups", ()) if group["by"] != "name" for entry in group["entries"]]
            inner = [shown(entry) if not isinstance(entry, tuple) else "..." for entry in entries[:5]]
            text = f"({', '.join(inner)}{', ...' if len(entries) > 5 else ''})"
            if short and node["type"] == "tuple":
                return text
        return f"{node['type']} {text}".strip()


def shown(value: Any) -> str:
    """`repr`, cut to a length that a table bears."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
