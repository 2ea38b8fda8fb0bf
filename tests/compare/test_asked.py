"""What counts only where the user's code asks for it: unasked each change is none, asked for it is the only one."""

from __future__ import annotations

import codecs
import collections
import collections.abc
import copyreg
import functools
import gc
import io
import json
import logging
import math
import os
import pickle
import sys
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from harness.compare import compare
from harness.snapshot import snapshot_model

OWN = [__name__.partition(".")[0]]
PAD = "<pad>"
ENV = "ROUNDTRIP_TEST_VARIABLE"
LOG = logging.getLogger("roundtrip.test_asked")
OPTION_A = 1
PAIR = collections.namedtuple("PAIR", "first")(PAD)


class Base(torch.nn.Module):
    """One."""

    width: int = 1

    def __init__(self, **parts):
        super().__init__()
        vars(self).update(parts)


def model(rarely, **parts):
    """One whose code is `rarely`, a function of this module."""
    made = Base(**parts)
    made.rarely = rarely
    return made


def described(rarely, **parts):
    return snapshot_model(model(rarely, **parts), own_modules=OWN)


def seen(before, after):
    return [(difference.path, difference.kind) for difference in compare(before, after)]


# --- facts that code asks for


def nothing():
    return Base


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


def reads_module(x):
    return type(x).__module__


def test_a_class_that_is_found_by_its_name(monkeypatch):
    """Unlike that of a copy by value."""
    for code, kinds in ((logs, []), (pickles, ["importable"]), (reads_module, [])):
        one = model(code)
        before = snapshot_model(one, own_modules=OWN)
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules[__name__], "Base", None)
            assert [kind for _, kind in seen(before, snapshot_model(one, own_modules=OWN))] == kinds


def test_a_class_whose_module_has_another_name(monkeypatch):
    """As when it runs from an artifact."""
    for code, kinds in ((logs, []), (reads_module, ["in_artifact"])):
        one = model(code)
        before = snapshot_model(one, own_modules=OWN)
        with monkeypatch.context() as patch:
            patch.setattr(Base, "__module__", f"<torch_package_0>.{__name__}")
            assert [kind for _, kind in seen(before, snapshot_model(one, own_modules=OWN))] == kinds


# --- the very object


def another(text):
    return "".join(list(text))


def compares_global(x):
    return x is PAD


def compares_inside(x):
    return [part for part in x if (lambda: part is PAD)()]


def compares_part_of_a_global(x):
    return x.pad is PAIR.first


def compares_attribute(x):
    return x.fill is not np.nan


def compares_two(x):
    return x.first is x.second


def compares_closed(value):
    return lambda x: x is value


def equals(x):
    return x == PAD or x is None or x is True


def test_a_text_that_code_compares_by_is():
    same, copied = {"pad": PAD}, {"pad": another(PAD)}
    assert seen(described(equals, **same), described(equals, **copied)) == []
    assert seen(described(compares_global, **same), described(compares_global, **same)) == []
    for pair in ((same, copied), (copied, same)):
        (difference,) = compare(*(described(compares_global, **parts) for parts in pair))
        assert (difference.path, difference.kind) == ("model.pad", "identity")
        assert PAD in difference.message
    assert seen(described(compares_inside, **same), described(compares_inside, **copied)) == [("model.pad", "identity")]
    assert seen(described(compares_part_of_a_global, **same), described(compares_part_of_a_global, **same)) == []
    closed = compares_closed(PAD)
    assert seen(described(closed, **same), described(closed, **copied)) == [("model.pad", "identity")]


def test_numbers_that_code_compares_by_is():
    parts = {"fill": np.nan}
    assert seen(described(compares_attribute, **parts), described(compares_attribute, **parts)) == []
    (difference,) = compare(described(compares_attribute, **parts), described(compares_attribute, fill=float("nan")))
    assert difference.kind == "identity"
    big = 10**30
    together, apart = {"first": big, "second": big}, {"first": big, "second": int("1" + "0" * 30)}
    assert seen(described(compares_two, **together), described(compares_two, **apart))
    assert not seen(described(nothing, **together), described(nothing, **apart))
    small = {"first": 3, "second": 3}
    assert seen(described(compares_two, **small), described(compares_two, **small)) == []


def finds(x):
    return math.nan in x.skip


def test_a_nan_that_is_found_again():
    """As a key or in a set, and in a list where code seeks it: a NaN is found as the object that it is, and only so."""
    nan, other = float("nan"), float("nan")
    for make in (lambda key: {key: 1, 2.0: 3}, lambda key: {key, 2.0}, lambda key: {(2, 1): {key: 1}}):
        before = described(nothing, missing=nan, table=make(nan))
        assert seen(before, described(nothing, missing=other, table=make(other))) == []
        assert [kind for _, kind in seen(before, described(nothing, missing=nan, table=make(other)))]
    assert seen(described(nothing, skip=[nan]), described(nothing, skip=[other])) == []
    assert seen(described(finds, skip=[math.nan]), described(finds, skip=[math.nan])) == []
    assert seen(described(finds, skip=[math.nan]), described(finds, skip=[nan])) == [("model.skip[0]", "identity")]


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


# --- libraries


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
    assert [kind for _, kind in seen(before, described(asks_sequence))] == ["registered"]


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
