"""Each guard of trust alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import random
import types
from pathlib import Path

import json_spec_things as things
import pytest
from torch import nn

from backends.json_spec import trust
from backends.json_spec.errors import ArtifactError, Unsupported, UntrustedName


def test_trust():
    for value in ("a", b"a", 5):
        with pytest.raises(TypeError, match="trust is a list"):
            trust.trusted_names(value)
    with pytest.raises(TypeError, match="is not a text"):
        trust.trusted_names([b"a"])
    for name in ("a.*", "", "a:", "a b", "a:b:c"):
        with pytest.raises(ValueError, match="not the name of one"):
            trust.trusted_names([name])


def test_what_a_listed_name_may_stand_for():
    function, builder = "torch:relu", "torchvision.models.alexnet:alexnet"
    cls = "torch.nn.modules.linear:Linear"
    for name, kind in [(function, "function"), (builder, "function"), (cls, "class"), (cls, "module")]:
        trust.check_name(name, kind, ())
    for name, kind in [(function, "class"), (function, "module"), (cls, "function"), (cls, "object"), (cls, "enum")]:
        with pytest.raises(trust.UntrustedName, match="not trusted"):
            trust.check_name(name, kind, ())


def test_what_a_caller_trusts():
    """A module is all that lies in it and below it; a single name is that alone."""
    for name, one, trusted in [
        ("a:C", "a", True), ("a.b:C", "a", True), ("a.b:C.D", "a.b", True), ("ab:C", "a", False), ("a:C", "a.b", False),
        ("a.b:C", "a.b:C", True), ("a.b:D", "a.b:C", False), ("a.b:C.D", "a.b:C", False), ("a.b.c:C", "a.b:C", False),
    ]:  # fmt: skip
        assert trust.is_trusted(name, ["other", one]) is trusted, (name, one)


@pytest.mark.parametrize("name", ["a", "a:", "a:b:c", ":b", "a.__main__:b", "a:b" + "c" * 1000, 5])
def test_names_that_are_none(name):
    with pytest.raises(ArtifactError, match="not a name of the form"):
        trust.check_name(name, "class", ("a",))
    with pytest.raises(ArtifactError, match="not a name of the form"):
        trust.check_call(name, (), ("a",))


def test_names_at_their_limit():
    for length in (998, 999):
        checks = [lambda name: trust.check_name(name, "class", ("a",)), lambda name: trust.check_call(name, (), ("a",))]
        for check in checks:
            if length == 998:
                check("a:" + "b" * length)
                continue
            with pytest.raises(ArtifactError, match="not a name of the form"):
                check("a:" + "b" * length)


def test_calls():
    trust.check_call("torch.nn.modules.linear:Linear", ["in_features"], ())
    for name in ("os:system", "torch:relu"):  # listed to be named, not to be called
        with pytest.raises(trust.UntrustedName, match=f"the file calls the class or function {name}"):
            trust.check_call(name, ["command"], ())
    with pytest.raises(trust.UntrustedName, match="'factory', which files may not give"):
        trust.check_call("torch.nn.modules.linear:Linear", ["in_features", "factory"], ())


RESOLVED = {
    "a module that is not there": ("json_spec_gone:X", "class", "cannot be imported: ModuleNotFoundError"),
    "nothing of that name": ("json_spec_things:Gone", "class", "has no Gone"),
    "a function as a class": ("json_spec_things:double", "class", "is not a class defined there"),
    "a class as a function": ("json_spec_things:Point", "function", "is not a function defined there"),
    "what it imported": ("json_spec_things:deque", "class", "is not a class defined there"),
    "a function that it imported": ("json_spec_things:spec", "function", "is not a function defined there"),
    "through a module": ("json_spec_things:torch.nn.Linear", "class", "has no torch.nn.Linear"),
}


@pytest.mark.parametrize("what", RESOLVED)
def test_what_a_name_finds(what):
    name, kind, message = RESOLVED[what]
    with pytest.raises(ArtifactError, match=message):
        trust.resolve(name, kind, ["json_spec_things", "json_spec_gone"])


def test_methods():
    assert trust.method(things.Node, "method", ["json_spec_things"]) is things.Node.method
    assert trust.method(nn.Linear, "forward", []) is nn.Linear.forward
    for cls, name in [(things.Node, "method"), (nn.Linear, "reset_parameters"), (Path, "unlink")]:
        with pytest.raises(trust.UntrustedName, match="which files may not"):
            trust.method(cls, name, [])
    assert trust.method(random.Random, "choice", []) is random.Random.choice
    for name in ("gone", "__class__"):
        with pytest.raises(ArtifactError, match="defines no method"):
            trust.method(things.Node, name, ["json_spec_things"])
    assert trust.class_method(things.Maker, "scaled", ["json_spec_things"]) == things.Maker.scaled
    for name, names in [("scaled", []), ("halved", ["json_spec_things"]), ("gone", ["json_spec_things"])]:
        with pytest.raises(ArtifactError, match="that a file may bind"):
            trust.class_method(things.Maker, name, names)


def test_names_are_looked_at_again_where_they_are_imported():
    with pytest.raises(UntrustedName, match="the function os:system, which is not trusted: os can do far more"):
        trust.resolve("os:system", "function", ())
    with pytest.raises(
        UntrustedName,
        match=r"the class mine:Net, .* is your own module, or of a library .* you trust, load with trust=\['mine'\]",
    ):
        trust.resolve("mine:Net", "module", ())


def test_a_listed_class_is_no_function_for_whoever_trusts_its_library():
    with pytest.raises(UntrustedName, match="is not a function defined there"):
        trust.resolve("torch.nn.modules.linear:Linear", "function", ["torch"])


def test_forward_of_what_is_listed_as_no_module(monkeypatch):
    entry = trust.Entry("json_spec_things:Staged", frozenset(["value"]), None)
    monkeypatch.setattr(trust, "allowed", lambda: {entry.name: entry})
    with pytest.raises(UntrustedName, match="which files may not"):
        trust.method(things.Staged, "forward", [])


def test_forward_of_what_is_not_listed():
    with pytest.raises(UntrustedName, match=r"binds the method json_spec_things:Staged\.forward"):
        trust.method(things.Staged, "forward", [])


def test_names_that_lead_elsewhere(monkeypatch):
    """At save: a name must find the thing, and be one of Python's."""

    def renamed(**more):
        made = types.FunctionType(things.double.__code__, {})
        made.__module__, made.__qualname__ = "json_spec_things", "double"
        for name, value in more.items():
            setattr(made, name, value)
        return made

    monkeypatch.setattr(things, "a-b", renamed(__qualname__="a-b"), raising=False)
    monkeypatch.setattr(things, "b" * 999, renamed(__qualname__="b" * 999), raising=False)
    nameless = types.SimpleNamespace()  # as NumPy's functions were
    for thing in (
        renamed(),
        renamed(__qualname__="gone"),
        renamed(__module__=None),
        renamed(__module__="gone"),
        nameless,
    ):
        with pytest.raises(Unsupported, match="which cannot be found under that name: give the function its"):
            trust.name_of(thing, "model.f")
    for name in ("a-b", "b" * 999):
        with pytest.raises(Unsupported, match="whose name is not one of Python's: move the function"):
            trust.name_of(vars(things)[name], "model.f")
    assert trust.name_of(things.double, "model.f") == "json_spec_things:double"

    class Local:
        pass

    with pytest.raises(Unsupported, match=r"the local class .*Local: define the class at module level$"):
        trust.name_of(Local, "model.f")

    def local():
        return name

    with pytest.raises(
        Unsupported, match=r"the local function .*: define the function at module level, and give it what"
    ):
        trust.name_of(local, "model.f")
