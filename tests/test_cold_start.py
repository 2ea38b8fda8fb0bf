"""Cold starts, and that a record's command runs just that cell again."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import registry
from harness.cell import saving
from harness.costs import cold_start
from harness.costs.competitor import Competitor
from harness.matrix import Run, Settings
from harness.project.staging import stage
from harness.records import Record, read_records

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Records of two that are started in turn: one whose artifact is whole, and one whose artifact is empty."""
    folder, competitors = tmp_path_factory.mktemp("started"), []
    source = registry.model_source("nested_fruit")
    for name in ("whole", "empty"):
        staged = stage(source, folder / name / "stage")
        saved = saving.save("pickle", source.builder, staged, folder / name / "cell")
        competitors.append(Competitor(saved, staged.own_modules))
    for path in competitors[1].saved.artifact.iterdir():
        path.write_bytes(b"")
    records = cold_start.measure(competitors, 2, folder / "cold", "r", "nested_fruit")
    for competitor in competitors:
        competitor.saved.close()
    return records, folder


def test_a_start_is_split_into_its_parts(started):
    record = started[0][0]
    assert (record.kind, record.outcome) == ("cold_start", ""), record.message
    assert set(record.facts) == {*cold_start.PARTS, "total_s"}
    assert len(record.facts["total_s"]) == 2
    for number in range(2):
        parts = [record.facts[name][number] for name in cold_start.PARTS]
        assert all(part > 0 for part in parts)
        assert record.facts["total_s"][number] == pytest.approx(sum(parts))
    assert record.facts["torch_import_s"][0] > record.facts["first_prediction_s"][0]


def test_a_start_that_fails_is_an_outcome(started):
    (_, record), folder = started
    assert record.outcome == "failed"
    assert "EOFError" in record.message
    assert str(folder) not in record.message
    assert record.facts == {}


ONE_COLD_START = """
import sys, pytest
from harness import matrix

matrix.COLD_STARTS = 1
sys.exit(pytest.main(sys.argv[1:]))
"""
"""`python -m pytest`, where a start counts instead of several."""


@dataclass
class Again:
    """A cell, and what its command gave with some options more."""

    cell: Record
    records: list[Record]
    benchmarks: list[dict]


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """Also where names need quoting: a model's file in a folder whose name has a blank."""
    tmp_path = tmp_path_factory.mktemp("again")
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
    more = ["--condition", "fresh_process", "--rounds", "4", "--cold-starts", "all"]
    into = ["--output", str(tmp_path / "again"), "--benchmark-json", str(tmp_path / "bench.json")]
    done = subprocess.run(
        [sys.executable, "-c", ONE_COLD_START, *command[1:], *more, *into],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    records = read_records(tmp_path / "again").records
    return Again(cell, records, json.loads((tmp_path / "bench.json").read_text())["benchmarks"])


def test_a_records_command_runs_that_cell_again(again):
    (found,) = (record for record in again.records if (record.kind, record.condition) == ("cell", again.cell.condition))
    named = ("backend", "model", "condition", "outcome", "stage", "error_type", "message", "rerun")
    assert [getattr(found, name) for name in named] == [getattr(again.cell, name) for name in named]


def test_pytest_benchmark_shows_the_records_numbers(again):
    """Its JSON and our records hold the same durations, those of the worker's own clock; cold starts stand beside."""
    assert {record.kind for record in again.records} >= {"cell", "floor", "cold_start"}
    (cell,) = (record for record in again.records if (record.kind, record.condition) == ("cell", "fresh_process"))
    assert len(again.benchmarks) == 3
    for benchmark in again.benchmarks:
        operation = benchmark["group"].partition(": ")[2]
        expected = getattr(cell, f"{operation}_s")
        assert benchmark["name"] == cell.backend
        assert len(expected) == 4
        assert benchmark["stats"]["data"] == pytest.approx(expected, rel=1e-6)
