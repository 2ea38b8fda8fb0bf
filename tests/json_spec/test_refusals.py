"""What cannot be expressed is refused at save, with its path and the way out, and nothing is left behind."""

from __future__ import annotations

import copy
import decimal
import os
import sys
import threading
import types
from pathlib import Path

import json_spec_things as things
import numpy as np
import pytest
import torch
from torch import nn

from backends.base import UnsupportedModel
from backends.json_spec import imported, load, save
from backends.json_spec.reader import Reader


def local_function():
    def inner(x):
        return x

    return inner


def hooked():
    tensor = torch.ones(1, requires_grad=True)
    tensor.register_hook(things.double)
    return tensor


def nested():
    return torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])


def inference():
    with torch.inference_mode():
        return torch.ones(2)


class Copied:
    """A copy is the module-level object itself, not another with the same attributes."""

    def __reduce__(self):
        return "COPIED"


REFUSALS = {
    "a lambda": lambda: lambda x: x,
    "the local function": local_function,
    "an object of _thread.lock": threading.Lock,
    "an object of builtins.generator": lambda: (n for n in range(3)),
    "an object of _io.TextIOWrapper": lambda: open(__file__),
    "an object of _io.BufferedReader": lambda: open(__file__, "rb"),
    "the module math": lambda: __import__("math"),
    "a nested or strided tensor": nested,
    "without a shape": nn.UninitializedParameter,
    "made in inference mode": inference,
    "a tensor of zeros without memory": lambda: torch._efficientzerotensor((2,)),
    "gradient function": lambda: torch.ones(1, requires_grad=True) * 2,
    "hooks": hooked,
    "a set of objects": lambda: {things.Point(1, (2,))},
    "lone surrogate": lambda: "\ud800",
    "derives from ValueError": lambda: ValueError("x"),
    "says in __reduce__": Copied,
    "the method": lambda: "abc".upper,
    "a int that is too long": lambda: 16**100_000,
    "a decimal that is too long": lambda: decimal.Decimal("1" * 10_001),
    "a path that is too long": lambda: Path("a" * 10_001),
    "a layout that is too long or too odd": lambda: torch._mkldnn,
    "has the dtype": lambda: np.zeros(1, [(f"f{n}", "<i1") for n in range(1001)]),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refused_with_path_and_way_out(tmp_path, what):
    model = things.Holder(head=things.Holder(act=None))
    thing = REFUSALS[what]()
    model.head.act = thing
    with pytest.raises(UnsupportedModel, match=rf"^model\.head\.act is .*{what}.*: \w+") as error:
        save(model, tmp_path / "artifact")
    if hasattr(thing, "close"):
        thing.close()
    assert error.value.args and not list(tmp_path.iterdir())


UNUSUAL = {
    "training": lambda module: vars(module).clear(),
    "_buffers": lambda module: vars(module).update(_buffers=[]),
    "_is_full_backward_hook": lambda module: vars(module).pop("_is_full_backward_hook"),
    "_non_persistent_buffers_set": lambda module: vars(module).update(_non_persistent_buffers_set=frozenset()),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_a_module_without_what_every_module_has(tmp_path, name):
    model = things.Holder(part=nn.ReLU())
    UNUSUAL[name](model.part)
    with pytest.raises(UnsupportedModel, match=rf"^model\.part is a module whose {name} is missing or unusual: \w+"):
        save(model, tmp_path / "a")


def test_nested_too_deeply(tmp_path):
    """Also what is of a class that was met before."""
    for last in (1, things.Node()):
        inner = [last]
        for _ in range(58):
            inner = [inner]
        save(things.Holder(first=things.Node(), held=inner), tmp_path / "a")
        with pytest.raises(UnsupportedModel, match=r"^model\.held(\[0\])+ is nested more than 60 levels deep: \w+"):
            save(things.Holder(first=things.Node(), held=[[inner]] if last == 1 else [inner]), tmp_path / "a")


def test_a_refused_save_leaves_the_old_artifact(tmp_path):
    save(things.Holder(a=1), tmp_path / "artifact")
    with pytest.raises(UnsupportedModel):
        save(things.Holder(a=lambda: 1), tmp_path / "artifact")
    assert load(tmp_path / "artifact", trust=["json_spec_things"]).a == 1
    save(things.Holder(a=2), tmp_path / "artifact")
    assert load(tmp_path / "artifact", trust=["json_spec_things"]).a == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["artifact"]


def test_other_files_are_never_replaced(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match=r"mine\.txt"):
        save(things.Holder(a=1), tmp_path)


def test_what_does_not_load_again_is_refused(tmp_path, monkeypatch):
    def complete(reader):
        for module, _ in reader._modules:
            module.extra = 1

    monkeypatch.setattr(Reader, "complete", complete)
    with pytest.raises(UnsupportedModel, match="does not come back"):
        save(things.Holder(a=1), tmp_path / "artifact")
    assert not list(tmp_path.iterdir())


CHANGED = {
    "Global.gone": (lambda made: delattr(things.Global, "gone"), r"json_spec_things:Global\.gone .*it is nothing"),
    "COUNTS": (lambda made: things.COUNTS.append(1), r"json_spec_things:COUNTS was changed .*list of 1, .*list of 0"),
    "LIMIT": (lambda made: setattr(things, "LIMIT", 7), r"json_spec_things:LIMIT .*it is 7, an import gives 5"),
    "a number that Python does not print": (
        lambda made: setattr(things, "LIMIT", 16**5000),
        r"json_spec_things:LIMIT .*it is 0x10+\.\.\., an import",
    ),
    "Global.scale": (lambda made: setattr(things.Global, "scale", 2.0), r"json_spec_things:Global\.scale"),
    "Global.added": (lambda made: setattr(things.Global, "added", len), r"json_spec_things:Global\.added"),
    "Global.__doc__": (lambda made: setattr(things.Global, "__doc__", "Fitted."), r"json_spec_things:Global\.__doc__"),
    "Global.read": (lambda made: setattr(things.Global, "read", things.double), r"json_spec_things:Global"),
    "double.by": (lambda made: setattr(things.double, "by", 3), r"json_spec_things:double\.by"),
    "a keyword's default": (
        lambda made: setattr(things.double, "__kwdefaults__", {"by": 3}),
        r"json_spec_things:double\.by",
    ),
    "a default": (lambda made: setattr(things.double, "__defaults__", (3,)), r"json_spec_things:double\.__defaults__"),
}


@pytest.fixture
def restored():
    """Undoes what a test changes in the module of things."""
    functions = {"double": dict(vars(things.double))}
    own, names = dict(vars(things.Global)), (things.LIMIT, list(things.COUNTS))
    yield
    things.LIMIT, things.COUNTS[:] = names
    things.double.__kwdefaults__ = things.double.__defaults__ = None
    vars(things.double).clear()
    vars(things.double).update(functions["double"])
    for name in set(vars(things.Global)) - set(own):
        delattr(things.Global, name)
    for name in ("scale", "read", "gone", "__doc__"):
        setattr(things.Global, name, own[name])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="compares with a forked copy of the process")
@pytest.mark.parametrize("what", CHANGED)
def test_what_was_changed_outside_the_model_is_refused(tmp_path, restored, what):
    made = things.Holder(part=things.Global())
    save(made, tmp_path / "a")
    change, message = CHANGED[what]
    change(made)
    with pytest.raises(UnsupportedModel, match=message) as error:
        save(made, tmp_path / "a")
    vouched = str(error.value).rpartition("unchecked=[")[2].partition("]")[0].strip("'\"")
    save(made, tmp_path / "a", unchecked=[vouched, "json_spec_things:Global"])


def test_what_python_itself_notes_on_a_class_is_no_change(tmp_path):
    made = things.Holder(part=things.Global())
    if "__slotnames__" in vars(things.Global):
        del things.Global.__slotnames__
    copy.deepcopy(made)
    assert "__slotnames__" in vars(things.Global)
    save(made, tmp_path / "a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="compares with a forked copy of the process")
def test_what_the_model_does_not_reach_may_change(tmp_path, restored):
    things.COUNTS.append(1)
    save(things.Holder(part=things.Node()), tmp_path / "a")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not tell how a process began")
@pytest.mark.parametrize("name", ["ROUNDTRIP_GAIN", "ROUNDTRIP_OFFSET"])
def test_an_environment_variable_that_the_program_set_is_refused(name, tmp_path, monkeypatch):
    made = things.Holder(part=things.Environment())
    monkeypatch.setenv("ROUNDTRIP_UNREAD", "1")
    save(made, tmp_path / "a")
    monkeypatch.setenv(name, "2")
    with pytest.raises(
        UnsupportedModel, match=rf"Environment\.read\.<environment>\['{name}'\] .*it is '2', .* nothing"
    ):
        save(made, tmp_path / "a")
    save(made, tmp_path / "a", unchecked=["json_spec_things:Environment.read.<environment>"])
    monkeypatch.delenv(name)
    save(made, tmp_path / "a")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not tell how a process began")
def test_an_environment_variable_that_the_program_removed_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(imported, "environment_at_start", lambda: {"ROUNDTRIP_GAIN": "2"})
    with pytest.raises(UnsupportedModel, match=r"ROUNDTRIP_GAIN'\] .*it is nothing, an import gives '2'"):
        save(things.Holder(part=things.Environment()), tmp_path / "a")


def test_a_module_that_no_import_finds_is_refused(tmp_path):
    module = types.ModuleType("made_while_running")
    exec("class Thing:\n    pass", vars(module))
    sys.modules["made_while_running"] = module
    try:
        with pytest.raises(UnsupportedModel, match="made_while_running cannot be imported anew"):
            save(things.Holder(part=module.Thing()), tmp_path / "a")
    finally:
        del sys.modules["made_while_running"]
