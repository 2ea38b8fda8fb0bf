"""Each guard of what torch's hooks compute at load, by a direct call."""

from __future__ import annotations

import pytest
import torch
import torch.nn.utils.prune
import tripwires
from torch import nn

from backends.json_spec import modules
from backends.json_spec.errors import ArtifactError


def weight_norm():
    """A layer whose weight a hook computes, without the weight."""
    layer = nn.utils.weight_norm(nn.Linear(2, 3))
    del layer.weight
    return layer


def compute(layer):
    spent = []
    modules.restore_derived(layer, ["weight"], spent.append)
    return spent


@pytest.mark.filterwarnings("ignore::FutureWarning")
class TestComputed:
    def test_as_torch_does(self):
        layer = weight_norm()
        assert compute(layer) == [4 * (6 + 3)] and layer.weight.shape == (3, 2)

    def test_an_attribute_in_the_place_of_a_method(self):
        """The file sets attributes of the hook, and torch's method is looked up on the hook."""
        for made, name in [(nn.utils.weight_norm, "compute_weight"), (nn.utils.spectral_norm, "compute_weight"),
                           (nn.utils.spectral_norm, "reshape_weight_to_matrix")]:  # fmt: skip
            layer = made(nn.Linear(2, 3))
            del layer.weight
            vars(next(iter(layer._forward_pre_hooks.values())))[name] = tripwires.payload
            with pytest.raises(ArtifactError, match="'weight' has an attribute where its class has a method"):
                compute(layer)
        layer = nn.utils.prune.identity(nn.Linear(2, 3), "weight")
        del layer.weight
        vars(next(iter(layer._forward_pre_hooks.values())))["apply_mask"] = tripwires.payload
        with pytest.raises(ArtifactError, match="'weight' has an attribute where its class has a method"):
            compute(layer)
        assert tripwires.FIRED == []

    def test_sources_are_the_modules_own(self):
        """torch gets them by `getattr`, which would run a property or `__getattr__`."""
        layer = weight_norm()
        layer.weight_g = None
        with pytest.raises(ArtifactError, match="no hook of the module computes 'weight'"):
            compute(layer)
        layer = weight_norm()
        layer.__class__ = tripwires.Computing
        assert compute(layer) and vars(layer)["weight"].shape == (3, 2)
        assert tripwires.FIRED == []

    def test_a_product_need_not_broadcast(self):
        layer = nn.utils.spectral_norm(nn.Conv2d(2, 3, 3))
        del layer.weight
        assert compute(layer) == [4 * (3 * 2 * 9 + 3 + 18)]
        layer.weight_u = torch.ones(1).expand(3)
        del layer.weight
        with pytest.raises(ArtifactError, match="no memory for every element"):
            compute(layer)


def test_a_recurrent_layer_asks_its_weights_nothing():
    layer, seen = nn.GRU(1, 1), []

    class Seen(nn.Parameter):
        @classmethod
        def __torch_function__(cls, function, kinds, args=(), kwargs=None):
            seen.append(function)
            return super().__torch_function__(function, kinds, args, kwargs or {})

    for weight in layer.parameters():
        weight.__class__ = Seen
    modules.restore_derived(layer, [], None)
    assert layer._flat_weights[0] is layer.weight_ih_l0 and seen == []


def test_a_hook_is_not_asked_for_its_name():
    """torch's wrapper of hooks takes the name, the docstring and all attributes of what it wraps."""
    layer, handles = nn.Linear(2, 2), {}
    nodes = [{"on": "load_state_dict_pre", "call": 1, "with_module": with_module} for with_module in (True, False)]
    modules.restore_hooks(layer, nodes, lambda node: tripwires.Asked(), handles)
    assert tripwires.FIRED == []
    layer.load_state_dict(nn.Linear(2, 2).state_dict())
    assert [("called", layer), ("called", None)] == tripwires.FIRED
