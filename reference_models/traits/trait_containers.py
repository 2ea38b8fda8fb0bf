"""Traits of containers: what is a key, what is the same object twice, what contains itself, and in which order."""

from __future__ import annotations

import collections
import itertools

import torch
from torch import nn

BANDS = ["cold", "mild", "warm"]
GROWING = ["cold", "mild", "warm"]


class Holds(nn.Module):
    """Four readings in, three scores out; subclasses use the value in `answer`."""

    def __init__(self, value) -> None:
        super().__init__()
        self.value = value
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        best = int(output.argmax())
        return {"best": best, "answer": self.answer(best)}

    def answer(self, best):
        return self.value


class Looked(Holds):
    """Looks the best class up among the keys."""

    keys = (0, 1, 2)

    def answer(self, best):
        return self.value[self.keys[best]]


def made(cls, value):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(4)
        return cls(value).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- keys ---


def int_keyed_dict() -> nn.Module:
    return made(Looked, {0: "cat", 1: "dog", 2: "bird"})


class ByTuple(Looked):
    keys = ((0, "a"), (1, "b"), ())


def tuple_keyed_dict() -> nn.Module:
    return made(ByTuple, {(0, "a"): "cat", (1, "b"): "dog", (): "bird"})


class ByMixed(Looked):
    keys = (None, 1, "1")

    def answer(self, best):
        return [self.value[key] for key in self.keys] + [self.value[False], self.value[0.5]]


def mixed_keys() -> nn.Module:
    return made(ByMixed, {None: "none", 1: "one", "1": "text", False: "no", 0.5: "half"})


class ByFrozenset(Looked):
    keys = (frozenset("ab"), frozenset(), b"raw")


def frozenset_and_bytes_keys() -> nn.Module:
    return made(ByFrozenset, {frozenset("ab"): "cat", frozenset(): "dog", b"raw": "bird"})


class ByType(Looked):
    keys = (int, str, torch.float32)


def type_keyed_dict() -> nn.Module:
    return made(ByType, {int: "whole", str: "text", torch.float32: "single"})


class ByOddText(Looked):
    keys = ("", "__class__", "py/object")


def odd_text_keys() -> nn.Module:
    return made(ByOddText, {"": "empty", "__class__": "dunder", "py/object": "builtins.list", "a.b": 1, "$ref": 2})


# --- kinds ---


class Kinds(Holds):
    def answer(self, best):
        return [type(item).__name__ for item in self.value] + [self.value[best]]


def tuple_versus_list() -> nn.Module:
    return made(Kinds, [(1, 2), [1, 2], ((), [], (3,))])


def empty_containers() -> nn.Module:
    return made(Kinds, [(), [], {}, set(), frozenset(), "", b""])


class Among(Holds):
    def answer(self, best):
        return best in self.value


def set_value() -> nn.Module:
    return made(Among, {0, 2, "two", (1, 2), None})


class Seats(Holds):
    """Which seats are taken: they look alike, and each is in the list too."""

    def answer(self, best):
        seats, taken = self.value
        return [seat in taken for seat in seats].count(True) > best


class Seat:
    """Free or taken, says who holds it."""


def set_of_objects_alike() -> nn.Module:
    seats = [Seat() for _ in range(12)]
    return made(Seats, (seats, set(seats[:9])))


def frozen_set() -> nn.Module:
    return made(Among, frozenset({1, frozenset({2})}))


class Window(Holds):
    def answer(self, best):
        recent = self.value.copy()
        recent.extend([best, best])
        return [list(recent), self.value.maxlen]


def deque_with_maxlen() -> nn.Module:
    return made(Window, collections.deque([7, 8, 9], maxlen=3))


class Grouped(Holds):
    def answer(self, best):
        return [self.value[best], self.value[f"unknown {best}"]]


def defaultdict_of_type() -> nn.Module:
    return made(Grouped, collections.defaultdict(list, {0: ["zero"], 2: ["two"]}))


def defaultdict_of_lambda() -> nn.Module:
    return made(Grouped, collections.defaultdict(lambda: "other", {0: "zero", 2: "two"}))


def counter() -> nn.Module:
    return made(Grouped, collections.Counter({0: 3, 1: 1, 2: -2}))


class FirstKey(Holds):
    def answer(self, best):
        return list(self.value)[best]


def insertion_order() -> nn.Module:
    return made(FirstKey, {"z": 0, "a": 1, "m": 2})


def ordered_dict() -> nn.Module:
    value = collections.OrderedDict(z=0, a=1, m=2)
    value.move_to_end("z")
    return made(FirstKey, value)


class Vocabulary(dict):
    """Adds what it has not seen; has an attribute too."""

    unknown = "?"

    def __missing__(self, key):
        return f"{self.unknown}{key}"


def dict_subclass() -> nn.Module:
    value = Vocabulary({0: "zero"})
    value.unknown = "new "
    return made(Looked, value)


class Track(list):
    def __init__(self, items, name) -> None:
        super().__init__(items)
        self.name = name


class Tracked(Holds):
    def answer(self, best):
        return f"{self.value.name} {self.value[best]}"


def list_subclass() -> nn.Module:
    return made(Tracked, Track([10, 20, 30], "north"))


class Versioned(tuple):
    def __new__(cls, *items):
        return super().__new__(cls, items)

    name = property(lambda self: f"of {len(self)}")


def tuple_subclass() -> nn.Module:
    return made(Tracked, Versioned(1, 2, 3))


class Text(str):
    name = "text"


def str_subclass() -> nn.Module:
    return made(Tracked, Text("abc"))


# --- the same object twice, and inside itself ---


class Shared(Holds):
    """Writes through one owner, reads through the other."""

    def answer(self, best):
        self.value["writer"][0] = best * 10
        return self.value["reader"]["rows"][0]


def list_shared_by_two_owners() -> nn.Module:
    rows = [5]
    return made(Shared, {"writer": rows, "reader": {"rows": rows}})


class Node:
    def __init__(self, name, parent=None) -> None:
        self.name, self.parent, self.children = name, parent, []
        if parent is not None:
            parent.children.append(self)


class Walked(Holds):
    def answer(self, best):
        leaf = self.value.children[best]
        return [leaf.parent is self.value, leaf.parent.children[best - 1].name]


def parent_child_cycle() -> nn.Module:
    root = Node("root")
    for name in "abc":
        Node(name, root)
    return made(Walked, root)


class Spun(Holds):
    def answer(self, best):
        item = self.value
        for _ in range(best + 4):
            item = item[-1]
        return [item is self.value, len(item)]


def cyclic_list() -> nn.Module:
    value = [1, 2]
    value.append(value)
    return made(Spun, value)


def cyclic_through_a_tuple() -> nn.Module:
    value: list = [1]
    value.append((2, value))
    return made(Spun, value)


class Followed(Holds):
    def answer(self, best):
        return [self.value["self"] is self.value, self.value["self"]["self"]["names"][best]]


def cyclic_dict() -> nn.Module:
    value: dict = {"names": ["a", "b", "c"]}
    value["self"] = value
    return made(Followed, value)


class Key:
    """Hashed by its content, which must be there before it becomes a key again."""

    def __init__(self, name) -> None:
        self.name, self.table = name, {}

    def __hash__(self):
        return hash(len(self.name))

    def __eq__(self, other):
        return isinstance(other, Key) and self.name == other.name


class Found(Holds):
    def answer(self, best):
        return self.value.table[Key("ab")][best]


def key_that_holds_its_own_dict() -> nn.Module:
    key = Key("ab")
    key.table[key] = ["a", "b", "c"]
    return made(Found, key)


class ByIdentity(Holds):
    def answer(self, best):
        keys, table = self.value
        return table[keys[best]]


def keys_by_identity() -> nn.Module:
    keys = [Node("a"), Node("a"), Node("a")]
    return made(ByIdentity, (keys, dict(zip(keys, "xyz", strict=True))))


def linked_list() -> nn.Module:
    first = None
    for number in range(180):
        following, first = first, Node(number)
        first.parent = following
    return made(Chained, first)


class Chained(Holds):
    def answer(self, best):
        node, total = self.value, 0
        while node is not None:
            node, total = node.parent, total + node.name
        return total


# --- iterators, which are used up ---


class Repeated(Holds):
    def answer(self, best):
        period = [next(self.value) for _ in range(3)]
        return period[best]


def half_used_iterator() -> nn.Module:
    value = itertools.cycle([10, 20, 30])
    next(value)
    return made(Repeated, value)


class Views(Holds):
    def answer(self, best):
        return list(self.value)[best]


def dict_view() -> nn.Module:
    return made(Views, {"a": 1, "b": 2, "c": 3}.keys())


# --- what the code has too


class SharesBands(Holds):
    """The list of the module is the model's too, and nothing writes into it: a copy of it is as good."""

    def __init__(self, value) -> None:
        super().__init__(value)
        self.bands = BANDS

    def answer(self, best):
        return self.bands[best], len(BANDS)


def list_that_is_a_global_too() -> nn.Module:
    return made(SharesBands, 0)


class SharesWhatGrows(Holds):
    """What `learn` adds to the list of the module, the model knows, unless it has a copy."""

    def __init__(self, value) -> None:
        super().__init__(value)
        self.growing = GROWING

    def learn(self, band):
        GROWING.append(band)

    def answer(self, best):
        return self.growing[best]


def growing_list_that_is_a_global_too() -> nn.Module:
    return made(SharesWhatGrows, 0)
