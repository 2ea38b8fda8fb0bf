"""Where the paths of `rebuild` lead, and which lead nowhere, by direct calls."""

from __future__ import annotations

import copy
import math

import json_spec_things as things
import pytest

from backends.json_spec import rebuilding
from backends.json_spec.errors import ArtifactError
from backends.json_spec.rebuilding import Given, _names, _override, rebuild


def spec_of(call, **fields):
    node = {"$object": "a:B", **({"call": call} if call is not None else {}), **fields}
    return {"root": {"$ref": "m"}, "objects": {"m": node, "text": "a $ref", "list": [1, 2]}}


def changed(node):
    """A copy of a node with a text where an argument is given."""
    if isinstance(node, Given):
        return "given"
    if isinstance(node, list):
        return [changed(item) for item in node]
    return {key: changed(item) for key, item in node.items()} if isinstance(node, dict) else node


PLACES = [
    ("x", {"x": 1, "y": 2}, {"x": "given", "y": 2}),
    ("x.1", {"x": [1, 2]}, {"x": [1, "given"]}),
    ("x.1", {"x": {"$tuple": [1, 2]}}, {"x": {"$tuple": [1, "given"]}}),
    ("x.0", {"x": {"$list": [1, 2]}}, {"x": {"$list": ["given", 2]}}),
    ("x.a", {"x": {"a": 1, "b": 2}}, {"x": {"a": "given", "b": 2}}),
    ("x.a", {"x": {"$dict": [[5, 6], ["a", 1]]}}, {"x": {"$dict": [[5, 6], ["a", "given"]]}}),
    ("x.a", {"x": {"$ordereddict": [["a", 1]]}}, {"x": {"$ordereddict": [["a", "given"]]}}),
    ("x.a.0", {"x": {"a": [1]}}, {"x": {"a": ["given"]}}),
    ("x.0.a", {"x": [{"a": 1}]}, {"x": [{"a": "given"}]}),
    ("x.0.a", {"x": {"$tuple": [{"a": 1}]}}, {"x": {"$tuple": [{"a": "given"}]}}),
    ("x.0.a", {"x": {"$list": [{"a": 1}]}}, {"x": {"$list": [{"a": "given"}]}}),
    ("x.a.b", {"x": {"$dict": [["a", {"b": 1}]]}}, {"x": {"$dict": [["a", {"b": "given"}]]}}),
    ("x.a.b", {"x": {"$ordereddict": [["a", {"b": 1}]]}}, {"x": {"$ordereddict": [["a", {"b": "given"}]]}}),
    ("more", {"*more": {"$tuple": [1]}}, {"*more": "given"}),
    ("more.0", {"*more": {"$tuple": [1]}}, {"*more": {"$tuple": ["given"]}}),
    ("0", {"*more": {"$tuple": [1]}}, {"*more": {"$tuple": ["given"]}}),
    ("mode", {"**options": {"mode": 1}}, {"**options": {"mode": "given"}}),
    ("options", {"**options": {"mode": 1}}, {"**options": "given"}),
]


@pytest.mark.parametrize(("path", "call", "expected"), PLACES)
def test_where_a_path_leads(path, call, expected):
    spec = spec_of(copy.deepcopy(call))
    _override(spec, path, 5)
    assert changed(spec["objects"]["m"]["call"]) == expected


NOWHERE = [
    ("y", {"x": 1}, r"the model has no argument 'y', only \['x'\]"),
    ("x.2", {"x": [1, 2]}, r"x has no argument '2', only \['0', '1'\]"),
    ("x.2", {"x": {"$ref": "list"}}, r"x has no argument '2', only \['0', '1'\]"),
    ("x.-1", {"x": [1, 2]}, "x has no argument '-1'"),
    ("x.a", {"x": {"b": 1}}, r"x has no argument 'a', only \['b'\]"),
    ("x.a", {"x": {"$dict": [["b", 1]]}}, r"x has no argument 'a', only \['b'\]"),
    ("x.2", {"x": {"$tuple": [1, 2]}}, r"x has no argument '2', only \['0', '1'\]"),
    ("x.a", {"x": 5}, r"x has no argument 'a', only \[\]"),
    ("x.a", {"x": {"$ref": "text"}}, r"x has no argument 'a', only \[\]"),
    ("x.a.b", {"x": {"$ref": "text"}}, r"x has no 'a', only \[\]"),
    ("x.a.b", {"x": "a $ref"}, r"x has no 'a', only \[\]"),
    ("y.a", {"x": 5}, r"the model has no 'y', only \['k', 'x'\]"),
    ("0", {"x": [1]}, "the model has no argument '0'"),
    ("k", None, r"the model comes back as it was saved, as no call was noted"),
    ("k", {"x": 1}, r"the model has no argument 'k', only \['x'\]"),
]


@pytest.mark.parametrize(("path", "call", "message"), NOWHERE)
def test_a_path_that_leads_nowhere(path, call, message):
    with pytest.raises(KeyError, match=message):
        _override(spec_of(call, attributes={"k": 1}), path, 5)


def test_names_of_arguments():
    assert _names({"a": 1, "*b": [], "**c": {"d": 1}}) == ["a", "d"] and _names({"*b": (1,)}) == ["*"]
    for wrong in ({"**c": [1]}, {"**c": ["ab"]}, {"**c": {1: 2}}, {"**c": {"a": 1, 2: 3}}, {"*b": 1}, {"*b": "text"}):
        with pytest.raises(ArtifactError, match="of a call are not"):
            _names(wrong)


def test_a_spec_is_no_longer_than_it_may_be(tmp_path, monkeypatch):
    (tmp_path / "spec.json").write_text("{}")
    monkeypatch.setattr(rebuilding, "SPEC_LIMIT", 1)
    with pytest.raises(ArtifactError, match="more than 1 bytes"):
        rebuild(tmp_path / "spec.json")


def deep(levels):
    held = []
    for _ in range(levels):
        held = [held]
    return held


CONTENTS = {
    "too deep": (deep(250), "nested more than 200 levels"), "far too deep": (deep(50_000), "not what a file of JSON"),
    "a set": ({1}, "not what a file of JSON"), "a number that is none": (math.nan, "the literal NaN"),
    "a lone surrogate": ("\ud800", "not what a file of JSON"), "a long number": (2**63, "beyond 64 bits"),
    "a name in a tuple": (({"$function": "os:system"},), "not trusted"), "no set": ({"$set": [1, 1]}, "makes no sense"),
    "no dtype": ({"$dtype": "none"}, "makes no sense: ValueError"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONTENTS)
def test_what_no_file_holds_is_no_content_either(what):
    """And what makes no sense is told as `load` tells it."""
    value, message = CONTENTS[what]
    node = {"$module": "json_spec_things:Holder", "training": True, "call": {"a": value}}
    content = {"format": "json-spec", "version": 1, "root": {"$ref": "m"}, "objects": {"m": node}}
    with pytest.raises(ArtifactError, match=message):
        rebuild(content, trust=["json_spec_things"])
    if "JSON" in message or "beyond" in message or "nested" in message:
        with pytest.raises(ArtifactError, match=message):
            rebuild({"var0": {"module": "m", "caller": "C", "kwargs": {"a": value}}}, trust=["m"])


def test_what_a_constructor_raises_comes_through(monkeypatch):
    """However deep it was called, as it was raised."""
    raised = KeyError("its own")

    def fails(self, **_):
        raise raised from ZeroDivisionError()

    monkeypatch.setattr(things.Tokenizer, "__init__", fails)
    inner = {"module": "json_spec_things", "caller": "Tokenizer", "kwargs": {}}
    outer = {"module": "json_spec_things", "caller": "Holder", "kwargs": {"a": ["$var0"]}}
    with pytest.raises(KeyError) as told:
        rebuild({"var0": inner, "var1": outer}, trust=["json_spec_things"])
    assert told.value is raised and type(told.value.__cause__) is ZeroDivisionError
