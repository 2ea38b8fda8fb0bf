"""Everything that an nn.Module is: hooks, parametrizations, containers, extra state, flags."""

from __future__ import annotations

import json_spec_things as things
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from backends.base import UnsupportedModel
from backends.json_spec import load, save

HOOKS = {
    "register_forward_hook": (things.add_one, {"with_kwargs": False}),
    "register_forward_pre_hook": (things.double_input, {}),
    "register_full_backward_hook": (things.reverse_gradient, {}),
    "register_full_backward_pre_hook": (things.double_gradient, {}),
    "register_state_dict_post_hook": (things.note_version, {}),
    "register_state_dict_pre_hook": (things.before_state_dict, {}),
    "register_load_state_dict_pre_hook": (things.drop_version, {}),
    "register_load_state_dict_post_hook": (things.after_loading, {}),
}


def behaviour(layer):
    """What a layer answers, its input's gradient, and its state dict's names: hooks of every kind show in one."""
    x = torch.ones(1, 2, requires_grad=True)
    y = layer(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    state = layer.state_dict()
    calls = len(things.CALLS)
    layer.load_state_dict(state, strict=False)
    return y.tolist(), gradient.tolist(), list(state), len(things.CALLS) - calls


@pytest.mark.parametrize("register", HOOKS)
def test_each_kind_of_hook(again, register):
    hook, options = HOOKS[register]
    layer = nn.Linear(2, 1)
    bare = behaviour(layer)
    getattr(layer, register)(hook, **options)
    things.CALLS.clear()  # what a hook notes outside the model would be refused
    loaded = again(layer=layer).layer
    assert behaviour(loaded) == behaviour(layer) != bare or register == "register_state_dict_pre_hook"


def test_hooks_keep_order_flags_handles_and_can_be_removed(again):
    layer = nn.Linear(2, 1)
    handle = layer.register_forward_hook(things.add_one)
    layer.register_forward_hook(things.square_output, prepend=True)
    layer.register_forward_hook(things.count_keywords, with_kwargs=True, always_call=True)
    layer.register_forward_pre_hook(things.keep_keywords, with_kwargs=True)
    gone = layer.register_forward_hook(things.add_one)
    gone.remove()
    loaded = again(layer=layer, handle=handle, gone=gone)
    x = torch.ones(1, 2)
    assert torch.equal(loaded.layer(input=x), layer(input=x))
    assert [hook.__name__ for hook in loaded.layer._forward_hooks.values()] == [
        "square_output", "add_one", "count_keywords"
    ]  # fmt: skip
    assert list(loaded.layer._forward_hooks_always_called) == list(loaded.layer._forward_hooks)[2:]
    handle.remove()
    loaded.handle.remove()
    loaded.gone.remove()
    assert len(loaded.layer._forward_hooks) == 2 and torch.equal(loaded.layer(x), layer(x))
    new = loaded.layer.register_forward_hook(things.add_one)
    assert len(loaded.layer._forward_hooks) == 3
    new.remove()


def test_a_hook_may_be_a_method_of_the_model(tmp_path):
    model = things.Watching()
    save(model, tmp_path / "a")
    loaded = load(tmp_path / "a", trust=["json_spec_things"])
    loaded(torch.ones(1, 2))
    assert loaded.seen == [2] and model.seen == []


def test_a_lambda_hook_is_refused_by_name(tmp_path):
    layer = nn.Linear(1, 1)
    layer.register_forward_hook(lambda module, inputs, output: output)
    with pytest.raises(UnsupportedModel, match=r"^model\.layer\.forward_hooks\[0\] is a lambda: give it"):
        save(things.Holder(layer=layer), tmp_path / "a")


PARAMETRIZED = {
    "weight_norm": lambda: parametrizations.weight_norm(nn.Linear(3, 2)),
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Linear(3, 2)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(3, 3)),
    "orthogonal_cayley": lambda: parametrizations.orthogonal(nn.Linear(3, 3), orthogonal_map="cayley"),
    "own, twice": lambda: things.parametrized(nn.Linear(3, 2), things.Symmetric(), things.Symmetric()),
    "weight_norm of a bias": lambda: parametrizations.weight_norm(nn.Conv1d(3, 2, 1), "bias", 0),
}


@pytest.mark.parametrize("kind", PARAMETRIZED)
def test_parametrizations(again, kind):
    layer = PARAMETRIZED[kind]().eval()
    loaded = again(layer=layer).layer
    assert parametrize.is_parametrized(loaded) and isinstance(loaded, type(layer).__bases__[0])
    assert loaded.state_dict().keys() == layer.state_dict().keys()
    for name in layer.parametrizations:
        assert torch.equal(getattr(loaded, name), getattr(layer, name))
        parametrize.remove_parametrizations(loaded, name)
    assert type(loaded) is type(layer).__bases__[0]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning", "ignore:.*spectral_norm.*:FutureWarning")
def test_weights_that_hooks_compute(again):
    normed, spectral = nn.utils.weight_norm(nn.Linear(3, 2)), nn.utils.spectral_norm(nn.Linear(3, 2))
    pruned = nn.Linear(3, 2)
    prune.l1_unstructured(pruned, "weight", 2)
    prune.random_unstructured(pruned, "weight", 1)
    x = torch.ones(1, 3)
    spectral(x)
    convolution = nn.utils.spectral_norm(nn.Conv2d(2, 2, 3))
    convolution(torch.ones(1, 2, 4, 4))
    assert torch.equal(again(layer=convolution).layer.weight, convolution.weight)
    layers = [normed, spectral.eval(), pruned]
    loaded = again(layers=nn.ModuleList(layers)).layers
    for before, after in zip(layers, loaded, strict=True):
        assert torch.equal(before.weight, after.weight) and after.weight.requires_grad
        assert torch.equal(before(x), after(x))
    prune.remove(loaded[2], "weight")
    assert type(loaded[2].weight) is nn.Parameter


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_stale_computed_weight_is_refused(tmp_path):
    layer = nn.utils.weight_norm(nn.Linear(3, 2))
    with torch.no_grad():
        layer.weight_g += 1
    with pytest.raises(UnsupportedModel, match=r"model\.layer\.weight is not what its hook makes"):
        save(things.Holder(layer=layer), tmp_path / "a")


def test_containers_extra_state_and_flags(again):
    sequence = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Dropout())
    del sequence[1]
    sequence[0].weight.requires_grad_(False)
    sequence[1].eval()
    tied = nn.Linear(2, 2)
    model = {
        "sequence": sequence,
        "lists": nn.ParameterList([nn.Parameter(torch.ones(1)), torch.zeros(2)]),
        "dicts": nn.ParameterDict([("b", nn.Parameter(torch.ones(1))), ("a", None)]),
        "names": nn.ModuleDict({"z": tied, "y": tied}),
        "buffer": nn.Buffer(torch.ones(2), persistent=False),
        "extra": things.Extra(),
        "lstm": nn.LSTM(2, 2, proj_size=1),
    }
    loaded = again(**model)
    assert [type(m) for m in loaded.sequence] == [nn.Linear, nn.Dropout]
    assert not loaded.sequence[0].weight.requires_grad and not loaded.sequence[1].training
    assert [p.shape for p in loaded.lists] == [(1,), (2,)] and list(loaded.dicts) == ["b", "a"]
    assert list(loaded.names) == ["z", "y"] and loaded.names["z"] is loaded.names["y"]
    assert "buffer" not in loaded.state_dict() and loaded.extra.get_extra_state() == {"seen": 3}
    assert loaded.state_dict()["extra._extra_state"] == {"seen": 3}
    x = torch.ones(1, 2)
    assert torch.equal(loaded.lstm(x)[0], model["lstm"](x)[0])
