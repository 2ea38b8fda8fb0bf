"""Imports go one way, and nothing of ours is in the measured process's way or in a user's artifact."""

from __future__ import annotations

import ast
import pickletools
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from backends import BUILT_IN, Backend
from harness import registry
from harness.cell import saving
from harness.errors import ShadowedPackage
from harness.processes.process import Worker
from harness.project.staging import stage
from reference_models.catalog import CATALOG

ROOT = Path(__file__).parent.parent
OURS = {"harness", "backends", "reference_models", "benchmarks", "tests"}
MAY_IMPORT = {
    "harness": {"harness", "backends", "reference_models"},
    "backends": {"backends"},
    "reference_models": {"reference_models"},
}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        ours = {name.partition(".")[0] for name in imports(path)} & OURS
        assert ours <= MAY_IMPORT[package], path


def test_the_harness_has_no_circle_of_rooms():
    """A room is a module or folder of `harness`. Of what a folder's modules import from each other nothing is said."""
    rooms: dict[str, set[str]] = {}
    for path in (ROOT / "harness").rglob("*.py"):
        here = path.relative_to(ROOT / "harness").parts[0].removesuffix(".py")
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "harness":
                parts = node.module.split(".")[1:2] or [alias.name for alias in node.names]
                rooms.setdefault(here, set()).update(set(parts) - {here})
    assert len(rooms) > 30
    TopologicalSorter(rooms).prepare()  # raises CycleError, with the circle


def test_every_folder_is_packaged():
    packages = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("__init__.py"):
            assert ".".join(path.parent.relative_to(ROOT).parts) in packages


def test_a_backend_imports_no_other():
    rows = {entry.target.partition(":")[0] for entry in BUILT_IN.values()}
    for path in (ROOT / "backends").glob("*.py"):
        assert not imports(path) & rows, path


def test_a_model_file_imports_nothing_of_ours():
    for entry in CATALOG.values():
        assert not {name.partition(".")[0] for name in imports(entry.path)} & OURS


def test_only_the_command_line_prints():
    for path in (ROOT / "harness").rglob("*.py"):
        calls = [node.func.id for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]  # fmt: skip
        assert path.parent.name == "commands" or not {"print", "exit"} & set(calls), path


def test_a_fresh_worker_holds_torch_and_nothing_else():
    with Worker() as worker:
        about = worker.call("about")
    assert "torch" in about["modules"]
    # not dill: torch.utils.data imports it where it is installed
    assert not {"pandas", "pytest", "sklearn", "torchvision", "cloudpickle", "click"} & set(about["modules"])
    assert about["main"] == []


def test_the_parents_main_module_is_not_imported_again(tmp_path):
    """multiprocessing would: the script that starts a run, with all that it imports, in every measured process."""
    script = tmp_path / "script.py"
    script.write_text(
        "import pandas\n"
        "from harness.processes.process import Worker\n"
        "if __name__ == '__main__':\n"
        "    with Worker() as worker:\n"
        "        assert 'pandas' not in worker.call('about')['modules']\n"
    )
    subprocess.run([sys.executable, str(script)], check=True)


def test_importing_a_backend_imports_no_library():
    targets = {entry.target.partition(":")[0] for entry in BUILT_IN.values()}
    code = f"""
import importlib, sys
for name in {sorted(targets)!r}: importlib.import_module(name)
heavy = {{'cloudpickle', 'pandas', 'torchvision', 'sklearn', 'sentencepiece', 'joblib', 'jsonpickle', 'huggingface_hub',
         'tensorizer', 'aijson', 'onnxruntime', 'mlflow', 'ts', 'skops', 'bentoml'}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_every_row_can_be_constructed():
    for name in BUILT_IN:
        backend = registry.load_backend(name)
        assert isinstance(backend, Backend)
        assert (sys.modules[type(backend).__module__].__doc__ or "").strip()


@pytest.mark.parametrize("backend", ["pickle", "dill", "dill_recurse", "cloudpickle", "cloudpickle_by_value"])
def test_a_pickle_names_nothing_of_ours(backend, tmp_path):
    staged = stage(registry.model_source("nested_fruit"), tmp_path / "stage")
    saved = saving.save(backend, "build", staged, tmp_path / "cell")
    saved.close()
    (file,) = saved.artifact.iterdir()
    names = [argument for _, argument, _ in pickletools.genops(file.read_bytes()) if isinstance(argument, str)]
    assert any("nested_fruit" in name for name in names)
    assert not [name for name in names if name.partition(".")[0] in OURS]


def test_another_backends_package_is_refused(tmp_path):
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "__init__.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import harness.registry"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert ShadowedPackage.__name__ in done.stderr
    assert str(tmp_path / "backends") in done.stderr
    assert str(ROOT / "backends") in done.stderr
