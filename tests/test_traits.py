"""The corpus of traits: table and files agree, each file stands alone, each model predicts, and again the same."""

from __future__ import annotations

import ast
import importlib
import random
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from reference_models import traits
from reference_models.traits import TRAITS

FOLDER = Path(traits.__file__).parent
FILES = sorted(FOLDER.glob("trait_*.py"))
OURS = {"backends", "harness", "reference_models", "benchmarks", "tests"}
LIBRARIES = {"torch", "numpy", "pandas", "PIL"}
"""What a file of traits may import beside the standard library."""

IN_TRAINING_MODE = {
    "left_in_training_mode", "train_method_overridden", "train_method_that_freezes", "training_flags_mixed"
}  # fmt: skip


def builders(path: Path) -> list[str]:
    """The functions at a file's top level that give a module: the models that the file offers."""
    return [
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.returns is not None and ast.unparse(node.returns) == "nn.Module"
    ]


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """`load(path)` imports a copy of the file, alone in a folder, as the top-level module of its name."""
    folders = []

    @cache
    def imported(path: Path):
        folder = tmp_path_factory.mktemp(path.stem)
        shutil.copy(path, folder)
        if (data := path.with_name(f"{path.stem}_data")).is_dir():
            shutil.copytree(data, folder / data.name)
        sys.path.insert(0, str(folder))
        folders.append(str(folder))
        return importlib.import_module(path.stem)

    yield imported
    imported(FOLDER / "trait_process.py").as_started()
    for folder in folders:
        sys.path.remove(folder)
    for path in FILES:
        sys.modules.pop(path.stem, None)


# --- the table ---


def test_table_names_every_builder_once():
    in_files = Counter((path.name, name) for path in FILES for name in builders(path))
    in_table = Counter((trait.path.name, trait.builder) for trait in TRAITS.values())
    assert in_files == in_table
    assert set(in_table.values()) == {1}


def test_names_are_unique_across_files():
    names = Counter(name for path in FILES for name in builders(path))
    assert [name for name, count in names.items() if count > 1] == []
    assert all(name == trait.builder for name, trait in TRAITS.items())


def test_there_are_enough():
    assert len(TRAITS) >= 100


@pytest.mark.parametrize("name", TRAITS)
def test_row_says_what_and_why(name):
    trait = TRAITS[name]
    assert trait.path.is_file()
    for text in (trait.exercises, trait.source, trait.family):
        assert text.strip() == text != ""
        assert "\n" not in text


def test_table_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; from reference_models.traits import TRAITS; assert TRAITS"
    subprocess.run([sys.executable, "-c", code], cwd=FOLDER.parent.parent, check=True, timeout=60)


# --- the files ---


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_imports_nothing_of_ours(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} imports from its own folder"
            imported.add(node.module.partition(".")[0])
    assert not imported & OURS
    assert imported - sys.stdlib_module_names <= LIBRARIES
    assert path.stem not in sys.stdlib_module_names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_imports_alone_and_has_examples(path, load):
    module = load(path)
    assert module.__name__ == path.stem
    assert FOLDER not in Path(module.__file__).parents
    examples = module.examples()
    assert len(examples) >= 2
    assert repr(examples[0]) != repr(examples[1])


# --- the models ---


def batched(tree):
    """A batch of one: a batch dimension at every leaf."""
    if isinstance(tree, dict):
        return {key: batched(leaf) for key, leaf in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(batched(leaf) for leaf in tree)
    return tree.unsqueeze(0)


def only(tree):
    """The one data point of a batch of one."""
    if isinstance(tree, dict):
        return {key: only(leaf) for key, leaf in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(only(leaf) for leaf in tree)
    if tree is None:
        return None
    assert tree.shape[0] == 1, f"no batch dimension: shape {tuple(tree.shape)}"
    return tree[0]


def predictions(model, examples) -> list[str]:
    """What the three stages give for each example, as text that tells -0.0, NaN and types apart."""
    for part in model.modules():
        part.training = False  # as in every prediction; `eval()` may be the user's own
    seen = []
    for x in examples:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        with torch.no_grad():
            inputs = model.preprocess(x)
            output = only(model(batched(inputs)))
        seen.append(repr((inputs, output, model.postprocess(output))))
    return seen


@pytest.mark.parametrize("name", TRAITS)
def test_model_predicts_and_a_second_build_the_same(name, load):
    trait = TRAITS[name]
    module = load(trait.path)
    build = getattr(module, trait.builder)
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    model, again = build(), build()
    after = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:], "building moved the global random state"
    assert isinstance(model, torch.nn.Module)
    assert any(part.training for part in model.modules()) == (name in IN_TRAINING_MODE)
    assert predictions(model, module.examples()) == predictions(again, module.examples())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_builders_take_no_arguments(path, load):
    module = load(path)
    for name in builders(path):
        assert getattr(module, name).__code__.co_argcount == 0
