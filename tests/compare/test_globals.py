"""What the user's code refers to by name and keeps in its classes: a copy without it differs, reached or not."""

from __future__ import annotations

import builtins
import collections
import enum
import importlib
import math
import operator
import os
import random
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import calls_save
from harness.compare import compare
from harness.session import Session
from harness.snapshot import snapshot_model

OWN = [__name__.partition(".")[0], "settings_of_mine", "package_of_mine"]
SCALE = 1
TABLE = {"mean": 0.0}
DRAWN = random.Random(3)
GENERATOR = np.random.default_rng(3)
WEIGHTS = torch.zeros(2)
ACTIVATION = math.exp
BY_TEXT = 1
FOLDER = os.path.dirname(__file__)
LATER = None


def helper(x):
    return x * SCALE


class Colour(enum.Enum):
    RED = 1


class Part:
    __slots__ = ()
    _registry: dict = {}


class Model(torch.nn.Module):
    """Its methods are described, not called."""

    _made = 0
    __hidden = ()
    __scale__ = 1

    def rarely(self, x):
        def inner():
            return [TABLE["mean"] for _ in range(2)]

        return inner(), DRAWN.random(), GENERATOR.normal(), ACTIVATION(x), WEIGHTS, helper(x), Part, Colour

    def looks_up(self):
        return globals()["BY_TEXT"], os.environ.get("A_VARIABLE_OF_MINE"), FOLDER, LATER

    def imports(self):
        import settings_of_mine

        return settings_of_mine.inside.LIMIT, round(1.5)


def described():
    return snapshot_model(Model(), own_modules=OWN)


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    module, inside = types.ModuleType("settings_of_mine"), types.ModuleType("settings_of_mine.inside")
    module.inside, inside.LIMIT = inside, 3
    monkeypatch.setitem(sys.modules, "settings_of_mine", module)
    return inside


def rebind(name, value):
    return lambda patch: patch.setattr(sys.modules[__name__], name, value)


def of_class(cls, name, value):
    return lambda patch: patch.setattr(cls, name, value, raising=False)


RARELY, HELPER = "model.__class__.rarely.__globals__", "model.__class__.rarely.__globals__['helper'].__globals__"
LOOKS_UP, IMPORTS = "model.__class__.looks_up.__globals__", "model.__class__.imports.__globals__"
CHANGES = {
    "rebound number": (rebind("SCALE", 2), f"{HELPER}['SCALE']"),
    "entry of a table": (lambda patch: patch.setitem(TABLE, "mean", 1.0), f"{RARELY}['TABLE']['mean']"),
    "other generator": (rebind("DRAWN", random.Random(4)), f"{RARELY}['DRAWN'].getstate()"),
    "numpy's generator": (rebind("GENERATOR", np.random.default_rng(4)), f"{RARELY}['GENERATOR'].bit_generator"),
    "tensor": (rebind("WEIGHTS", torch.ones(2)), f"{RARELY}['WEIGHTS']"),
    "library's function": (rebind("ACTIVATION", math.log), f"{RARELY}['ACTIVATION']"),
    "object in a function's place": (rebind("helper", operator.itemgetter(1)), f"{RARELY}['helper']"),
    "found by a text": (rebind("BY_TEXT", 2), f"{LOOKS_UP}['BY_TEXT']"),
    "bound later": (rebind("LATER", collections.Counter(a=1)), f"{LOOKS_UP}['LATER']"),
    "environment": (lambda patch: patch.setenv("A_VARIABLE_OF_MINE", "1"), f"{LOOKS_UP}.os.environ['A_VARIABLE_OF_"),
    "builtin": (lambda patch: patch.setattr("builtins.round", math.ceil), f"{IMPORTS}['round']"),
    "private attribute": (of_class(Model, "_made", 3), "model.__class__._made"),
    "mangled attribute": (of_class(Model, "_Model__hidden", (1,)), "model.__class__._Model__hidden"),
    "attribute of four underscores": (of_class(Model, "__scale__", 2), "model.__class__.__scale__"),
    "annotation": (lambda patch: patch.setitem(Part.__annotations__, "new", int), f"{RARELY}['Part']"),
    "registry": (lambda patch: patch.setitem(Part._registry, "a", 1), f"{RARELY}['Part']._registry['a']"),
    "attribute of an enumeration": (of_class(Colour, "_names", {1: "red"}), f"{RARELY}['Colour']._names"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_where_it_is(change, monkeypatch):
    do, path = CHANGES[change]
    before = described()
    assert compare(before, described()) == []
    do(monkeypatch)
    differences = compare(before, described())
    assert differences
    assert all(difference.path.startswith(path) for difference in differences), differences


def test_an_own_module_that_is_imported_inside(settings):
    before = described()
    settings.LIMIT = 4
    assert [one.path for one in compare(before, described())] == [f"{IMPORTS}['settings_of_mine'].inside.LIMIT"]


def test_where_the_code_lies_is_no_difference(monkeypatch, tmp_path):
    before = described()
    monkeypatch.setattr(sys.modules[__name__], "FOLDER", str(tmp_path))
    assert compare(before, described()) == []
    monkeypatch.setattr(sys.modules[__name__], "FOLDER", "/somewhere/else")  # where nothing is
    (difference,) = compare(before, described())
    assert difference.path.endswith("['FOLDER'].exists()")


@pytest.mark.parametrize(("value", "seen"), [(round, False), (math.ceil, True)])
def test_a_builtin_written_down_among_the_globals_is_no_difference(value, seen, monkeypatch):
    """dill does so for functions by value."""
    before = described()
    monkeypatch.setattr(sys.modules[__name__], "round", value, raising=False)
    assert bool(compare(before, described())) is seen


def test_a_global_that_the_model_holds_too_is_one_object():
    model = Model()
    model.table = TABLE
    before = snapshot_model(model, own_modules=OWN)
    model.table = dict(TABLE)
    assert [one.kind for one in compare(before, snapshot_model(model, own_modules=OWN))] == ["identity"]


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
    assert differences(changed, every) == [("model.__globals__['package_of_mine.inside'].LIMIT", "value")]


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
    calls_save.describe_state(session)
    importlib.import_module("package_of_mine.inside")
    assert calls_save.changed_by_save(session) == []


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
    names = {"own_modules": [*OWN, "alone_of_mine", "used_of_mine"]}
    before = snapshot_model(function, **names)
    (tmp_path / "used_of_mine.py").unlink()
    importlib.invalidate_caches()
    own = vars(builtins) | {"__import__": lambda name, *more: types.ModuleType(name)}
    copy = types.FunctionType(function.__code__, vars(sys.modules[__name__]) | {"__builtins__": own}, "part")
    copy.__module__ = function.__module__
    assert compare(before, snapshot_model(copy, **names)) == []
    assert compare(before, snapshot_model(function, **names))


READS_FILES = """
import inspect
import pkgutil
from pathlib import Path

HERE = Path(__file__).parent

def by_file():
    return Path(__file__).with_name("words.txt").read_text()

def by_folder():
    return (HERE / "words.txt").read_text()

def by_code():
    return Path(by_code.__code__.co_filename).with_name("words.txt").read_text()

def by_function():
    return Path(inspect.getfile(by_function)).with_name("words.txt").read_text()

def by_module():
    return pkgutil.get_data(__name__, "words.txt")

def by_name():
    return pkgutil.get_data("files_of_mine", "words.txt")

def elsewhere(folder):
    return (folder / "words.txt").read_text()
"""


def test_files_beside_the_code_that_it_names(tmp_path, monkeypatch):
    """Of a copy that is elsewhere: not where they are found by the module's name, which leads to the module there."""
    kinds = {}
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "files_of_mine.py").write_text(READS_FILES)
    (tmp_path / "here" / "words.txt").write_text("low")
    monkeypatch.syspath_prepend(tmp_path / "here")
    module = importlib.import_module("files_of_mine")
    monkeypatch.delitem(sys.modules, "files_of_mine")
    space = {"__name__": "files_of_mine", "__file__": str(tmp_path / "there" / "files_of_mine.py")}
    exec(READS_FILES, space)
    for name, function in vars(module).items():
        if isinstance(function, types.FunctionType):
            before, after = (snapshot_model(one, own_modules=["files_of_mine"]) for one in (function, space[name]))
            kinds[name] = [one.path for one in compare(before, after) if "HERE" not in one.path]
    gone = ["model.__globals__.beside['words.txt']"]
    assert kinds == {
        "by_file": gone,
        "by_folder": gone,
        "by_code": gone,
        "by_function": gone,
        "by_module": [],
        "by_name": [],
        "elsewhere": [],
    }


def test_files_in_folders_beside_the_code_of_which_a_path_is_made(tmp_path, monkeypatch):
    """`HERE / "data" / "en" / "words.txt"` is three texts."""
    source = """from pathlib import Path

def in_a_folder():
    return (Path(__file__).parent / "data" / "words.txt").read_text(encoding="utf-8")

def in_two():
    return (Path(__file__).parent / "data" / "en" / "words.txt").read_text(encoding="utf-8")

def of_two_files():
    return [(Path(__file__).parent / "data" / name).read_text() for name in ("absent.txt", "words.txt")]

def by_another_order(name="words.txt"):
    file, folder = "words.txt", "data"
    return (Path(__file__).parent / folder / file).read_text()
"""
    (tmp_path / "folders_of_mine.py").write_text(source)
    (tmp_path / "data" / "en").mkdir(parents=True)
    for folder in ("data", "data/en"):
        (tmp_path / folder / "words.txt").write_text("low")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("folders_of_mine")
    monkeypatch.delitem(sys.modules, "folders_of_mine")
    functions = [value for value in vars(module).values() if isinstance(value, types.FunctionType)]
    before = [snapshot_model(one, own_modules=["folders_of_mine"]) for one in functions]
    shutil.rmtree(tmp_path / "data")
    after = [snapshot_model(one, own_modules=["folders_of_mine"]) for one in functions]
    gone = {one.__name__: [found.path for found in compare(*pair)]
            for one, *pair in zip(functions, before, after, strict=True)}  # fmt: skip
    in_a_folder = ["model.__globals__.beside['data/words.txt']"]
    assert gone == {
        "in_a_folder": in_a_folder,
        "in_two": ["model.__globals__.beside['data/en/words.txt']", *in_a_folder],
        "of_two_files": in_a_folder,
        "by_another_order": in_a_folder,
    }


def test_files_beside_code_that_runs_under_a_private_name(tmp_path):
    """Its name leads nowhere, its loader has them: as json_spec runs carried source."""
    file = tmp_path / "files_of_mine.py"
    file.write_text(READS_FILES)
    (tmp_path / "words.txt").write_text("low")
    name = "<json_spec_0123abcd>.files_of_mine"
    loader = importlib.machinery.SourceFileLoader(name, str(file))
    spec = importlib.machinery.ModuleSpec(name, loader, origin=str(file))
    space = {"__name__": name, "__file__": str(file), "__spec__": spec}
    exec(READS_FILES, space)
    before = snapshot_model(space["by_module"], own_modules=["files_of_mine"])
    (tmp_path / "words.txt").unlink()
    after = snapshot_model(space["by_module"], own_modules=["files_of_mine"])
    assert [one.path for one in compare(before, after)] == ["model.__globals__.beside['words.txt']"]


def test_files_in_an_archive_of_code(tmp_path, monkeypatch):
    """A library reads them there, `open` does not."""
    (tmp_path / "files_of_mine.py").write_text(READS_FILES)
    (tmp_path / "words.txt").write_text("low")
    archive = shutil.make_archive(str(tmp_path / "code"), "zip", tmp_path)
    found = []
    for place in (str(tmp_path), archive):
        with monkeypatch.context() as patch:
            patch.syspath_prepend(place)
            module = importlib.import_module("files_of_mine")
            functions = {name: getattr(module, name) for name in ("by_module", "by_name", "by_file")}
            found.append({name: snapshot_model(one, own_modules=["files_of_mine"]) for name, one in functions.items()})
        del sys.modules["files_of_mine"]
    gone = {
        name: [one.path for one in compare(found[0][name], found[1][name]) if "exists" not in one.path]
        for name in found[0]
    }
    assert gone == {"by_module": [], "by_name": [], "by_file": ["model.__globals__.beside['words.txt']"]}
