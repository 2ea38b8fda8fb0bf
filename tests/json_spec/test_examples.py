"""Examples travel with the model, and say whether it is the one that was saved."""

from __future__ import annotations

import collections
import json
import random
import re

import json_spec_things as things
import numpy as np
import pytest
import torch
from forging import vouch
from torch import nn

from backends.base import UnsupportedModel
from backends.json_spec import ArtifactError, ExampleMismatch, examples, load, save
from backends.json_spec.digests import digests_text, sha256
from harness import inference

TRUST = ["json_spec_things"]
INPUTS = ["abc", "ga"]


@pytest.fixture
def artifact(tmp_path):
    torch.manual_seed(0)
    save(things.Staged(), tmp_path / "artifact", examples=INPUTS)
    return tmp_path / "artifact"


def change_weight(artifact, by):
    """Change the first number of the head's weight, and vouch for it."""
    path = artifact / "weights.safetensors"
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])["model.head.weight"]["data_offsets"]
    start, end = (8 + length + offset for offset in entry)
    data[start : start + 4] = (np.frombuffer(data[start : start + 4], np.float32) + np.float32(by)).tobytes()
    path.write_bytes(data)
    found = json.loads((artifact / "digests.json").read_text("utf-8"))["tensors"]
    found["weights.safetensors"]["entries"]["model.head.weight"] = sha256(data[start:end])
    (artifact / "digests.json").write_bytes(digests_text(found))
    vouch(artifact)


def test_the_saved_model_passes(artifact):
    model = load(artifact, trust=TRUST, check=True)
    assert model.calls == 0, "the examples ran on a copy"
    assert {path.name for path in artifact.iterdir()} >= {"examples.json", "examples.safetensors"}


def test_running_the_examples_changes_no_decorator_of_the_class(tmp_path):
    keeps = next(
        c.cell_contents for c in things.Decorated.forward.__closure__ if isinstance(c.cell_contents, torch.autocast)
    )
    before = dict(vars(keeps))
    save(things.Decorated(), tmp_path / "a", examples=[torch.ones(1, 2)])
    assert vars(keeps) == before
    load(tmp_path / "a", trust=TRUST, check=True)
    assert vars(keeps) == before
    things.Decorated()(torch.ones(1, 2))
    assert vars(keeps) != before, "torch no longer keeps anything there"
    vars(keeps).clear()
    vars(keeps).update(before)


def test_another_model_is_found_out(artifact):
    change_weight(artifact, by=0.5)
    load(artifact, trust=TRUST)
    with pytest.raises(
        ExampleMismatch, match=r"examples\[0\]\.forward\['scores'\]: largest difference .* not the model"
    ):
        load(artifact, trust=TRUST, check=True)


def test_rounding_is_not_a_difference(artifact):
    change_weight(artifact, by=1e-7)
    load(artifact, trust=TRUST, check=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"a": 0', '"a": 1', r"examples\[0\]\.preprocess\['letters'\]: 1 of 3 values differ"),
        ('"longest": 3', '"longest": 2', r"examples\[0\]\.preprocess"),
        ('"best"', '"worst"', r"examples\[0\]\.postprocess: keys \['worst'\]"),
    ],
)
def test_every_stage_is_compared(artifact, old, new, message):
    path = artifact / "spec.json"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    vouch(artifact)
    with pytest.raises(ExampleMismatch, match=message):
        load(artifact, trust=TRUST, check=True)


def test_a_model_that_fails_is_found_out(artifact):
    path = artifact / "spec.json"
    path.write_text(path.read_text("utf-8").replace('"a": 0, ', ""), "utf-8")
    vouch(artifact)
    with pytest.raises(ExampleMismatch, match=r"examples\[0\]: preprocess raises KeyError: 'a'"):
        load(artifact, trust=TRUST, check=True)


def test_checking_needs_examples(tmp_path):
    save(things.Staged(), tmp_path / "a")
    with pytest.raises(ArtifactError, match=r"no examples to check: save with examples="):
        load(tmp_path / "a", trust=TRUST, check=True)


def test_examples_do_not_change_the_model_or_any_random_state(tmp_path):
    model = things.Staged()
    model.train()
    threads = torch.get_num_threads()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    inputs = [["a", "b"]]
    save(model, tmp_path / "a", examples=inputs)
    load(tmp_path / "a", trust=TRUST, check=True)
    assert model.calls == 0 and model.training and inputs == [["a", "b"]], "preprocess empties its input"
    assert (
        torch.get_num_threads() == threads
        and torch.equal(states[0], torch.get_rng_state())
        and states[1] == random.getstate()
    )
    assert states[2] == np.random.get_state()[1].tolist()


def test_an_example_that_cannot_be_run_or_written_is_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match=r"an example cannot be run: preprocess raises KeyError"):
        save(things.Staged(), tmp_path / "a", examples=["?"])
    with pytest.raises(UnsupportedModel, match=r"examples\[0\]\['input'\] is a lambda"):
        save(things.Staged(), tmp_path / "a", examples=[lambda: 1])
    summed = things.Staged()
    summed.head = things.Total()
    with pytest.raises(UnsupportedModel, match=r"run: taking the first of forward's batch raises IndexError"):
        save(summed, tmp_path / "a", examples=INPUTS)
    assert not list(tmp_path.iterdir())


def test_an_attribute_may_be_called_as_what_torch_defines(tmp_path):
    model = things.Staged()
    model.modules = model.named_modules = model.children = 3
    save(model, tmp_path / "a", examples=INPUTS)
    assert load(tmp_path / "a", trust=TRUST, check=True).modules == 3


def test_outputs_that_differ_from_run_to_run_are_refused(tmp_path):
    try:
        with pytest.raises(UnsupportedModel, match=r"two copies of the model do not agree: examples\[0\]\.postprocess"):
            save(things.Restless(), tmp_path / "a", examples=["a"])
    finally:
        things.Restless.runs = 0


def test_a_model_without_stages_gets_its_batch_as_it_is(tmp_path):
    save(nn.Linear(3, 2), tmp_path / "a", examples=[torch.ones(4, 3)])
    load(tmp_path / "a", check=True)
    found = json.loads((tmp_path / "a" / "examples.json").read_text("utf-8"))
    assert "postprocess" not in str(found) and "[4, 2]" in str(found)


def test_an_example_may_hold_one_list_twice_and_no_tensor(tmp_path):
    shared = [1, 2]
    save(torch.nn.Identity(), tmp_path / "a", examples=[[shared, shared]])
    assert load(tmp_path / "a", check=True)


def test_without_examples_the_artifact_is_the_same(tmp_path, artifact):
    torch.manual_seed(0)
    save(things.Staged(), tmp_path / "plain")
    for name in ("spec.json", "weights.safetensors"):
        assert (tmp_path / "plain" / name).read_bytes() == (artifact / name).read_bytes()


Pair = collections.namedtuple("Pair", "left right")
TREES = [torch.ones(2), {"a": 1, "b": [True, 2.5, "text"]}, (torch.zeros(1), None), Pair(1, np.ones(2)), np.float32(2)]


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_batching_follows_the_convention_of_the_harness(tree):
    batch = examples.batch_of_one(tree)
    assert examples.difference(inference.collate([tree]), batch, "batch") is None
    assert examples.difference(inference.split(batch, 0, 1), examples.first_of_batch(batch), "item") is None


DIFFERENT = [
    (1, 2), (1, True), (1.0, 1.1), ("a", "b"), ([1, 2], [1, 3]), ([1], [1, 1]), ({"a": 1}, {"a": 2}), ({1}, {2}),
    ({"a": 1, "b": 1}, {"b": 1, "a": 1}), (torch.ones(2), torch.tensor([1.0, 1.1])), (torch.ones(2), torch.ones(2, 1)),
    (torch.ones(1), torch.ones(1, dtype=torch.float64)), (torch.tensor([1]), torch.tensor([2])), (1.0, float("nan")),
    (np.ones(2), np.array([1.0, 2.0])), (np.array(["a"]), np.array(["b"])), (float("inf"), 1e308),
    (things.Point(1, (2,)), things.Point(1, (3,))), (things.Colour.RED, None), (b"a", b"b"), ([1, 2, 3], [1, 99, 3]),
    (torch.tensor([float("nan")]), torch.tensor([1.0])), (things.Slotted(), things.Node()),
]  # fmt: skip
EQUAL = [
    (1.0, 1.0 + 1e-9), (float("nan"), float("nan")),
    (torch.tensor([1.0, float("nan")]), torch.tensor([1.00001, float("nan")])),
    ({1, 2}, {2, 1}), (things.Point(1, (2,)), things.Point(1, (2,))), (np.float32(1), np.float32(1)),
    (float("inf"), float("inf")), (torch.tensor([True]), torch.tensor([True])),
]  # fmt: skip


def without_address(value) -> str:
    """An id that every process gives: pytest-xdist's compare what they collected."""
    return re.sub(r" at 0x\w+", "", repr(value))


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=without_address)
def test_differences_are_seen(one, other):
    assert examples.difference(one, other, "it").startswith("it")


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=repr)
def test_rounding_is_not_seen(one, other):
    assert examples.difference(one, other, "it") is None
