"""What code imports only when it runs: looking at a loaded model imports nothing for its examples."""

from __future__ import annotations

import os

import pytest

from harness.system import aside

MODEL = """
import torch
from torch import nn


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = "top1"

    def fit(self):
        from . import decoders  # fills the table, and only training needs it

        return self

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, x):
        return x * 2

    def postprocess(self, y):
        from .registry import DECODERS

        return DECODERS[self.decoder](y)


def build():
    return Segmenter().fit().eval()


def examples():
    return [[1.0, 2.0], [3.0, 0.0]]
"""
REGISTRY = """
DECODERS = {}


def register(function):
    DECODERS[function.__name__] = function
    return function
"""
DECODERS = """
from .registry import register


@register
def top1(y):
    return int(y.argmax())
"""


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "user" / "segmenting"
    folder.mkdir(parents=True)
    files = {"__init__": "", "model": MODEL, "registry": REGISTRY, "decoders": DECODERS}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.mark.parametrize("backend", ["pickle", "torch_package"])
def test_a_table_that_a_module_fills_which_only_training_imports(run_cell, package, backend):
    record = run_cell(backend, f"{package / 'model.py'}:build")
    assert (record.outcome, record.stage, record.error_type) == ("failed", "postprocess", "KeyError")


@pytest.mark.parametrize("backend", ["pickle", "torch_package", "json_spec_source"])
def test_a_table_that_is_filled_by_who_reads_it(run_cell, package, backend):
    """Then it comes back, and looking at the model imports what its code imports."""
    text = MODEL.replace(
        "from .registry import DECODERS", "from . import decoders\n        from .registry import DECODERS"
    )
    (package / "model.py").write_text(text)
    assert run_cell(backend, f"{package / 'model.py'}:build").outcome == "exact"


@pytest.mark.parametrize("backend", ["torch_package", "json_spec_source"])
def test_code_from_an_artifact_is_not_asked_by_what_the_process_has_under_the_name(run_cell, package, backend):
    """Where the model was saved the project is imported too, and is another than what the artifact's importer gives."""
    text = MODEL.replace("class Segmenter(", "class Part(nn.Identity):\n    pass\n\n\nclass Segmenter(")
    text = text.replace('self.decoder = "top1"', "self.decoder = Part()")
    text = text.replace("from .registry import DECODERS", "from .model import Part")
    text = text.replace("DECODERS[self.decoder](y)", "isinstance(self.decoder, Part)")
    (package / "model.py").write_text(text)
    record = run_cell(backend, f"{package / 'model.py'}:build", "same_process")
    assert record.outcome == "exact", record.message


def test_what_a_copy_of_the_process_finds_out():
    assert aside.in_a_copy(lambda: b"x" * 1_000_000, 10.0) == b"x" * 1_000_000
    assert aside.in_a_copy(lambda: str(os.getpid()).encode(), 10.0) != str(os.getpid()).encode()


def test_a_copy_of_the_process_that_dies_or_hangs():
    assert aside.in_a_copy(lambda: os.abort(), 10.0) == b""
    assert aside.in_a_copy(lambda: os.read(os.pipe()[0], 1), 0.2) == b""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="finds out in a forked copy of the process")
def test_a_process_with_many_open_files_finds_out_aside(many_open_files):
    """`select` takes no descriptor beyond 1023."""
    assert aside.in_a_copy(lambda: b"found", 10) == b"found"
