"""Each guard of what builds a graph alone: the node reaches the reader by a direct call, past the audit."""

from __future__ import annotations

import crafting
import numpy as np
import pytest
import torch

from backends.json_spec.errors import ArtifactError
from backends.json_spec.reader import COPIED_SLACK_BYTES, REFERENCE_LIMIT, Reader
from backends.json_spec.tensors import Weights, check_letters
from backends.json_spec.values import SAME_HASH

ENTRIES = {
    "four": ("U8", [4], b"abcd"),
    "pair": ("F32", [2], np.float32([1, 2]).tobytes()),
    "bytes": ("U8", [3], b"\0\1\2"),
}


@pytest.fixture
def weights(tmp_path):
    """A mapped file of ENTRIES."""
    (tmp_path / "weights.safetensors").write_bytes(crafting.weights(ENTRIES))
    return Weights(tmp_path / "weights.safetensors")


@pytest.fixture
def build(weights):
    """build(node, **objects) -> what the node describes."""
    return lambda node, **objects: Reader(objects, weights, crafting.TRUST).build(node)


def thing(tag, name, **fields):
    return {f"${tag}": f"json_spec_things:{name}", **({"training": True} if tag == "module" else {}), **fields}


NODES = {
    "a finite number": ({"$float": "1.5"}, "a finite number is tagged"),
    "a zero": ({"$float": "-0.5"}, "a finite number is tagged"),
    "a shorter byte string": ({"$blob": 3, "entry": "four"}, "a byte string's length"),
    "a longer byte string": ({"$blob": 5, "entry": "four"}, "a byte string's length"),
    "one entry for two": ([{"$blob": 4, "entry": "four"}] * 2, "two byte strings are the one entry 'four'"),
    "a partial of a number": ({"$partial": 5, "args": [], "keywords": {}}, "that cannot be called"),
    "a member that is none": (thing("enum", "Colour", member="GREEN"), "has not all members"),
    "a method as a member": (thing("enum", "Colour", member="mro"), "has not all members"),
    "members of an enum": (thing("enum", "Colour", members=["RED"]), "has not all members"),
    "a member of no enum": (thing("enum", "Point", member="x"), "has not all members"),
    "a short namedtuple": (thing("namedtuple", "Pair", items=[1]), "is not a namedtuple of 1 fields"),
    "a long namedtuple": (thing("namedtuple", "Pair", items=[1, 2, 3]), "is not a namedtuple of 3 fields"),
    "a namedtuple of no tuple": (thing("namedtuple", "Node", items=[]), "is not a namedtuple of 0 fields"),
    "an object as a module": (thing("module", "Node"), "Node stands as a module, which it is not"),
    "a module as an object": (thing("object", "Holder"), "Holder stands as a object, which it is not"),
    "a list without content": (thing("object", "Row"), "Row derives from list, which the file does not fit"),
    "a module over a dict": (thing("module", "Table"), "Table derives from dict, which the file does not fit"),
    "content without a place": (thing("object", "Node", content=[1]), "Node derives from object, which the file"),
    "content under a tensor": (thing("object", "Celsius", content=[1]), "which the file does not fit"),
    "a dict under a list": (thing("object", "Row", content={"a": 1}), "Row derives from list, its content does not"),
    "a list under a dict": (thing("object", "Words", content=[1]), "Words derives from dict, its content does not"),
    "a text under a number": (thing("object", "Level", content="7"), "Level derives from int, its content does not"),
    "no such slot": (thing("object", "Slotted", slots={"gone": 1}), "Slotted has no slot 'gone'"),
    "a method as a slot": (thing("object", "Slotted", slots={"__init__": 1}), "has no slot '__init__'"),
    "slots in a list": (thing("object", "Slotted", slots=[1]), "attributes are not an object"),
    "attributes in a list": (thing("object", "Node", attributes=[]), "attributes are not an object"),
    "a member without a name": (thing("module", "Holder", parameters={"": None}), "a name that is empty or has a dot"),
    "a member with a dot": (thing("module", "Holder", buffers={"a.b": None}), "a name that is empty or has a dot"),
    "two members of one name": (thing("module", "Holder", buffers={"a": None}, attributes={"a": 1}), "have one name"),
    "a name of torch's own": (thing("module", "Holder", attributes={"_parameters": 1}), "have one name"),
    "a buffer of torch's own": (thing("module", "Holder", buffers={"training": None}), "have one name"),
    "a parameter and a buffer": (
        thing("module", "Holder", parameters={"a": None}, buffers={"a": None}), "have one name"
    ),
    "a parameter and a child": (
        thing("module", "Holder", parameters={"a": None}, buffers={"b": None}, modules={"a": None}), "have one name"
    ),
    "a number as a child": (thing("module", "Holder", modules={"a": 1}), "the modules of a module hold something else"),
    "a number as a parameter": (
        thing("module", "Holder", parameters={"a": 1}), "the parameters of a module hold something else"
    ),
    "a module as a buffer": (
        thing("module", "Holder", buffers={"a": thing("module", "Holder")}),
        "the buffers of a module hold something else",
    ),
    "a tensor as a child": (
        thing("module", "Holder", modules={"a": {"$tensor": "float32", "shape": [2], "entry": "pair"}}),
        "the modules of a module hold something else",
    ),
    "an unknown entry": ({"$tensor": "float32", "shape": [2], "entry": "gone"}, "have no entry 'gone'"),
    "too large": ({"$tensor": "float32", "shape": [3], "entry": "pair"}, "a tensor reaches outside its entry"),
    "too late": ({"$tensor": "float32", "shape": [2], "entry": "pair", "offset": 4}, "a tensor reaches outside"),
    "between elements": ({"$tensor": "float32", "shape": [1], "entry": "pair", "offset": 2}, "reaches outside"),
    "a truth value of 2": ({"$tensor": "bool", "shape": [3], "entry": "bytes"}, "is neither 0 nor 1"),
    "an array too large": ({"$ndarray": "<f4", "shape": [3], "entry": "pair"}, "an array reaches outside its entry"),
    "an array too early": (
        {"$ndarray": "<f4", "shape": [2], "strides": [-4], "entry": "pair"}, "an array reaches outside its entry"
    ),
    "an array too late": ({"$ndarray": "<f4", "shape": [2], "offset": 1, "entry": "pair"}, "an array reaches outside"),
    "an array's truth value": ({"$ndarray": "|b1", "shape": [3], "entry": "bytes"}, "is neither 0 nor 1"),
    "other strides than sizes": (
        {"$tensor": "float32", "shape": [2], "stride": [1, 1], "entry": "pair"}, "shape and stride do not fit"
    ),
    "a dtype of quantized tensors": ({"$tensor": "qint8", "shape": [2], "entry": "pair"}, "an unknown dtype"),
    "a second name of a dtype": ({"$tensor": "half", "shape": [4], "entry": "pair"}, "an unknown dtype"),
    "what is no dtype": ({"$tensor": "strided", "shape": [2], "entry": "pair"}, "an unknown dtype"),
    "no entry": ({"$tensor": "float32", "shape": [2]}, "names no entry of the weights"),
    "an array without entry": ({"$ndarray": "<f4", "shape": [2]}, "names no entry of the weights"),
    "an array of objects": ({"$ndarray": "|O8", "shape": [1], "entry": "pair"}, "cannot hold objects"),
    "a gradient of whole numbers": (
        {"$tensor": "uint8", "shape": [4], "entry": "four", "requires_grad": True}, "cannot require a gradient"
    ),
    "a parameter of whole numbers": (
        {"$tensor": "uint8", "shape": [4], "entry": "four", "parameter": True}, "require (a )?gradient"
    ),
    "a class that is no tensor's": (
        {"$tensor": "float32", "shape": [2], "entry": "pair", "class": {"$class": "json_spec_things:Node"}},
        "is not a class of tensors",
    ),
    "a gradient of another shape": (
        {"$tensor": "float32", "shape": [2], "entry": "pair",
         "grad": {"$tensor": "float32", "shape": [1], "entry": "pair"}}, "a gradient does not fit its tensor"
    ),
    "too few bytes": ({"$npscalar": "<f4", "bytes": "AAA="}, "bytes do not fit its dtype"),
    "a scalar that holds an object": ({"$npscalar": "|O8", "bytes": "AAAAAAAAAAA="}, "bytes do not fit its dtype"),
    "a scalar's truth value": ({"$npscalar": "|b1", "bytes": "Ag=="}, "neither 0 nor 1"),
    "a scalar that reads otherwise": ({"$npscalar": "|u1", "bytes": "Ag==", "reads": "3"}, "reads '3' and is another"),
    "a text that reads otherwise": ({"$npscalar": "|S1", "bytes": "YQ==", "reads": "b"}, "reads 'b' and is another"),
    "no dtype of NumPy": ({"$npdtype": "<f3"}, "is not a dtype of NumPy"),
    "a record of truth values": ({"$npdtype": [["a", "|b1"]]}, "is not a plain dtype of NumPy"),
}  # fmt: skip


@pytest.mark.parametrize("what", NODES)
def test_what_a_reader_refuses(what, build):
    node, message = NODES[what]
    with pytest.raises(ArtifactError, match=message):
        build(node)


@pytest.mark.parametrize("what", [what for what, (node, _) in NODES.items() if "$module" in node or "$tensor" in node])
def test_what_a_reader_refuses_by_the_short_way(what, build):
    """Modules and tensors with a name are made before anything refers to them."""
    node, message = NODES[what]
    with pytest.raises(ArtifactError, match=message):
        build({"$ref": "it"}, it=node)


def test_a_member_that_is_not_there_is_written_as_null(build):
    """A reference to a null would be a second way to write it."""
    assert build({"$ref": "it"}, none=None, it=thing("module", "Holder", buffers={"a": None})).a is None
    for reference in ({"$ref": "none"}, {"$ref": "later"}):
        with pytest.raises(ArtifactError, match="the buffers of a module hold something else"):
            build({"$ref": "it"}, none=None, it=thing("module", "Holder", buffers={"a": reference}), later=None)


DOUBLE = {"$function": "json_spec_things:double"}
HOOKS = {
    "public": {"on": "forward", "call": DOUBLE, "public": True},
    "with a module": {"on": "state_dict", "call": DOUBLE, "with_module": True},
    "weight norm's": {"on": "forward_pre", "weight_norm": "weight"},
    "with keywords": {"on": "backward", "call": DOUBLE, "with_kwargs": True},
}


@pytest.mark.parametrize("what", HOOKS)
def test_hooks_have_the_fields_of_their_kind_alone(what, build):
    with pytest.raises(ArtifactError, match="hook has unknown fields"):
        build(thing("module", "Holder", hooks=[HOOKS[what]]))
    fitting = {"on": "load_state_dict_pre", "call": DOUBLE, "with_module": False}
    for hook in ({"on": "state_dict", "call": DOUBLE, "public": True}, fitting):
        build(thing("module", "Holder", hooks=[hook]))


def test_what_just_fits(build, weights):
    """The last element may end where its entry does."""
    assert build({"$tensor": "float32", "shape": [1], "stride": [1], "entry": "pair", "offset": 4}).tolist() == [2]
    assert build({"$ndarray": "<f4", "shape": [2], "strides": [-4], "offset": 4, "entry": "pair"}).tolist() == [2, 1]
    assert build({"$ndarray": "|b1", "shape": [2], "entry": "bytes"}).tolist() == [False, True]
    assert weights.tensor("pair", torch.float32, [2], [1], 0, torch.device("cpu")).tolist() == [1, 2]
    check_letters(np.array([0x10FFFF], np.uint32))
    with pytest.raises(ArtifactError, match="beyond Unicode"):
        check_letters(np.array([0x110000], np.uint32))


def test_references_within_references(build):
    def chain(length):
        objects = {f"a{n}": {"$tuple": [{"$ref": f"a{n + 1}"}]} for n in range(length)}
        return build({"$ref": "a0"}, **objects, **{f"a{length}": {"$tuple": []}})

    assert len(chain(REFERENCE_LIMIT)) == 1
    with pytest.raises(ArtifactError, match="more than 100 references within each other"):
        chain(REFERENCE_LIMIT + 1)
    with pytest.raises(ArtifactError, match="contains itself"):
        build({"$ref": "a"}, a={"$tuple": [{"$ref": "a"}]})


def test_what_is_copied(weights):
    reader = Reader({}, weights, ())
    reader._spend(2 * weights.size_bytes + COPIED_SLACK_BYTES)
    with pytest.raises(ArtifactError, match="copied again and again"):
        reader._spend(1)


def test_keys_are_hashed_when_they_are_complete(build):
    point = {"$object": "json_spec_things:Point", "attributes": {"x": 1, "y": 2}}
    for tag in ("$dict", "$ordereddict", "$counter"):
        (key,) = build({tag: [[{"$ref": "p"}, 1]]}, p=point)
        assert hash(key) == hash((1, 2))
    (key,) = build({"$defaultdict": [None, [[{"$ref": "p"}, 1]]]}, p=point)
    assert key.y == 2 and len(build({"$set": [{"$ref": "p"}]}, p=point)) == 1


@pytest.mark.parametrize("tag", ["$set", "$frozenset", "$dict", "$ordereddict", "$counter", "$defaultdict"])
def test_keys_that_were_chosen_to_collide(tag, build):
    def holding(count):
        keys = [{"$int": hex((2**61 - 1) * n)} for n in range(16, 16 + count)]  # whose hashes are all 0
        pairs = keys if tag.endswith("set") else [[key, 1] for key in keys]
        return build({tag: [None, pairs] if tag == "$defaultdict" else pairs})

    assert len(holding(SAME_HASH)) == SAME_HASH
    with pytest.raises(ValueError, match="more than 250 keys have the same hash"):
        holding(SAME_HASH + 1)
