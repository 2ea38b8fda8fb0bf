"""Backends and models of other packages: a tiny distribution, really installed, is listed and runs in a cell."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from harness import registry
from harness.records import read_records

ROOT = Path(__file__).parent.parent

BACKEND = '''
"""`marshalled`: a pickle inside of a marshal."""

import marshal
import pickle

from backends.base import Backend


class Marshalled(Backend):
    def save(self, model, directory):
        (directory / "model.bin").write_bytes(marshal.dumps(pickle.dumps(model)))

    def load(self, directory):
        return pickle.loads(marshal.loads((directory / "model.bin").read_bytes()))
'''
MODEL = """
import torch
from torch import nn


class Doubler(nn.Module):
    def preprocess(self, x):
        return torch.tensor(float(x))

    def forward(self, batch):
        return 2 * batch

    def postprocess(self, output):
        return {"answer": float(output)}


def build():
    return Doubler().eval()


def examples():
    return [1, 2.5]
"""
FILES = {
    "tiny_plugin/__init__.py": "",
    "tiny_plugin/marshalled.py": BACKEND,
    "tiny_plugin/doubler.py": MODEL,
    "tiny_plugin-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.0\n",
    "tiny_plugin-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
    "Tag: py3-none-any\n",
    "tiny_plugin-1.0.dist-info/entry_points.txt": (
        "[roundtrip.backends]\nmarshalled = tiny_plugin.marshalled:Marshalled\n"
        "[roundtrip.models]\ndoubler = tiny_plugin.doubler:build\n"
    ),
    "tiny_plugin-1.0.dist-info/RECORD": "",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment of its own, which sees this one's packages and has the plug-in installed."""
    folder = tmp_path_factory.mktemp("plugin")
    wheel = folder / "tiny_plugin-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    venv.create(folder / "venv", symlinks=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    here = [entry for entry in sys.path if entry.endswith("site-packages")]
    # added as site packages are, so that their own .pth files count (an editable install is one)
    lines = [f"import site; site.addsitedir({entry!r})" for entry in here]
    (site / "this_environment.pth").write_text("\n".join(lines) + "\n")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(install, check=True)
    return folder / "venv" / "bin" / "python"


def roundtrip(python: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-m", "harness", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_a_built_in_backend_is_found_without_a_look_at_what_is_installed(monkeypatch):
    """Each worker would look anew."""
    monkeypatch.setattr(registry, "_plugins", None)
    assert registry.backend_entry("pickle") is registry.BUILT_IN["pickle"]


def test_an_installed_plugin_is_listed(python):
    listed = roundtrip(python, "list")
    assert "marshalled" in listed
    assert "doubler" in listed


def test_an_installed_plugin_runs_in_cells(python, tmp_path):
    run = tmp_path / "run"
    roundtrip(
        python, "bench", "--model", "doubler", "--backend", "marshalled", "--backend", "pickle", "--rounds", "1",
        "--condition", "fresh_process", "--output", str(run),
    )  # fmt: skip
    cells = {record.backend: record for record in read_records(run).records if record.kind == "cell"}
    assert {name: cell.outcome for name, cell in cells.items()} == {"marshalled": "exact", "pickle": "exact"}
    assert {cell.model for cell in cells.values()} == {"doubler"}
