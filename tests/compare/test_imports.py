"""The modules of the user's that code imports when it is called: what a copy's code will find."""

from __future__ import annotations

import builtins
import importlib
import sys
import types
from pathlib import Path

import pytest

from harness.calls import save
from harness.calls.session import Session
from harness.compare import compare
from harness.snapshot.builder import snapshot_model

OWN = ["package_of_mine"]

IMPORTS_INSIDE = """
import importlib

def by_name():
    from package_of_mine.inside import LIMIT
    return LIMIT

def relative():
    from .inside import LIMIT
    return LIMIT

def relative_module():
    from . import inside
    return inside.LIMIT

def by_text():
    return importlib.import_module(".inside", __package__).LIMIT

def taken(other):
    from .inside import LIMIT
    return LIMIT + other.SCALE

def module_and_taken():
    from package_of_mine.inside import LIMIT
    return package_of_mine.inside.SCALE + LIMIT
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A package whose functions import one of its modules when they are called."""
    folder = tmp_path / "package_of_mine"
    folder.mkdir()
    for name, text in (("__init__", ""), ("inside", "LIMIT = 3\nSCALE = 2\n"), ("code", IMPORTS_INSIDE)):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("package_of_mine.code")
    for name in [name for name in sys.modules if name.partition(".")[0] == "package_of_mine"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["by_name", "relative", "relative_module", "by_text"])
def test_an_own_module_that_a_copy_has_not_imported_yet(project, name):
    inside = importlib.import_module("package_of_mine.inside")
    function, every = getattr(project, name), [name for name in sys.modules if name.partition(".")[0] in OWN]

    def differences(before, imported):
        now = snapshot_model(function, own_modules=OWN, imported=imported)
        return [(one.path, one.kind) for one in compare(before, now) if "__globals__" in one.path]

    before = snapshot_model(function, own_modules=OWN)
    inside.LIMIT = 4
    changed = snapshot_model(function, own_modules=OWN)
    del sys.modules["package_of_mine.inside"], sys.modules["package_of_mine"].inside
    assert differences(before, every) == []
    found = differences(changed, every)  # a text may name any module
    assert found[-1] == ("model.__globals__['package_of_mine.inside'].LIMIT", "value")
    assert found[:-1] == ([("model.__globals__.<own>.LIMIT", "value")] if name == "by_text" else [])


@pytest.mark.parametrize("name", ["by_name", "relative", "relative_module", "by_text"])
def test_an_own_module_that_was_imported_in_the_meantime(project, name):
    function, every = getattr(project, name), [name for name in sys.modules if name.partition(".")[0] in OWN]
    before = snapshot_model(function, own_modules=OWN)
    vars(importlib.import_module("package_of_mine.inside")).update({f"MORE_{number}": number for number in range(20)})
    assert compare(before, snapshot_model(function, own_modules=OWN, imported=every)) == []


def test_a_global_whose_name_ends_as_that_of_a_moved_module(project):
    project.SCALE, project.SCALE_moved = 1, 2
    exec("def f(): return SCALE + SCALE_moved", vars(project))
    before = snapshot_model(project.f, own_modules=OWN)
    for name in ("SCALE", "SCALE_moved"):
        setattr(project, name, 3)
        (found,) = compare(before, snapshot_model(project.f, own_modules=OWN))
        assert found.path == f"model.__globals__['{name}']"
        before = snapshot_model(project.f, own_modules=OWN)


def test_of_an_own_module_whose_names_are_taken_these_count(project):
    inside = importlib.import_module("package_of_mine.inside")
    before = snapshot_model(project.taken, own_modules=OWN)
    inside.SCALE = 3  # as the code calls an attribute of something else
    assert compare(before, snapshot_model(project.taken, own_modules=OWN)) == []
    inside.LIMIT = 4
    assert len(compare(before, snapshot_model(project.taken, own_modules=OWN))) == 1


def test_an_own_module_that_the_code_comes_upon_in_two_ways(project):
    """A function by value may hold a package that no import finds, and import a module of it when it is called."""
    inside, project.package_of_mine = importlib.import_module("package_of_mine.inside"), sys.modules["package_of_mine"]
    every = [name for name in sys.modules if name.partition(".")[0] == "package_of_mine"]
    before = snapshot_model(project.module_and_taken, own_modules=OWN)
    copy = types.FunctionType(project.module_and_taken.__code__, vars(project), "module_and_taken")
    for name in every:
        del sys.modules[name]
    assert compare(before, snapshot_model(copy, own_modules=OWN, imported=every)) == []
    inside.SCALE = 3
    (found,) = compare(before, snapshot_model(copy, own_modules=OWN, imported=every))
    assert found.path == "model.__globals__['package_of_mine'].inside.SCALE"


BY_DATA = "import sys\ndef f(where): return sys.modules[where].LIMIT, LEFT\nLEFT = {'a': 1}"


def test_a_global_of_a_small_module_that_a_text_in_the_model_names(project):
    """It holds two names."""
    inside = importlib.import_module("package_of_mine.inside")
    exec(BY_DATA, vars(project))
    before = snapshot_model(project.f, own_modules=OWN)
    inside.LIMIT = 4
    assert [one.path for one in compare(before, snapshot_model(project.f, own_modules=OWN))] == [
        "model.__globals__.<own>.LIMIT"
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("suffix", ["", "_renamed", "_moved"])
def test_globals_of_one_name_in_several_modules_that_a_text_may_name(project, monkeypatch, place, suffix):
    """Each counts, also in a copy where modules have other names: there the order of these is another."""
    names = ("limits", "limits_a", "limits_b")

    def described(names, limits):
        with monkeypatch.context() as patch:
            for name, limit in zip(names, limits, strict=True):
                patch.setitem(sys.modules, name, types.ModuleType(name))
                vars(sys.modules[name]).update(LIMIT=limit, MORE=1)
            return snapshot_model(project.f, own_modules=[*OWN, *names])

    exec(BY_DATA, vars(project))
    before, now = described(names, (1, 2, 3)), [1, 2, 3]
    renamed = [f"{name}{suffix}" for name in names]
    assert compare(before, described(renamed, now)) == []
    now[place] = 4
    (found,) = compare(before, described(renamed, now))
    assert found.path in ("model.__globals__.<own>.LIMIT", f"model.__globals__.<own>.{names[place]}.LIMIT")


def test_what_a_moved_class_left_behind_is_no_other_module(project, monkeypatch):
    """`class_moved` leaves the globals where they were, and the new module has them too."""
    exec(BY_DATA, vars(project))
    before = snapshot_model(project.f, own_modules=OWN)
    moved = types.ModuleType(f"{project.__name__}_moved")
    monkeypatch.setitem(sys.modules, moved.__name__, moved)
    exec(BY_DATA, vars(moved))
    assert compare(before, snapshot_model(moved.f, own_modules=OWN)) == []


def test_own_modules_that_name_each_other(project):
    """Whatever leads to them: each is looked into once on every way."""
    inside = importlib.import_module("package_of_mine.inside")
    inside.code, project.inside = project, inside
    exec("def f(): return sys.modules[package_name].inside.code.inside.SCALE, inside.code", vars(project))
    before = snapshot_model(project.f, own_modules=OWN)
    inside.SCALE = 3
    assert "inside.SCALE" in compare(before, snapshot_model(project.f, own_modules=OWN))[0].path


def test_a_save_that_imports_an_own_module_leaves_the_original_as_it_was(project):
    session = Session(own_modules=("package_of_mine",), model=project.relative)
    save.describe_state(session)
    importlib.import_module("package_of_mine.inside")
    assert save.changed_by_save(session) == []


@pytest.mark.parametrize("name", ["by_name", "relative", "relative_module", "by_text"])
def test_an_own_module_that_a_copy_will_not_find(project, name):
    function = getattr(project, name)
    before = snapshot_model(function, own_modules=OWN)
    Path(project.__file__).with_name("inside.py").unlink()
    importlib.invalidate_caches()
    (found,) = compare(before, snapshot_model(function, own_modules=OWN))
    assert found.path == "model.__globals__.import <own>" and found.kind in ("missing", "value")


@pytest.mark.parametrize(("name", "finds"), [("relative", True), ("by_text", False)])
def test_an_own_module_that_an_importer_of_an_artifact_finds(project, name, finds):
    """It is asked by statements alone."""

    def from_artifact(name, globals=None, locals=None, fromlist=(), level=0):
        if name != "package_of_mine.inside":
            raise ImportError(name)
        return types.ModuleType(name)

    function = getattr(project, name)
    before = snapshot_model(function, own_modules=OWN)
    Path(project.__file__).with_name("inside.py").unlink()
    importlib.invalidate_caches()
    space = vars(project) | {"__builtins__": vars(builtins) | {"__import__": from_artifact}}
    copy = types.FunctionType(function.__code__, space, name)
    assert (compare(before, snapshot_model(copy, own_modules=OWN)) == []) is finds


def test_a_text_that_the_import_of_an_artifact_finds(tmp_path, monkeypatch):
    """Code that runs from one has an `__import__` of its own, which `__import__(text)` calls."""
    (tmp_path / "alone_of_mine.py").write_text("def part(): return __import__('used_of_mine').LIMIT\n")
    (tmp_path / "used_of_mine.py").write_text("LIMIT = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module("alone_of_mine").part
    monkeypatch.delitem(sys.modules, "alone_of_mine")
    names = {"own_modules": [__name__.partition(".")[0], "alone_of_mine", "used_of_mine"]}
    before = snapshot_model(function, **names)
    (tmp_path / "used_of_mine.py").unlink()
    importlib.invalidate_caches()
    own = vars(builtins) | {"__import__": lambda name, *more: types.ModuleType(name)}
    copy = types.FunctionType(function.__code__, vars(sys.modules[__name__]) | {"__builtins__": own}, "part")
    copy.__module__ = function.__module__
    assert compare(before, snapshot_model(copy, **names)) == []
    assert compare(before, snapshot_model(function, **names))
