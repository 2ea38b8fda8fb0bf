"""What cannot be expressed is refused at save, with its path and the way out, and nothing is left behind."""

from __future__ import annotations

import threading

import json_spec_things as things
import pytest
import torch
from torch import nn

from backends.base import UnsupportedModel
from backends.json_spec import load, save


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
    "gradient function": lambda: torch.ones(1, requires_grad=True) * 2,
    "hooks": hooked,
    "a set of objects": lambda: {things.Point(1, (2,))},
    "lone surrogate": lambda: "\ud800",
    "derives from ValueError": lambda: ValueError("x"),
    "says in __reduce__": Copied,
    "the method": lambda: "abc".upper,
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
    monkeypatch.setattr("backends.json_spec.reader.restore_derived", lambda module, *_: vars(module).update(extra=1))
    with pytest.raises(UnsupportedModel, match="does not come back"):
        save(things.Holder(a=1), tmp_path / "artifact")
    assert not list(tmp_path.iterdir())
