"""What is told of the regions of memory that go into the file of weights."""

from __future__ import annotations

import json

import json_spec_things as things
import numpy as np
import pytest
import torch

from backends.json_spec.tensors import layout
from backends.json_spec.writer import Writer


def regions(**attributes):
    """Name -> bytes of the regions of a module with these attributes, and the header of their file."""
    found = Writer().graph(things.Holder(**attributes))[1]
    return {region.name: bytes(region.read()) for region in found}, json.loads(layout(found)[0][8:])


@pytest.mark.parametrize("part", [slice(0, 2), slice(4, 6), slice(1, 3), slice(0, 6, 5)])
def test_a_region_is_all_that_its_views_touch(part):
    """Also where the first of them is dense and ends, or begins, where the region does."""
    base = torch.arange(6.0)
    assert regions(part=base[part], base=base)[0] == {"model.part": base.numpy().tobytes()}
    array = np.arange(6.0)
    assert regions(part=array[part], base=array)[0] == {"model.part": array.tobytes()}


def test_a_single_element_whatever_its_stride():
    """Torch takes such a tensor for contiguous, and its bytes for no row."""
    base = torch.arange(6.0)
    held = regions(a=base[:2], b=base[4:5][::2])[0]
    assert held == {"model.a": base[:2].numpy().tobytes() + bytes(8) + base[4:5].numpy().tobytes()}


def test_a_region_of_a_view_from_the_end():
    array = np.arange(6.0)
    apart = array[1:4].tobytes() + bytes(8) + array[5:].tobytes()
    assert regions(part=array[3:0:-1], last=array[5:])[0] == {"model.part": apart}
    assert regions(all=array.reshape(2, 3)[:, ::-1])[0] == {"model.all": array.tobytes()}


@pytest.mark.parametrize(
    ("views", "told"),
    [
        (lambda base: [base.reshape(2, 3)], ("F32", [2, 3])),
        (lambda base: [base.as_strided((1, 6, 1), (2, 1, 7))], ("F32", [1, 6, 1])),
        (lambda base: [base.reshape(2, 3).T], ("U8", [24])),
        (lambda base: [base[1:], base], ("F32", [6])),
        (lambda base: [base, base.view(torch.int32)], ("U8", [24])),
    ],
)
def test_an_entry_is_told_as_the_tensor_that_fills_it_in_order(views, told):
    """Of one dtype with all other views of it; else other readers are told of bytes."""
    (entry,) = regions(views=views(torch.arange(6.0)))[1].values()
    assert (entry["dtype"], entry["shape"]) == told


def test_what_is_apart_is_apart():
    assert regions(a=b"a" * 2000, b=b"b" * 2000)[0] == {"model.a": b"a" * 2000, "model.b": b"b" * 2000}
    base = torch.arange(4.0)
    held, header = regions(a=base[:1], b=base[3:], beside=torch.ones(1))
    assert list(held) == ["model.a", "model.beside"] and held["model.a"] == bytes(12) + base[3:].numpy().tobytes()
    assert header["model.a"]["dtype"] == "U8" and header["model.beside"]["dtype"] == "F32"


@pytest.mark.parametrize(("dtype", "told"), [("<f4", "F32"), (">f4", "U8"), ("<M8[s]", "U8"), ("<i2", "I16")])
def test_what_other_readers_of_safetensors_are_told(dtype, told):
    """A dtype only where they would read the same numbers."""
    array = np.arange(3).astype(dtype)
    assert regions(x=array)[1]["model.x"]["dtype"] == told


def test_what_lies_within_another_is_part_of_it_and_what_only_touches_it_is_not():
    """Storages of their own to torch, in the memory of one array."""
    array = np.arange(32.0)
    assert regions(whole=array, part=torch.from_numpy(array[2:4]))[0] == {"model.whole": array.tobytes()}
    low, high = torch.from_numpy(array[:16]), torch.from_numpy(array[16:])
    expected = {"model.low": array[:16].tobytes(), "model.high": array[16:].tobytes()}
    assert regions(low=low, high=high)[0] == expected


def test_elements_of_every_size_start_at_a_multiple_of_it():
    """Else a reader that insists on that would refuse what was saved."""
    base = torch.arange(8.0)
    held = regions(small=base[1:3], large=base.view(torch.float64)[1:2])[0]
    assert held == {"model.small": bytes(4) + base[1:4].numpy().tobytes()}
