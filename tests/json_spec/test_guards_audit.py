"""Each guard of the audit alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import pytest

from backends.json_spec import text, trust
from backends.json_spec.audit import REGEX_LIMIT, REGEX_SETS, audit
from backends.json_spec.errors import ArtifactError

FORMS = {
    "a reference to nothing": ({"$ref": "b"}, "refers to 'b'"),
    "a reference with a field": ({"$ref": "a", "more": 1}, "unknown field"),
    "a reference that is no text": ({"$ref": ["a"]}, "which is not one"),
    "an unknown tag": ({"$new": 1}, "unknown kind"),
    "two tags": ({"$tuple": [], "$list": []}, "unknown field"),
    "a payload of another type": ({"$tuple": {}}, "of a table of 0, which is not one"),
    "a long payload": ({"$dtype": "x" * 58}, f"of '{'x' * 58}', which is not one"),
    "a longer payload": ({"$dtype": "x" * 59}, rf"of '{'x' * 59}\.\.\., which is not one"),
    "more than a deque keeps": ({"$deque": [1, [1, 2]]}, "of a list of 2, which is not one"),
    "a missing field": ({"$blob": 3}, "without 'entry'"),
    "an unknown field": ({"$tensor": "int8", "shape": [], "entry": "a", "stored": 1}, "unknown field 'stored'"),
    "a field of another type": ({"$tensor": "float32", "shape": [-1], "entry": "a"}, "whose 'shape'"),
    "a module's field of another type": ({"$module": "a:B", "training": 1}, "whose 'training'"),
    "a module without a field": ({"$module": "a:B"}, "without 'training'"),
    "an unknown codec": ({"$codec": "a:B", "state": {}}, "is not registered"),
    "a key for the terminal": ({"$object": "a:B", "attributes": {"\x1b[2J": 1}}, "whose 'attributes'"),
    "a module's": ({"$module": "a:B", "training": True, "attributes": {"\x1b[2J": 1}}, "whose 'attributes'"),
    "too deep": (None, "levels deep"),
    "long expressions": ([{"$regex": ["a" * 150_000, 0]}] * 2, "regular expressions are longer"),
    "expressions of many sets": ([{"$regex": ["[a]" * 3000, 0]}] * 2, "regular expressions are longer"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORMS)
def test_forms(what):
    node, message = FORMS[what]
    if what == "too deep":
        node = []
        for _ in range(text.DEPTH_LIMIT + 1):
            node = [node]
    with pytest.raises(ArtifactError, match=message):
        audit([node], {"a": 1}, None)


def nested(levels, tag):
    """A node of so many levels of lists and objects."""
    node = [] if levels % 2 or not tag else {tag: []}
    for _ in range((levels - 1) // 2 if tag else levels - 1):
        node = {tag: [node]} if tag else [node]
    return node


@pytest.mark.parametrize("tag", [None, "$tuple", "$list"])
def test_the_audit_counts_levels_as_the_text_has_them(tag):
    """200 in all: one lies around the root, two around an object."""
    audit(nested(199, tag), {"a": nested(198, tag)}, None)
    for root, objects in [(nested(200, tag), {}), (None, {"a": nested(199, tag)})]:
        with pytest.raises(ArtifactError, match="more than 200 levels deep"):
            audit(root, objects, None)


def test_names_of_objects_for_the_terminal():
    with pytest.raises(ArtifactError, match="no terminal"):
        audit(None, {"a\x1b[2J": []}, None)


MORE = {"$module": {"training": True}, "$namedtuple": {"items": []}, "$enum": {"member": "A"}}


@pytest.mark.parametrize("tag", ["$module", "$object", "$enum", "$namedtuple", "$class", "$function"])
def test_every_kind_of_name_is_looked_at(tag):
    node = {tag: "os:system", **MORE.get(tag, {})}
    audit([node], {}, None)
    with pytest.raises(trust.UntrustedName, match="os:system"):
        audit([node], {}, ())


MODULE = {"$module": "torch.nn.modules.linear:Identity", "training": True}
MODULES = {
    "a reference to nothing": ({**MODULE, "attributes": {"x": {"$ref": "b"}}}, "refers to 'b'"),
    "a reference with a field": ({**MODULE, "attributes": {"x": {"$ref": "a", "more": 1}}}, "unknown field"),
    "a reference that is a list": ({**MODULE, "attributes": {"x": {"$ref": ["a"]}}}, "which is not one"),
    "a name in a tuple": ({**MODULE, "attributes": {"x": {"$tuple": [{"$class": "os:system"}]}}}, "os:system"),
    "a name in a list": ({**MODULE, "attributes": {"x": [{"$class": "os:system"}]}}, "os:system"),
    "a name": ({**MODULE, "attributes": {"x": {"$class": "os:system"}}}, "os:system"),
    "training that is a number": ({**MODULE, "training": 1}, "whose 'training'"),
    "no training": ({"$module": MODULE["$module"]}, "without 'training'"),
    "an unknown field": ({**MODULE, "more": True}, "unknown field 'more'"),
    "a table that is none": ({**MODULE, "attributes": []}, "whose 'attributes'"),
    "a key that could be a tag": ({**MODULE, "attributes": {"$x": 1}}, "whose 'attributes'"),
    "its name": ({"$module": "os:system", "training": True}, "os:system"),
    "no name": ({"$module": 5, "training": True}, "of 5, which is not one"),
    "a tensor's flag": ({"$tensor": "float32", "shape": [1], "parameter": 1, "entry": "a"}, "whose 'parameter'"),
    "a tensor's dtype": ({"$tensor": 5, "shape": [1], "entry": "a"}, "of 5, which is not one"),
    "a tensor's dtypes": ({"$tensor": ["float32"], "shape": [1], "entry": "a"}, "of a list of 1, which is not one"),
    "what no dtype is called": ({"$tensor": "a b", "shape": [1], "entry": "a"}, "of 'a b', which is not one"),
    "a tensor's shape": ({"$tensor": "float32", "shape": [-1], "entry": "a"}, "whose 'shape'"),
    "a size that is a truth value": ({"$tensor": "float32", "shape": [True], "entry": "a"}, "whose 'shape'"),
    "a size beyond any": ({"$tensor": "float32", "shape": [2**62], "entry": "a"}, "whose 'shape'"),
    "too many dimensions": ({"$tensor": "float32", "shape": [1] * 65, "entry": "a"}, "whose 'shape'"),
    "a tensor's entry": ({"$tensor": "float32", "shape": [1], "entry": 5}, "whose 'entry'"),
    "a place of no elements": ({"$tensor": "float32", "shape": [0], "entry": "a"}, "that do not belong together"),
}


@pytest.mark.parametrize("what", MODULES)
def test_the_short_ways_of_the_audit(what):
    """Modules and tensors in `objects`, where most need not be held against their form in full."""
    node, message = MODULES[what]
    with pytest.raises(ArtifactError, match=message):
        audit({"$ref": "m"}, {"a": 1, "m": node}, ())


def test_dicts_that_look_like_modules():
    """A shared dict stands among the objects too."""
    for node in ({"training": True}, {"training": True, "attributes": {"x": 1}}, {"attributes": {}}):
        audit({"$ref": "a"}, {"a": node}, ())


def test_a_module_with_short_lists_is_audited():
    """What is not in the short way's form takes the long one, and its names and keys count there."""
    node = {"$module": "torch.nn.modules.linear:Identity", "training": True}
    assert audit({"$ref": "m"}, {"m": {**node, "attributes": {"a": [1], "b": ["$ref"]}}}, ()) == 1 + 1 + 3 + 2
    with pytest.raises(ArtifactError, match="not trusted"):
        audit({"$ref": "m"}, {"m": {**node, "attributes": {"a": [{"$class": "os:system"}]}}}, ())


def test_regular_expressions_at_their_limits():
    def told(*patterns):
        return audit([{"$regex": [pattern, 0]} for pattern in patterns], {"p": "a"}, ())

    assert told("a" * (REGEX_LIMIT - 1), "b") and told("[a]" * REGEX_SETS)
    for patterns in [("a" * REGEX_LIMIT, "b"), ("[a]" * REGEX_SETS, "[b]")]:
        with pytest.raises(ArtifactError, match="regular expressions are longer"):
            told(*patterns)
    told("a" * (REGEX_LIMIT - 9), {"$bytes": "W2FdW2Fd"})
    for pattern in ({"$bytes": "YWFh" * (REGEX_LIMIT // 4)}, {"$blob": REGEX_LIMIT, "entry": "p"}):
        told(pattern)
        with pytest.raises(ArtifactError, match="regular expressions are longer"):
            told(pattern, "b")
    for pattern in ({"$ref": "p"}, ["a"], {"$bytes": "", "more": 1}, {"$tuple": []}, 5):
        with pytest.raises(ArtifactError, match="which is not one"):
            told(pattern)
