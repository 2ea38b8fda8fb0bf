"""A user's project is staged with the modules that it imports and the data that its code names."""

from __future__ import annotations

import pytest

from harness import conditions, corpus, registry
from harness.project import staging

MODEL = """
from pathlib import Path
import torch
from labelled.words import WORDS

HERE = Path(__file__).parent

class Labelled(torch.nn.Module):
    def preprocess(self, x): return torch.tensor([x])
    def forward(self, batch): return batch * 2
    def postprocess(self, output):
        labels = (HERE / "labels.txt").read_text().split()
        scale = float((HERE / "assets" / "deep" / "scale.txt").read_text())
        return [labels[int(output) % len(labels)], scale, WORDS]

def build(): return Labelled()
def examples(): return [1, 2]
def also_named():
    return ["../../outside.txt", "large.bin", "with_python", ".hidden", ".hidden/data.txt", "", ".", "labelled",
            "a\\n", "TOO_LONG"]
""".replace("TOO_LONG", "\u00fc" * 200)


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "DATA_BYTES", 1000)
    package = tmp_path / "user" / "labelled"
    for folder in ("assets/deep", "assets/.git", "with_python", ".hidden"):
        (package / folder).mkdir(parents=True)
    files = {
        "__init__.py": "", "model.py": MODEL, "labels.txt": "pear plum fig", "assets/deep/scale.txt": "1.5",
        "words.py": "from pathlib import Path\nWORDS = (Path(__file__).parent / 'words.txt').read_text()\n",
        "words.txt": "a b", "assets/.cache": "x", "assets/.git/head": "x", "large.bin": "x" * 1001,
        "with_python/data.txt": "x", "with_python/more.py": "", ".hidden/data.txt": "x", "unnamed.txt": "x",
        "../../outside.txt": "x",
    }  # fmt: skip
    for name, text in files.items():
        (package / name).write_text(text)
    (package / "assets" / "broken").symlink_to("nowhere")
    return registry.model_source(f"{package / 'model.py'}:build")


def test_named_data_travel_and_nothing_else(source, tmp_path):
    staged = staging.stage(source, tmp_path / "staged")
    files = {str(path.relative_to(staged.folder)) for path in staged.folder.rglob("*") if path.is_file()}
    named = {"labels.txt", "words.txt", "assets/deep/scale.txt"}
    modules = {"__init__.py", "model.py", "words.py", "with_python/more.py"}
    assert files == {f"labelled/{name}" for name in named | modules}
    beside = {str(path.relative_to(staged.scoring_file.parent)) for path in staged.scoring_file.parent.rglob("*.txt")}
    assert beside == {"labels.txt", "assets/deep/scale.txt"}


def test_files_that_an_f_string_may_name_travel(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "DATA_BYTES", 10)
    user = tmp_path / "user"
    (user / "days").mkdir(parents=True)
    texts = ["{a}.csv", "{a}/{b}.txt", "{a}", "{a}/{b}", "a {b}.", "{a}.md", "[{a}].json", "{a}.py", ""]
    (user / "net.py").write_text(f"def build(a, b): return [{', '.join(f'f{text!r}' for text in texts)}]")
    named = ["at.csv", "de.csv", "days/week_of_at.txt", "[x].json"]
    others = ["words.txt", "days/de.csv", "long.md", "more.md", "x.json", "plain", ".hidden.csv", "module.py"]
    for name in [*named, *others]:
        (user / name).write_text("123456" if name.endswith(".md") else "")
    found = {path.relative_to(user).as_posix() for path in staging.data_of(user / "net.py", user)}
    assert found == set(named)


def test_a_model_that_reads_files_beside_its_code(source, tmp_path):
    """They are where the code is: gone with it."""
    (batch,) = corpus.batches([source.name], ["pickle"])
    wanted = ["fresh_process", "source_absent", "class_moved"]
    place = corpus.Place(tmp_path / "run")
    cells = corpus.run(batch, wanted, place, "test", lambda text: None)
    assert [cell.outcome for cell in cells] == ["exact", "failed", "failed"]


def test_data_are_none_of_the_users_modules(tmp_path):
    """Where classes moved, the modules are named anew: what lies beside them is trusted with nothing."""
    user = tmp_path / "user"
    (user / "assets").mkdir(parents=True)
    (user / "assets" / "words.txt").write_text("a b")
    (user / "labels.txt").write_text("pear")
    (user / "net.py").write_text(
        "FILES = ['labels.txt', 'assets']\nclass Net:\n    pass\ndef build():\n    return Net()\n"
    )
    staged = staging.stage(registry.model_source(f"{user / 'net.py'}:build"), tmp_path / "staged")
    assert (staged.folder / "labels.txt").exists() and (staged.folder / "assets" / "words.txt").exists()
    world = conditions.prepare(conditions.condition("class_moved"), staged, tmp_path / "world")
    assert "net" in world.own_modules and not {"labels", "assets"} & set(world.own_modules)


@pytest.mark.parametrize(
    "code",
    [
        "import importlib\ndef rare(): return importlib.import_module('plugins.one')",
        "import pkgutil\nNAMES = {1: 'plugins.one:VALUE'}\ndef rare(): return pkgutil.resolve_name(NAMES[1])",
        "def rare(): return __import__('plugins')",
        "from importlib import import_module as get\ndef rare(): return get('plugins')",
    ],
)
def test_modules_that_are_imported_by_a_text_travel(code, tmp_path):
    user = tmp_path / "user"
    (user / "plugins").mkdir(parents=True)
    for name, text in {
        "net.py": f"{code}\nWORDS = ['other', 'no module', '']\ndef build(): pass\n",
        "plugins/__init__.py": "", "plugins/one.py": "import beyond\n", "beyond.py": "", "unnamed.py": "",
    }.items():  # fmt: skip
        (user / name).write_text(text)
    staged = staging.stage(registry.model_source(f"{user / 'net.py'}:build"), tmp_path / "staged")
    assert staged.own_modules == ("beyond", "net", "plugins")
    assert (staged.folder / "plugins" / "one.py").exists()


def test_data_in_a_package_that_another_file_names(tmp_path):
    user = tmp_path / "user"
    (user / "ranking" / "assets").mkdir(parents=True)
    (user / "ranking" / "__init__.py").write_text("")
    (user / "ranking" / "assets" / "features.yaml").write_text("a: 1")
    (user / "unused").mkdir()
    (user / "unused" / "features.yaml").write_text("a: 2")
    code = "import ranking\nfrom importlib.resources import files\nFILE = files(ranking) / 'assets' / 'features.yaml'\n"
    (user / "net.py").write_text(f"{code}\ndef build(): pass\n")
    staged = staging.stage(registry.model_source(f"{user / 'net.py'}:build"), tmp_path / "staged")
    found = sorted(path.relative_to(staged.folder).as_posix() for path in staged.folder.rglob("*") if path.is_file())
    assert found == ["net.py", "ranking/__init__.py", "ranking/assets/features.yaml"]


def test_the_folder_of_data_of_a_file_of_traits(tmp_path):
    source = registry.model_source("trait/file_beside_read_at_each_call")
    staged = staging.stage(source, tmp_path)
    found = sorted(path.relative_to(staged.folder).as_posix() for path in staged.folder.rglob("*") if path.is_file())
    assert found == ["trait_beside.py", "trait_beside_data/words.txt"]
