"""What tables, pictures, arrays and tensors have beside their values."""

from __future__ import annotations

import array
import io
import logging
import pickle
import sys
import types
import warnings
import zoneinfo

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.utils.prune
from PIL import Image
from scipy.spatial import KDTree, cKDTree
from sklearn.feature_extraction.text import CountVectorizer

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

OWN = [__name__.partition(".")[0]]


def seen(before, after):
    described = [snapshot_model(value, own_modules=OWN) for value in (before, after)]
    return [(one.path, one.kind) for one in compare(*described)]


class Frame(pd.DataFrame):
    _metadata = ["_unit"]


def with_attribute(value, name="source"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas asks whether a column was meant
        setattr(value, name, "a sensor")
    return value


def days(freq):
    return pd.DatetimeIndex(["2020-01-01", "2020-01-02"], freq=freq)


@pytest.mark.parametrize("make", [lambda: pd.DataFrame({"a": [1]}), lambda: pd.Series([1]), lambda: Frame({"a": [1]})])
def test_an_attribute_of_a_table(make):
    assert seen(with_attribute(make()), with_attribute(make())) == []
    assert seen(with_attribute(make()), make()) == [("model.source", "missing")]


def test_private_attributes_of_a_table_count_where_its_class_says_so():
    assert seen(with_attribute(Frame({"a": [1]}), "_unit"), Frame({"a": [1]})) == [("model._unit", "missing")]
    assert seen(with_attribute(pd.DataFrame({"a": [1]}), "_seen"), pd.DataFrame({"a": [1]})) == []


@pytest.mark.parametrize("make", [lambda: pd.Index(["a"]), lambda: pd.MultiIndex.from_product([["a"], ["b"]])])
def test_an_attribute_of_an_index(make):
    assert seen(with_attribute(make()), with_attribute(make())) == []
    assert seen(with_attribute(make()), make()) == [("model.source", "missing")]


def masked():
    return np.ma.array([1.0, 2.0], mask=[False, True])


class Quantity(np.ndarray):
    __slots__ = ("source",)


def test_an_attribute_of_an_array():
    """NumPy leaves them out of a pickle, and has attributes of its own on masked arrays."""
    assert seen(with_attribute(masked()), with_attribute(masked())) == []
    assert seen(with_attribute(masked()), pickle.loads(pickle.dumps(with_attribute(masked())))) == [
        ("model.source", "missing")
    ]
    quantity = np.ones(2).view(Quantity)
    assert seen(with_attribute(quantity.copy()), with_attribute(quantity.copy())) == []
    assert seen(with_attribute(quantity.copy()), quantity) == [("model.source", "missing")]


class Buffer(bytearray):
    pass


class Numbers(array.array):
    pass


class Zone(zoneinfo.ZoneInfo):
    pass


@pytest.mark.parametrize(
    "make",
    [
        lambda: Buffer(b"a"),
        lambda: Numbers("b", b"a"),
        lambda: Zone.no_cache("UTC"),
        lambda: logging.Logger("roundtrip.test_libraries"),  # one that no other test meets
    ],
)
def test_an_attribute_of_what_keeps_its_value_in_c_or_by_name(make):
    assert seen(with_attribute(make()), with_attribute(make())) == []
    assert seen(with_attribute(make()), make()) == [("model.source", "missing")]


@pytest.mark.parametrize("make", [KDTree, cKDTree])
def test_a_tree_of_points(make):
    tree = make([[0.0], [1.0]], leafsize=4)
    assert seen(tree, pickle.loads(pickle.dumps(tree))) == []
    assert seen(tree, make([[0.0], [2.0]], leafsize=4)) == [("model.data", "value")]
    assert seen(tree, make([[0.0], [1.0]], leafsize=5)) == [("model.leafsize", "value")]


def test_which_stop_words_were_looked_at_is_no_state():
    words = CountVectorizer(stop_words=["the", "a"]).fit(["the word"])
    assert seen(words, pickle.loads(pickle.dumps(words))) == []


def test_the_frequency_of_an_index():
    assert seen(days("D"), days("D")) == []
    assert seen(days("D"), days(None)) == [("model.freq", "missing")]


def opened(*shades, format="GIF"):
    first, *others = (Image.new("L", (2, 2), shade) for shade in shades)
    file = io.BytesIO()
    first.save(file, format, save_all=bool(others), append_images=others)
    picture = Image.open(io.BytesIO(file.getvalue()))
    picture.load()
    return picture


def palette(mode):
    picture = Image.new("P", (1, 1))
    picture.putpalette([1, 2, 3, 255] if mode == "RGBA" else [1, 2, 3], mode)
    return picture


def test_what_a_ufunc_was_made_of():
    def curve(by):
        return np.frompyfunc(lambda value: value * by, 1, 1)

    assert seen(curve(2), curve(2)) == []
    assert seen(curve(2), curve(3)) == [("model.<function>[0].<closure>.by", "value")]
    assert seen(np.frompyfunc(max, 2, 1), np.frompyfunc(max, 3, 1)) == [("model", "arguments")]
    assert seen(np.add, np.add) == []


class Tagged(Image.Image):
    """One of the user's."""


def tagged():
    plain, picture = Image.new("L", (1, 1)), Tagged()
    picture.__setstate__([plain.info, plain.mode, plain.size, None, plain.tobytes()])
    return picture


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "BMP"])
def test_the_users_attribute_of_a_picture_from_a_file(format):
    picture = opened(10, format=format)
    for other in (opened(10, format=format), pickle.loads(pickle.dumps(picture))):
        assert seen(picture, other) == []
        assert seen(with_attribute(opened(10, format=format)), other) == [("model.source", "missing")]


def test_an_attribute_of_a_subclass_of_pictures():
    assert seen(tagged(), tagged()) == []
    assert seen(with_attribute(tagged()), tagged()) == [("model.source", "missing")]


def test_what_a_picture_has():
    plain = Image.new("L", (1, 1))
    assert seen(with_attribute(Image.new("L", (1, 1))), plain) == [("model.source", "missing")]
    assert seen(opened(10), opened(10)) == []
    assert seen(opened(10, 200), opened(10)) == [("model", "frames")]
    assert ("model", "format") in seen(opened(10), opened(10).copy())
    assert ("model", "palette_mode") in seen(palette("RGBA"), palette("RGB"))


def test_dtypes_that_have_no_plain_description():
    def overlapping(offset):
        return np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, offset]})

    assert seen(overlapping(2), overlapping(2)) == []
    assert seen(overlapping(2), overlapping(0)) == [("model", "value")]
    fields = [("a", "i4"), ("b", "i4")]
    assert seen(np.dtype(fields, align=True), np.dtype(fields)) == [("model", "value")]


def test_texts_of_any_length():
    def array(text, **options):
        return np.array([text, "b"], dtype=np.dtypes.StringDType(**options))

    assert seen(array("a" * 100), array("a" * 100)) == []
    assert seen(array("a" * 100), array("a" * 99 + "b")) == [("model[0]", "value")]
    assert seen(array("a", na_object=None), array("a")) == [("model", "dtype")]


def test_options_beside_a_message_in_c(monkeypatch):
    """As SentencePiece's: a digest of the whole model, and the options of its Python object."""

    class Processor:
        def __init__(self, **options):
            vars(self).update(options, this=object(), _processor=object())

        def serialized_model_proto(self):
            return b"the whole model"

    Processor.__module__ = "sentencepiece"
    monkeypatch.setitem(sys.modules, "sentencepiece", types.ModuleType("sentencepiece"))
    assert seen(Processor(_add_bos=True), Processor(_add_bos=True)) == []
    assert seen(Processor(_add_bos=True), Processor(_add_bos=False)) == [("model._add_bos", "value")]


def test_the_graph_of_a_tensor():
    weight = torch.nn.Parameter(torch.ones(2))
    leaf = (weight * 2).detach().requires_grad_()
    assert seen(weight * 2, weight * 2) == []
    assert seen(weight * 2, leaf) == [("model", "graph")]


def test_a_tensor_that_is_computed_before_each_call_is_no_state():
    def pruned(own_graph):
        layer = torch.nn.Linear(2, 2)
        torch.nn.init.ones_(layer.weight)
        torch.nn.init.ones_(layer.bias)
        torch.nn.utils.prune.l1_unstructured(layer, "weight", 1)
        if not own_graph:
            vars(layer)["weight"] = layer.weight.detach().requires_grad_()
        return layer

    assert seen(pruned(True), pruned(False)) == []


def test_the_mark_of_a_schedule_is_no_state():
    def optimizer():
        return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)

    scheduled = optimizer()
    torch.optim.lr_scheduler.StepLR(scheduled, 1)
    plain = optimizer()
    plain.param_groups[0]["initial_lr"] = 0.1
    assert seen(scheduled, plain) == []
    plain.step = print
    assert seen(scheduled, plain) == [("model.step", "extra")]


def test_generators_that_draw_from_the_same_bits():
    def generators(bits):
        old = np.random.RandomState(1)
        return [old, np.random.Generator(bits(old))]

    before, other = generators(lambda old: old._bit_generator), generators(lambda old: np.random.MT19937())
    other[1].bit_generator.state = before[0].get_state(legacy=False)
    assert seen(before, generators(lambda old: old._bit_generator)) == []
    assert ("model[1].bit_generator", "identity") in seen(before, other)
