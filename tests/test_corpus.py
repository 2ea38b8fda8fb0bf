"""The corpus against a backend: models that share processes give what they give alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import corpus, registry
from harness.cli import main
from harness.records import read_records

FAKES = Path(__file__).with_name("fakes.py")
SAMPLE = [
    "trait/global_rebound",
    "trait/global_dict_changed",
    "trait/class_attribute_changed",
    "trait/views_sharing_storage",
    "trait/lambda_default_argument",
    "trait/lazy_module_unfilled",
]


def together(backend, names, folder, wanted=corpus.DEFAULT_CONDITIONS):
    cells = []
    for number, batch in enumerate(corpus.batches(names, [backend])):
        cells += corpus.run(batch, wanted, folder / str(number), "test", lambda text: None)
    return {(cell.model, cell.condition): (cell.outcome, cell.stage, cell.error_type) for cell in cells}


def alone(backend, names, folder, wanted=corpus.DEFAULT_CONDITIONS):
    cells = {}
    for number, name in enumerate(names):
        cells |= together(backend, [name], folder / str(number), wanted)
    return cells


@pytest.mark.parametrize("backend", ["pickle", "cloudpickle_by_value"])
def test_together_as_alone(backend, tmp_path):
    assert together(backend, SAMPLE, tmp_path / "together") == alone(backend, SAMPLE, tmp_path / "alone")


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["pickle", "dill", "cloudpickle_by_value", "json_spec"])
def test_the_whole_corpus_together_as_alone(backend, tmp_path):
    names = registry.trait_names()
    assert together(backend, names, tmp_path / "together") == alone(backend, names, tmp_path / "alone")


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
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "1 cells load and are wrong" in result.output
    cells = read_records(tmp_path / "run").records
    assert {(cell.condition, cell.outcome) for cell in cells} == {
        ("fresh_process", "mismatch"),
        ("source_absent", "failed"),
    }
    assert cells[0].rerun == "roundtrip check trait/views_sharing_storage --backend pickle --condition fresh_process"
    assert all(cell.environment_id for cell in cells)
