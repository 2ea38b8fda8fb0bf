"""Files beside carried source that it names travel with it, checked, and nothing else does."""

from __future__ import annotations

import importlib
import shutil
import sys

import pytest

from backends.base import UnsupportedModel
from backends.json_spec import ArtifactError, datafiles, load, save
from backends.json_spec.sources import Source

MODEL = """\
import pkgutil
from importlib import resources
from pathlib import Path

from torch import nn


class Words(nn.Module):
    def by_file(self):
        return (Path(__file__).parent / "data" / "en" / "words.txt").read_text()

    def from_the_project(self):
        return Path(__file__).parents[1].joinpath("labels.txt").read_text()

    def by_loader(self):
        return pkgutil.get_data(__package__, "data/en/words.txt").decode()

    def by_resources(self):
        return resources.files(__package__).joinpath("data/en/words.txt").read_text()

    def other(self):
        return "data/fr/words.txt", "../above.txt", "../../outside.txt", "model.py", "data/.hidden/words.txt", "data"
"""
FILES = {
    "lexicon/data/en/words.txt": "low high", "labels.txt": "few many", "above.txt": "", "../outside.txt": "",
    "lexicon/data/en/more.txt": "", "lexicon/data/.hidden/words.txt": "", "lexicon/model.py": MODEL,
    "lexicon/__init__.py": "",
}  # fmt: skip
_OWN = ("above.txt", "labels.txt", "lexicon/__init__.py", "lexicon/data/en/words.txt", "lexicon/model.py")
CARRIED = [f"source/{name}" for name in _OWN]
WAYS = ["by_file", "from_the_project", "by_loader", "by_resources"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "project")
    yield tmp_path / "project"
    for name in [name for name in sys.modules if name.partition(".")[0] == "lexicon"]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def model(project):
    return importlib.import_module("lexicon.model").Words()


def source(tmp_path, text, name="model.py"):
    (tmp_path / name).write_text(text)
    return Source("model", tmp_path / name, text.encode(), False)


def test_they_travel_and_are_found_by_every_way(model, project, tmp_path):
    save(model, tmp_path / "artifact", bundle_source=True)
    listed = sorted(line.split("  ")[1] for line in (tmp_path / "artifact" / "SHA256SUMS").read_text().splitlines())
    assert [name for name in listed if name.startswith("source/")] == CARRIED
    shutil.rmtree(project)
    again = load(tmp_path / "artifact", trust="bundled")
    assert [getattr(again, way)() for way in WAYS] == ["low high", "few many", "low high", "low high"]
    save(again, tmp_path / "twice", bundle_source=True)
    for name in CARRIED:
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "artifact" / name).read_bytes()


def test_two_artifacts_with_one_source_read_each_its_own(model, project, tmp_path):
    save(model, tmp_path / "one", bundle_source=True)
    (project / "labels.txt").write_text("others")
    save(model, tmp_path / "two", bundle_source=True)
    one, two = (load(tmp_path / name, trust="bundled") for name in ("one", "two"))
    assert (one.from_the_project(), two.from_the_project()) == ("few many", "others")


def test_they_are_found_wherever_the_process_goes(model, tmp_path, monkeypatch):
    save(model, tmp_path / "artifact", bundle_source=True)
    monkeypatch.chdir(tmp_path)
    again = load("artifact", trust="bundled")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert again.by_file() == "low high"


def test_a_damaged_one_is_reported(model, tmp_path):
    save(model, tmp_path / "artifact", bundle_source=True)
    (tmp_path / "artifact" / "source" / "labels.txt").write_text("few, many")
    with pytest.raises(ArtifactError, match=r"source/labels\.txt is damaged or was edited"):
        load(tmp_path / "artifact", trust="bundled", verify=False)


def test_without_its_source_none_travels(model, tmp_path):
    save(model, tmp_path / "artifact")
    assert not (tmp_path / "artifact" / "source").exists()


def test_too_large_a_one_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(datafiles, "LIMIT", 4)
    with pytest.raises(UnsupportedModel, match=r"model\.py names .*words\.txt, a file beside it of more than .* MiB"):
        save(model, tmp_path / "artifact", bundle_source=True)
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize(
    "way",
    [
        "__file__", "inspect.getfile(f)", "pkgutil.get_data(__name__, 'x')", "m.__path__", "resources.files(m)",
        "0\nfrom importlib.resources import files",
    ],
)  # fmt: skip
def test_only_a_module_that_names_its_own_place_names_files(way, tmp_path):
    (tmp_path / "words.txt").write_text("low")
    text = "import files\nA = files.Path('words.txt').read_text()\n"
    assert datafiles.files(source(tmp_path, text)) == {}
    assert datafiles.files(source(tmp_path, f"{text}B = {way}\n")) == {"words.txt": tmp_path / "words.txt"}


def test_what_a_path_may_be_made_of(tmp_path):
    for name in ("a.txt", "one/a.txt", "one/two/a.txt", "one/two/three/a.txt", "other/a.txt", "code.py", "lib.so"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "dir.d").mkdir()
    found = datafiles.files(source(tmp_path, "__file__, 'other', 'one', 'two', 'a.txt', 'code.py', 'lib.so', 'dir.d'"))
    assert sorted(found) == ["a.txt", "one/a.txt", "one/two/a.txt", "other/a.txt"]


def test_names_that_no_file_beside_has():
    from backends.json_spec.bundle import is_data

    assert is_data("source/words.txt") and is_data("source/a-b/c.d/words")
    for name in (
        "words.txt",
        "source/",
        "source/.x",
        "source/.x/y",
        "source/a/../b",
        "source/a.py",
        "source/a.so",
        "source/a b",
    ):
        assert not is_data(name)
