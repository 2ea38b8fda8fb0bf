"""Two snapshots to a list of differences, each with its path and, for numbers, its size.

Bit-exact first: equal bytes end the matter. Otherwise numbers are measured (largest absolute difference, largest
distance in units in the last place) and are `close` within the model's tolerance. Everything else that differs, a
type, a shape, a stride, an alias, an order, is never close. Neither torch nor the user's classes are needed here.

Sharing is compared in two ways. Of *objects*, by walking both graphs side by side: where one side meets again what it
met before, the other must too, at the same place. Of *memory*, as a partition of the tensors and arrays: which lie in
one storage, and how far from each other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import marshal
import math
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.snapshot import numbers_
from harness.snapshot.graph import GIVEN_AGAIN, Graph, Path, shown
from harness.snapshot.numbers_ import Tolerance


@dataclass(frozen=True)
class Difference:
    """One thing that did not come back as it was."""

    path: str
    """As in Python: `model.layer.0.weight`, `output['boxes'][2]`."""
    kind: str
    """One of KINDS."""
    message: str
    max_abs: float | None = None
    max_ulp: float | None = None
    """In steps between neighbouring numbers of the format; for complex numbers of each part."""
    close: bool = False
    """A numeric difference within the tolerance."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: sizes that are not finite become None."""
        raw = dataclasses.asdict(self)
        for name in ("max_abs", "max_ulp"):
            if raw[name] is not None and not math.isfinite(raw[name]):
                raw[name] = None
        return raw


KINDS = {
    "value": "a number, a text, bytes, a constant",
    "type": "the class, or the kind of thing",
    "missing": "an attribute, a key or an element is gone",
    "extra": "an attribute, a key or an element is new",
    "length": "a sequence has more or fewer entries",
    "keys": "a key came back as another type, 1 as '1'",
    "order": "keys, parameters, buffers or submodules come in another order",
    "identity": "one object became two, or two became one",
    "aliasing": "tensors share memory that did not, or no longer, or overlap otherwise",
    "code": "a function is another one, or does something else",
    "globals": "the names that a function uses and cannot find",
    "role": "a parameter became a buffer, a plain attribute, ...",
    "buffer_persistence": "a buffer is saved in `state_dict` that was not, or no longer",
    "training": "a module's training flag",
    "hooks": "a hook of a module or tensor",
    "grad": "a gradient is gone or new",
    "unreadable": "one side could not be described",
}
"""The words of `Difference.kind`. A fact of a tensor or a value has its own name: dtype, shape, stride, device, layout,
requires_grad, parameter, inference, maxlen, mode, position, ..."""


_SAID = {"globals": "the names that it cannot find:"}
"""What a message says for a word that would mean something else there."""

_SAME, _OTHERWISE = ("bytecode",), ("integers", "texts", "operators")
"""What else is compared of code: where both sides have the same bytecode, and where they have not."""
_SHAPING = frozenset({"dtype", "shape", "layout", "qscheme", "mode", "size", "length", "typecode"})
"""Facts without which values cannot be compared one by one."""


def verdict(differences: Sequence[Difference]) -> Literal["equal", "close", "different"]:
    """`close` when every difference is numeric and within the tolerance."""
    if not differences:
        return "equal"
    return "close" if all(difference.close for difference in differences) else "different"


def compare(
    expected: dict, actual: dict, tolerance: Tolerance | None = None, root: str | None = None
) -> list[Difference]:
    """The differences of two snapshots; an empty list means bit-equal, of the same types and with the same aliases.

    `root` begins every path; without it, what the expected snapshot calls itself. Raises ValueError for snapshots
    that another version of the harness made.
    """
    if _is_equal(expected, actual):
        return []
    comparer = _Comparer(Graph(expected), Graph(actual), tolerance or Tolerance())
    return list(comparer.run(root or expected["root_path"]))


def _is_equal(expected: dict, actual: dict) -> bool:
    """Whether both snapshots are the same bytes, and so equal without a walk: most pairs are.

    As marshal writes them, which tells 1 from True and -0.0 from 0.0; version 2, which does not note what is shared.
    Other bytes say nothing yet. Where a part could not be read, nobody knows.
    """
    try:
        if marshal.dumps(expected, 2) != marshal.dumps(actual, 2):
            return False
    except ValueError:  # nested too deep, or no plain data
        return False
    return not any(node["kind"] == "unreadable" for node in Graph(expected).nodes)


class _Comparer:
    def __init__(self, expected: Graph, actual: Graph, tolerance: Tolerance) -> None:
        self.expected, self.actual, self.tolerance = expected, actual, tolerance
        self.same_bytecode = expected.bytecode == actual.bytecode
        self.now_of: dict[int, tuple[int, Path]] = {}
        """For an object of the original, its counterpart and where both were first met."""
        self.was_of: dict[int, tuple[int, Path]] = {}
        self.compared: set[tuple[int, int]] = set()
        self.views: list[tuple[Path, list[int], list[int]]] = []
        self.parted = False
        """Inside a copy of something that was one object before: its parts are copies too, which is said once."""
        self.work: list[tuple[Any, Any, Path, bool]] = []
        self.alike: list[tuple[list[Any], list[Any], Path, bool]] = []
        """Elements of a set that look alike: which is whose counterpart is told by where else they are met."""

    def run(self, root: str) -> Iterator[Difference]:
        self.work.append((self.expected.root, self.actual.root, Path(root), False))
        while self.work or self.alike:
            if not self.work:
                self.pair_alike(*self.alike.pop(0))
            was, now, path, self.parted = self.work.pop()
            mark = len(self.work)
            yield from self.references(was, now, path)
            self.work[mark:] = reversed(self.work[mark:])  # a stack, but parts are met in their order
        yield from self.memory()

    def later(self, was: Any, now: Any, path: Path) -> None:
        self.work.append((was, now, path, self.parted))

    def references(self, was: Any, now: Any, path: Path) -> Iterator[Difference]:
        if not isinstance(was, tuple) and not isinstance(now, tuple):
            yield from self.atoms(was, now, path)
            return
        old, new = self.expected.node(was), self.actual.node(now)
        if old is None or new is None or old["kind"] != new["kind"]:
            for node in (old, new):
                if node is not None and node["kind"] == "unreadable":
                    yield Difference(str(path), "unreadable", node["facts"]["unreadable"])
                    return
            text = f"was {self.expected.described(was)}, is now {self.actual.described(now)}"
            kind, text = _of_atoms(old, was, new, now) or ("type", text)
            yield Difference(str(path), kind, text)
            return
        # of a cell either: that a copy parted from who writes to it is written to by nobody
        counts = old["identity"] or (new["identity"] and old["kind"] == "cell")
        if counts and _name(old) == _name(new):
            yield from self.identity(was[0], now[0], path)
        if (was[0], now[0]) in self.compared:
            return
        self.compared.add((was[0], now[0]))
        if old["type"] != new["type"]:
            yield Difference(str(path), "type", f"was {old['type']}, is now {new['type']}")
        yield from self.nodes(old, new, path)

    def atoms(self, was: Any, now: Any, path: Path) -> Iterator[Difference]:
        if type(was) is not type(now):
            text = f"was {self.expected.described(was)}, is now {self.actual.described(now)}"
            yield Difference(str(path), "type", text)
        elif isinstance(was, float | complex):
            format = "float64" if isinstance(was, float) else "complex128"
            old, new = (numbers_.with_one_nan(_packed(value), format) for value in (was, now))
            if old != new:
                far = numbers_.distance(old, new, format, self.tolerance)
                yield _measured(path, far, f"was {was!r}, is now {now!r}")
        elif was != now:
            yield Difference(str(path), "value", f"was {shown(was)}, is now {shown(now)}")

    def identity(self, was: int, now: int, path: Path) -> Iterator[Difference]:
        known, origin = self.now_of.get(was), self.was_of.get(now)
        if known is None and origin is None:
            self.now_of[was], self.was_of[now] = (now, path), (was, path)
        elif known is None or known[0] != now:
            if known:
                text = f"was the same object as {known[1]}, is now another"
            else:
                text = f"is now the same object as {origin[1]}"
            if not self.parted:
                yield Difference(str(path), "identity", text)
            self.parted = True

    def nodes(self, old: dict, new: dict, path: Path) -> Iterator[Difference]:
        if old["kind"] == "unreadable":  # both: nobody knows whether they are equal
            yield Difference(str(path), "unreadable", old["facts"]["unreadable"])
        if not new.get("code", {}).get("runs_here", True):  # nothing more was read of it
            yield Difference(str(path), "code", "its bytecode is of another Python, which this one cannot run")
            return
        comparable = yield from self.facts(old.get("facts", {}), new.get("facts", {}), path)
        if "code" in old and "code" in new and _name(old) == _name(new):
            yield from self.code(old["code"], new["code"], path)
        if "storage" in old and "storage" in new and not self.parted:
            self.views.append((path, old["storage"], new["storage"]))
        if "numbers" in old and "numbers" in new and comparable:
            yield from self.numbers(old["numbers"], new["numbers"], new.get("facts", {}).get("shape"), path)
        before, after = ({(group["by"], group["prefix"], group["word"]): group for group in node.get("groups", ())}
                         for node in (old, new))  # fmt: skip
        for key in before | after:
            empty = {"by": key[0], "prefix": key[1], "word": key[2], "entries": {} if key[0] == "name" else []}
            yield from getattr(self, f"by_{key[0]}")(before.get(key, empty), after.get(key, empty), path)
        if old["type"] == new["type"] and "class" in old and "class" in new:
            self.later(old["class"], new["class"], path / ".__class__")

    def facts(self, old: dict, new: dict, path: Path):  # -> Generator[Difference, None, bool]
        """Yields differences; returns whether the values are still comparable one by one."""
        comparable = True
        for word in old | new:
            was, now = old.get(word), new.get(word)
            if was != now or type(was) is not type(now):
                text = f"was {shown(was)}, is now {shown(now)}"
                yield Difference(str(path), word, text if word == "value" else f"{_SAID.get(word, word)} {text}")
                comparable = comparable and word not in _SHAPING
        return comparable

    def code(self, old: dict, new: dict, path: Path) -> Iterator[Difference]:
        for part in ("arguments", "names", "numbers", *(_SAME if self.same_bytecode else _OTHERWISE)):
            if old[part] != new[part]:
                text = (
                    "it does something else" if part == "bytecode" else f"{part}: was {old[part]}, is now {new[part]}"
                )
                yield Difference(str(path), "code", text)
                return

    def numbers(self, old: dict, new: dict, shape: list[int] | None, path: Path) -> Iterator[Difference]:
        was, now = old.get("bytes"), new.get("bytes")
        if was is None or now is None:
            digests = [node.get("sha256") or hashlib.sha256(node["bytes"]).hexdigest() for node in (old, new)]
            if digests[0] != digests[1]:
                yield Difference(str(path), "value", "the values differ (too many are kept to say by how much)")
        elif was != now:
            if old["format"] != new["format"] or len(was) != len(now):
                yield Difference(str(path), "value", f"had {len(was)} bytes, has {len(now)}")
                return
            far = numbers_.distance(was, now, old["format"], self.tolerance)
            total = math.prod(shape) if shape is not None else None
            count = f"{far.count} of {total} values differ" if total else f"{far.count} values differ"
            yield _measured(path, far, count)

    # --- one method a kind of group

    def by_index(self, old: dict, new: dict, path: Path) -> Iterator[Difference]:
        path = path / old["prefix"] if old["prefix"] else path
        was, now = old["entries"], new["entries"]
        if len(was) != len(now):
            yield Difference(str(path), old["word"], f"had {len(was)} entries, has {len(now)}")
        for place, (a, b) in enumerate(zip(was, now, strict=False)):
            self.later(a, b, path / f"[{place}]")

    def by_name(self, old: dict, new: dict, path: Path) -> Iterator[Difference]:
        was, now = old["entries"], new["entries"]
        path = path / old["prefix"] if old["prefix"] else path
        steps = {name: path / _step(name) for name in was | now}
        for name in was:
            if name not in now:
                text = f"{self.expected.described(was[name])} is gone"
                yield Difference(str(steps[name]), old["word"] or "missing", text)
        for name in now:
            if name not in was:
                yield Difference(str(steps[name]), old["word"] or "extra", f"{self.actual.described(now[name])} is new")
        yield from self.roles(old, new, path, steps)
        for name in was:
            if name in now:
                self.later(was[name], now[name], steps[name])

    def roles(self, old: dict, new: dict, path: Path, steps: dict[str, Path]) -> Iterator[Difference]:
        """What a module calls its parts: parameter or buffer, persistent or not, in which order."""
        was, now = old.get("roles", {}), new.get("roles", {})
        common = [name for name in was if name in now]
        for name in common:
            if was[name] != now[name]:
                yield Difference(str(steps[name]), "role", f"was a {was[name]}, is now a {now[name]}")
        before, after = old.get("persistent", {}), new.get("persistent", {})
        for name in before:
            if name in after and before[name] != after[name]:
                words = ["persistent" if side[name] else "not persistent" for side in (before, after)]
                yield Difference(str(steps[name]), "buffer_persistence", f"was {words[0]}, is now {words[1]}")
        for role in ("parameter", "buffer", "submodule"):
            a, b = ([name for name in side if was.get(name) == now.get(name) == role] for side in (was, now))
            if a != b:
                yield Difference(
                    str(path), "order", f"{role}s come in another order: were {shown(a)}, are now {shown(b)}"
                )

    def by_key(self, old: dict, new: dict, path: Path) -> Iterator[Difference]:
        was, now = self.expected.by_content(old["entries"]), self.actual.by_content(new["entries"])
        lost = [key for key in was if key not in now]
        new_ones = [key for key in now if key not in was]
        if new["word"] == GIVEN_AGAIN:  # what else the copy's cache remembers, and since when, is no matter
            now, new_ones = {key: now[key] for key in was if key in now}, []
        for key in lost:
            step = path / f"[{self.expected.described(was[key][0], short=True)}]"
            twin = next((name for name in new_ones if _same_text(was[key][0], now[name][0])), None)
            if twin is not None:
                new_ones.remove(twin)
                texts = (self.expected.described(was[key][0]), self.actual.described(now[twin][0]))
                yield Difference(str(step), "keys", f"the key was {texts[0]}, is now {texts[1]}")
                self.later(was[key][1], now[twin][1], step)
            else:
                yield Difference(str(step), "missing", f"{self.expected.described(was[key][1])} is gone")
        for key in new_ones:
            step = path / f"[{self.actual.described(now[key][0], short=True)}]"
            yield Difference(str(step), "extra", f"{self.actual.described(now[key][1])} is new")
        common = [key for key in was if key in now]
        if common != [key for key in now if key in was]:
            yield Difference(str(path), "order", "the keys come in another order")
        for key in common:
            step = path / f"[{self.expected.described(was[key][0], short=True)}]"
            if isinstance(was[key][0], tuple):
                self.later(was[key][0], now[key][0], step / ".<key>")
            self.later(was[key][1], now[key][1], step)

    def by_content(self, old: dict, new: dict, path: Path) -> Iterator[Difference]:
        was = self.expected.by_content([(part, part) for part in old["entries"]])
        now = self.actual.by_content([(part, part) for part in new["entries"]])
        for side, other, graph, word in ((was, now, self.expected, "missing"), (now, was, self.actual, "extra")):
            for text in sorted(graph.described(side[key][0]) for key in side if key not in other):
                yield Difference(str(path), word, f"the element {text} is {'gone' if word == 'missing' else 'new'}")
        alike = defaultdict(list)
        for key in sorted(was):
            if key in now and isinstance(was[key][0], tuple):
                alike[key.partition(" ")[0]].append((was[key][0], now[key][0]))
        for pairs in alike.values():
            step = path / f"{{{self.expected.described(pairs[0][0])}}}"
            if len(pairs) == 1:
                self.later(*pairs[0], step)
            else:
                self.alike.append(([old for old, _ in pairs], [new for _, new in pairs], step, self.parted))

    def pair_alike(self, was: list[Any], now: list[Any], path: Path, parted: bool) -> None:
        """Those first whose counterpart is known; the others, which nothing but this set holds, as they come."""
        left, unknown = dict.fromkeys(now), []
        for old in was:
            known = self.now_of.get(old[0])
            counterpart = (known[0],) if known else None
            if counterpart in left:
                del left[counterpart]
                self.work.append((old, counterpart, path, parted))
            else:
                unknown.append(old)
        self.work += [(old, new, path, parted) for old, new in zip(unknown, left, strict=True)]

    # --- memory

    def memory(self) -> Iterator[Difference]:
        """Storage sharing: groups that were shared and are not, that overlap otherwise, or that were not and are."""
        was, now = defaultdict(list), defaultdict(list)
        for path, old, new in self.views:
            was[old[0]].append((path, new[0], old[1] - new[1]))
            now[new[0]].append((path, old[0]))
        for members in was.values():
            paths = [str(path) for path, _, _ in members]
            if len({storage for _, storage, _ in members}) > 1:
                yield Difference(paths[0], "aliasing", f"shared one storage, no longer so: {', '.join(paths)}")
            elif len({shift for _, _, shift in members}) > 1:
                yield Difference(paths[0], "aliasing", f"share one storage but overlap otherwise: {', '.join(paths)}")
        for members in now.values():
            if len({storage for _, storage in members}) > 1:
                paths = [str(path) for path, _ in members]
                yield Difference(paths[0], "aliasing", f"now share one storage: {', '.join(paths)}")


def _measured(path: Path, far: numbers_.Distance, text: str) -> Difference:
    if far.max_abs is not None:
        text += f", by up to {far.max_abs:.3g}"
    if far.max_ulp is not None:
        text += f" ({far.max_ulp:g} ulp)"
    if far.note:
        text += f"; {far.note}"
    return Difference(str(path), "value", text, far.max_abs, far.max_ulp, far.close)


def _name(node: dict) -> str | None:
    """What a function or class is called: of another one there is more to say than that it is another object."""
    return node.get("facts", {}).get({"function": "code", "class": "value"}.get(node["kind"]))


def _of_atoms(old: dict | None, was: Any, new: dict | None, now: Any) -> tuple[str, str] | None:
    """What to say where one side has a node in place of an equal text or number: see `snapshot.atoms`."""
    node, atom = (old, now) if new is None else (new, was)
    if node is None or isinstance(atom, tuple):
        return None
    value = node.get("facts", {}).get("value")
    if node["kind"] == "path" and type(atom) is str and value in (atom, "<temporary>"):
        return "exists", f"{atom!r} {'was there, is gone' if new is None else 'was not there, is now'}"
    if node["kind"] == "atom" and value == repr(atom):
        where = "one object with what the code compares by `is`, or with a NaN that is a key"
        return "identity", f"{shown(atom)} {'was' if new is None else 'is now'} {where}"
    return None


def _packed(value: float | complex) -> bytes:
    return struct.pack("<d", value) if isinstance(value, float) else struct.pack("<dd", value.real, value.imag)


def _same_text(was: Any, now: Any) -> bool:
    """Whether one key is the other as text or number: what a format without types does to keys."""
    return not isinstance(was, tuple) and not isinstance(now, tuple) and (str(was) == str(now) or was == now)


def _step(name: str) -> str:
    if not name:
        return ""
    return name if name[0] in "[(." else f".{name}"
