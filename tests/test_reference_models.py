"""Every reference model: built the same each time, leaving nothing behind, and true to the convention by a plain loop.

The loop here is written apart from `harness.inference`, so that the models are held to the convention itself.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import pickle
import random
import sys
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.inference import predict_many
from harness.snapshot.builder import snapshot_model
from reference_models.catalog import CATALOG, HERE

STAGES = ("preprocess", "forward", "postprocess")
OURS = {"harness", "backends", "reference_models", "benchmarks", "tests"}
LEAST_ACCURACY = {
    "digits_cnn": 0.97,
    "tabular_wine": 0.95,
    "sentiment_gru": 0.95,
    "sentiment_gru_lambda": 0.95,
    "tied_char_lm": 1.0,
}


@dataclass
class Built:
    """A model with its file as a module, and the world's random states and threads around the build."""

    module: ModuleType
    model: nn.Module
    before: dict[str, Any]
    after: dict[str, Any]
    described: bytes
    """Its state as it was built, with the threads that the process has of itself."""


def _world() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (kind, keys.tolist(), *rest),
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
    }


def _build(name: str) -> Built:
    entry = CATALOG[name]
    spec = importlib.util.spec_from_file_location(f"user_{name}", entry.path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    before = _world()
    model = getattr(module, entry.builder)()
    after = _world()
    # in marshal's second version, which does not tell one object in two places from two equal ones
    described = marshal.dumps(snapshot_model(model, own_modules=(spec.name,)), 2)
    return Built(module, model, before, after, described)


@cache
def _built(name: str) -> Built:
    """Built once for all tests, some of which are a second of training: a test that changes it takes a copy."""
    return _build(name)


@pytest.fixture(scope="module", params=list(CATALOG))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def built(name) -> Built:
    return _built(name)


# --- the convention, plainly ------------------------------------------------------------------------------------


def _leaves(function, *trees):
    """`function` at every leaf of trees of one structure."""
    tree = trees[0]
    if isinstance(tree, dict):
        return {key: _leaves(function, *(each[key] for each in trees)) for key in tree}
    if isinstance(tree, list | tuple):
        return type(tree)(_leaves(function, *column) for column in zip(*trees, strict=True))
    return function(*trees)


def _batch(*items):
    return _leaves(lambda *leaves: torch.stack([torch.as_tensor(leaf) for leaf in leaves]), *items)


def _run(model: nn.Module, datapoints: list) -> list:
    with torch.no_grad():
        output = model(_batch(*map(model.preprocess, datapoints)))
        parts = [_leaves(lambda leaf, at=place: leaf[at], output) for place in range(len(datapoints))]
        return [model.postprocess(part) for part in parts]


def _assert_alike(one, other, path: str = "answer") -> None:
    """Equal but for what a float may differ by, when other sums are taken in a batch."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            _assert_alike(one[key], other[key], f"{path}[{key!r}]")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for place, pair in enumerate(zip(one, other, strict=True)):
            _assert_alike(*pair, f"{path}[{place}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4), path
    else:
        assert one == other, path


def _is_readable(value) -> bool:
    """Nothing but what a person or program reads: no tensors."""
    if isinstance(value, dict):
        return all(_is_readable(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_readable(item) for item in value)
    return isinstance(value, str | bool | int | float)


# --- every model ------------------------------------------------------------------------------------------------


def test_model_is_in_eval_mode_with_its_three_stages(built):
    assert isinstance(built.model, nn.Module)
    assert not any(module.training for module in built.model.modules())
    assert all(callable(getattr(built.model, stage)) for stage in STAGES)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in built.model.parameters())


def test_building_leaves_the_world_as_it_was(built):
    assert built.after == built.before


def test_building_again_gives_the_same_bits_however_many_threads(name, built):
    threads = built.before["threads"]
    torch.manual_seed(random.randrange(2**31))  # what the world's state is must not matter
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        again = _build(name)
    finally:
        torch.set_num_threads(threads)
    assert again.described == built.described


def test_examples_go_through_alone_and_in_a_batch(built):
    examples = built.module.examples()
    assert len(examples) >= 3
    together = _run(built.model, examples)
    assert all(_is_readable(answer) for answer in together)
    assert len({repr(answer) for answer in together}) == len(examples), "examples that give one answer test nothing"
    for example, answer in zip(examples, together, strict=True):
        (alone,) = _run(built.model, [example])
        _assert_alike(alone, answer)


def test_harness_answers_as_the_plain_loop_does(built):
    examples = built.module.examples()
    for ours, plain in zip(predict_many(built.model, examples), _run(built.model, examples), strict=True):
        _assert_alike(ours, plain)


def test_examples_travel_to_where_the_file_is_not(built):
    """They are pickled for processes in which the user's module does not exist."""
    assert built.module.__name__.encode() not in pickle.dumps(built.module.examples())


def test_constructed_model_is_untrained_and_with_the_weights_the_same(name, built):
    """`construct` gives what formats that hold weights alone need, and does not do the training over again."""
    constructor = CATALOG[name].builder.replace("build", "construct")
    if not hasattr(built.module, constructor):
        assert name not in LEAST_ACCURACY, "it is trained, and loading its weights would train it again"
        return
    weights = built.model.state_dict()
    model = getattr(built.module, constructor)()
    assert not any(module.training for module in model.modules())
    assert not all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    model.load_state_dict(weights)
    examples = built.module.examples()
    assert _run(model, examples) == _run(built.model, examples)


def test_score_of_trained_models(name, built):
    if name not in LEAST_ACCURACY:
        assert not hasattr(built.module, "score")
        return
    found = built.module.score(lambda datapoints: predict_many(built.model, datapoints, batch_size=64))
    assert found["accuracy"] >= LEAST_ACCURACY[name]


def test_file_stands_alone(name):
    tree = ast.parse(CATALOG[name].path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)), "relative import"
    assert not {imported.partition(".")[0] for imported in names} & OURS
    assert "Exercises:" in ast.get_docstring(tree)


def test_every_file_is_in_the_catalog():
    files = {path.name for path in HERE.glob("*.py")} - {"__init__.py", "catalog.py"}
    assert files == {entry.file for entry in CATALOG.values()}


# --- what each was chosen for -----------------------------------------------------------------------------------


def test_embedding_and_head_are_one_parameter():
    model = _built("tied_char_lm").model
    assert model.head.weight is model.embedding.weight
    assert "blocks.0.mask" in dict(model.named_buffers()) and "blocks.0.mask" not in model.state_dict()


def test_closures_share_their_counter():
    model = _build("closure_preprocess").model
    assert model.calls() == 0
    model.preprocess([20.0, 20.0, 20.0, 20.0])
    assert model.calls() == 1


def test_twins_differ_by_the_lambda_alone():
    plain, twin = _built("sentiment_gru").model, _built("sentiment_gru_lambda").model
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), twin.parameters(), strict=True))
    (one,), (other,) = _run(plain, ["her music was a joy"]), _run(twin, ["her music was a joy"])
    assert other["prediction"] == pytest.approx([score / 0.7 for score in one["prediction"]])
    assert one["decision"] == "good"


@pytest.mark.parametrize("name", ["digits_cnn", "imagenet_resnet", "detector"])
def test_lost_batch_statistics_would_show(name):
    built = _built(name)
    examples = built.module.examples()
    expected = _run(built.model, examples)
    model = deepcopy(built.model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    assert repr(_run(model, examples)) != repr(expected)


def test_data_are_what_scikit_learn_ships():
    """The files read its data where they lie; this is the check that they read them right."""
    from sklearn.datasets import load_digits, load_sample_images, load_wine

    digits, wine, photographs = load_digits(), load_wine(), load_sample_images().images
    (images, labels), (held_images, held_labels) = _built("digits_cnn").module._data()
    found = sorted(
        (image.tobytes(), int(label))
        for image, label in zip([*images, *held_images], [*labels, *held_labels], strict=True)
    )
    assert found == sorted(
        (image.astype("float32").tobytes(), int(label))
        for image, label in zip(digits.images, digits.target, strict=True)
    )
    (frame, cultivars), (held_frame, held_cultivars) = _built("tabular_wine").module._data()
    order = np.argsort([*frame.index, *held_frame.index])
    assert (np.concatenate([frame, held_frame])[order] == wine.data).all()
    assert (np.concatenate([cultivars, held_cultivars])[order] == wine.target).all()
    for file in ("imagenet_resnet", "detector"):
        china, flower, _ = _built(file).module.examples()
        assert all(
            (np.asarray(image) == pixels).all() for image, pixels in zip((china, flower), photographs, strict=True)
        )


def test_checkpoint_by_path(tmp_path, monkeypatch):
    other = deepcopy(_built("imagenet_resnet").model.network)
    with torch.no_grad():
        other.conv1.weight.mul_(2)
    torch.save(other.state_dict(), tmp_path / "mine.pt")
    monkeypatch.setenv("ROUNDTRIP_RESNET18_CHECKPOINT", str(tmp_path / "mine.pt"))
    model = _build("imagenet_resnet").model
    assert torch.equal(model.network.conv1.weight, other.conv1.weight)
    assert not model.training


def test_detections_differ_in_number_and_both_filters_work():
    model = _built("detector").model
    examples = _built("detector").module.examples()
    with torch.no_grad():
        output = model(_batch(*map(model.preprocess, examples)))
    numbers = output["num_detections"].tolist()
    answers = _run(model, examples)
    assert len(set(numbers)) == len(numbers)
    for place, (number, answer) in enumerate(zip(numbers, answers, strict=True)):
        sure = int((output["scores"][place] >= model.threshold).sum())
        assert 0 < len(answer) <= sure < number
        assert not output["scores"][place, number:].any()
    assert any(
        len(answer) < int((scores >= model.threshold).sum())
        for answer, scores in zip(answers, output["scores"], strict=True)
    ), "the second NMS removed nothing"
