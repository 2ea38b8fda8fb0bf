"""Each reference model is what `reference_models/__init__.py` promises."""

from __future__ import annotations

import importlib
import pickle
import random

import numpy as np
import pytest
import torch

from harness.compare import compare
from harness.inference import predict_many
from harness.snapshot import snapshot_model
from reference_models.catalog import CATALOG


@pytest.fixture
def module(name, monkeypatch):
    path = CATALOG[name].path
    monkeypatch.syspath_prepend(path.parent)
    return importlib.import_module(path.stem)


@pytest.mark.parametrize("name", CATALOG)
def test_a_build_is_repeatable_and_leaves_no_trace(name, module):
    states = torch.get_rng_state(), random.getstate(), pickle.dumps(np.random.get_state())
    build = getattr(module, CATALOG[name].builder)
    first = build()
    after = torch.get_rng_state(), random.getstate(), pickle.dumps(np.random.get_state())
    assert torch.equal(states[0], after[0])
    assert states[1:] == after[1:]
    torch.manual_seed(99)
    own = (module.__name__,)
    assert compare(snapshot_model(first, own_modules=own), snapshot_model(build(), own_modules=own)) == []
    assert not any(part.training for part in first.modules())
    assert len(module.examples()) >= 2
    assert pickle.loads(pickle.dumps(module.examples()))
    assert CATALOG[name].exercises


@pytest.mark.parametrize(("name", "least"), [("digits_cnn", 0.97), ("tabular_wine", 0.9)])
def test_a_trained_model_has_learned(name, module, least):
    model = module.build()
    assert module.score(lambda inputs: predict_many(model, inputs, batch_size=64))["accuracy"] >= least


@pytest.mark.parametrize("name", ["imagenet_resnet"])
def test_weights_come_from_a_checkpoint_where_one_is_given(name, module, tmp_path, monkeypatch):
    other = module.build().network
    with torch.no_grad():
        other.fc.bias.fill_(0.25)
    torch.save(other.state_dict(), tmp_path / "resnet18.pt")
    monkeypatch.setenv("ROUNDTRIP_RESNET18_CHECKPOINT", str(tmp_path / "resnet18.pt"))
    assert module.build().network.fc.bias.eq(0.25).all()
