"""What the program set in libraries, told by a process that looked at them before."""

from __future__ import annotations

import calendar
import json
import logging
import mimetypes
import os
import sys
import tempfile
import textwrap
import types
import unittest.mock
from xml.etree import ElementTree

import pytest
import torch

from harness.calls import save
from harness.calls.session import Session
from harness.compare import compare
from harness.snapshot import library_settings
from harness.snapshot.builder import snapshot_model

OWN = [__name__.partition(".")[0]]
PROJECT = """
import calendar
import json.encoder
import math
import textwrap
from PIL import Image, ImageFile
import torch
import roundtrip_test_missing

def uses():
    return torch.distributions.Normal(0.0, 1.0)
"""


class Model(torch.nn.Module):
    def rarely(self):
        return json, textwrap, calendar, torch.distributions, settings


settings = types.SimpleNamespace(width=1)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """What the libraries of a project hold, noted before anything is set."""
    sys.modules["torch.distributions._private"] = types.ModuleType("torch.distributions._private")
    sys.modules["torch.distributions._private"].WIDTH = 1
    project = tmp_path_factory.mktemp("project")
    (project / "model.py").write_text(PROJECT)
    yield library_settings.noted(project, ["model"])
    del sys.modules["torch.distributions._private"]


@pytest.fixture
def library(monkeypatch):
    """A library of one module, as it is when it was imported, under a name of its own."""
    module = types.ModuleType("roundtrip_test_library")
    code = """
WIDTH, NAMES, EMPTY, _PRIVATE, inited = 1, ["a"], [], 1, False
EXTENSION, ID, MIME = {".png": "PNG"}, ["PNG"], {"PNG": "image/png"}
class Wrapper:
    indent, _strict, _count, __scale, cls_counter = 4, True, 0, 1, 0
    def wrap(self, x, width=3, *, sep=" "): return x
def wrap(x, width=3, *, sep=" "): return x
wrapper = Wrapper()
wrapper.width, wrapper.next_id = 3, 0
"""
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


SETTINGS = {
    ("WIDTH",): lambda lib: setattr(lib, "WIDTH", 2),
    ("NAMES",): lambda lib: lib.NAMES.append("b"),
    ("wrap",): lambda lib: setattr(lib, "wrap", unittest.mock.MagicMock()),
    ("wrap", "__defaults__"): lambda lib: setattr(lib.wrap, "__defaults__", (4,)),
    ("wrap", "__kwdefaults__"): lambda lib: lib.wrap.__kwdefaults__.update(sep=","),
    ("Wrapper",): lambda lib: setattr(lib, "Wrapper", Model),
    ("Wrapper", "indent"): lambda lib: setattr(lib.Wrapper, "indent", 2),
    ("Wrapper", "_strict"): lambda lib: setattr(lib.Wrapper, "_strict", False),
    ("Wrapper", "wrap"): lambda lib: setattr(lib.Wrapper, "wrap", unittest.mock.MagicMock()),
    ("Wrapper", "wrap", "__defaults__"): lambda lib: setattr(lib.Wrapper.wrap, "__defaults__", (4,)),
    ("wrapper", "width"): lambda lib: setattr(lib.wrapper, "width", 4),
}
NO_SETTINGS = {
    "a cache or registry that was empty": lambda lib: lib.EMPTY.append("a"),
    "what is private to the module": lambda lib: setattr(lib, "_PRIVATE", 2),
    "a counter of a class": lambda lib: setattr(lib.Wrapper, "_count", 2),
    "a number that counts": lambda lib: setattr(lib.wrapper, "next_id", 7),
    "a number of a class that counts": lambda lib: setattr(lib.Wrapper, "cls_counter", 7),
    "that it began": lambda lib: setattr(lib, "inited", True),
    "formats of files": lambda lib: (
        lib.EXTENSION.update({".bmp": "BMP"}),
        lib.ID.append("BMP"),
        lib.MIME.update(BMP="image/bmp"),
    ),
    "another function of its own": lambda lib: setattr(lib, "wrap", lib.Wrapper.wrap),
    "the same again": lambda lib: setattr(lib, "WIDTH", 1),
}


def noted(library, tmp_path):
    (tmp_path / "model.py").write_text(f"import {library.__name__}")
    return library_settings.noted(tmp_path, ["model"])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_told_by_its_name(name, library, tmp_path):
    held = noted(library, tmp_path)
    assert library_settings.changed(held) == []
    SETTINGS[name](library)
    changed = library_settings.changed(held)
    assert (library.__name__, *name) in changed
    library_settings.value_of((library.__name__, *name))


@pytest.mark.parametrize("name", NO_SETTINGS)
def test_what_a_library_does_of_itself_is_none(name, library, tmp_path):
    held = noted(library, tmp_path)
    NO_SETTINGS[name](library)
    assert library_settings.changed(held) == []


def test_a_project_is_none_of_its_libraries(tmp_path, library):
    (tmp_path / "model.py").write_text(f"import {library.__name__}")
    assert library_settings.noted(tmp_path, [library.__name__]) == {}


def test_packages_that_the_project_names(before):
    modules = {name[0] for name in before}
    assert {"json.encoder", "json.decoder", "PIL.ImageFile", "torch.distributions.distribution", "math"} <= modules
    assert not {"torch", "torch.nn", "torch.optim.sgd", "numpy", "torch.distributions._private"} & modules
    assert library_settings.changed(before) == []


def test_it_counts_where_the_model_or_its_code_comes_upon_the_library(before, monkeypatch):
    import statistics

    described = snapshot_model(Model(), own_modules=OWN)
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)
    monkeypatch.setattr(textwrap.TextWrapper, "x", 3, raising=False)
    monkeypatch.setitem(json.dumps.__kwdefaults__, "sort_keys", True)
    monkeypatch.setattr(calendar.c, "_firstweekday", 6)
    names = [*library_settings.changed(before), ("statistics", "median"), ("json", "no_more"), ("no_library", "x")]
    assert statistics.median and len(names) == 6
    after = snapshot_model(Model(), own_modules=OWN, set_in_libraries=names)
    assert sorted(one.path.removeprefix("model.<libraries>.") for one in compare(described, after)) == [
        "calendar.c._firstweekday",
        "json.dumps.__kwdefaults__",
        "torch.distributions.distribution.Distribution._validate_args",
    ]


def test_what_of_the_users_is_in_a_register_of_a_library(library, monkeypatch):
    """As YAML keeps constructors by tag, for each class of loaders a dictionary of its own once it was told one."""
    library.readers = {"a": print}
    library.by_type = []
    library._private = {"a": print}
    library.wrapper._known = {str: print}
    library.Loader = type("Loader", (), {"__module__": library.__name__})
    held = dict(library_settings._entries(library))
    assert library_settings.changed(held, OWN) == []
    library.readers["b"] = len  # the library's own affair
    assert library_settings.changed(held, OWN) == []
    library.readers["c"] = Model.rarely
    library.by_type.append(Model())
    library.Loader.constructors = {"!tag": Model.rarely}
    library.Loader._tags = [Model]
    library._private[Model, int] = Model.rarely
    library.wrapper._known[Model] = Model.rarely
    names = [("Loader", "_tags"), ("Loader", "constructors"), ("_private",), ("by_type",), ("readers",)]
    names.append(("wrapper", "_known"))
    assert library_settings.changed(held, OWN) == [(library.__name__, *name) for name in names]


def test_tables_of_python_that_a_function_fills(tmp_path, monkeypatch):
    (tmp_path / "model.py").write_text("import logging\nimport mimetypes\nimport xml.etree.ElementTree as ET\n")
    monkeypatch.setattr(mimetypes, "inited", False)
    held = library_settings.noted(tmp_path, ["model"])
    mimetypes.guess_type("a.txt")  # reads what the machine knows, unless that was done
    assert library_settings.changed(held) == []
    logging.addLevelName(25, "NOTICE")
    ElementTree.register_namespace("q", "urn:q")
    mimetypes.add_type("model/raw", ".raw")
    names = [("logging", "_levelToName"), ("mimetypes", "types_map"), ("xml.etree.ElementTree", "_namespace_map")]
    assert library_settings.changed(held) == names
    assert library_settings.value_of(names[0])[25] == "NOTICE"
    for table, key in ((logging._levelToName, 25), (logging._nameToLevel, "NOTICE")):
        del table[key]
    del ElementTree._namespace_map["urn:q"], mimetypes.types_map[".raw"]


SETS_VARIABLES = """
import os
import torch

os.environ["SET_AT_IMPORT"] = "1"

def build():
    os.environ["COLUMNS"] = "37"
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["A_" + "LIBRARYS"] = "1"
    del os.environ["GONE"]
    return torch.nn.Linear(1, 1)
"""


def test_variables_of_the_environment_that_building_set(tmp_path, monkeypatch):
    for name, value in (("GONE", "1"), ("COLUMNS", "80"), ("SET_AT_IMPORT", "0"), ("A_LIBRARYS", "0")):
        monkeypatch.setenv(name, value)  # as they are put back
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "roundtrip_test_sets.py").write_text(SETS_VARIABLES)
    session, own = Session(), ["roundtrip_test_sets"]
    save.build(session, project=str(tmp_path), module=own[0], builder="build", own_modules=own)
    save.describe_state(session)
    names = session.set_in_libraries
    assert [name for name in names if name[0] == "os"] == [("os", "environ", "COLUMNS"), ("os", "environ", "GONE")]

    def differences():
        now = snapshot_model(session.model, own_modules=own, set_in_libraries=names)
        return [(one.path, one.kind) for one in compare(session.state, now)]

    assert differences() == []
    os.environ |= {"COLUMNS": "80", "GONE": "1"}
    assert sorted(differences()) == [
        ("model.<libraries>.os.environ.COLUMNS", "value"),
        ("model.<libraries>.os.environ.GONE", "extra"),
    ]
