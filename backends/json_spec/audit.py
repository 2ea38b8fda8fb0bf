"""The whole graph is checked here, before anything is imported or made: forms, references and names.

What passes has the forms of `forms.py`, and every name in it is one that the caller's `trust` allows. Most of what a
model's graph holds are references, tuples, tensors that fill their entry and modules with tables of attributes; these
are recognised first, and what is not exactly like that is held against its form in full.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from backends.json_spec.codecs import CODECS
from backends.json_spec.errors import ArtifactError
from backends.json_spec.forms import DIMENSIONS, FORMS, NAMED, SIZE_LIMIT, is_plain_tensor, table, tag_of
from backends.json_spec.text import DEPTH_LIMIT
from backends.json_spec.trust import check_name

REGEX_LIMIT, REGEX_SETS = 200_000, 2000
"""Characters, and character sets `[...]`, of all regular expressions together: a set can take 10 ms to compile."""

_INNER = frozenset([list, dict])
_DTYPES = frozenset(["float32", "float16", "bfloat16", "float64", "int64"])
_TENSOR_NODES = ("attributes", "grad", "class")
"""Fields of a tensor that hold nodes; the others were checked as they are."""
_TABLES = frozenset(["parameters", "buffers", "modules", "attributes"])
"""Fields of a module that are tables of nodes."""


def audit(root: Any, objects: dict[str, Any], trust: Collection[str] | None) -> int:
    """Check forms, references and names of the whole graph. Raises ArtifactError, UntrustedName among them.

    Returns how many keys the objects in `root` and `objects` have, those of `objects` included.
    With `trust=None` any name will do: for readers that import nothing.
    """
    walk = _Walk(objects, trust)
    walk.check("root", root, above=1)
    for name, node in objects.items():
        if not name.isprintable():
            raise ArtifactError(f"an object is called {name[:200]!r}, which no terminal should be asked to show")
        if type(node) is not dict or not (
            walk.is_plain_module(node) if "$module" in node else walk.is_plain_tensor(node)
        ):
            walk.check(name, node)
    if walk.letters > REGEX_LIMIT or walk.sets > REGEX_SETS:
        raise ArtifactError(f"the regular expressions are longer than {REGEX_LIMIT} characters or {REGEX_SETS} sets")
    return walk.keys + len(objects)


class _Walk:
    """One graph being checked, object by object."""

    def __init__(self, objects: dict[str, Any], trust: Collection[str] | None) -> None:
        self._objects, self._trust = objects, trust
        self._named: set[tuple[str, str]] = set()
        """Names, and the tags that they stood in, that may."""
        self._keys: set[str] = set()
        """Keys of tables that may be."""
        self.letters = self.sets = self.keys = 0
        """Of all regular expressions the characters and the beginnings of sets; of all objects the keys."""

    def check(self, where: str, graph: Any, above: int = 2) -> None:
        """Check one named object, or the root; `above`: levels of the text around it."""
        objects, level, beneath = self._objects, [graph], []
        for _ in range(DEPTH_LIMIT - above):
            left: list[Any] = beneath
            beneath, listed = [], False
            for node in level:
                if type(node) is list:
                    left += [item for item in node if type(item) in _INNER]
                    continue
                if type(node) is not dict:
                    continue
                self.keys += len(node)
                if len(node) == 1:
                    if type(payload := node.get("$ref")) is str:
                        if payload not in objects:
                            raise ArtifactError(f"{where} refers to {payload[:200]!r}, which the file does not define")
                        continue
                    if type(payload := node.get("$tuple")) is list:
                        beneath += [item for item in payload if type(item) in _INNER]
                        listed = True  # the list itself is a level
                        continue
                tag = tag_of(node)
                if tag is not None:
                    self._check_tagged(tag, node, where)
                    if tag == "$tensor":
                        left += [node[name] for name in _TENSOR_NODES if name in node]
                        continue
                left += [item for item in node.values() if type(item) in _INNER]
            if not (left or listed):
                return
            level = left
        raise ArtifactError(f"{where} is nested more than {DEPTH_LIMIT} levels deep")

    def is_plain_module(self, node: dict[str, Any]) -> bool:
        """Whether a module is in its form, and its tables hold references and plain values, or tuples of these, alone.

        Where it is not so, nothing is said against it, and no key is counted.
        """
        objects, known, keys = self._objects, self._keys, len(node)
        for key, value in node.items():
            if key in _TABLES:
                if type(value) is not dict or not known.issuperset(value):
                    if not table(value):
                        return False
                    known.update(value)
                keys += len(value)
                for item in value.values():
                    if type(item) in _INNER:
                        if type(item) is not dict or len(item) != 1:
                            return False
                        if "$ref" in item:
                            if type(name := item["$ref"]) is not str or name not in objects:
                                return False
                        elif type(items := item.get("$tuple")) is not list or not _INNER.isdisjoint(map(type, items)):
                            return False
                        keys += 1
            elif key == "$module":
                if type(value) is not str:
                    return False
            elif key != "training" or type(value) is not bool:
                return False
        if "training" not in node:
            return False
        self._check_name(node["$module"], "$module")
        self.keys += keys
        return True

    def is_plain_tensor(self, node: dict[str, Any]) -> bool:
        """Whether a tensor fills its entry, and its fields fit the form of `$tensor` and hold no nodes.

        Where it is not so, nothing is said against it, and no key is counted.
        """
        if "$tensor" not in node or not is_plain_tensor(node):
            return False
        dtype, shape = node["$tensor"], node["shape"]
        if not (
            type(dtype) is str
            and dtype in _DTYPES
            and type(node["entry"]) is str
            and ("parameter" not in node or node["parameter"] is True)
            and type(shape) is list
            and len(shape) <= DIMENSIONS
        ):
            return False
        for size in shape:
            if type(size) is not int or not 0 < size < SIZE_LIMIT:
                return False
        self.keys += len(node)
        return True

    def _check_tagged(self, tag: str, node: dict[str, Any], where: str) -> None:
        """Check a tagged value, but for the nodes in it."""
        _check_form(tag, node, where)
        payload = node[tag]
        if tag in NAMED:
            self._check_name(payload, tag)
        elif tag == "$codec" and payload not in CODECS:
            raise ArtifactError(f"{where} needs the codec {payload[:200]!r}, which is not registered")
        elif tag == "$regex":
            self._count_pattern(payload[0])

    def _count_pattern(self, node: Any) -> None:
        """Of a byte string only the length: a set of bytes is compiled soon, and of a blob nothing else is known."""
        if type(node) is str:
            self.letters += len(node)
            self.sets += node.count("[")
        else:
            held = node.get("$bytes", node.get("$blob"))
            self.letters += held if type(held) is int else len(str(held))

    def _check_name(self, name: str, tag: str) -> None:
        if (name, tag) not in self._named and self._trust is not None:
            check_name(name, NAMED[tag], self._trust)
            self._named.add((name, tag))


def _check_form(tag: str, node: dict[str, Any], where: str) -> None:
    form = FORMS.get(tag)
    if form is None:
        raise ArtifactError(f"{where} holds a value of the unknown kind {tag[:50]!r}")
    if not form.payload(node[tag]):
        raise ArtifactError(f"{where} holds a {tag} of {_shown(node[tag])}, which is not one")
    for name in form.needed:
        if name not in node:
            raise ArtifactError(f"{where} holds a {tag} without {name!r}")
    for name, value in node.items():
        if name == tag:
            continue
        check = form.needed.get(name) or form.optional.get(name)
        if check is None:
            raise ArtifactError(f"{where} holds a {tag} with the unknown field {name[:50]!r}")
        if not check(value):
            raise ArtifactError(f"{where} holds a {tag} whose {name!r} is {_shown(value)}, which it cannot be")
    if not form.together(node):
        raise ArtifactError(f"{where} holds a {tag} with fields that do not belong together: {sorted(node)}")


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'table'} of {len(value)}"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:60] + "..."
