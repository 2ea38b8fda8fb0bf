"""Every kind of value comes back as itself: alone, twice in one object, and in a cycle where it can be in one."""

from __future__ import annotations

import argparse
import array
import collections
import datetime
import functools
import io
import operator
import re
import types
import zoneinfo

import json_spec_things as things
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from backends.base import UnsupportedModel
from backends.json_spec import ArtifactError, load, save
from backends.json_spec.codecs import CODECS, Codec, exactly
from tests.json_spec.forging import forge

SECOND = {"$npscalar": "<M8[s]", "bytes": "AAAAAAAAAAA="}
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
TABLE = {"a": 1}
VALUES = {
    "flags": things.Mode.A | things.Mode.C,
    "no flags": things.Mode(0),
    "zone": zoneinfo.ZoneInfo("Europe/Berlin"),
    "moment": datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    "packed": array.array("f", [1.5, -2.0]),
    "namespace": types.SimpleNamespace(a=1, b=[2]),
    "arguments": argparse.Namespace(rate=0.1, layers=[3, 4]),
    "getter": operator.itemgetter(1, 2),
    "dataclass as a key": {things.Point(1, (2,)): "a", (things.Point(1, 3),): "b"},
    "dataclass in an ordered key": collections.OrderedDict({things.Point(1, things.Point(2, 3)): 1}),
    "text function": str.lower,
    "dict subclass": things.Words.of({1: "a", "b": [2]}),
    "list subclass": things.Row([1, [2]]),
    "tuple subclass": things.Version((1, "x")),
    "text subclass": things.Text("abc"),
    "int subclass": things.Level(7),
    "ordered subclass": things.Ordered([("b", 1), ("a", 2)]),
    "default subclass": things.Default(list, {"a": [1]}),
    "queue subclass": things.Queue([1, 2, 3], maxlen=2),
    "set subclass": things.Bag([3, 1]),
    "table's method": TABLE.get,
    "class method": things.Maker.scaled,
    "inherited class method": things.Words.of,
    "static method": things.Maker.halved,
    "cached function": things.cached,
    "pattern's method": re.compile("a+").findall,
    "scheme": torch.per_channel_affine,
    "limits": torch.finfo(torch.float16),
    "whole limits": torch.iinfo(torch.int8),
    "record dtype": np.dtype([("mean", "<f8"), ("unit", "S4")]),
    "dtype of objects": np.dtype(object),
    "nullable dtype": pd.Int64Dtype(),
    "boolean dtype": pd.BooleanDtype(),
    "shown read-only": types.MappingProxyType({"a": [1]}),
    "shown in its order": types.MappingProxyType(collections.OrderedDict(b=1, a=2)),
    "chained": collections.ChainMap({"a": 1}, {"b": 2}),
}
MOMENTS = {
    "moment": pd.Timestamp("2020-01-01 02:03:04.123456789"),
    "moment in seconds": pd.Timestamp("2020-01-01").as_unit("s"),
    "moment that is twice": pd.Timestamp(datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN)),
    "moment at an offset": pd.Timestamp("2020-01-01 02:03:04+01:30"),
    "span": pd.Timedelta(days=3, nanoseconds=1),
    "span in seconds": pd.Timedelta(-5, "s").as_unit("s"),
}
"""Of pandas, which keeps a unit with them."""
GAPS = {
    "whole": pd.array([1, None, -3], dtype="Int8"),
    "short": pd.array([1.5, None], dtype="Float32"),
    "truth": pd.array([True, None], dtype="boolean"),
    "bins": pd.cut([1, 2, 3.5], [0, 2, 4]).categories,
    "bins of moments": pd.interval_range(pd.Timestamp(0), periods=2, freq="D", closed="both", name="x"),
    "binned": pd.Series(pd.cut([1, 2, np.nan], [0, 1.5, 4])),
    "zoned": pd.Series(pd.date_range("2024-03-30", periods=3, tz=BERLIN)),
    "zoned index": pd.date_range("2024-10-26", periods=3, freq="D", tz="UTC"),
    "zoned frame": pd.DataFrame({"when": pd.to_datetime(["2020-01-01", None], utc=True), "n": [1, 2]}),
}


WITHOUT_IDENTITY = {"moment", "limits", "whole limits", "record dtype", "nullable dtype", "boolean dtype"} | {
    "dtype of objects", "table's method", "pattern's method"
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_values_come_back(again, kind):
    value = VALUES[kind]
    loaded = again(value=value, twice=[value, value])
    after = loaded.value
    assert type(after) is type(value) and (kind in WITHOUT_IDENTITY or loaded.twice[0] is loaded.twice[1])
    if kind == "limits" or kind == "whole limits":
        assert (after.dtype, after.max) == (value.dtype, value.max)
    elif kind == "getter":
        assert after([0, 1, 2]) == (1, 2)
    elif kind.endswith("method") and not isinstance(after, types.FunctionType):
        assert after.__name__ == value.__name__ and type(after.__self__) is type(value.__self__)
    else:
        assert after == value
    assert getattr(after, "__dict__", None) == getattr(value, "__dict__", None) or callable(value)


@pytest.mark.parametrize("kind", MOMENTS)
def test_moments_and_spans_of_pandas(again, kind):
    value = MOMENTS[kind]
    loaded = again(value=value, twice=[value, value])
    assert loaded.value == value and repr(loaded.value) == repr(value) and loaded.value.unit == value.unit
    assert getattr(loaded.value, "fold", 0) == getattr(value, "fold", 0) and loaded.twice[0] is loaded.twice[1]


@pytest.mark.parametrize("kind", GAPS)
def test_gaps_bins_and_zones_of_pandas(again, kind):
    value = GAPS[kind]
    loaded = again(value=value).value
    assert type(loaded) is type(value) and loaded.equals(value) and repr(loaded) == repr(value)
    assert repr(getattr(loaded, "dtype", None)) == repr(getattr(value, "dtype", None))


def test_what_is_missing_in_pandas_is_the_one_object(again):
    never = again(never=[pd.NaT, pd.NA]).never
    assert never[0] is pd.NaT and never[1] is pd.NA


def test_a_dictionary_shown_read_only_is_the_one_that_others_write_into(again):
    table = {"a": 1}
    loaded = again(table=table, shown=types.MappingProxyType(table))
    loaded.table["b"] = 2
    assert loaded.shown["b"] == 2


def test_a_classs_attributes_shown_read_only_are_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match=r"model.shown: the attributes of a class, as vars\(\) shows them"):
        save(things.Holder(shown=vars(type("Bare", (), {"__slots__": ()}))), tmp_path / "a")


def test_modules_that_wrap_the_users(again):
    net, average = torch.nn.DataParallel(nn.Linear(2, 2)), torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2))
    average.update_parameters(nn.Linear(2, 2))
    loaded = again(net=net, average=average)
    assert torch.equal(loaded.net(torch.ones(1, 2)), net(torch.ones(1, 2)))
    for one in (loaded.average, average):
        one.update_parameters(net.module)
    assert torch.equal(loaded.average.module.weight, average.module.weight) and loaded.average.n_averaged == 2


def test_a_moment_beyond_the_years_of_the_standard_library_is_refused(tmp_path):
    holder = things.Holder(moment=pd.Timestamp(np.datetime64("10000-01-01", "s")))
    with pytest.raises(UnsupportedModel, match=r"model.moment: .* the moment 10000-01-01 00:00:00, which lies outside"):
        save(holder, tmp_path / "a")


def test_subclasses_of_containers_keep_content_attributes_and_cycles(again):
    words, row, queue = things.Words.of({1: "a"}), things.Row(), things.Queue(maxlen=3)
    dict.__setitem__(words, "itself", words)
    row.append(row)
    queue.append(queue)
    loaded = again(words=words, row=row, queue=queue)
    assert loaded.words["itself"] is loaded.words and loaded.words.size == 1 and loaded.words[1] == "a"
    assert loaded.row[0] is loaded.row and loaded.queue[0] is loaded.queue and loaded.queue.maxlen == 3


def test_a_method_keeps_the_object_that_it_is_bound_to(again):
    table = {"a": 1}
    loaded = again(table=table, look=table.get, part=functools.partial(table.get, "a"))
    loaded.table["b"] = 2
    assert loaded.look("b") == 2 and loaded.part() == 1 and loaded.look.__self__ is loaded.table


def test_records_streams_and_generators(again):
    records = np.array([(1.5, b"cm"), (2.0, b"m")], dtype=[("mean", "<f8"), ("unit", "S4")])
    stream = io.StringIO("ab\ncd")
    stream.readline()
    generators = [np.random.default_rng(3), np.random.Generator(np.random.MT19937(1)), np.random.RandomState(2),
                  np.random.Generator(np.random.Philox(5)), np.random.Generator(np.random.SFC64(6))]  # fmt: skip
    for one in generators:
        one.normal()
    loaded = again(records=records, one=records[0], stream=stream, generators=generators)
    assert loaded.records.dtype == records.dtype and (loaded.records == records).all() and loaded.one == records[0]
    assert loaded.stream.read() == "cd"
    assert [one.normal() for one in loaded.generators] == [one.normal() for one in generators]


def test_a_dict_that_is_its_own_attributes(again):
    settings = things.AttrDict(gain=1.0, more=things.AttrDict(), names={1: "a"})
    loaded = again(settings=settings, other=things.AttrDict({2: [settings]})).settings
    assert type(loaded) is things.AttrDict and loaded == settings and vars(loaded) is loaded
    loaded["gain"] += 1.0
    loaded.more.words = "set"
    assert loaded.gain == 2.0 and loaded["more"] == {"words": "set"}


def test_generators_spawn_what_they_would_have(again):
    seeds = np.random.SeedSequence([1, 2**70], spawn_key=(5,))
    generators = [np.random.default_rng(3), np.random.Generator(np.random.SFC64(seeds))]
    for one in generators:
        one.spawn(2)
    loaded = again(generators=generators).generators
    assert [one.bit_generator.seed_seq.state for one in loaded] == [
        one.bit_generator.seed_seq.state for one in generators
    ]
    assert [one.spawn(1)[0].random() for one in loaded] == [one.spawn(1)[0].random() for one in generators]
    old = np.random.Generator(np.random.RandomState(3)._bit_generator)  # has no seeds of that kind
    assert again(old=old).old.random() == old.random()
    legacy = again(legacy=np.random.RandomState(3)).legacy
    assert legacy._bit_generator.seed_seq is None  # and not one that the process drew


def test_a_seed_that_is_an_array_is_refused(tmp_path):
    holder = things.Holder(dice=np.random.default_rng(np.array([1, 2])))
    with pytest.raises(UnsupportedModel, match=r"model.dice: a generator of a seed sequence that is not made of whole"):
        save(holder, tmp_path / "a")


def test_pictures_keep_their_info(again):
    from PIL import Image

    picture = Image.new("P", (3, 2))
    picture.info.update(dpi=(72, 72), transparency=1)
    loaded = again(picture=picture).picture
    assert loaded.info == picture.info and loaded.tobytes() == picture.tobytes()


def test_a_codec_in_three_lines(again, monkeypatch):
    """As the documentation says: for a class whose state Python does not see."""
    monkeypatch.setitem(
        CODECS, "_thread:lock", Codec(lambda lock: {"locked": lock.locked()}, a_lock, {"locked": exactly(bool)})
    )
    import threading

    lock = threading.Lock()
    lock.acquire()
    assert again(lock=lock).lock.locked()


def a_lock(state):
    import threading

    lock = threading.Lock()
    if state["locked"]:
        lock.acquire()
    return lock


def test_sentencepiece_is_the_codec_of_the_example(again):
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["good day", "bad day"] * 20), model_writer=model, vocab_size=11, minloglevel=2
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    loaded = again(processor=processor, model=model)
    assert loaded.processor.encode("good") == processor.encode("good")


REFUSED = {
    "a library's class": (lambda: torch.amp.GradScaler("cpu"), "GradScaler"),
    "a library's function": (lambda: __import__("os").getcwd, "getcwd"),
    "format": (lambda: "{}".format, "method format"),
    "an exception": (lambda: ValueError("x"), "derives from ValueError"),
    "a reducer of a container": (lambda: Reduced(), "__reduce__"),
}


class Reduced(collections.OrderedDict):
    def __reduce__(self):
        return (Reduced, ())


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_reader_would_make_is_refused_at_save(tmp_path, what):
    make, message = REFUSED[what]
    with pytest.raises(UnsupportedModel, match=rf"^model\.head\.value.*{message}"):
        save(things.Holder(head=things.Holder(value=make())), tmp_path / "a")


@pytest.mark.parametrize(
    "node",
    [
        {"$object": "json_spec_things:Words", "content": {"$list": [1]}}, {"$object": "json_spec_things:Words"},
        {"$object": "json_spec_things:Node", "content": {"a": 1}},
        {"$object": "json_spec_things:Node", "entries_are_attributes": True},
        {"$object": "json_spec_things:Row", "content": [1], "entries_are_attributes": True},
        {"$object": "json_spec_things:Level", "content": "7"},
        {"$enum": "json_spec_things:Mode", "members": ["A", "Z"]}, {"$enum": "json_spec_things:Colour", "members": []},
        {"$enum": "json_spec_things:Mode"}, {"$zoneinfo": "../../etc/passwd"}, {"$zoneinfo": "Nowhere/Land"},
        {"$method": {"a": 1}, "name": "clear"}, {"$method": "{}", "name": "format"},
        {"$method": {"$class": "json_spec_things:Maker"}, "name": "halved"},
        {"$method": {"$class": "builtins:dict"}, "name": "fromkeys"}, {"$function": "builtins:str.format"},
        {"$npdtype": [["a", "|O"]]}, {"$npdtype": [["a", "|b1"]]}, {"$qscheme": "float32"},
        {"$codec": "operator:itemgetter", "state": {"items": {"$tuple": []}}},
        {"$codec": "array:array", "state": {"typecode": "u", "data": {"$bytes": "AAAA"}}},
        {"$codec": "pandas:Timestamp", "state": {"utc": {**SECOND, "$npscalar": "<M8[D]"}, "zone": None}},
        {"$codec": "pandas:Timestamp", "state": {"utc": 5, "zone": None}},
        {"$codec": "pandas:Timestamp", "state": {"utc": SECOND, "zone": "UTC"}},
        {"$codec": "pandas:Timestamp", "state": {"utc": {**SECOND, "bytes": "AAAAAAAAAIA="}, "zone": None}},  # NaT
        {"$codec": "pandas:Timestamp", "state": {"utc": {**SECOND, "bytes": "/////////38="}, "zone": None}},
        {"$codec": "pandas:Timedelta", "state": {"span": SECOND}},
        {"$codec": "pandas:NaTType", "state": {"more": 1}},
        {"$codec": "pandas:IntegerArray", "state": {"values": {"kind": "numpy", "data": {"$ref": "model.key"}}}},
        {"$codec": "pandas:IntervalIndex", "state": {"left": 1, "right": 2, "closed": "left", "name": None}},
        {"$codec": "builtins:mappingproxy", "state": {"mapping": [1]}},
        {"$codec": "numpy.random.mtrand:RandomState", "state": {"state": {"bit_generator": "MT19937", "state":
            {"key": {"$ref": "model.key"}, "pos": 10**9}, "has_gauss": 0, "gauss": 0.0}}},
    ],
    ids=str,
)  # fmt: skip
def test_forged_values_are_refused(tmp_path, node):
    save(things.Holder(key=np.zeros(624, np.uint32), twice=nn.ReLU()), tmp_path / "a")

    def change(spec):
        spec["objects"]["model.key"] = spec["objects"]["model"]["attributes"]["key"]
        spec["objects"]["model"]["attributes"] = {"key": {"$ref": "model.key"}, "evil": node}

    forge(tmp_path / "a", change)
    with pytest.raises(ArtifactError):
        load(tmp_path / "a", trust=["json_spec_things"])
