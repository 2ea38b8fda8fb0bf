"""What counts only where the user's code asks for it: unasked each change is none, asked for it is the only one."""

from __future__ import annotations

import gc
import inspect
import io
import logging
import multiprocessing
import pickle
import sys
import tempfile
import types
import typing

import joblib
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from torch.utils.hooks import RemovableHandle

from harness.snapshot.builder import snapshot_model
from tests.compare.asking import OWN, Base, described, model, nothing, seen

LOG = logging.getLogger("roundtrip.test_asked")


def finds_level():
    return logging.getLogger(__name__).isEnabledFor(10)


def finds_flags():
    return logging.getLogger("roundtrip.test_flags").propagate


def finds_nothing():
    return logging.getLogger(__name__)


def test_a_logger_that_code_finds_by_name(monkeypatch):
    for name, code, kinds in (
        (__name__, finds_level, ["levels"]),
        ("roundtrip.test_flags", finds_flags, ["flags"]),
        (__name__, finds_nothing, []),
    ):
        before = described(code)
        with monkeypatch.context() as patch:
            patch.setattr(logging.getLogger(name), "level", 7)
            patch.setattr(logging.getLogger(name), "propagate", False)
            logging.getLogger(name)._cache.clear()
            assert [kind for _, kind in seen(before, described(code))] == kinds


class Listens(logging.Filter):
    """The user's: of a library's handlers a program has its own where it runs."""


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [
        (__name__, finds_nothing, "getLogger(__name__)"),
        ("roundtrip.test_flags", finds_flags, "getLogger('roundtrip.test_flags')"),
        (None, finds_nothing, "getLogger()"),
    ],
)
def test_who_listens_to_a_logger_that_code_finds_by_name(monkeypatch, name, code, word):
    without = described(code)
    monkeypatch.setattr(logging.getLogger(name), "filters", [logging.Filter()])
    assert seen(described(code), without) == []
    monkeypatch.setattr(logging.getLogger(name), "filters", [Listens()])
    assert seen(described(code), without) == [(f"model.rarely.<loggers>.{word}", "missing")]
    assert seen(described(nothing), described(nothing)) == []


def reads_doc():
    return Base.__doc__


def reads_subclasses():
    return Base.__subclasses__()


def reads_annotations():
    return Base.__annotations__


def reads_level():
    return LOG.isEnabledFor(10)


def logs():
    LOG.info("a")


def strides(x):
    return x.as_strided((8,), (1,), 0)


def test_a_docstring(monkeypatch):
    for code, kinds in ((nothing, []), (reads_doc, ["doc"])):
        before = described(code)
        with monkeypatch.context() as patch:
            patch.setattr(Base, "__doc__", "Another.")
            assert [kind for _, kind in seen(before, described(code))] == kinds
            patch.setattr(Base, "__doc__", "  One.")  # as one Python indents it and another does not
            assert seen(before, described(code)) == []


class Kept:
    __slots__ = ("gain",)


class Plain(torch.nn.Module):
    def __init__(self, rarely):
        super().__init__()
        self.rarely = rarely


def makes_kept():
    return Kept()


def sets_by_name(name):
    setattr(Kept(), name, 1)


def test_what_refuses_other_attributes(monkeypatch):
    """A copy of a class with slots, by value: they are noted in it, and its objects take any attribute."""
    copied = type("Kept", (), {"__module__": __name__, "__doc__": None})
    copied.__slots__ = Kept.__slots__
    for code, kinds in ((makes_kept, []), (sets_by_name, ["takes any attribute"])):
        before = snapshot_model(Plain(code), own_modules=OWN)
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules[__name__], "Kept", copied)
            assert [kind for _, kind in seen(before, snapshot_model(Plain(code), own_modules=OWN))] == kinds


def registers_for_a_while(self, x):
    handle = self.register_forward_hook(nothing)
    self(x)
    handle.remove()


def test_hooks_that_the_next_ones_replace():
    """A copy in a new process has the numbers of hooks that torch gives from 0 on there."""

    def hooked(code, behind):
        made = model(code)
        made._forward_hooks[RemovableHandle.next_id + behind] = reads_subclasses
        return snapshot_model(made, own_modules=OWN)

    def __init__(self):
        self.register_forward_hook(nothing)

    here, elsewhere = -1, 3
    for code, kinds in (
        (nothing, []),
        (__init__, []),
        (registers_for_a_while, ["_forward_hooks that the next ones replace"]),
    ):
        assert [kind for _, kind in seen(hooked(code, here), hooked(code, elsewhere))] == kinds


def test_classes_that_derive():
    for code, kinds in ((nothing, []), (reads_subclasses, ["subclasses"])):
        before = described(code)
        late = type("Late", (Base,), {"__module__": __name__})
        assert [kind for _, kind in seen(before, described(code))] == kinds
        del late
        gc.collect()


def test_annotations(monkeypatch):
    for code, kinds in ((nothing, []), (reads_annotations, ["annotations"])):
        before = described(code)
        with monkeypatch.context() as patch:
            patch.setitem(Base.__annotations__, "width", float)
            assert [kind for _, kind in seen(before, described(code))] == kinds


def reads_hints(self, words: Named = None) -> Base:
    return typing.get_type_hints(reads_hints)


def reads_no_hints(self, words: Named = None) -> Base:
    return words


class Named:
    base: Base


def test_names_in_annotations(monkeypatch):
    """As texts, which are looked up when they are asked for."""
    for code, kinds in ((reads_no_hints, []), (reads_hints, ["names in annotations"])):
        names = {name: part for name, part in globals().items() if name != "Named"}
        apart = types.FunctionType(code.__code__, names | {"reads_hints": None}, code.__name__, code.__defaults__)
        apart.__annotations__ = code.__annotations__
        apart.__module__ = __name__
        before = described(code)
        assert seen(before, described(code)) == []
        assert [kind for path, kind in seen(before, described(apart)) if "__globals__" not in path] == kinds
    before = described(reads_hints, part=Named)
    with monkeypatch.context() as patch:
        patch.setattr(Named, "__module__", "compare_things.no_more")
        now = described(reads_hints, part=Named)
    assert ("model.part", "names in annotations") in seen(before, now)


def asks_for_debugging(x):
    return logging.getLogger("asked.below").isEnabledFor(logging.DEBUG)


def test_the_level_up_to_which_nobody_tells_anything(monkeypatch):
    before = described(asks_for_debugging)
    monkeypatch.setattr(logging.root.manager, "disable", logging.ERROR)
    assert seen(before, described(asks_for_debugging)) == [("model.rarely", "levels")]


def test_the_level_of_a_logger(monkeypatch):
    for code, kinds in ((logs, []), (reads_level, ["level"])):
        before = described(code)
        with monkeypatch.context() as patch:
            patch.setattr(LOG, "level", logging.DEBUG)
            assert [kind for _, kind in seen(before, described(code))] == kinds


def test_what_lies_around_a_view():
    view, copy = torch.arange(8.0)[4:6], torch.arange(8.0)[4:6].clone()
    assert seen(described(nothing, x=view), described(nothing, x=copy)) == []
    assert {kind for _, kind in seen(described(strides, x=view), described(strides, x=copy))} == {
        "storage_offset",
        "storage_bytes",
    }
    assert seen(described(strides, x=copy), described(strides, x=copy.clone())) == []


def spawns(x):
    return x.spawn(2)


def test_what_a_generator_of_numpy_would_spawn():
    def spent():
        generator = np.random.default_rng(3)
        generator.spawn(1)
        return generator

    assert seen(described(nothing, x=np.random.default_rng(3)), described(nothing, x=spent())) == []
    assert seen(described(spawns, x=np.random.default_rng(3)), described(spawns, x=np.random.default_rng(3))) == []
    asked = seen(described(spawns, x=np.random.default_rng(3)), described(spawns, x=spent()))
    assert asked == [("model.x.bit_generator", "seed_seq")]


def asks_shared(x):
    return x.is_shared()


def test_whether_processes_share_a_tensor():
    shared, own = torch.zeros(2).share_memory_(), torch.zeros(2)
    assert seen(described(nothing, x=shared), described(nothing, x=own)) == []
    assert seen(described(asks_shared, x=shared), described(asks_shared, x=own)) == [("model.x", "shared")]


def reads_context(x):
    return x.__context__


def test_while_what_an_exception_was_raised():
    first, second = ValueError("a"), ValueError("a")
    first.__context__ = KeyError("b")
    assert seen(described(nothing, x=first), described(nothing, x=second)) == []
    assert seen(described(reads_context, x=first), described(reads_context, x=second)) == [("model.x", "context")]


def reads_name(x):
    return x.name


@pytest.mark.parametrize("error", [AttributeError, NameError, ImportError])
def test_which_name_was_not_found(error):
    first, second = error("a", name="b"), error("a")
    assert seen(described(nothing, x=first), described(nothing, x=second)) == []
    assert seen(described(reads_name, x=first), described(reads_name, x=second)) == [("model.x", "name")]


def reads_text(x):
    return x.text


def test_the_texts_of_a_picture():
    file, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    texts.add_text("Title", "a")
    Image.new("L", (1, 1)).save(file, "PNG", pnginfo=texts)
    read = Image.open(io.BytesIO(file.getvalue()))
    read.load()
    copied = pickle.loads(pickle.dumps(read))
    assert seen(described(nothing, x=read), described(nothing, x=copied)) == []
    assert seen(described(reads_text, x=read), described(reads_text, x=read)) == []
    assert seen(described(reads_text, x=read), described(reads_text, x=copied)) == [("model.x", "text")]


def pickles(x):
    return pickle.dumps(x)


def helps(x):
    return x


def reads_module(x):
    return type(x).__module__


def starts_processes(x):
    return multiprocessing.Pool(x)


def dumps_with_joblib(x):
    return joblib.dump(x, "file")


def saves_itself(x):
    torch.save(x, "file")


def saves_its_state(x):
    torch.save(x.state_dict(), "file")


def loads_with_joblib(x):
    return joblib.load(x)


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        (logs, []),
        (reads_module, []),
        (saves_its_state, []),
        (loads_with_joblib, []),
        (pickles, ["importable"]),
        (starts_processes, ["importable"]),
        (dumps_with_joblib, ["importable"]),
        (saves_itself, ["importable"]),
    ],
)
def test_a_class_that_is_found_by_its_name(monkeypatch, code, kinds):
    """Unlike that of a copy by value."""
    one = model(code)
    before = snapshot_model(one, own_modules=OWN)
    monkeypatch.setattr(sys.modules[Base.__module__], "Base", None)
    assert [kind for _, kind in seen(before, snapshot_model(one, own_modules=OWN))] == kinds


def test_a_function_that_is_found_by_its_name(monkeypatch):
    one = model(pickles, step=helps)
    before = snapshot_model(one, own_modules=OWN)
    monkeypatch.setattr(sys.modules[__name__], "helps", None)
    assert seen(before, snapshot_model(one, own_modules=OWN)) == [("model.step", "importable")]


def reads_source(x):
    return inspect.getsource(x)


def made_of_text(code):
    space = {"__name__": __name__}
    exec(code, space)
    return space["helps"]


def test_the_source_of_a_function():
    by_value = made_of_text("def helps(x):\n    return x\n")
    for code, kinds in ((nothing, []), (reads_source, ["source"])):
        assert [kind for _, kind in seen(described(code, x=helps), described(code, x=by_value))] == kinds


def test_a_class_whose_module_has_another_name(monkeypatch):
    """As when it runs from an artifact."""
    for code, kinds in ((logs, []), (reads_module, ["in_artifact"])):
        one = model(code)
        before = snapshot_model(one, own_modules=OWN)
        with monkeypatch.context() as patch:
            patch.setattr(Base, "__module__", f"<torch_package_0>.{Base.__module__}")
            assert [kind for _, kind in seen(before, snapshot_model(one, own_modules=OWN))] == kinds


# --- files


def test_a_path_that_leads_nowhere_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    file = tmp_path / "labels"
    for value in (str(file), [str(file)], file):
        file.write_text("a")
        before = described(nothing, value=value)
        assert seen(before, described(nothing, value=value)) == []
        file.unlink()
        ((path, kind),) = seen(before, described(nothing, value=value))
        assert (path.startswith("model.value"), kind) == (True, "exists")
    assert seen(described(nothing, value="/no/such"), described(nothing, value="/no/such")) == []


def test_where_the_project_lies_is_an_accident(tmp_path, monkeypatch):
    found = []
    for place in ("here", "there"):
        project = tmp_path / place / "project"
        (project / "data").mkdir(parents=True)
        (project / "data" / "labels").write_text("a")
        monkeypatch.setattr(tempfile, "tempdir", f"{project}-temporary")
        for kind in (str, type(project)):
            found.append(described(nothing, value=kind(project / "data" / "labels")))
    assert seen(found[0], found[2]) == seen(found[1], found[3]) == []
    other = described(nothing, value=project / "data")
    assert seen(found[3], other) == [("model.value", "value")]
    brought_along = described(nothing, value=tmp_path / "here" / "project" / "data" / "labels")
    assert seen(found[1], brought_along) != []


def test_what_a_temporary_file_is_called_is_an_accident(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first, second, other = (tmp_path / name for name in "abc")
    first.write_text("same")
    second.write_text("same")
    other.write_text("another")
    for kind in (str, type(first)):
        before = described(nothing, value=kind(first))
        assert seen(before, described(nothing, value=kind(second))) == []
        assert seen(before, described(nothing, value=kind(other))) == [("model.value", "content")]
    gone = described(nothing, value=str(tmp_path / "d"))
    assert seen(described(nothing, value=str(first)), gone) == [("model.value", "exists")]
