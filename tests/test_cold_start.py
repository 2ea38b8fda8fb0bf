"""Cold starts, and that a record's command runs just that cell again."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cold_start, registry, round_trip
from harness.competitor import Competitor
from harness.matrix import Run, Settings
from harness.records import read_records
from harness.staging import stage

ROOT = Path(__file__).parent.parent


@pytest.fixture
def competitor(tmp_path):
    source = registry.model_source("nested_fruit")
    staged = stage(source, tmp_path / "stage")
    saved = round_trip.save("pickle", source.builder, staged, tmp_path / "cell")
    yield Competitor(saved, staged.own_modules)
    saved.close()


def test_a_start_is_split_into_its_parts(competitor, tmp_path):
    (record,) = cold_start.measure([competitor], 2, tmp_path / "cold", "r", "nested_fruit")
    assert (record.kind, record.outcome) == ("cold_start", ""), record.message
    assert set(record.facts) == {*cold_start.PARTS, "total_s"}
    for number in range(2):
        parts = [record.facts[name][number] for name in cold_start.PARTS]
        assert all(part > 0 for part in parts)
        assert record.facts["total_s"][number] == pytest.approx(sum(parts))
    assert record.facts["torch_import_s"][0] > record.facts["first_prediction_s"][0]


def test_a_start_that_fails_is_an_outcome(competitor, tmp_path):
    for path in competitor.saved.artifact.iterdir():
        path.write_bytes(b"")
    (record,) = cold_start.measure([competitor], 3, tmp_path / "cold", "r", "nested_fruit")
    assert record.outcome == "failed"
    assert "EOFError" in record.message
    assert str(tmp_path) not in record.message
    assert record.facts == {}


def test_a_records_command_runs_that_cell_again(tmp_path):
    """Also where names need quoting: a model's file in a folder whose name has a blank."""
    folder = tmp_path / "my models"
    folder.mkdir()
    source = registry.model_source("nested_fruit")
    path = folder / "fruit.py"
    path.write_text(source.path.read_text())
    model = f"{path}:{source.builder}"
    run = Run(Settings(("pickle",), (model,), ("source_absent",), rounds=0), tmp_path / "first")
    (cell,) = (record for record in run.model(model) if record.kind == "cell")
    run.close()
    command = shlex.split(cell.rerun)
    assert command[:2] == ["pytest", "benchmarks/"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--rounds", "0", "--output", str(tmp_path / "again")],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (again,) = (record for record in read_records(tmp_path / "again").records if record.kind == "cell")
    named = ("backend", "model", "condition", "outcome", "stage", "error_type", "message", "rerun")
    assert [getattr(again, name) for name in named] == [getattr(cell, name) for name in named]


def test_pytest_benchmark_shows_the_records_numbers(tmp_path):
    """Its JSON and our records hold the same durations, those of the worker's own clock; cold starts stand beside."""
    command = [sys.executable, "-m", "pytest", "benchmarks/", "--backend", "pickle", "--model",
               "nested_fruit", "--condition", "fresh_process", "--rounds", "4", "--cold-starts", "all",
               "--output", str(tmp_path / "run"), "--benchmark-json", str(tmp_path / "bench.json")]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    records = read_records(tmp_path / "run").records
    assert {record.kind for record in records} >= {"cell", "floor", "cold_start"}
    cells = {cell.backend: cell for cell in records if cell.kind == "cell"}
    shown = json.loads((tmp_path / "bench.json").read_text())["benchmarks"]
    assert len(shown) == 3
    for benchmark in shown:
        operation = benchmark["group"].partition(": ")[2]
        expected = getattr(cells[benchmark["name"]], f"{operation}_s")
        assert len(expected) == 4
        assert benchmark["stats"]["data"] == pytest.approx(expected, rel=1e-6)
