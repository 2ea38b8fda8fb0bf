"""Each guard of tensors' layouts alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import json_spec_things as things
import pytest
import torch
from torch import nn

from backends.json_spec import layouts
from backends.json_spec.errors import ArtifactError, Unsupported

PAIR, ROWS = torch.tensor([[0, 1], [0, 1]]), torch.ones(2)
WIDE = torch.ones(1).expand(2)
NOT_DENSE, NOT_FITTING = "are not plain tensors that have memory", "parts do not fit together"
SPARSE = {
    "values without memory": ({"indices": PAIR, "values": WIDE, "shape": [2, 2]}, NOT_DENSE),
    "values that are none": ({"indices": PAIR, "values": 5, "shape": [2, 2]}, NOT_DENSE),
    "values of another class": ({"indices": PAIR, "values": nn.Parameter(ROWS), "shape": [2, 2]}, NOT_DENSE),
    "no values": ({"indices": PAIR, "values": None, "shape": [2, 2]}, NOT_DENSE),
    "a shape that is none": ({"indices": PAIR, "values": ROWS, "shape": [2, -2]}, NOT_DENSE),
    "indices outside": ({"indices": PAIR, "values": ROWS, "shape": [2, 1]}, NOT_FITTING),
    "not sorted": (
        {"indices": PAIR.flip(1), "values": ROWS, "shape": [2, 2], "coalesced": True},
        "is_coalesced|and is not",
    ),
    "one place twice": (
        {"indices": PAIR * 0, "values": ROWS, "shape": [2, 2], "coalesced": True},
        "is_coalesced|and is not",
    ),
}
WHOLE = torch.ones(2, dtype=torch.int8)
SCALES, ZEROS = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
ONE, NONE = torch.tensor(1.0), torch.tensor(0)
QUANTIZED = {
    "values that are none": ({"values": 5, "scale": 1.0, "zero_point": 0}, NOT_DENSE),
    "scales without memory": ({"values": WHOLE, "scales": WIDE, "zero_points": ZEROS, "axis": 0}, NOT_DENSE),
    "an axis too far": ({"values": WHOLE, "scales": ONE, "zero_points": NONE, "axis": 1}, "do not fit its axis"),
    "an axis from the end": ({"values": WHOLE, "scales": ONE, "zero_points": NONE, "axis": -1}, "do not fit its axis"),
    "an axis that is a truth value": (
        {"values": WHOLE.reshape(1, 2), "scales": SCALES, "zero_points": ZEROS, "axis": True}, "do not fit its axis"
    ),
    "too few scales": ({"values": WHOLE, "scales": SCALES[:1], "zero_points": ZEROS, "axis": 0}, "do not fit its axis"),
    "too few zeros": ({"values": WHOLE, "scales": SCALES, "zero_points": ZEROS[:1], "axis": 0}, "do not fit its axis"),
    "no scales": ({"values": WHOLE, "axis": 0}, NOT_FITTING),
    "no scale": ({"values": WHOLE, "zero_point": 0}, NOT_FITTING),
    "a scale that is a text": ({"values": WHOLE, "scale": "x", "zero_point": 0}, NOT_FITTING),
    "a scale that is nothing": ({"values": WHOLE, "scale": None, "zero_point": 0}, NOT_FITTING),
    "values that are no whole numbers": ({"values": ROWS, "scale": 1.0, "zero_point": 0}, NOT_FITTING),
    "another dtype": ({"values": WHOLE.byte(), "scale": 1.0, "zero_point": 0}, "is not that of its values"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPARSE)
def test_sparse(what):
    fields, message = SPARSE[what]
    with pytest.raises(ArtifactError, match=message):
        layouts.read_sparse({"$sparse": "sparse_coo", **fields}, lambda node: node, lambda count: None)


@pytest.mark.parametrize("what", QUANTIZED)
def test_quantized(what):
    fields, message = QUANTIZED[what]
    with pytest.raises(ArtifactError, match=message):
        layouts.read_quantized({"$quantized": "qint8", **fields}, lambda node: node, lambda count: None)


def test_parts_that_fit():
    """The forms above are refused for what is wrong with them, not for all that they share."""
    spent = []
    good = {"$sparse": "sparse_coo", "indices": PAIR, "values": ROWS, "shape": [2, 2], "coalesced": True}
    assert layouts.read_sparse(good, lambda node: node, spent.append).is_coalesced() and spent == [40]
    good = {"$quantized": "qint8", "values": WHOLE, "scales": SCALES, "zero_points": ZEROS, "axis": 0}
    assert layouts.read_quantized(good, lambda node: node, spent.append).q_per_channel_axis() == 0
    assert layouts.is_dense(ROWS) and layouts.is_dense(torch.empty(1, device="meta").expand(9))
    assert not layouts.is_dense(WIDE)


def test_devices_that_are_not_there():
    """torch makes a negative index of 999."""
    for name in ("cuda:999", "cuda:128", "mps", "xla:1"):
        assert layouts._device(name).type == "cpu"
    assert layouts._device("meta").type == "meta"


def test_sizes():
    assert layouts.is_sizes([]) and layouts.is_sizes([0, 2**62 - 1])
    for sizes in ((1,), [True], [1.0], [-1], [2**62]):
        assert not layouts.is_sizes(sizes)


def test_sizes_of_tensors():
    def read(shape, **fields):
        return layouts.read_strided({"$tensor": "uint8", "shape": shape, "device": "meta", **fields}, None)

    assert read([2**31, 2**30]).numel() == 2**61 and read([1] * 64).dim() == 64
    for shape, fields in [([2**31, 2**31], {}), ([1] * 65, {}), ([2], {"stride": [1, 1]}), ([], {"stride": [1]})]:
        with pytest.raises(ArtifactError, match="shape and stride do not fit together"):
            read(shape, **fields)
    for shape, fields in [([-1], {}), ([2.0], {}), ([2], {"stride": [-1]}), ([2], {"offset": -1})]:
        with pytest.raises(ArtifactError, match="a size that is not one"):
            read(shape, **fields)


class Wrapper(torch.Tensor):
    @classmethod
    def __torch_dispatch__(cls, function, kinds, args=(), kwargs=None):
        raise NotImplementedError


class Watching(torch.Tensor):
    seen = []

    @classmethod
    def __torch_function__(cls, function, kinds, args=(), kwargs=None):
        cls.seen.append(function)
        return super().__torch_function__(function, kinds, args, kwargs or {})


def test_a_gradient_is_set_without_a_method_of_the_class():
    tensor = torch.Tensor._make_subclass(Watching, torch.ones(2), True)
    Watching.seen.clear()
    layouts.set_gradient(tensor, torch.ones(2))
    assert Watching.seen == [] and tensor.grad.tolist() == [1, 1]


def test_what_a_tensor_may_become():
    for cls in (5, things.Node, nn.Module):
        with pytest.raises(ArtifactError, match="is not a class of tensors"):
            layouts.finish(torch.ones(2), {}, cls)
    with pytest.raises(ArtifactError, match="is not a class of tensors"):
        layouts.finish(torch.ones(2), {"parameter": True}, things.Celsius)
    with pytest.raises(ArtifactError, match="Wrapper wraps other tensors"):
        layouts.finish(torch.ones(2), {}, Wrapper)
    for gradient in (5, torch.ones(3)):
        with pytest.raises(ArtifactError, match="a gradient does not fit its tensor"):
            layouts.set_gradient(torch.ones(2), gradient)


def after():
    parameter = nn.Parameter(torch.ones(1))
    parameter.register_post_accumulate_grad_hook(print)
    return parameter


def floating(dtype):
    return torch.quantize_per_channel(torch.ones(2, 2), torch.ones(2), torch.zeros(2), 0, dtype)


class Flat(torch.Tensor):
    def __tensor_flatten__(self):
        return [], None


class Elsewhere:
    """A tensor on a device that this machine may lack, as far as it is looked at."""

    __torch_dispatch__ = torch.Tensor.__torch_dispatch__
    is_nested, layout, device, dim = False, torch.strided, torch.device("mps:0"), lambda self: 1


def mkldnn():
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    return torch.ones(1).to_mkldnn()


UNSAVED = {
    "a nested or _mkldnn tensor": mkldnn,
    "a tensor of class Flat, which wraps": lambda: torch.ones(1).as_subclass(Flat),
    "a tensor on mps:0": Elsewhere,
    "a tensor with hooks": after,
    "a tensor of class Wrapper, which wraps": lambda: torch.ones(1).as_subclass(Wrapper),
    "a tensor of 65 dimensions": lambda: torch.ones([1] * 65),
    "a quantized tensor without a scheme": lambda: torch.empty(2, dtype=torch.qint8),
    "a quantized tensor of quint4x2": lambda: floating(torch.quint4x2),
    "a tensor quantized by torch.per_channel_affine_float_qparams": lambda: floating(torch.quint8),
}


@pytest.mark.parametrize("what", UNSAVED)
def test_tensors_that_are_refused_at_save(what):
    with pytest.raises(Unsupported, match=f"^model.x is {what}.*: \\w"):
        layouts.tensor_node(UNSAVED[what](), "model.x", [], lambda value, suffix: None, "model.x")
