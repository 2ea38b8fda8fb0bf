"""The corpus against a backend: models that share processes give what they give alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import corpus, registry
from harness.cell import hash_seeds
from harness.cli import main
from harness.processes import interpreters
from harness.records import read_records

NEXT = [
    other
    for other in map(interpreters.describe, interpreters.found())
    if other.python.split(".")[:2] != [str(part) for part in sys.version_info[:2]]
]
FAKES = Path(__file__).with_name("fakes.py")
SAMPLE = [
    "trait/global_rebound",
    "trait/global_dict_changed",
    "trait/class_attribute_changed",
    "trait/views_sharing_storage",
    "trait/lambda_default_argument",
    "trait/lazy_module_unfilled",
]

CONDITIONS = ("fresh_process", "source_absent")


def together(backend, names, folder, wanted=CONDITIONS, described=None):
    cells = []
    for number, batch in enumerate(corpus.batches(names, [backend])):
        place = corpus.Place(folder / str(number), described)
        cells += corpus.run(batch, wanted, place, "test", lambda text: None)
    return {(cell.model, cell.condition): (cell.outcome, cell.stage, cell.error_type) for cell in cells}


def alone(backend, names, folder, wanted=CONDITIONS):
    cells = {}
    for number, name in enumerate(names):
        cells |= together(backend, [name], folder / str(number), wanted)
    return cells


def _of_one_file(stem):
    return [name for name in registry.trait_names() if registry.model_source(name).path.stem == stem]


@pytest.mark.parametrize("backend", ["pickle", "cloudpickle_by_value"])
def test_together_as_alone(backend, tmp_path):
    """With what another backend wrote of the originals, too."""
    described = tmp_path / "described"
    together("dill", SAMPLE, tmp_path / "first", ["fresh_process"], described)
    assert len(list((described / "imported").iterdir())) == len(SAMPLE)
    found = together(backend, SAMPLE, tmp_path / "together", described=described)
    assert found == alone(backend, SAMPLE, tmp_path / "alone")


def test_what_one_model_leaves_in_a_process_is_not_held_against_the_next(tmp_path):
    names = ["trait/autocast_context", "trait/autocast_decorator"]
    found = together(f"{FAKES}:StopsHalfWay", names, tmp_path, ["fresh_process"])
    assert [outcome for outcome, *_ in found.values()] == ["failed", "exact"], found


def test_an_original_that_is_another_is_described_anew(tmp_path):
    """A model that draws numbers when it is built is not taken for the one that another process built."""
    model = tmp_path / "drawn.py"
    model.write_text(
        """
import os
import torch

class Drawn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("noise", torch.tensor(list(os.urandom(16))))
    def preprocess(self, x): return torch.tensor([x])
    def forward(self, batch): return batch + self.noise
    def postprocess(self, output): return output.tolist()

def build(): return Drawn()
def examples(): return [1]
"""
    )
    names, described = [f"{model}:build"], tmp_path / "described"
    for backend in ("pickle", "dill"):
        found = together(backend, names, tmp_path / backend, ["fresh_process"], described)
        assert [outcome for outcome, *_ in found.values()] == ["exact"]


def test_what_a_save_does_to_an_original_is_seen_where_another_process_described_it(tmp_path):
    fake, names, described = tmp_path / "leaves_a_mark.py", ["trait/plain_constants"], tmp_path / "described"
    fake.write_text(
        FAKES.read_text()
        + """

class LeavesAMark(Honest):
    def save(self, model, directory):
        super().save(model, directory)
        model.saved = True
"""
    )
    together("dill", names, tmp_path / "dill", ["fresh_process"], described)
    places = [corpus.Place(tmp_path / "shared", described), corpus.Place(tmp_path / "own")]
    (batch,) = corpus.batches(names, [f"{fake}:LeavesAMark"])
    for place in places:
        (cell,) = corpus.run(batch, ["fresh_process"], place, "test", lambda text: None)
        assert cell.outcome == "mismatch" and cell.message.startswith("saving changed the original: model.saved")


def test_other_hash_seeds_are_asked_once_for_all_methods(tmp_path, monkeypatch):
    asked, plain = [], hash_seeds._asked
    monkeypatch.setattr(hash_seeds, "_asked", lambda examined: asked.append(1) or plain(examined))
    names, described = ["trait/labels_in_the_order_of_a_set"], tmp_path / "described"
    for backend in ("pickle", "dill"):
        found = together(backend, names, tmp_path / backend, ["fresh_process"], described)
        assert [outcome for outcome, *_ in found.values()] == ["mismatch"]
    assert len(asked) == 1


def test_a_method_that_changes_every_class_describes_a_file_s_models_in_one_process(tmp_path, monkeypatch):
    """None of them is as another process described it, and a process for each would cost three times as much."""
    names = [f"trait/{name}" for name in ("one_linear_layer", "module_list", "module_dict_odd_keys", "parameter_list")]
    described = tmp_path / "described"
    together("pickle", names, tmp_path / "pickle", ["fresh_process"], described)
    started, fresh = [], corpus.templates.fresh
    monkeypatch.setattr(corpus.templates, "fresh", lambda *which: started.append(which) or fresh(*which))
    found = together("hf_mixin", names, tmp_path / "shared", ["fresh_process"], described)
    assert {outcome for outcome, *_ in found.values()} == {"exact"}  # else the next model gets a new process
    assert len(started) == 4  # one to find out, one for that model again, one for the others; one that loads
    assert found == together("hf_mixin", names, tmp_path / "own", ["fresh_process"])


def test_what_an_import_sets_in_a_library_is_seen_after_a_model_that_another_process_described(tmp_path):
    """It is set when the first of the file is built, which is taken over; the second nobody has described yet."""
    model = tmp_path / "settings.py"
    model.write_text(
        """
import torch
from PIL import Image, ImageFile

ImageFile.LOAD_TRUNCATED_IMAGES = True

class Reads(torch.nn.Module):
    def preprocess(self, x): return torch.tensor([Image.new("L", (1, 1), x).getpixel((0, 0))])
    def forward(self, batch): return batch
    def postprocess(self, output): return output.tolist()

def first(): return Reads()
def second(): return Reads()
def examples(): return [1]
"""
    )
    names, described = [f"{model}:first", f"{model}:second"], tmp_path / "described"
    together("pickle", names[:1], tmp_path / "pickle", ["source_absent"], described)
    both = together("cloudpickle_by_value", names, tmp_path / "both", ["source_absent"], described)
    assert [outcome for outcome, *_ in both.values()] == ["mismatch", "mismatch"]


def test_conditions_beside_the_default_ones(tmp_path):
    """Each cell is loaded as its condition says: in the saving process, in a spawned worker, by another Python."""
    other = interpreters.describe(sys.executable)
    wanted = ["same_process", "spawned_workers", "other_interpreter"]
    (batch,) = corpus.batches(SAMPLE[1:2], ["pickle"])
    place = corpus.Place(tmp_path / "run", None, (other, other))
    cells = corpus.run(batch, wanted, place, "test", lambda text: None)
    assert [(cell.condition, cell.outcome, cell.interpreter) for cell in cells] == [
        ("same_process", "exact", None),
        ("spawned_workers", "mismatch", None),
        ("other_interpreter", "mismatch", other.label),
        ("other_interpreter", "mismatch", other.label),
    ]
    assert "--interpreter" in cells[-1].rerun


@pytest.mark.skipif(not NEXT, reason="another Python minor is not built: make interpreters")
def test_the_corpus_under_another_minor_version(tmp_path):
    """Code by value is bytecode, which another minor version may not run; code by reference and data load there."""
    traits = ["lambda_reads_global", "views_sharing_storage", "int_keyed_dict", "global_rebound"]
    found = {}
    for backend in ("pickle", "cloudpickle_by_value"):
        (*several,) = corpus.batches([f"trait/{name}" for name in traits], [backend])
        for number, batch in enumerate(several):
            place = corpus.Place(tmp_path / f"{backend}{number}", None, tuple(NEXT[:1]))
            for cell in corpus.run(batch, ["other_interpreter"], place, "test", lambda text: None):
                assert (cell.condition, cell.interpreter) == ("other_interpreter", NEXT[0].label)
                found[backend, cell.model.removeprefix("trait/")] = cell.outcome
    assert found["pickle", "int_keyed_dict"] == "exact"
    assert found["pickle", "views_sharing_storage"] == "mismatch"
    assert found["pickle", "global_rebound"] == "mismatch"
    assert found["pickle", "lambda_reads_global"] == "failed"
    assert found["cloudpickle_by_value", "int_keyed_dict"] == "crashed"


def test_another_interpreter_has_to_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreters, "found", tuple)
    arguments = ["traits", "--trait", "tied_weights", "--backend", "pickle", "--condition", "other_interpreter"]
    result = CliRunner().invoke(main, [*arguments, "--output", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "needs another Python" in result.output


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["pickle", "dill", "cloudpickle_by_value", "json_spec"])
def test_the_whole_corpus_together_as_alone(backend, tmp_path):
    """`together`: with what another backend wrote of the originals."""
    names, described = registry.trait_names(), tmp_path / "described"
    together("dill_recurse", names, tmp_path / "first", ["fresh_process"], described)
    found = together(backend, names, tmp_path / "together", described=described)
    assert found == alone(backend, names, tmp_path / "alone")


def test_a_crash_is_its_own_models(tmp_path):
    """A load that ends its process does not touch the models before and after it."""
    names = registry.trait_names()[:3]
    crashes = tmp_path / "crashes.py"
    crashes.write_text(
        FAKES.read_text()
        + """

class CrashesOnce(Honest):
    def load(self, directory):
        if directory.parent.name == "001":
            os.abort()
        return super().load(directory)
"""
    )
    cells = together(f"{crashes}:CrashesOnce", names, tmp_path / "run", ["fresh_process"])
    assert [outcome for outcome, *_ in cells.values()] == ["exact", "crashed", "exact"]


def test_the_command(tmp_path):
    arguments = ["traits", "--backend", "pickle", "--trait", "views_sharing_storage", "--output", str(tmp_path / "run")]
    arguments += [part for name in CONDITIONS for part in ("--condition", name)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "1 cell loads and is wrong" in result.output
    cells = read_records(tmp_path / "run").records
    assert {(cell.condition, cell.outcome) for cell in cells} == {
        ("fresh_process", "mismatch"),
        ("source_absent", "failed"),
    }
    assert cells[0].rerun == "roundtrip check trait/views_sharing_storage --backend pickle --condition fresh_process"
    assert all(cell.environment_id for cell in cells)


def test_files_in_memory_where_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "IN_MEMORY", tmp_path)
    monkeypatch.setattr(corpus, "ROOM_BYTES", 1)
    assert corpus.scratch() == tmp_path
    monkeypatch.setattr(corpus, "ROOM_BYTES", 1 << 62)
    assert corpus.scratch() is None
    monkeypatch.setattr(corpus, "ROOM_BYTES", 1)
    monkeypatch.setattr(corpus, "IN_MEMORY", tmp_path / "absent")
    assert corpus.scratch() is None
