"""Models that together use every kind of value of the format: what the fuzzer mutates and the golden artifacts hold."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import functools
import io
import pathlib
import random
import re
import types
import uuid
from collections.abc import Callable
from typing import Any

import json_spec_things as things
import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from backends.json_spec import spec


def values() -> Any:
    """Every kind of value without tensors."""
    shared = [1, "two"]
    loop: list[Any] = []
    loop.append(loop)
    return things.Holder(
        plain=[None, True, 7, 2**70, -(2**70), 1.5, float("nan"), float("-inf"), -0.0, 1 + 2j, "text", "Ü", "$ref"],
        tuples=(1, (2, [3])), sets=[{1, 2}, frozenset({"a"})], raw=[b"raw", bytearray(b"ab"), b"long" * 400],
        keys={1: "a", (2, 3): "b", None: 0, "c": 1}, dollar={"$ref": "x"}, order=collections.OrderedDict(b=1, a=2),
        counter=collections.Counter("aab"), ring=collections.deque([1, 2], maxlen=3), lists=shared, again=shared,
        default=collections.defaultdict(list, {3: [4]}), ranges=[range(1, 9, 2), slice(None, 3), ...], loop=loop,
        enum=things.Colour.RED, pair=things.Pair(1, [2]), point=things.Point(1, (2,)), slotted=things.Slotted(),
        paths=[pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:/x")], number=decimal.Decimal("1.10"),
        ratio=fractions.Fraction(1, 3), uid=uuid.UUID(int=5), pattern=re.compile("a+", re.IGNORECASE),
        bytes_pattern=re.compile(b"a+"), day=datetime.date(2020, 1, 2), span=datetime.timedelta(1, 2, 3),
        when=datetime.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC), time=datetime.time(1, 2),
        zone=datetime.timezone(datetime.timedelta(hours=1), "here"), kinds=[things.Point, list, nn.Linear],
        functions=[things.double, len, torch.relu, nn.functional.gelu], part=functools.partial(things.double, x=[3]),
        torch_names=[torch.float32, torch.device("cpu"), torch.Size([1, 2]), torch.channels_last, torch.strided],
        family=_family(),
    )  # fmt: skip


def _family() -> Any:
    parent, child = things.Node(), things.Node()
    child.parent, parent.children = parent, [child, child.method]
    return parent


def numbers() -> Any:
    """Tensors and arrays of many dtypes, layouts and views."""
    base = torch.arange(24.0).reshape(4, 6)
    array = np.arange(12, dtype=">i4").reshape(3, 4)
    generator = torch.Generator().manual_seed(0)
    frozen = np.array([1, 2])
    frozen.flags.writeable = False
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(4.0).reshape(2, 2))
        layer.bias.zero_()
    layer.weight.grad = torch.ones(2, 2)
    return things.Holder(
        base=base, row=base[1], turned=base.t(), wide=torch.ones(1).expand(5), scalar=torch.tensor(2.5),
        windows=torch.arange(5.0).as_strided((3, 3), (1, 1)), empty=torch.empty(0, 3), truth=torch.tensor([True]),
        halves=torch.arange(3).to(torch.float8_e5m2), brain=torch.ones(2, dtype=torch.bfloat16),
        mirrored=torch.tensor([1 + 2j]).conj(), negative=torch.tensor([1 + 2j]).conj().imag,
        sparse=torch.eye(3).to_sparse().coalesce(), csr=torch.eye(3).to_sparse_csr(),
        quantized=torch.quantize_per_tensor(torch.arange(4.0), 0.5, 2, torch.quint8),
        channels=torch.quantize_per_channel(base, torch.ones(4), torch.zeros(4, dtype=torch.int), 0, torch.qint8),
        meta=torch.empty(2, 3, device="meta"), kept=nn.Parameter(torch.ones(2), requires_grad=False),
        leaf=torch.ones(2, requires_grad=True), layer=layer, array=array, part=array[::2, 1:], backwards=array[:, ::-1],
        frozen=frozen, objects=np.array(["a", None, [1]], dtype=object), texts=np.array(["x", "yz"]),
        flags=np.array([True, False]), nothing=np.zeros((0, 2)), dates=np.array(["2020-01-01"], dtype="M8[D]"),
        scalars=[np.float32(1.1), np.int64(3), np.str_("s"), np.bool(True), np.datetime64("2020-01-01")],
        generator=generator, kinds=[base.dtype, np.dtype("f4")],
    )  # fmt: skip


def modules() -> Any:
    """Ties, buffers, hooks, parametrizations, recurrent layers, notes of calls."""
    torch.manual_seed(0)
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(things.add_one)
    tied = things.TiedCharacters()
    tied.head.eval()
    normed = parametrizations.weight_norm(nn.Linear(2, 2))
    pruned = prune.l1_unstructured(nn.Linear(2, 2), "weight", 1)
    stack = nn.Sequential(spec(nn.Linear)(2, 3), nn.ReLU(), nn.BatchNorm1d(3), nn.ModuleDict({"a": nn.Identity()}))
    stack.act = functools.partial(nn.functional.softmax, dim=-1)
    return things.Holder(
        tied=tied, hooked=hooked, normed=normed, old=nn.utils.spectral_norm(nn.Linear(2, 2)), pruned=pruned, net=stack,
        recurrent=nn.GRU(2, 2), parts=nn.ParameterList([nn.Parameter(torch.ones(1))]), bound=stack[0].forward,
    )  # fmt: skip


def libraries() -> Any:
    """Objects of pandas, Pillow and others, for which there are codecs."""
    import pandas as pd
    from PIL import Image

    stream = io.BytesIO(b"abcdef")
    stream.seek(2)
    frame = pd.DataFrame(
        {
            "n": [1, 2], "f": [0.5, np.nan], "s": ["a", None], "c": pd.Categorical(["u", "v"], ordered=True),
            "d": pd.to_datetime(["2020-01-01", "2021-01-01"]), "i": pd.array([1, None], dtype="Int64"), 3: [True] * 2,
        },
        index=pd.Index(["x", "y"], name="row"),
    )  # fmt: skip
    index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["p", "q"])
    picture = Image.new("P", (3, 2), 1)
    picture.putpalette([1, 2, 3] * 2)
    days = pd.date_range("2020-01-01", periods=3, freq="D")
    return things.Holder(
        stream=stream, generator=torch.Generator().manual_seed(5), dice=random.Random(1), frame=frame,
        series=pd.Series([1.0, 2.0], index=index, name="z"), days=days, counted=pd.RangeIndex(0, 9, 2), picture=picture,
        kind=pd.CategoricalDtype(["a", "b"], ordered=True), grey=Image.new("L", (2, 2), 7),
    )  # fmt: skip


def times() -> Any:
    """Moments, spans and bins of pandas, gaps, and a dictionary shown read-only."""
    import pandas as pd

    return things.Holder(
        moment=pd.Timestamp(5, tz="UTC"), naive=pd.Timestamp(5), span=pd.Timedelta(5), never=[pd.NaT, pd.NA],
        bins=pd.interval_range(0, 2), zoned=pd.Series(pd.to_datetime(["2020-01-01"], utc=True)),
        gaps=pd.array([1, None]), truths=pd.array([True, None]), shown=types.MappingProxyType({"a": 1}),
    )  # fmt: skip


def tokenizer() -> Any:
    """A SentencePiece model, as the reference model has one: bytes that a library in C++ parses."""
    import sentencepiece

    held = io.BytesIO()
    words = [f"{size} {fruit} {verb}" for size in ("big", "red", "an", "the") for fruit in ("apple", "pear", "plum")
             for verb in ("falls", "rolls", "rots", "grows")]  # fmt: skip
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words), model_writer=held, vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    return things.Holder(tokenizer=sentencepiece.SentencePieceProcessor(model_proto=held.getvalue()), blob=[held])


SEEDS: dict[str, Callable[[], Any]] = {
    "values": values, "numbers": numbers, "modules": modules, "libraries": libraries, "times": times
}  # fmt: skip
