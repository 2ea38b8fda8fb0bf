"""Tensors of every dtype and layout come back bit by bit, with their gradient, class and kind."""

from __future__ import annotations

import json

import json_spec_things as things
import numpy as np
import pytest
import torch
from torch import nn

from backends.json_spec import ArtifactError, load, save
from tests import programs
from tests.json_spec.forging import forge

pytestmark = pytest.mark.filterwarnings("ignore:.*(Sparse|quantize):UserWarning")

SPARSE = {
    "coo": lambda dense: dense.to_sparse(),
    "uncoalesced": lambda dense: torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 2.0], (3, 4)),
    "hybrid": lambda dense: dense.to_sparse(1),
    "csr": lambda dense: dense.to_sparse_csr(),
    "csc": lambda dense: dense.to_sparse_csc(),
    "bsr": lambda dense: torch.eye(4).to_sparse_bsr((2, 2)),
    "bsc": lambda dense: torch.eye(4).to_sparse_bsc((2, 2)),
    "empty": lambda dense: torch.zeros(3, 4).to_sparse(),
}
QUANTIZED = {torch.qint8, torch.quint8, torch.qint32, torch.quint4x2, torch.quint2x4}
EVERY_DTYPE = sorted({thing for thing in vars(torch).values() if isinstance(thing, torch.dtype)} - QUANTIZED, key=str)


@pytest.mark.parametrize("kind", SPARSE)
@pytest.mark.parametrize("parameter", [False, True])
def test_sparse_tensors(again, kind, parameter):
    tensor = SPARSE[kind](torch.tensor([[0, 2.0, 0, 0], [1, 0, 0, 3], [0, 0, 0, 0]]))
    tensor = nn.Parameter(tensor) if parameter else tensor
    loaded = again(t=tensor).t
    assert type(loaded) is type(tensor) and loaded.layout is tensor.layout and loaded.shape == tensor.shape
    assert loaded.requires_grad is parameter
    assert torch.equal(loaded.to_dense(), tensor.to_dense())
    if tensor.layout is torch.sparse_coo:
        assert loaded.is_coalesced() is tensor.is_coalesced() and torch.equal(loaded._values(), tensor._values())


def test_quantized_tensors(again):
    dense = torch.tensor([[0.5, -1.0], [2.0, 0.25]])
    scales, zeros = torch.tensor([0.1, 0.2], dtype=torch.float64), torch.tensor([0, 3])
    made = [torch.quantize_per_tensor(dense, 0.1, 3, dtype) for dtype in (torch.qint8, torch.quint8, torch.qint32)]
    made.append(torch.quantize_per_channel(dense, scales, zeros, 1, torch.quint8))
    for before, after in zip(made, again(made=made).made, strict=True):
        assert after.dtype is before.dtype and after.qscheme() is before.qscheme() and torch.equal(after, before)
    assert torch.equal(after.q_per_channel_scales(), scales) and after.q_per_channel_axis() == 1


@pytest.mark.parametrize("dtype", EVERY_DTYPE, ids=str)
def test_every_dtype_of_torch_is_bit_equal(again, dtype):
    raw = torch.arange(1, 65, dtype=torch.uint8)
    try:
        tensor = (raw % 2).bool() if dtype is torch.bool else raw.view(dtype)
    except RuntimeError:
        pytest.skip("torch makes no tensor of this dtype from bytes")
    loaded = again(t=tensor).t
    assert loaded.dtype is dtype and loaded.untyped_storage().tolist() == tensor.untyped_storage().tolist()


def test_conjugate_and_negative_views_stay_views(again):
    base = torch.tensor([1 + 2j, 3 - 4j])
    loaded = again(base=base, conj=base.conj(), neg=base.conj().imag, alone=torch.tensor([1j]).conj())
    assert loaded.conj.is_conj() and torch.equal(loaded.conj.resolve_conj(), base.conj().resolve_conj())
    assert loaded.neg.is_neg() and loaded.neg.tolist() == [-2.0, 4.0] and loaded.alone.tolist() == [-1j]
    loaded.base[0] = 5 + 6j
    assert loaded.conj[0] == 5 - 6j and loaded.neg[0] == -6


def test_gradients_meta_tensors_and_subclasses(again):
    layer = nn.Linear(2, 1)
    layer(torch.ones(2)).sum().backward()
    tensor = torch.ones(2).as_subclass(things.Celsius)
    tensor.unit = "°C"
    loaded = again(layer=layer, meta=torch.empty(2, 3, device="meta"), subclass=tensor, bounded=things.Bounded([1.0]))
    assert torch.equal(loaded.layer.weight.grad, layer.weight.grad) and loaded.layer.weight.grad is not None
    assert loaded.meta.is_meta and loaded.meta.shape == (2, 3)
    assert type(loaded.subclass) is things.Celsius and loaded.subclass.unit == "°C"
    assert type(loaded.bounded) is things.Bounded and isinstance(loaded.bounded, nn.Parameter)
    assert "bounded" in dict(loaded.named_parameters())


FORGED = [
    {"$sparse": "sparse_coo", "shape": [3], "indices": {"$ref": "model.i"}, "values": {"$ref": "model.v"}},
    {"$sparse": "sparse_coo", "shape": [9], "indices": {"$ref": "model.i"}, "values": {"$ref": "model.i"}},
    {"$sparse": "sparse_coo", "shape": [9], "coalesced": True, "indices": {"$ref": "model.i"},
     "values": {"$ref": "model.v"}},
    {"$sparse": "strided", "shape": [9], "values": {"$ref": "model.v"}},
    {"$sparse": "sparse_csr", "shape": [9, 9], "values": {"$ref": "model.v"}},
    {"$quantized": "qint8", "values": {"$ref": "model.v"}, "scale": 1.0, "zero_point": 0},
    {"$quantized": "qint8", "values": {"$ref": "model.i"}, "scales": {"$ref": "model.v"}, "zero_points": 1, "axis": 7},
    {"$quantized": "qint8", "values": 3},
    {"$tensor": "float32", "shape": [0], "class": {"$class": "json_spec_things:Pair"}},
    {"$tensor": "float32", "shape": [0], "parameter": True, "class": {"$class": "json_spec_things:Celsius"}},
    {"$tensor": "float32", "shape": [0], "grad": "text"},
    {"$tensor": "float32", "shape": [0], "grad": {"$ref": "model.v"}},
]  # fmt: skip


@pytest.mark.parametrize("node", FORGED, ids=lambda node: json.dumps(node)[:70])
def test_forged_parts_are_refused(tmp_path, node):
    save(things.Holder(i=torch.tensor([[5, 2]]), v=torch.tensor([1.0, 2.0])), tmp_path / "a")
    forge(tmp_path / "a", lambda spec: spec["objects"]["model"]["attributes"].update(evil=node))
    with pytest.raises(ArtifactError):
        load(tmp_path / "a", trust=["json_spec_things"])


@pytest.mark.parametrize("array", [np.array("", "<U3"), np.array("a", ">U3"), np.array(b"", "S2"), np.array(1.5)])
def test_arrays_without_dimensions(again, array):
    loaded = again(array=array).array
    assert (loaded.dtype, loaded.shape, loaded.tobytes()) == (array.dtype, (), array.tobytes())


def test_a_single_element_of_an_odd_size_is_where_a_reader_wants_it(again):
    """12 and 20 bytes: no number has that size, so these lie as other regions do."""
    found = again(a=torch.ones(3), b=np.array(["abc"]), c=np.array(["abcde"]), d=torch.tensor(1.0))
    assert (found.b.tolist(), found.c.tolist(), found.d.item()) == (["abc"], ["abcde"], 1.0)


SENT = """
import sys
import torch
from backends.json_spec import load

loaded = load(sys.argv[1])
loaded.buffer.share_memory_()
print(loaded.array.tolist())
"""


def test_an_array_outlives_the_tensor_beside_it(tmp_path):
    """What sends a tensor to another process puts its storage elsewhere, and the memory that it was is gone."""
    model = nn.Module()
    model.array = np.arange(4, dtype="f4")
    model.register_buffer("buffer", torch.from_numpy(model.array))
    save(model, tmp_path / "a")
    assert programs.run(SENT, str(tmp_path / "a"), folder=tmp_path).strip() == "[0.0, 1.0, 2.0, 3.0]"
