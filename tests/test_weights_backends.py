"""Backends that store weights and name the code: weights come from the file, code from where the user trusts."""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import nullcontext

import pytest
import torch

from backends import UnsupportedModel
from backends.constructors import CallRecorder
from harness.registry import load_backend

BY_FUNCTION = ["state_dict", "safetensors", "tensorizer", "tensorizer_verified"]
BY_CALL = ["state_dict_config", "safetensors_config", "hf_mixin", "aijson"]

SOURCE = """
import torch
from torch import nn

class Part(nn.Module):
    def __init__(self, width, bias=True):
        super().__init__()
        self.line = nn.Linear(width, width, bias=bias)

class Net(Part):
    def __init__(self, width, names=("a", "b")):
        super().__init__(width=width)
        self.names = names
        self.norm = nn.BatchNorm1d(width)

def build(**changes):
    torch.manual_seed(0)
    return Net(**{"width": 3, "names": ["a", "b"], **changes}).eval()
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A fresh module `project_of_test` on the path."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "project_of_test.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path / "project")
    yield importlib.import_module("project_of_test")
    del sys.modules["project_of_test"]


def recorded(backend, module):
    return backend.recording(module) if hasattr(backend, "recording") else nullcontext()


@pytest.mark.parametrize("name", [*BY_FUNCTION, *BY_CALL])
def test_the_weights_are_the_files(name, project, tmp_path):
    """Not those that the code would have made: the model was trained on since."""
    backend, folder = load_backend(name), tmp_path / "artifact"
    folder.mkdir()
    with recorded(backend, project):
        model = project.build()
    with torch.no_grad():
        for tensor in [*model.parameters(), model.norm.running_mean]:
            tensor.add_(1.0)
    more = {"constructor": "project_of_test:build"} if name in BY_FUNCTION else {}
    backend.save(model, folder, **more)
    loaded = load_backend(name).load(folder, trusted_modules=("project_of_test",))
    assert type(loaded).__name__ == "Net"
    assert loaded.names == ["a", "b"]
    assert not loaded.training
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key


@pytest.mark.parametrize("name", BY_CALL)
def test_a_class_may_be_imported_from_another_module_of_the_project(name, project, tmp_path):
    (tmp_path / "project" / "builder_of_test.py").write_text(
        "import torch\nfrom torch.nn import Linear\nfrom project_of_test import Net\n\n"
        "def build():\n    return Net(width=2, names=['a']).eval()\n"
    )
    builder, backend, folder = importlib.import_module("builder_of_test"), load_backend(name), tmp_path / "artifact"
    del sys.modules["builder_of_test"]
    constructor = torch.nn.Linear.__init__
    with backend.recording(builder):
        model = builder.build()
        assert torch.nn.Linear.__init__ is constructor
        assert builder.Linear is torch.nn.Linear
    folder.mkdir()
    backend.save(model, folder)
    loaded = load_backend(name).load(folder, trusted_modules=("project_of_test", "builder_of_test"))
    assert (type(loaded).__name__, loaded.names) == ("Net", ["a"])


@pytest.mark.parametrize("name", ["state_dict", "safetensors", "tensorizer", "state_dict_config", "hf_mixin"])
def test_a_file_names_no_code_outside_the_trusted_modules(name, project, tmp_path):
    backend = load_backend(name)
    with recorded(backend, project):
        model = project.build()
    more = {"constructor": "project_of_test:build"} if name in BY_FUNCTION else {}
    backend.save(model, tmp_path, **more)
    with pytest.raises(ValueError, match="not among the trusted modules"):
        backend.load(tmp_path, trusted_modules=("another",))


@pytest.mark.parametrize("constructor", ["", "__main__:build"])
@pytest.mark.parametrize("name", BY_FUNCTION)
def test_code_that_cannot_be_imported_is_refused(name, constructor, project, tmp_path):
    with pytest.raises(UnsupportedModel, match=r"weights alone are stored"):
        load_backend(name).save(project.build(), tmp_path, constructor=constructor)


@pytest.mark.parametrize("name", BY_CALL)
def test_a_model_that_was_not_recorded_is_refused(name, project, tmp_path):
    with pytest.raises(UnsupportedModel):
        load_backend(name).save(project.build(), tmp_path)


@pytest.mark.parametrize("value", [("a", "b"), {0: "a"}, float("nan"), torch.zeros(1), {"a"}])
def test_an_argument_that_json_would_change_is_refused(value, project):
    recorder = CallRecorder()
    with recorder.recording(project):
        model = project.build(names=value)
    with pytest.raises(UnsupportedModel, match="'names'"):
        recorder.call(model)


def test_the_recorder_notes_the_outermost_call_with_defaults_and_leaves_nothing(project):
    recorder, before = CallRecorder(), vars(project.build()).keys()
    constructor = project.Net.__init__
    with recorder.recording(project):
        model, part = project.build(), project.Part(2)
    assert recorder.call(model) == ("project_of_test:Net", {"width": 3, "names": ["a", "b"]})
    assert recorder.call(part) == ("project_of_test:Part", {"width": 2, "bias": True})
    assert project.Net.__init__ is constructor
    assert vars(model).keys() == before


def test_the_mixin_notes_its_config_itself(project, tmp_path):
    backend = load_backend("hf_mixin")
    with backend.recording(project):
        model = project.build()
    backend.save(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"width": 3, "names": ["a", "b"]}


def test_a_constructor_that_a_method_cannot_record_is_a_failure_to_save(run_cell):
    """AI-JSONable's decorated classes take keyword arguments only, and this model gives its constructor others."""
    record = run_cell("aijson", "digits_cnn")
    assert (record.outcome, record.stage, record.error_type) == ("failed", "save", "TypeError")
    assert "positional" in record.message


def test_aijson_works_on_the_models_of_the_series(run_cell):
    for model in ("sentiment_gru", "nested_fruit"):
        assert run_cell("aijson", model).outcome == "exact"


@pytest.mark.parametrize("name", BY_FUNCTION)
def test_a_file_that_tells_training_from_making_is_not_trained_at_load(name, run_cell, tmp_path):
    """`construct_small` beside `build_small` is what a file of weights calls; its weights do not matter."""
    path = tmp_path / "small.py"
    path.write_text(
        "import torch\n\n"
        "class Small(torch.nn.Linear):\n"
        "    def preprocess(self, x): return torch.tensor(x)\n"
        "    def postprocess(self, output): return output.tolist()\n\n"
        "def construct_small(): return Small(2, 2).eval()\n\n"
        "def build_small():\n"
        "    if BUILT: raise RuntimeError('it is trained again')\n"
        "    BUILT.append(True)\n"
        "    model = construct_small()\n"
        "    torch.nn.init.constant_(model.weight, 3.0)\n"
        "    return model\n\n"
        "BUILT = []\n\n"
        "def examples(): return [[1.0, 2.0], [3.0, 4.0]]\n"
    )
    record = run_cell(name, f"{path}:build_small", "same_process")
    assert record.outcome == "exact", record.message
