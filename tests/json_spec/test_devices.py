"""A model on a GPU: its artifact says so and loads without one, and a save takes no memory there."""

from __future__ import annotations

import json
import re

import json_spec_things as things
import pytest
import torch
from torch import nn

from backends.base import UnsupportedModel
from backends.json_spec import ExampleMismatch, examples, load, modules, save, saving
from backends.json_spec.regions import Region, view_of_tensor
from backends.json_spec.tensors import Weights

TRUST = ["json_spec_things"]


@pytest.fixture
def on_cuda(monkeypatch):
    """The tensors that are saved lie on `cuda:0`, as torch tells where it saves them; those of copies do not."""
    location = torch.serialization.location_tag

    def verify(*arguments, verify=saving.verify_artifact, **named):
        monkeypatch.setattr(torch.serialization, "location_tag", location)
        return verify(*arguments, **named)

    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    monkeypatch.setattr(saving, "verify_artifact", verify)


def test_what_was_on_a_gpu_loads_without_one(tmp_path, on_cuda, monkeypatch):
    model = things.Staged()
    save(model, tmp_path / "artifact", examples=["abc"], bundle_source=True)
    monkeypatch.undo()
    objects = json.loads((tmp_path / "artifact" / "spec.json").read_text("utf-8"))["objects"]
    assert {node["device"] for node in objects.values() if "$tensor" in node} == {"cuda:0"}
    for trust in (TRUST, "bundled"):
        loaded = load(tmp_path / "artifact", trust=trust, check=True)
        assert loaded.head.weight.device.type == "cpu" and loaded.head.weight.is_leaf
        assert torch.equal(loaded.head.weight, model.head.weight)
    save(model, tmp_path / "plain")
    assert "device" not in (tmp_path / "plain" / "spec.json").read_text("utf-8")


@pytest.mark.parametrize("wrong", [torch.neg, torch.Tensor.double])
def test_a_copy_that_differs_in_more_than_its_place_is_refused(tmp_path, on_cuda, monkeypatch, wrong):
    def tensor(*arguments, right=Weights.tensor):
        return wrong(right(*arguments))

    model = nn.Linear(2, 2, bias=False).requires_grad_(False)
    monkeypatch.setattr(Weights, "tensor", tensor)
    with pytest.raises(UnsupportedModel, match=re.escape("model.weight does not come back as it was")):
        save(model, tmp_path / "artifact")


@pytest.fixture
def needs_a_gpu(monkeypatch):
    """`needs_a_gpu(there=True)`: from now on models run only where nothing kept them from the GPU, which is there.

    It returns the modules of the classes that run, to be filled."""
    kept: list[bool] = []
    ran: set[str] = set()

    def noted(weights, *arguments, on_cpu=False, init=Weights.__init__):
        kept.append(on_cpu)
        init(weights, *arguments, on_cpu=on_cpu)

    def run(model, x, run=examples.run):
        if kept[-1]:
            raise examples.StageFailed("forward raises RuntimeError: Expected all tensors to be on the same device")
        ran.add(type(model).__module__)
        return run(model, x)

    def begin(there):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
        return ran

    monkeypatch.setattr(Weights, "__init__", noted)
    monkeypatch.setattr(examples, "run", run)
    return begin


@pytest.mark.parametrize("bundle_source", [False, True])
def test_examples_run_on_the_gpu_where_they_cannot_elsewhere(tmp_path, needs_a_gpu, bundle_source):
    trust = "bundled" if bundle_source else TRUST
    needs_a_gpu(there=False)
    with pytest.raises(UnsupportedModel, match=r"an example cannot be run: forward raises .* on the same device"):
        save(things.Staged(), tmp_path / "artifact", examples=["abc"], bundle_source=bundle_source)
    ran = needs_a_gpu(there=True)
    save(things.Staged(), tmp_path / "artifact", examples=["abc"], bundle_source=bundle_source)
    assert len(ran) == 1 + bundle_source, "the carried source must give the same"
    load(tmp_path / "artifact", trust=trust, check=True)
    needs_a_gpu(there=False)
    with pytest.raises(ExampleMismatch, match="on the same device"):
        load(tmp_path / "artifact", trust=trust, check=True)


def test_copies_of_what_is_not_on_the_cpu_are_not_kept():
    """They would be as large as the model, all together."""
    for device, gathered in (("cpu", False), ("meta", True)):
        tensor = torch.empty(3, device=device)
        view = view_of_tensor(tensor, "weight", {})
        assert Region("weight", view.low, view.high, [view]).is_gathered() is gathered
    tensor = torch.empty(4)
    views = [view_of_tensor(part, "weight", {}) for part in (tensor[:1], tensor[3:])]
    assert Region("weight", views[0].low, views[1].high, views).is_gathered()


class Elsewhere:
    """A tensor on another device, as far as it is looked at: it is compared with no other, but for a copy of it."""

    device, dtype = torch.device("cuda:0"), torch.float32

    def __init__(self, *values):
        self.values = values

    def detach(self):
        return self

    def cpu(self):
        return torch.tensor(self.values)


def test_what_a_hook_computed_may_have_stayed_on_the_cpu():
    computed = torch.tensor([1.0, 2.0])
    assert modules._same(computed, Elsewhere(1.0, 2.0)) and modules._same(Elsewhere(1.0, 2.0), computed)
    assert not modules._same(computed, Elsewhere(1.0, 3.0))
    assert modules._same(computed, computed.clone()) and not modules._same(computed, computed + 1)
