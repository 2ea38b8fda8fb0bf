"""What a form of json_spec has no place for is refused with its path, or finds a form that has: never left out."""

import array
import collections
import copy
import importlib
import io
import os
import random
import sys

import json_spec_things as things
import numpy as np
import pytest
import torch

from backends.base import UnsupportedModel
from backends.json_spec import load, save

TRUST = ["json_spec_things", "tests"]


def _with(value, name="note"):
    object.__setattr__(value, name, "n")
    return value


def _pandas(make):
    return lambda: {"a": make(importlib.import_module("pandas"))}


class Hidden:
    __slots__ = ("x",)


class Hiding(Hidden):
    __slots__ = ("x",)


class Answering:
    """Answers for a slot that is not set."""

    __slots__ = ("x",)

    def __getattr__(self, name):
        if name == "x":
            return 5
        raise AttributeError(name)


class Masked:
    """Shows another `__dict__`, and other values, than it has."""

    def __init__(self):
        self.x = 1

    def __getattribute__(self, name):
        value = object.__getattribute__(self, name)
        return {"fake": 1} if name == "__dict__" else value


class NoSlots(things.Pair):
    """A named tuple whose objects can have attributes."""


class Loud(dict):
    pass


def _views():
    whole = np.array([[1, "x"], [None, 2.5]], dtype=object)
    return {"a": whole, "b": whole[0]}


def _on(buffer):
    return {"a": buffer, "b": torch.frombuffer(buffer, dtype=torch.uint8)}


def _generators():
    bits = np.random.PCG64(1)
    return {"a": np.random.Generator(bits), "b": np.random.Generator(bits)}


def _old_and_new():
    old = np.random.RandomState(1)
    return {"a": old, "b": np.random.Generator(old._bit_generator)}


def _read_only():
    made = np.array([1, None], dtype=object)
    made.flags.writeable = False
    return {"a": made}


def _of_one_table(kind):
    one, other = things.Node(), things.Node()
    one.__dict__ = other.__dict__ = kind(gain=1.0)
    return one, other


def _of_a_dict_that_is_held():
    one, _ = _of_one_table(dict)
    return {"a": one, "b": vars(one)}


def _held_before():
    one, _ = _of_one_table(dict)
    return {"a": vars(one), "b": one}


def _shallow(layer):
    return {"a": layer, "b": copy.copy(layer)}


def _tables():
    layer = torch.nn.Linear(1, 1)
    layer._buffers = Loud()
    return {"a": layer}


REFUSED = {
    "an attribute of a Counter": (lambda: {"a": _with(collections.Counter("a"))}, "a Counter with an attribute note"),
    "of an OrderedDict": (lambda: {"a": _with(collections.OrderedDict())}, "an? OrderedDict with an attribute note"),
    "of a generator": (lambda: {"a": _with(random.Random(1))}, "a Random with an attribute note"),
    "of a stream": (lambda: {"a": _with(io.BytesIO())}, "a BytesIO with an attribute note"),
    "of a series": (_pandas(lambda pd: _with(pd.Series([1]))), "a Series with an attribute note"),
    "of an index": (_pandas(lambda pd: _with(pd.Index(["a"]))), "a Index with an attribute note"),
    "labels that must differ": (
        _pandas(lambda pd: pd.DataFrame([1]).set_flags(allows_duplicate_labels=False)),
        "this is a pandas object that forbids equal labels",
    ),
    "a hidden slot": (lambda: {"a": Hiding()}, "slot x is hidden by another"),
    "views of one array of objects": (_views, r"on the same memory as model\.part\['"),
    "a tensor on a bytearray": (lambda: _on(bytearray(8)), r"on the same memory as model\.part\['"),
    "a tensor on an array": (lambda: _on(array.array("d", [1, 2])), r"on the same memory as model\.part\['"),
    "a read-only array of objects": (_read_only, "an array of objects that is read-only"),
    "one in another order": (
        lambda: {"a": np.array([[1, "x"], [None, 2.5]], dtype=object, order="F")},
        "an array of objects that is",
    ),
    "generators with the same bits": (_generators, r"what shares its state with model\.part\['a'\]"),
    "an old generator and a new one": (_old_and_new, r"what shares its state with model\.part\['a'\]"),
    "a layer and its shallow copy": (
        lambda: _shallow(torch.nn.Linear(1, 1)),
        r"shares its state with model\.part\['a'\]",
    ),
    "a layer without weights, likewise": (
        lambda: _shallow(torch.nn.ReLU()),
        r"shares its state with model\.part\['a'\]",
    ),
    "objects of one table": (
        lambda: dict(zip("ab", _of_one_table(dict), strict=True)),
        r"shares its state with model\.part\['a'\]",
    ),
    "the table of an object": (_of_a_dict_that_is_held, r"shares its state with model\.part\['a'\]"),
    "likewise, the table first": (_held_before, r"shares its state with model\.part\['b'\]"),
    "attributes in another kind of dict": (lambda: {"a": _of_one_table(Loud)[0]}, "whose attributes are in a Loud"),
    "a table of its own": (_tables, "a module whose _buffers is missing or unusual"),
    "a text that NumPy cuts": (lambda: {"a": np.str_("a\0")}, "a text of NumPy that ends in NUL"),
    "bytes that NumPy cuts": (lambda: {"a": np.bytes_(b"a\0")}, "a text of NumPy that ends in NUL"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_place_is_refused_with_its_path(what, tmp_path):
    make, message = REFUSED[what]
    with pytest.raises(UnsupportedModel, match=rf"^model\.part\['[ab]'\]:? .*{message}"):
        save(things.Holder(part=make()), tmp_path / "a")


def test_what_is_beside_each_other_is_not_on_the_same_memory(tmp_path):
    whole = np.array([[1, "x"], [None, 2.5]], dtype=object)
    buffer = bytearray(16)
    part = [whole[0], whole[1], memoryview(buffer)[8:].obj, array.array("d"), bytearray()]
    save(things.Holder(part=part, again=part[0], tensor=torch.ones(3)), tmp_path / "a")
    assert load(tmp_path / "a", trust=TRUST).part[1].tolist() == [None, 2.5]


def _came_back(value, folder):
    save(things.Holder(part=value), folder / "a")
    return load(folder / "a", trust=TRUST).part


def test_a_slot_that_is_not_set_stays_so_whatever_the_class_answers(tmp_path):
    made = _came_back(Answering(), tmp_path)
    assert made.x == 5
    with pytest.raises(AttributeError):
        vars(Answering)["x"].__get__(made)


def test_attributes_are_those_that_an_object_has(tmp_path):
    assert object.__getattribute__(_came_back(Masked(), tmp_path), "__dict__") == {"x": 1}


def test_a_named_tuple_of_a_class_with_attributes_keeps_them(tmp_path):
    made = _came_back(_with(NoSlots(1, [2])), tmp_path)
    assert (made, made.note, type(made)) == ((1, [2]), "n", NoSlots)


@pytest.mark.parametrize("value", [np.str_(""), np.bytes_(b""), np.str_("a\0b"), np.bytes_(b"a\0b")])
def test_texts_of_numpy(value, tmp_path):
    made = _came_back(value, tmp_path)
    assert (made, type(made)) == (value, type(value))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="compares with a forked copy of the process")
def test_a_process_with_many_open_files_saves(tmp_path, many_open_files):
    """`select` takes no descriptor beyond 1023, and a save raised that."""
    save(things.Holder(part=things.Global()), tmp_path / "a")


HELPER = "VALUE = 5\n"
BY_TEXT = {
    "import_module": ("import importlib\n", "importlib.import_module('by_text_helper').VALUE"),
    "an alias of it": ("from importlib import import_module as get\n", "get(NAMES['part']).VALUE"),
    "a name that is data": ("import importlib\n", "importlib.import_module(NAMES['part']).VALUE"),
    "a name put together": ("import importlib\n", "importlib.import_module('by_text_package.' + NAMES['late']).VALUE"),
    "a text with a field": ("import importlib\n", "importlib.import_module(f'by_text_package.{1}').VALUE"),
    "resolve_name": ("import pkgutil\n", "pkgutil.resolve_name('by_text_helper:VALUE')"),
    "not its own __import__": ("import builtins\n", "builtins.__import__('by_text_helper').VALUE"),
    "sys.modules": ("import sys\nimport by_text_helper\n", "sys.modules['by_text_helper'].VALUE"),
}


def _by_text(folder, monkeypatch, head, value):
    names = {"part": "by_text_package.part"} if "NAMES" in value else {}
    package = folder / "by_text_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(HELPER)
    (folder / "by_text_helper.py").write_text(HELPER)
    (folder / "by_text_model.py").write_text(
        f"{head}import by_text_package\nNAMES = {names}\nclass Part:\n    def rare(self):\n        return {value}\n"
    )
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module("by_text_model").Part()


@pytest.fixture
def forgotten():
    yield
    for name in [name for name in sys.modules if name.startswith("by_text_")]:
        del sys.modules[name]


@pytest.mark.parametrize("way", BY_TEXT)
def test_carried_source_that_finds_modules_by_a_text_is_refused(way, tmp_path, monkeypatch, forgotten):
    made = _by_text(tmp_path, monkeypatch, *BY_TEXT[way])
    with pytest.raises(UnsupportedModel, match=r"by_text_model\.py finds the module by_text_\w+(\.part)? by a text"):
        save(made, tmp_path / "a", bundle_source=True)
    save(made, tmp_path / "a")


def test_carried_source_may_find_libraries_by_a_text(tmp_path, monkeypatch, forgotten):
    value = "importlib.import_module('json.' + 'a. b'.split('.')[0]), importlib.import_module('json')"
    save(_by_text(tmp_path, monkeypatch, "import importlib\n", value), tmp_path / "a", bundle_source=True)


def test_carried_source_may_call_the_import_of_its_own(tmp_path, monkeypatch, forgotten):
    made = _by_text(tmp_path, monkeypatch, "", "__import__('by_text_helper').VALUE")
    save(made, tmp_path / "a", bundle_source=True)
    monkeypatch.undo()
    (tmp_path / "by_text_helper.py").unlink()
    sys.modules.pop("by_text_helper", None)
    assert load(tmp_path / "a", trust="bundled").rare() == 5
