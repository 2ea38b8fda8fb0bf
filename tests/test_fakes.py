"""Every deliberately wrong backend is caught, and for its own reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import registry
from harness.processes import process
from harness.processes.templates import Original
from harness.project.staging import stage

FAKES = Path(__file__).with_name("fakes.py")

CAUGHT = {
    "RoundsAWeight": ("mismatch|close", "model.norm.weight"),
    "DropsABuffer": ("mismatch", "model.blocks"),
    "UntiesAWeight": ("mismatch", "model.head.weight"),
    "ChangesADtype": ("mismatch", "model.norm"),
    "LosesAWord": ("mismatch", "model.symbols"),
    "StringKeys": ("failed", "KeyError"),
    "WrongInTheSecondExample": ("mismatch", "model"),
    "TrainsAgain": ("mismatch", "model.blocks.1"),
    "Freezes": ("mismatch", "model.position.weight"),
    "DictForDataclass": ("mismatch", "model.beam"),
    "PersistsABuffer": ("mismatch", "model.blocks.0"),
    "ChangesTheOriginal": ("mismatch", "saving changed the original"),
    "ForgetsPostprocess": ("partial", "preprocess, postprocess"),
    "ReturnsAState": ("mismatch", "no stage of the model came back, but a dict"),
    "PostprocessDies": ("failed", "NameError"),
    "Declines": ("unsupported", "use a dict"),
    "Crashes": ("crashed", "SIGABRT"),
    "Leaves": ("crashed", "exit code 3"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The model that most of them save: training it takes longer than a cell does."""
    folder = tmp_path_factory.mktemp("tied_char_lm")
    source = registry.model_source("tied_char_lm")
    original = Original(source.builder, stage(source, folder / "stage"), folder / "original")
    assert original.forkable
    yield original
    original.close()


@pytest.fixture
def cell(run_cell, original):
    """`cell(fake)` -> Record, of that model."""
    return lambda name: run_cell(f"{FAKES}:{name}", "tied_char_lm", original=original)


def test_the_honest_one_is_exact(cell):
    record = cell("Honest")
    assert record.outcome == "exact"
    assert record.taps == {"preprocess": "equal", "forward": "equal", "postprocess": "equal"}


def test_what_running_the_original_changed_of_its_class_is_not_the_backends_doing(run_cell):
    record = run_cell(f"{FAKES}:Honest", "trait/autocast_decorator", "same_process")
    assert record.outcome == "exact", record


@pytest.mark.parametrize("name", CAUGHT)
def test_a_wrong_backend_is_caught(cell, name):
    outcome, words = CAUGHT[name]
    record = cell(name)
    assert record.outcome in outcome.split("|"), record
    told = " ".join([f"{record.error_type}: {record.message}", *(item["path"] for item in record.state)])
    assert words in told


def test_a_difference_in_the_second_example_names_it(cell):
    record = cell("WrongInTheSecondExample")
    assert record.taps == {"preprocess": "equal", "forward": "equal", "postprocess": "different"}
    assert any("postprocess(examples[1])['translation']" in item["path"] for item in record.state)


def test_a_failing_stage_is_named(cell):
    record = cell("PostprocessDies")
    assert (record.stage, record.error_type) == ("postprocess", "NameError")
    assert record.taps == {"preprocess": "equal", "forward": "equal", "postprocess": "different"}


def test_a_hang_is_an_outcome(run_cell, monkeypatch):
    monkeypatch.setattr(process, "TIMEOUT_S", 3.0)
    record = run_cell(f"{FAKES}:Hangs", "nested_fruit")
    assert record.outcome == "crashed"
    assert "no answer within 3 s" in record.message
