"""What the user's code uses of libraries and of the process, which counts for no model that does not."""

from __future__ import annotations

import codecs
import collections.abc
import copyreg
import functools
import json
import os

import pytest

from tests.compare.asking import described, nothing, seen

ENV = "ROUNDTRIP_TEST_VARIABLE"
OPTION_A = 1


class Vector:
    pass


class Encoder(json.JSONEncoder):
    pass


def uses_json():
    return json.dumps([1]), json.JSONEncoder.item_separator


def asks_sequence(x):
    return isinstance(x, collections.abc.Sequence)


def encodes(x):
    return x.encode("roundtrip-shouting"), x.encode("ascii", "roundtrip-stars")


def by_global():
    return os.environ.get(ENV)


def by_beginning():
    return [name for name in os.environ if name.startswith("ROUNDTRIP_TEST_")]


def expanded():
    return os.path.expandvars("$ROUNDTRIP_TEST_VARIABLE/x")


def options():
    return {name: value for name, value in globals().items() if name.startswith("OPTION_")}


def evaluates():
    return eval("OPTION_A + 1")


@pytest.mark.parametrize(
    ("name", "value"), [("_default_encoder", Encoder()), ("JSONEncoder.default", lambda self, x: str(x)),
                        ("JSONEncoder.item_separator", ";")]
)  # fmt: skip
def test_what_was_set_in_a_librarys_module(name, value, monkeypatch):
    before, unused = described(uses_json), described(nothing)
    monkeypatch.setattr(f"json.{name}", value)
    (path, _), *_ = seen(before, described(uses_json))
    assert path.endswith(f".{name}") or f".{name}" in path
    assert seen(unused, described(nothing)) == []


def test_a_class_that_a_librarys_abstract_class_took_for_its_own():
    before = described(asks_sequence)
    taken = type("Taken", (), {"__module__": __name__})
    collections.abc.Sequence.register(type("Foreign", (), {"__module__": "elsewhere"}))
    assert seen(before, described(asks_sequence)) == []
    collections.abc.Sequence.register(taken)
    after = described(asks_sequence)
    assert [kind for _, kind in seen(before, after)] == ["registered"]
    copy = type("Taken", (), {"__module__": __name__})  # as of code that json_spec runs to check what it wrote
    collections.abc.Sequence.register(copy)
    assert seen(after, described(asks_sequence)) == []


def test_codecs_that_code_names():
    before = described(encodes)
    utf8 = codecs.lookup("utf-8")

    def find(name):
        return utf8 if name in ("roundtrip-shouting", "roundtrip_shouting") else None

    codecs.register(find)
    try:
        codecs.register_error("roundtrip-stars", lambda error: ("*", error.end))
        paths = [path for path, _ in seen(before, described(encodes))]
    finally:
        codecs.unregister(find)
    assert [path.partition("codecs.")[2] for path in paths] == [
        "lookup('roundtrip-shouting')",
        "lookup_error('roundtrip-stars')",
    ]


def test_how_a_class_of_the_users_is_copied(monkeypatch):
    before, without = described(nothing, part=Vector()), described(nothing)
    monkeypatch.setitem(copyreg.dispatch_table, Vector, lambda value: (Vector, ()))
    (path, kind), *_ = seen(before, described(nothing, part=Vector()))
    assert (path, kind) == ("model.part.__class__.copyreg.dispatch_table", "extra")
    assert seen(without, described(nothing)) == []


@pytest.mark.parametrize("code", [by_global, by_beginning, expanded])
def test_variables_of_the_environment(code, monkeypatch):
    before = described(code)
    monkeypatch.setenv(ENV, "a")
    assert [kind for _, kind in seen(before, described(code))] == ["extra"]


@pytest.mark.parametrize("code", [options, evaluates])
def test_globals_that_code_finds_by_a_text(code, monkeypatch):
    before = described(code)
    monkeypatch.setitem(globals(), "OPTION_A", 2)
    assert [kind for _, kind in seen(before, described(code))] == ["value"]


def test_what_singledispatch_remembers_is_no_state():
    @functools.singledispatch
    def show(x):
        return "any"

    before = described(show)
    show(1)
    assert seen(before, described(show)) == []
    show.register(float, lambda x: "float")
    assert seen(before, described(show))
