"""FORMAT.md suffices to write a reader: reader.mjs, in JavaScript, tells of each artifact what the model is."""

from __future__ import annotations

import array
import datetime
import decimal
import fractions
import functools
import importlib
import io
import json
import operator
import pathlib
import re
import shutil
import subprocess
import sys
import types
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path

import crafting
import json_spec_things as things
import numpy as np
import pytest
import seeds
import torch
from other_language.described import described
from torch import nn
from torch.nn.utils import parametrizations, prune

import backends.json_spec
from backends.json_spec import load, save

READER = Path(__file__).parent / "other_language" / "reader.mjs"
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
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


def constants():
    """Values of which seeds.py has no example."""
    grouped = np.dtype([("at", "<M8[s]"), ("n", ">i4")])
    return things.Holder(
        flags=[things.Mode.A | things.Mode.C, things.Mode(0), things.Mode.B], nothing=NotImplemented,
        qscheme=torch.per_tensor_affine, bounds=[torch.finfo(torch.bfloat16), torch.iinfo(torch.int8)],
        zone=zoneinfo.ZoneInfo("Europe/Rome"), utc=datetime.UTC, here=pathlib.Path("a/b"),
        before=datetime.timedelta(-1, 5, 7), west=datetime.timezone(-datetime.timedelta(hours=3.5)),
        twice=datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Rome")),
        big=fractions.Fraction(2**70, 3), far=range(0, 2**70, 2**69), small=decimal.Decimal("-1E-7"),
        kinds=[grouped, np.dtype(">f8"), np.dtype("M8[ns]")], records=np.zeros(2, grouped),
        pattern=re.compile("(?i)ä+", re.MULTILINE), odd=np.array([[None, "a"], [1, 2.0]], dtype=object),
    )  # fmt: skip


def derived():
    """Objects under which a built-in type lies, slots, tensors of classes of their own."""
    words, text, ring = things.Words.of({"b": 1, "a": [2]}), things.Text("abc"), things.Queue([1, 2], maxlen=3)
    settings = things.AttrDict(gain=1.0, more=things.AttrDict())
    text.mark, ring.mark = "m", [1]
    stamped = torch.ones(2)
    stamped.stamp = {"by": 1}
    part = functools.partial(things.double, x=1)
    part.note = "n"
    return things.Holder(
        words=words, row=things.Row([1, [2]]), version=things.Version((1, 2)), text=text, level=things.Level(7),
        ordered=things.Ordered(b=1), default=things.Default(list, {3: [4]}), ring=ring, bag=things.Bag({1}), part=part,
        settings=settings,
        warm=torch.ones(2).as_subclass(things.Celsius), bounded=things.Bounded([1.0]), stamped=stamped,
        blocks=torch.eye(4).to_sparse_bsr((2, 2)), columns=torch.eye(4).to_sparse_bsc((2, 2)),
    )  # fmt: skip


def hooked():
    """Every kind of hook, its flags, and handles."""
    layer, other = nn.Linear(2, 2), nn.Linear(2, 2)
    handle = layer.register_forward_hook(things.count_keywords, with_kwargs=True, always_call=True)
    layer.register_forward_pre_hook(things.double_input)
    layer.register_forward_pre_hook(things.keep_keywords, with_kwargs=True)
    layer.register_full_backward_pre_hook(things.double_gradient)
    layer.register_full_backward_hook(things.reverse_gradient)
    layer.register_state_dict_post_hook(things.note_version)
    other.register_state_dict_pre_hook(things.before_state_dict)
    other.register_load_state_dict_pre_hook(things.drop_version)
    other.register_load_state_dict_post_hook(things.after_loading)
    gone = other.register_forward_hook(things.add_one)
    gone.remove()
    return things.Holder(layer=layer, other=other, handle=handle, gone=gone, watching=things.Watching())


def derived_tensors():
    """Parametrizations, torch's older ways to compute a weight, and calls that were noted."""
    two = things.parametrized(nn.Linear(2, 2), things.Symmetric(), things.Symmetric())
    return things.Holder(
        two=two, both=things.parametrized(parametrizations.orthogonal(nn.Linear(3, 3)), things.Symmetric()),
        normed=parametrizations.weight_norm(nn.Linear(2, 2)), spectral=parametrizations.spectral_norm(nn.Linear(2, 2)),
        old=torch.nn.utils.weight_norm(nn.Linear(2, 2)), pruned=prune.random_unstructured(nn.Linear(3, 3), "bias", 1),
        made=things.build_compound(3), deeper=things.Deeper(2), again=[two],
    )  # fmt: skip


def libraries():
    """Objects of libraries, of which seeds.py has others."""
    pandas = pytest.importorskip("pandas")
    kinds = {
        "whole": pandas.array([1, None, -3], dtype="Int16"), "short": pandas.array([0.5, None, -0.0], dtype="Float32"),
        "truth": pandas.array([True, None, False], dtype="boolean"),
        "text": pandas.array(["ä", None, ""], dtype="string"),
        "grade": pandas.Categorical([3, None, 1], categories=[3, 1, 2], ordered=True), "odd": [[1], None, "x"],
        "past": pandas.to_datetime(["1969-12-31", None, "2021-01-01"]), "wait": pandas.to_timedelta([1, None, -1], "s"),
        "big": np.array([1, 2, 2**64 - 1], dtype=np.uint64), 4: np.array([1.5, np.nan, np.inf]), ("a", 1): [1, 2, 3],
    }  # fmt: skip
    frame = pandas.DataFrame(kinds, index=pandas.CategoricalIndex(["u", "v", "u"], name="k"))
    frame.attrs["unit"] = "m"
    rows = pandas.MultiIndex.from_tuples([("a", 1), ("b", None), ("a", 2)], names=["p", None])
    series = pandas.Series([1, 2, 3], index=rows, name=("n", 1), dtype="int8")
    shown = {"a": [1]}
    text = io.StringIO("one\ntwo")
    text.read(3)
    return things.Holder(
        frame=frame, again=[frame, series], series=series, none=pandas.DataFrame(), dtype=pandas.Int64Dtype(),
        days=pandas.date_range("2020-01-31", periods=3, freq="ME", name="d"), count=pandas.RangeIndex(3, 9, 2, name=1),
        bare=pandas.CategoricalDtype(), chosen=pandas.CategoricalDtype(["b", "a"], ordered=True), texts=text,
        draws=np.random.default_rng(3), older=np.random.RandomState(3), row=array.array("h", [1, -2]),
        bins=pandas.interval_range(0, 3, name="bin"), moment=pandas.Timestamp("2021-02-03 04:05:06.7", tz=BERLIN),
        span=pandas.Timedelta(3, "ms"), naive=pandas.Timestamp(0), never=[pandas.NaT, pandas.NA], shown=shown,
        counts=kinds["whole"], shorts=kinds["short"], truths=kinds["truth"], table_shown=types.MappingProxyType(shown),
        zoned=pandas.Series(pandas.date_range("2024-03-30", periods=3, tz=BERLIN)),
        space=types.SimpleNamespace(a=1, b=[2]), pick=operator.itemgetter("a", ("b", 1)), table=frame.columns,
    )  # fmt: skip


BUILDERS = [tensors, layouts, values, modules, constants, derived, hooked, derived_tensors, libraries]
BUILDERS += [seeds.values, seeds.numbers, seeds.modules, seeds.libraries, seeds.times, seeds.tokenizer]
NEVER_WRITTEN = {"$list"}
"""A list is JSON's own; a writer may use the tag, ours does not."""


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: f"{build.__module__}.{build.__name__}")
def test_things(build, tmp_path):
    same(build(), tmp_path / "artifact")


def test_the_things_have_every_tag_and_codec_of_the_page(tmp_path):
    """What the tables of FORMAT.md name is in an artifact above, so the reader was held to it."""
    page = (Path(backends.json_spec.__file__).parent / "FORMAT.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    tags = {found for row in rows for found in re.findall(r"`(\$[a-z]+)`", row)}
    codecs = {found for row in rows for found in re.findall(r"`([\w.]+:\w+)`", row)}
    assert len(tags) > 50 and len(codecs) > 15
    met = set()
    for number, build in enumerate(BUILDERS):
        save(build(), tmp_path / str(number))
        text = (tmp_path / str(number) / "spec.json").read_text("utf-8")
        met |= {found for found in re.findall(r'"(\$[a-z]+)": ', text)} | set(re.findall(r'"\$codec": "(.*?)"', text))
    assert tags - met == NEVER_WRITTEN and not codecs - met


def test_a_list_by_its_tag(tmp_path):
    """What our writer never writes."""
    save(things.Holder(row=things.Row([1, [2]])), tmp_path / "artifact")
    wanted = told(tmp_path / "artifact")
    path = tmp_path / "artifact" / "spec.json"
    path.write_text(path.read_text("utf-8").replace('"content": [1, [2]]', '"content": {"$list": [1, [2]]}'), "utf-8")
    crafting.sign(tmp_path / "artifact")
    assert "$list" in path.read_text("utf-8") and told(tmp_path / "artifact") == wanted
    assert load(tmp_path / "artifact", trust=["json_spec_things"]).row == [1, [2]]


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
