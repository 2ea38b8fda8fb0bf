"""One, many and a stream agree; modes come back; errors name the data point and the stage."""

from __future__ import annotations

import importlib
from collections import namedtuple

import pytest
import torch
from torch import nn

from harness.compare import Tolerance, compare, verdict
from harness.inference import ABSENT, InferenceError, MissingStage, predict, predict_many, predict_stream, trace
from harness.snapshot.builder import snapshot_value
from reference_models.catalog import CATALOG

Pair = namedtuple("Pair", "left right")


class Tree(nn.Module):
    """Every kind of leaf, in and out."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(1, 1)
        self.seen_modes = []

    def preprocess(self, x):
        return {
            "pair": Pair(torch.tensor([float(x)]), x),
            "flag": x > 1,
            "rest": [0.5 * x, (torch.tensor(x),)],
            "text": str(x),
        }

    def forward(self, batch):
        self.seen_modes.append((self.training, self.scale.training, torch.is_grad_enabled()))
        pair = batch["pair"]
        return Pair(pair.left * 2, {"right": pair.right + 1, "flag": batch["flag"], "rest": batch["rest"][0]}), batch[
            "text"
        ]

    def postprocess(self, output):
        pair, text = output
        return (pair.left.tolist(), int(pair.right["right"]), bool(pair.right["flag"]), float(pair.right["rest"]), text)


def test_every_leaf_is_batched_and_split():
    assert predict(Tree(), 3) == ([6.0], 4, True, 1.5, "3")


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_one_many_and_stream_agree(batch_size):
    model, data = Tree(), [1, 2, 3, 4, 5]
    one = [predict(model, x) for x in data]
    assert predict_many(model, data, batch_size=batch_size) == one
    assert list(predict_stream(model, iter(data), batch_size=batch_size)) == one


@pytest.mark.parametrize("name", CATALOG)
def test_they_agree_on_every_reference_model(name, monkeypatch):
    """To the tolerance: a kernel may round differently for a batch of another size."""
    entry = CATALOG[name]
    monkeypatch.syspath_prepend(entry.path.parent)
    module = importlib.import_module(entry.path.stem)
    model, data = getattr(module, entry.builder)(), module.examples()
    one = [predict(model, x) for x in data]
    many = predict_many(model, module.examples(), batch_size=2)
    stream = list(predict_stream(model, module.examples(), batch_size=2))
    for other in (many, stream):
        # rounded in postprocess, so one unit of the sixth digit is allowed
        assert verdict(compare(snapshot_value(one), snapshot_value(other), Tolerance(1e-4, 2e-5))) != "different"
    assert all(answer not in (None, []) for answer in one)


def test_workers_under_spawn(monkeypatch):
    monkeypatch.syspath_prepend(CATALOG["nested_fruit"].path.parent)
    module = importlib.import_module("nested_fruit")
    model, data = module.build(), module.examples()
    assert predict_many(model, data, num_workers=2, batch_size=2) == predict_many(model, data, batch_size=2)


def test_a_workers_error_names_the_data_point(monkeypatch):
    monkeypatch.syspath_prepend(CATALOG["nested_fruit"].path.parent)
    module = importlib.import_module("nested_fruit")
    data = [*module.examples(), ({"a": {"b": "melon"}, "c": "pear"}, ("apple", "apple"))]
    with pytest.raises(InferenceError, match="preprocess of data point 3: KeyError: 'melon'"):
        predict_many(module.build(), data, num_workers=1, batch_size=2)


def test_a_model_that_does_not_pickle_is_told_before_workers_start():
    model = Tree()
    model.act = lambda x: x
    with pytest.raises(ValueError, match="use num_workers=0"):
        predict_many(model, [1], num_workers=1)


class DoesNotUnpickle:
    def __reduce__(self):
        return eval, ("1 / 0",)


def test_a_worker_that_ends_is_told_by_no_number():
    model = Tree()
    model.part = DoesNotUnpickle()
    with pytest.raises(RuntimeError, match=r"one ended before it answered.*use num_workers=0$"):
        predict_many(model, [1], num_workers=1)


def test_modes_are_what_they_were():
    model = Tree()
    model.train()
    model.scale.eval()
    predict(model, 1)
    predict_many(model, [1, 2])
    assert set(model.seen_modes) == {(False, False, False)}
    assert (model.training, model.scale.training, torch.is_grad_enabled()) == (True, False, True)
    stream = predict_stream(model, [1, 2, 3], batch_size=1)
    next(stream)
    assert (model.training, model.scale.training, torch.is_grad_enabled()) == (True, False, True)
    stream.close()


def test_modes_come_back_after_an_error():
    model = Tree().train()
    with pytest.raises(InferenceError):
        predict(model, "x")
    assert model.training
    assert torch.is_grad_enabled()


def test_a_stream_is_read_one_batch_ahead_at_most():
    taken = []

    def endless():
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    stream = predict_stream(Tree(), endless(), batch_size=4)
    next(stream)
    assert len(taken) == 4


def test_nothing_in_nothing_out():
    assert predict_many(Tree(), []) == []
    assert list(predict_stream(Tree(), [])) == []


@pytest.mark.parametrize("stage", ["preprocess", "forward", "postprocess"])
def test_a_missing_stage_is_named(stage):
    body = {name: getattr(Tree, name) for name in ("preprocess", "forward", "postprocess") if name != stage}
    model = type("Partial", (nn.Module,), body)()
    for call in (predict, predict_many, predict_stream):
        with pytest.raises(MissingStage, match=f"Partial has no {stage}"):
            call(model, [1])


class Breaks(Tree):
    def __init__(self, stage):
        super().__init__()
        self.stage = stage

    def preprocess(self, x):
        if self.stage == "preprocess" and x == 3:
            raise KeyError("three")
        if self.stage == "ragged":
            return {"a": [torch.zeros(x)]}
        if self.stage == "structure":
            return {"a": 1} if x != 3 else {"b": 1}
        return torch.tensor([float(x)])

    def forward(self, batch):
        if self.stage == "forward":
            raise RuntimeError("no")
        return {"out": batch.sum()} if self.stage == "split" else batch

    def postprocess(self, output):
        if self.stage == "postprocess" and float(output) == 3:
            raise ValueError("bad three")
        return float(output)


@pytest.mark.parametrize(
    ("stage", "reported", "index", "words"),
    [
        ("preprocess", "preprocess", 2, "KeyError: 'three'"),
        ("postprocess", "postprocess", 2, "ValueError: bad three"),
        ("ragged", "collate", 1, r"\['a'\]\[0\]"),
        ("structure", "collate", 2, "keys"),
        ("forward", "forward", None, "RuntimeError: no"),
        ("split", "split", None, r"output\['out'\]"),
    ],
)
def test_an_error_names_stage_and_data_point(stage, reported, index, words):
    for call in (lambda m: predict_many(m, [1, 2, 3, 4]), lambda m: list(predict_stream(m, [1, 2, 3, 4]))):
        with pytest.raises(InferenceError, match=words) as caught:
            call(Breaks(stage))
        assert (caught.value.stage, caught.value.index) == (reported, index)


def test_absent_stages_are_taps_of_their_own():
    class Graph:
        def forward(self, batch):
            return batch * 2

    taps = trace(Graph(), None, torch.tensor([1.0]))
    assert taps.preprocessed is ABSENT
    assert taps.forward.tolist() == [2.0]
    assert taps.postprocessed is ABSENT
    assert trace(Graph(), None).forward is ABSENT
