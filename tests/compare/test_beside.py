"""The files beside code that it names: a copy that is elsewhere has to have them."""

from __future__ import annotations

import importlib
import importlib.machinery
import shutil
import sys
import types

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

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
