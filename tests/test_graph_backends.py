"""The graph formats: any batch size where they say so, nests in their order, and the original left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backends import UnsupportedModel
from harness import corpus, inference, registry

DYNAMIC = ["torchscript_trace", "torch_export", "onnx", "onnx_torchscript"]
STATIC = ["torch_export_static", "onnx_static"]


class Crossed(nn.Module):
    """Dictionaries whose keys are not in the alphabet's order, and values that must not be mixed up."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.dropout = nn.Dropout()

    def preprocess(self, x):
        return {"zeta": torch.tensor([x, 1.0, 2.0]), "alpha": torch.tensor([0.0, x, -x])}

    def forward(self, batch):
        return {"y": self.dropout(self.linear(batch["zeta"])), "b": (batch["zeta"] * 2 - batch["alpha"]).sum(1)}


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Crossed().eval()
    model.dropout.train()  # a mixed mode
    return model


def batch_of(model, count: int):
    return inference.collate([model.preprocess(float(number)) for number in range(count)])


def saved(name, model, directory):
    backend = registry.load_backend(name)
    backend.save(model, directory, batches=inference.example_batches(model, [1.0, 2.0]))
    return backend.load(directory)


def agree(loaded, model, count: int) -> None:
    batch = batch_of(model, count)
    with torch.no_grad():
        expected, found = model.eval()(batch), loaded.forward(batch)
    assert list(found) == list(expected)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)


@pytest.mark.parametrize("name", DYNAMIC)
def test_any_batch_size(name, model, tmp_path):
    loaded = saved(name, model, tmp_path)
    assert [module.training for module in model.modules()] == [False, False, True], "each module's mode is put back"
    for count in (1, 2, 5):
        agree(loaded, model, count)


@pytest.mark.parametrize("name", STATIC)
def test_exactly_one(name, model, tmp_path):
    loaded = saved(name, model, tmp_path)
    agree(loaded, model, 1)
    with pytest.raises(Exception, match=r"(?i)guard|dimension|shape"):
        loaded.forward(batch_of(model, 2))


@pytest.mark.parametrize("name", [*DYNAMIC, *STATIC])
def test_no_examples_no_graph(name, model, tmp_path):
    with pytest.raises(UnsupportedModel, match="no examples"):
        registry.load_backend(name).save(model, tmp_path)


def test_scripting_leaves_the_original_as_it_was(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    before = [set(vars(module)) for module in model.modules()]
    registry.load_backend("torchscript").save(model, tmp_path)
    assert [set(vars(module)) for module in model.modules()] == before


class Counts(nn.Module):
    """Knows how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def preprocess(self, x):
        return torch.tensor([x])

    def forward(self, batch):
        self.calls += 1
        return batch * 2


@pytest.mark.parametrize("name", ["torch_export", "onnx", *STATIC])
def test_recording_a_program_calls_nothing(name, tmp_path):
    """Nor is the model called for the nest of its outputs."""
    model = Counts().eval()
    saved(name, model, tmp_path)
    assert model.calls == 0


class Optional(Counts):
    """As many models do that may compute a loss too."""

    def forward(self, batch):
        return {"loss": None, "hidden": batch * 3, "more": (None, batch * 2)}


@pytest.mark.parametrize("name", ["torch_export", "onnx", "onnx_torchscript", *STATIC])
def test_an_output_that_is_none(name, tmp_path):
    found = saved(name, Optional().eval(), tmp_path).forward(torch.tensor([[1.0]]))
    assert found == {"loss": None, "hidden": torch.tensor([[3.0]]), "more": (None, torch.tensor([[2.0]]))}


class Freezes(Crossed):
    def train(self, mode=True):
        return super().train(mode).requires_grad_(mode)


@pytest.mark.parametrize("name", ["torchscript_trace", "torch_export", "onnx", *STATIC])
def test_a_model_that_freezes_its_weights_in_eval_mode_keeps_them_as_they_are(name, tmp_path):
    """The older exporter of ONNX calls `train` itself."""
    model = Freezes()
    saved(name, model, tmp_path)
    assert model.training and all(part.requires_grad for part in model.parameters())


def test_example_batches_of_ragged_examples():
    """Two data points that make no batch: the first is there twice."""

    class Ragged(Crossed):
        def preprocess(self, x):
            return torch.zeros(int(x))

    one, two = inference.example_batches(Ragged(), [3.0, 4.0])
    assert (one.shape, two.shape) == ((1, 3), (2, 3))
    assert inference.example_batches(Ragged(), []) == ()


DRAWS_IN_FORWARD = """
import random
import torch

class Noisy(torch.nn.Module):
    def preprocess(self, x): return torch.tensor([float(x)])
    def forward(self, batch): return batch * random.random()
    def postprocess(self, output): return output.tolist()

def build(): return Noisy().eval()
def examples(): return [1, 2]
"""


def test_a_draw_that_a_graph_kept_for_good_is_seen(tmp_path):
    """The second model of a process is traced under the very seed that the first one's answers left."""
    (tmp_path / "noisy.py").write_text(DRAWS_IN_FORWARD + "class Quiet(Noisy):\n"
        "    def forward(self, batch): return batch\n\ndef quiet(): return Quiet().eval()\n")  # fmt: skip
    sources = tuple(registry.model_source(f"{tmp_path / 'noisy.py'}:{builder}") for builder in ("quiet", "build"))
    batch = corpus.Batch("torchscript_trace", sources)
    quiet, noisy = corpus.run(batch, ["fresh_process"], corpus.Place(tmp_path / "cells"), "test", lambda text: None)
    assert (quiet.outcome, noisy.outcome) == ("partial", "mismatch"), noisy.message


def test_a_list_that_torch_export_copies_for_its_trace_was_not_changed(run_cell):
    """It is a global's too, and nothing writes into it: that there are two now, nobody can tell."""
    cell = run_cell("torch_export_static", "trait/list_that_is_a_global_too")
    assert cell.outcome == "partial" and cell.message == "not in the artifact: preprocess, postprocess"
