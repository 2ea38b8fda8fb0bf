"""FORMAT.md suffices to write a reader: reader.mjs, in JavaScript, tells of each artifact what the model is."""

from __future__ import annotations

import functools
import importlib
import io
import json
import shutil
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path

import crafting
import json_spec_things as things
import numpy as np
import pytest
import torch
from other_language.described import described
from torch import nn

from backends.json_spec import save

READER = Path(__file__).parent / "other_language" / "reader.mjs"
MODELS = Path(__file__).parents[2] / "reference_models"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def read(directory):
    return subprocess.run(["node", READER, directory], capture_output=True, text=True, encoding="utf-8")


def told(directory):
    done = read(directory)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def differences(read, wanted, path=""):
    """Where two answers differ first, as text; empty where they do not."""
    if type(read) is type(wanted) and isinstance(read, dict | list) and len(read) == len(wanted):
        pairs = [(k, v, wanted.get(k)) for k, v in read.items()] if isinstance(read, dict) else [
            (k, *both) for k, both in enumerate(zip(read, wanted, strict=True))
        ]  # fmt: skip
        return next(filter(None, (differences(a, b, f"{path}/{k}") for k, a, b in pairs)), "")
    return "" if read == wanted and type(read) is type(wanted) else f"{path}: read {read!r}, is {wanted!r}"[:2000]


def same(model, directory):
    save(model, directory)
    assert not differences(told(directory), json.loads(json.dumps(described(model))))


LONG = [pytest.param(name, marks=pytest.mark.nightly) for name in ("detector", "imagenet_resnet")]


@pytest.mark.parametrize("name", ["digits_cnn", "sentiment_gru", "nested_fruit", "tied_char_lm", *LONG])
def test_reference_models(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(MODELS))
    try:
        same(importlib.import_module(name).build(), tmp_path / "artifact")
    finally:
        sys.modules.pop(name, None)


def tensors():
    base = torch.arange(24.0).reshape(4, 6)
    layer = nn.Linear(2, 2)
    layer.weight.grad = torch.ones(2, 2)
    return things.Holder(
        base=base, row=base[1], turned=base.t(), late=torch.arange(9)[3:], wide=torch.ones(1).expand(5), layer=layer,
        tied=layer.weight, windows=torch.arange(5.0).as_strided((3, 3), (1, 1)), scalar=torch.tensor(-0.0),
        empty=torch.empty(0, 3), gone=torch.empty(2, 0), one=torch.ones(1, 1, 3)[:, :, ::2],
        channels=torch.arange(48.0).reshape(2, 3, 2, 4).to(memory_format=torch.channels_last),
        brain=torch.tensor([1.5, float("nan"), -0.0], dtype=torch.bfloat16), truth=torch.tensor([True, False]),
        halves=torch.arange(3).to(torch.float8_e4m3fn), wholes=torch.tensor([-1, 2**40]),
        unsigned=torch.tensor([7], dtype=torch.uint16),
        mirrored=torch.tensor([[1 + 2j, 3 - 0j]]).conj(), negative=torch.tensor([1 + 2j]).conj().imag,
        both=torch._neg_view(torch.tensor([1 + 2j, -3j]).conj()),
        meta=torch.empty(2, 3, device="meta"), leaf=torch.ones(2, requires_grad=True),
        kept=nn.Parameter(torch.ones(2), requires_grad=False),
    )  # fmt: skip


def layouts():
    loose = torch.sparse_coo_tensor(torch.tensor([[0, 0], [1, 1]]), torch.ones(2), (2, 2), check_invariants=True)
    array = np.arange(12, dtype=">i4").reshape(3, 4)
    frozen = np.array([1.0, -0.0])
    frozen.flags.writeable = False
    return things.Holder(
        sparse=torch.eye(3).to_sparse().coalesce(), loose=loose, csr=torch.eye(3).to_sparse_csr(),
        csc=torch.eye(3).to_sparse_csc(), quantized=torch.quantize_per_tensor(torch.arange(4.0), 0.5, 2, torch.quint8),
        array=array, part=array[::2, 1:], backwards=array[:, ::-1], frozen=frozen, texts=np.array(["x", "yz"]),
        nothing=np.zeros((0, 2)), scalars=[np.float32(1.1), np.int64(3), np.bool(True)],
    )  # fmt: skip


def values():
    shared, pair = [1, "two"], ([3], 4)
    loop: list = []
    loop.append(loop)
    parent, child = things.Node(), things.Node()
    child.parent, parent.children = parent, [child, child.method]
    return things.Holder(
        plain=[None, True, 7, 2**63 - 1, -(2**63), 2**63, -(2**70), 1.0, 1e22, 5e-324, 1.7976931348623157e308],
        odd=[float("nan"), float("inf"), float("-inf"), -0.0, 1 + 2j, complex(-0.0, float("nan"))],
        texts=["Ü\u2028\"\\\n\x00", "😀", "$ref", ""], tuples=(1, (2, [3])), nothing=((), [], {}, set()),
        sets=[{1, "a", (2, 3)}, frozenset({"a", None})], raw=[b"raw\xff", bytearray(b"ab"), b"long" * 400],
        ordered={"10": 0, "2": 1, "é": 2, "a": 3}, keys={1: "a", (2, 3): "b", None: 0, "c": 1, True + 1: 5},
        dollar={"$ref": "x"}, order=OrderedDict(b=1, a=2), counted=Counter("aab"), ring=deque([1, 2], maxlen=3),
        default=defaultdict(list, {3: [4]}), lists=shared, again=[shared, shared], pair=pair, pairs=[pair],
        loop=loop, family=parent, part=functools.partial(things.double, x=[3]), kinds=[things.Point, torch.float32],
        enum=things.Colour.RED, named=things.Pair(1, [2]), stream=io.BytesIO(b"abc"), shape=torch.Size([1, 2]),
        here=torch.device("cpu"),
    )  # fmt: skip


def modules():
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(things.add_one)
    tied = things.TiedCharacters()
    tied.head.eval()
    twice = nn.Sequential(hooked, nn.ReLU(), hooked, nn.ModuleDict({"10": nn.Identity(), "2": nn.BatchNorm1d(3)}))
    return things.Holder(
        tied=tied, twice=twice, recurrent=nn.GRU(2, 2, num_layers=2), missing=nn.Linear(2, 2, bias=False),
        parts=nn.ParameterList([nn.Parameter(torch.ones(1))]), method=hooked.forward,
    )  # fmt: skip


@pytest.mark.parametrize("build", [tensors, layouts, values, modules])
def test_things(build, tmp_path):
    same(build(), tmp_path / "artifact")


@pytest.fixture
def changed(tmp_path):
    """changed(file, change, vouched) -> why the reader refuses the artifact with the file's bytes changed."""
    save(tensors(), tmp_path / "whole")

    def refusal(name, change, vouched=False):
        shutil.rmtree(tmp_path / "changed", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "changed")
        path = tmp_path / "changed" / name
        path.write_bytes(change(path.read_bytes() if path.exists() else b""))
        if vouched:
            crafting.sign(tmp_path / "changed")
        done = read(tmp_path / "changed")
        assert done.returncode == 1 and done.stderr.startswith("refused: "), done
        return done.stderr

    return refusal


def test_what_is_damaged_is_refused(changed):
    assert "digest of spec.json" in changed("spec.json", lambda data: data.replace(b"float32", b"float64", 1))
    assert "digest of" in changed("weights.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    assert "after the last" in changed("weights.safetensors", lambda data: data + b"\0")
    assert "not agree" in changed("examples.json", lambda data: b"{}")
    assert "no file" in changed("model.pkl", lambda data: b"")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'"training": true', b'"training": true, "training": false', "stands twice"),
        (b'"training": true', b'"training": true, "trained": 1', "unknown field"),
        (b'"shape": [4, 6]', b'"shape": [4, 7]', "outside"),
        (b'"$ref": "model.base"', b'"$ref": "model.bass"', "no object"),
        (b'"$tensor": "float32"', b'"$tensro": "float32"', "unknown tag"),
        (b'"shape": [4, 6]', b'"shape": [NaN]', "no value"),
        (b'"shape": [4, 6]', b'"shape": [99999999999999999999]', "64 bits"),
        (b'"shape": [4, 6]', b'"shape": [1e999]', "double"),
        (b'"shape": [4, 6]', b'"shape": ' + b"[" * 300 + b"]" * 300, "deep"),
        (b'"version": 1', b'"version": 2', "version 2"),
        (b'"model.base"', b'"model.\\ud800"', "surrogate"),
    ],
)
def test_what_is_not_of_the_format_is_refused(old, new, why, changed):
    def change(data):
        assert old in data
        return data.replace(old, new, 1)

    assert why in changed("spec.json", change, vouched=True)
