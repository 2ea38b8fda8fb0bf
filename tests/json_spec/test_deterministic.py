"""The same model gives the same bytes in every process, and a changed hyperparameter is one changed line."""

from __future__ import annotations

import difflib
from pathlib import Path

import json_spec_things as things
import pytest
from torch import nn

from backends.json_spec import save, spec
from tests import programs

SCRIPT = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
from backends.base import UnsupportedModel
from backends.json_spec import save
model = getattr(importlib.import_module(sys.argv[2]), sys.argv[3])()
try:
    save(model, sys.argv[4])
except UnsupportedModel as error:
    print("unsupported:", error)
"""


def saved_twice(folder, module, builder, directory):
    """Build and save in two fresh processes with other hash seeds; their folders and refusals, or empty texts."""
    folders = [directory / "one", directory / "other"]
    refused = [
        programs.run(SCRIPT, str(folder), module, builder, str(one), folder=directory, another_hash_seed=another)
        for one, another in zip(folders, (False, True), strict=True)
    ]
    return folders, refused


def assert_same_bytes(one, other):
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in other.iterdir())
    for path in one.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (other / path.relative_to(one)).read_bytes(), path.name


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(__import__("reference_models.catalog").catalog.CATALOG))
def test_every_reference_model_is_saved_alike_under_two_hash_seeds(name, tmp_path):
    from harness.project.staging import stage
    from harness.registry import model_source

    source = model_source(name)
    staged = stage(source, tmp_path / "staged")
    folders, refused = saved_twice(staged.folder, staged.module, source.builder, tmp_path)
    assert refused[0] == refused[1]
    if refused[0]:
        assert "lambda" in refused[0] or "local" in refused[0]
    else:
        assert_same_bytes(*folders)


def test_two_hash_seeds_give_the_same_bytes(tmp_path):
    folders, refused = saved_twice(Path(__file__).parent, "json_spec_things", "fixed_model", tmp_path)
    assert refused == ["", ""]
    assert_same_bytes(*folders)


CHANGES = {
    "an attribute": lambda model: setattr(model.decoder, "threshold", 0.9),
    "an option": lambda model: model.head.options.update(mode="slow"),
    "a layer's setting": lambda model: setattr(model.dropout, "p", 0.25),
    "a label": lambda model: model.decoder.labels.__setitem__(1, "ugly"),
    "training mode": lambda model: model.dropout.eval(),
    "an activation": lambda model: setattr(model.head, "activation", len),
}


def made(**noted):
    import torch

    torch.manual_seed(0)
    model = things.Holder(dropout=spec(nn.Dropout)(**noted), head=things.Layer(2, activation=abs, mode="fast"))
    model.decoder = things.Decoder(["good", "bad"])
    vars(model.decoder).pop("_spec_call")  # else the label stands there too
    vars(model.head).pop("_spec_call")
    return model


def changed_lines(tmp_path, one, other):
    lines = []
    for name, model in (("a", one), ("b", other)):
        save(model, tmp_path / name)
        lines.append((tmp_path / name / "spec.json").read_text("utf-8").splitlines())
    found = list(difflib.unified_diff(*lines, n=0, lineterm=""))[2:]
    return [line for line in found if not line.startswith("@@")]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_hyperparameter_is_one_changed_line(tmp_path, change):
    other = made()
    CHANGES[change](other)
    before, after = changed_lines(tmp_path, made(), other)
    assert before[0] == "-" and after[0] == "+" and before != after


def test_a_changed_argument_is_one_line_where_it_was_given_and_one_where_it_is_kept(tmp_path):
    lines = changed_lines(tmp_path, made(p=0.5), made(p=0.1))
    fields = ['"call"', '"call"', '"attributes"', '"attributes"']
    assert [line.lstrip("+- ").partition(":")[0] for line in lines] == fields


def test_the_digest_of_tensors_does_not_change_with_a_hyperparameter(tmp_path):
    changed_lines(tmp_path, made(), made(p=0.1))
    assert (tmp_path / "a" / "digests.json").read_bytes() == (tmp_path / "b" / "digests.json").read_bytes()
