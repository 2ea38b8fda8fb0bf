"""Each guard of the places that a value stands in alone, and what of a graph is counted so."""

from __future__ import annotations

import crafting
import numpy as np
import pytest

from backends.json_spec import places
from backends.json_spec.errors import ArtifactError
from backends.json_spec.places import Places
from backends.json_spec.reader import Reader
from backends.json_spec.tensors import Weights


@pytest.fixture(autouse=True)
def a_low_limit(monkeypatch):
    """The walk itself takes a second at the limit that there is."""
    monkeypatch.setattr(places, "AGAIN_LIMIT", 5000)


def twice(levels, make=lambda inner: (inner, inner)):
    """A value that stands in 2^levels places."""
    value = make(1)
    for _ in range(levels):
        value = make(value)
    return value


def array(inner):
    made = np.empty(2, object)
    made[0] = made[1] = inner
    return made


WAYS = {
    "tuples": lambda inner: (inner, inner), "lists": lambda inner: [inner, inner],
    "dicts": lambda inner: {"a": inner, "b": inner}, "slices": lambda inner: slice(inner, inner),
    "sets in tuples": lambda inner: (frozenset([inner]), frozenset([(inner,)])), "arrays": array,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_what_stands_in_too_many_places(way):
    Places().go_through(twice(8, WAYS[way]))
    with pytest.raises(ArtifactError, match="stands in more than"):
        Places().go_through(twice(40, WAYS[way]))


def test_places_of_all_values_together(monkeypatch):
    monkeypatch.setattr(places, "AGAIN_LIMIT", 12)
    found, shared = Places(), (1, 2, 3)
    found.go_through([(n, n, n, n) for n in range(100)])
    for _ in range(4):  # the first time is free, and each of the others is four
        found.go_through(shared)
    with pytest.raises(ArtifactError, match="more than 12 places"):
        found.go_through((shared,))
    found, kept = Places(), {}
    for _ in range(13):
        found.meet(kept, 0)
    with pytest.raises(ArtifactError, match="more than 12 places"):
        found.meet(kept, 0)


def deep(levels, way):
    value = 1
    for _ in range(levels):
        value = way(value)
    return value


DEEP = {
    "tuples": lambda inner: (inner,), "lists": lambda inner: [inner], "dicts": lambda inner: {"a": inner},
    "slices": lambda inner: slice(None, inner), "frozensets": lambda inner: frozenset([inner]),
}  # fmt: skip


@pytest.mark.parametrize("way", DEEP)
def test_levels_of_places(way):
    assert Places().go_through(deep(200, DEEP[way])) == 0
    with pytest.raises(ArtifactError, match="nested more than 200 levels deep"):
        Places().go_through(deep(201, DEEP[way]))


def test_bytes_in_all_places():
    ones, held = np.ones(3), b"ab"
    assert Places().go_through([ones, {"a": ones, "b": (held, held)}, "text", 5]) == 2 * ones.nbytes + 4
    assert Places().go_through(array(held)) == array(held).nbytes + 4


@pytest.fixture
def build(tmp_path):
    """build(node, objects) -> what the node describes."""
    (tmp_path / "weights.safetensors").write_bytes(crafting.weights({"long": ("U8", [2000], bytes(2000))}))
    file = tmp_path / "weights.safetensors"
    return lambda node, objects: Reader(objects, Weights(file), crafting.TRUST).build(node)


TUPLES = {
    "tuples": lambda inner: {"$tuple": [inner, inner]},
    "namedtuples": lambda inner: {"$namedtuple": "json_spec_things:Pair", "items": [inner, inner]},
    "of a subclass": lambda inner: {"$object": "json_spec_things:Version", "content": {"$tuple": [inner, inner]}},
}
FIRST = {"$ref": "a0"}
NAMED = {"range": {"$tuple": [0, 1, 1]}, "name": FIRST}
WALKED = {
    "set": {"$set": [FIRST]}, "frozenset": {"$frozenset": [FIRST]}, "dict": {"$dict": [[FIRST, 1]]},
    "in a key": {"$dict": [[{"$tuple": [FIRST]}, 1]]}, "counter": {"$counter": [[FIRST, 1]]},
    "itemgetter": {"$codec": "operator:itemgetter", "state": {"items": {"$tuple": [FIRST]}}},
    "pandas": {"$codec": "pandas:RangeIndex", "state": NAMED},
}  # fmt: skip


@pytest.mark.parametrize("kind", TUPLES)
@pytest.mark.parametrize("what", WALKED)
def test_a_file_of_tuples_within_tuples(what, kind, build):
    """Forty references made 2^40 steps of a hash."""

    def objects(count):
        return {f"a{n}": TUPLES[kind]({"$ref": f"a{n + 1}"}) for n in range(count)} | {f"a{count}": {"$tuple": [1]}}

    if what == "itemgetter" and kind != "tuples":
        return  # whose keys are plain
    build(FIRST, objects(40))
    with pytest.raises(ArtifactError, match="stands in more than"):
        build(WALKED[what], objects(40))


def test_what_a_codec_only_keeps_may_be_shared(build, monkeypatch):
    """A namespace holds what is in it, and looks at none."""
    monkeypatch.setattr(places, "AGAIN_LIMIT", 100)
    shared = {"a": {"$tuple": [1] * 1000}}
    node = {"$codec": "types:SimpleNamespace", "state": {"attributes": {"x": {"$ref": "a"}}}}
    assert len(build([node] * 20, shared)[19].x) == 1000
    with pytest.raises(ArtifactError, match="more than 100 places"):  # each gets a dict of its own
        table = {f"key{n}": n for n in range(30)}
        build([{**node, "state": {"attributes": {"$ref": "t"}}}] * 20, {"t": table})


def test_a_long_byte_string_may_be_a_key(build):
    """It is read once: it may be asked for once."""
    node = {"$blob": 2000, "entry": "long"}
    for made in (
        {"$set": [node]},
        {"$frozenset": [node]},
        {"$dict": [[node, 1]]},
        {"$dict": [[{"$tuple": [node]}, 1]]},
    ):
        assert len(build(made, {})) == 1


LISTED = "torch.nn.modules.linear_cross_entropy_options:LinearCrossEntropyOptions"
OBJECTS = {
    "attributes": lambda inner: {"$object": "json_spec_things:Point", "attributes": {"x": inner, "y": inner}},
    "slots": lambda inner: {"$object": LISTED, "slots": {"acc_policy": inner, "acc_dtype": inner}},
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_that_hash_what_they_hold(kind, build):
    """A frozen dataclass takes the hashes of its fields: 2^40 of them, or as deep as there are objects."""
    objects = {"a40": {"$tuple": [1]}} | {f"a{n}": OBJECTS[kind]({"$ref": f"a{n + 1}"}) for n in range(40)}
    build(FIRST, objects)
    for what in ("set", "dict", "in a key"):
        with pytest.raises(ArtifactError, match="stands in more than"):
            build(WALKED[what], objects)
