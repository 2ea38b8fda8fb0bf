"""What is saved comes back: values, types, sharing, cycles, tensors as they lie in memory."""

from __future__ import annotations

import collections
import datetime
import decimal
import functools
import io
import math
import pathlib
import re
import struct
import uuid

import json_spec_things as things
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from backends.json_spec import load, save

VALUES = [
    None, True, 7, -(2**63), 2**200, -(2**200), 1.5, 1e308, "text", "Ünïcode \U0001f600", "$ref", "", (1, (2, [3])), (),
    {1, 2}, frozenset({"a"}), b"raw", b"x" * 5000, bytearray(b"ab"), {1: "a", (2, 3): "b", None: 0}, {"$ref": "x"},
    collections.OrderedDict(b=1, a=2), collections.Counter("aab"), collections.deque([1, 2], maxlen=3), 1 + 2j,
    collections.defaultdict(list, {3: [4]}), range(1, 9, 2), slice(None, 3), ..., things.Colour.RED, things.Pair(1,
    [2]),
    things.Point(1, (2,)), torch.float32, torch.device("cpu"), torch.Size([1, 2]), torch.channels_last,
    pathlib.Path("a/b"), pathlib.PureWindowsPath("c:/x"), decimal.Decimal("1.10"), uuid.UUID(int=5),
    re.compile("a+", re.IGNORECASE), datetime.date(2020, 1, 2), datetime.timedelta(1, 2, 3),
    datetime.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC), datetime.time(1, 2), np.float32(1.1), np.int64(3),
    np.str_("s"), np.bool(True), np.datetime64("2020-01-01"), np.dtype("f4"), things.double, things.Point, list, len,
    torch.relu, nn.functional.gelu, [[], {}, ()],
]  # fmt: skip


def test_values_come_back_equal_and_of_the_same_type(again):
    loaded = again(values=VALUES).values
    assert len(loaded) == len(VALUES)
    for before, after in zip(VALUES, loaded, strict=True):
        assert type(after) is type(before), before
        assert after == before or vars(after) == vars(before), before


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1])
def test_floats_are_bit_equal(again, value):
    assert struct.pack("d", again(value=value).value) == struct.pack("d", value)


def test_order_of_keys_and_length_limit_are_kept(again):
    loaded = again(d={"b": 1, "a": 2}, q=collections.deque(maxlen=2), f=collections.defaultdict(int))
    assert list(loaded.d) == ["b", "a"] and loaded.q.maxlen == 2 and loaded.f.default_factory is int


def test_shared_objects_stay_shared_and_cycles_close(again):
    parent, shared, loop = things.Node(), [1], []
    child = things.Node()
    child.parent, parent.children = parent, [child]
    loop.append(loop)
    pair = (shared,)
    loaded = again(tree=parent, a=shared, b={"inner": shared}, loop=loop, call=parent.method, p=pair, q=[pair])
    assert loaded.tree.children[0].parent is loaded.tree
    assert loaded.a is loaded.b["inner"] and loaded.loop[0] is loaded.loop
    assert loaded.call.__self__ is loaded.tree and loaded.call() == 1
    assert loaded.p is loaded.q[0]


def test_a_module_may_know_its_parent(tmp_path):
    model = things.Holder(child=nn.Linear(1, 1))
    vars(model.child)["parent"] = model
    save(model, tmp_path / "a")
    loaded = load(tmp_path / "a", trust=["json_spec_things"])
    assert vars(loaded.child)["parent"] is loaded


def test_slots_partials_streams_and_generators(again):
    stream = io.BytesIO(b"abcdef")
    stream.seek(2)
    generator = torch.Generator().manual_seed(5)
    part = functools.partial(things.double, x=[3])
    loaded = again(slotted=things.Slotted(), stream=stream, generator=generator, part=part)
    assert loaded.slotted._Slotted__hidden == 1 and loaded.slotted.shown == [2]
    assert loaded.stream.read() == b"cdef" and loaded.part() == [3, 3]
    assert torch.equal(torch.rand(3, generator=loaded.generator), torch.rand(3, generator=generator))


def test_arrays_keep_order_views_and_flags(again):
    base = np.arange(24.0).reshape(4, 6)
    frozen = np.array([1, 2])
    frozen.flags.writeable = False
    tensor = torch.zeros(3)
    loaded = again(
        base=base, view=base[::2, 1:], backwards=base[:, ::-1], fortran=np.asfortranarray(base), frozen=frozen,
        objects=np.array(["a", None, [1]], dtype=object), scalar=np.array(3.0), empty=np.zeros((0, 2)),
        texts=np.array(["x", "yz"]), tensor=tensor, bridge=tensor.numpy(), big=np.arange(3, dtype=">i4"),
    )  # fmt: skip
    assert np.array_equal(loaded.view, base[::2, 1:]) and np.array_equal(loaded.backwards, base[:, ::-1])
    assert loaded.fortran.flags.f_contiguous and not loaded.frozen.flags.writeable and loaded.big.dtype == ">i4"
    assert loaded.objects[2] == [1] and loaded.scalar.shape == () and loaded.empty.shape == (0, 2)
    loaded.base[0, 1] = 99
    loaded.tensor[1] = 7
    assert loaded.view[0, 0] == 99 and loaded.bridge[1] == 7 and list(loaded.texts) == ["x", "yz"]


def test_pandas_objects(again):
    frame = pd.DataFrame(
        {
            "n": [1, 2], "f": [0.5, np.nan], "s": ["a", None], "c": pd.Categorical(["u", "v"], ordered=True),
            "d": pd.to_datetime(["2020-01-01", "2021-01-01"]), "i": pd.array([1, None], dtype="Int64"), 3: [True,
            False],
        },
        index=pd.Index(["x", "y"], name="row"),
    )  # fmt: skip
    multi = pd.Series([1.0, 2.0], index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["p", "q"]), name="z")
    loaded = again(frame=frame, mean=frame[["n", "f"]].mean(), multi=multi)
    pd.testing.assert_frame_equal(loaded.frame, frame, check_exact=True)
    pd.testing.assert_series_equal(loaded.mean, frame[["n", "f"]].mean(), check_exact=True)
    pd.testing.assert_series_equal(loaded.multi, multi, check_exact=True)


DTYPES = [
    torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu,
    torch.complex64, torch.complex128, torch.int8, torch.uint16, torch.uint64, torch.bool,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_every_dtype_are_bit_equal(again, dtype):
    tensor = torch.tensor([0, 1, 1, 0]).to(dtype)
    loaded = again(t=tensor).t
    assert loaded.dtype is dtype and torch.equal(loaded.view(torch.uint8), tensor.view(torch.uint8))


def test_tensors_keep_views_strides_and_kind(again):
    base = torch.arange(24.0).reshape(4, 6)
    loaded = again(
        base=base, row=base[1], turned=base.t(), thin=base[:, ::2], wide=torch.ones(1).expand(5),
        scalar=torch.tensor(2.5),
        picture=torch.rand(1, 3, 4, 4).contiguous(memory_format=torch.channels_last), empty=torch.empty(0, 3),
        frozen=nn.Parameter(torch.ones(2), requires_grad=False), leaf=torch.ones(2, requires_grad=True),
        windows=torch.arange(5.0).as_strided((3, 3), (1, 1)), apart=[base[0, :2], torch.arange(9)[3:5]],
    )  # fmt: skip
    assert loaded.turned.stride() == (1, 6) and loaded.thin.stride() == (6, 2) and loaded.wide.stride() == (0,)
    assert loaded.picture.is_contiguous(memory_format=torch.channels_last) and loaded.empty.shape == (0, 3)
    assert type(loaded.frozen) is nn.Parameter and not loaded.frozen.requires_grad and loaded.leaf.requires_grad
    assert loaded.windows.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]] and loaded.scalar.item() == 2.5
    loaded.base[1, 0] = 77
    assert loaded.row[0] == 77 and loaded.turned[0, 1] == 77 and loaded.thin[1, 0] == 77
    assert loaded.row.untyped_storage().data_ptr() == loaded.base.untyped_storage().data_ptr()


def test_a_small_view_does_not_carry_its_storage(tmp_path):
    save(things.Holder(t=torch.zeros(1_000_000)[5:7]), tmp_path / "a")
    assert (tmp_path / "a" / "weights.safetensors").stat().st_size < 1000


def test_ordinary_readers_read_the_weights(tmp_path):
    from safetensors.torch import load_file

    model = things.TiedCharacters()
    save(model, tmp_path / "a")
    found = load_file(tmp_path / "a" / "weights.safetensors")
    assert torch.equal(found["model.embedding.weight"], model.embedding.weight)


def test_ties_buffers_and_train_flags_survive_and_no_random_number_is_drawn(tmp_path):
    model = things.fixed_model()
    model.head.eval()
    save(model, tmp_path / "a")
    before = torch.get_rng_state()
    loaded = load(tmp_path / "a", trust=["json_spec_things"])
    assert torch.equal(before, torch.get_rng_state())
    assert loaded.head.weight is loaded.embedding.weight and type(loaded.head.weight) is nn.Parameter
    assert "mask" not in loaded.state_dict() and torch.equal(loaded.mask, model.mask)
    assert loaded.letters == model.letters and loaded.training and not loaded.head.training
    x = torch.rand(4, 3)
    assert torch.equal(loaded.recurrent(x)[0], model.recurrent(x)[0])
    assert loaded.recurrent._flat_weights[0] is loaded.recurrent.weight_ih_l0
    loaded(torch.tensor([1, 2])).sum().backward()
    assert loaded.head.weight.grad is not None


def test_torchvision_parts(again):
    from torchvision import models, transforms

    steps = transforms.Compose(
        [transforms.Resize(8), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.2] * 3)]
    )
    net = models.mobilenet_v3_small(weights=None).eval()
    loaded = again(net=net, steps=steps)
    from PIL import Image

    picture = Image.new("RGB", (64, 64), (10, 200, 30))
    with torch.no_grad():
        batch = torch.stack([steps(picture.resize((32, 32)))])
        assert torch.equal(loaded.steps(picture.resize((32, 32))), batch[0])
        assert torch.equal(loaded.net.eval()(batch), net(batch))
