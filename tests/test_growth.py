"""Growth: exponents of known curves, where a backend leaves the floor, budgets and resuming on a simulated clock."""

from __future__ import annotations

import math
from collections import namedtuple

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.costs import growth
from harness.errors import NoRoom
from harness.findings import growth_curves
from harness.project import synthetic
from harness.records import Record, RecordWriter, read_records

MB = 1 << 20


def record(size: int, load_s: float, floor_s: float = 1e-3, sweep: str = "bytes", backend: str = "b") -> Record:
    facts = {"sweep": sweep, "tensor_bytes": size, "modules": size, "load_s": load_s}
    return Record(
        "r", backend, f"m{size}", "fresh_process", kind="growth", outcome="exact", facts=facts,
        load_s=[load_s] * 5, floor_read_s=[floor_s] * 5,
    )  # fmt: skip


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power(power):
    exponent, error = growth_curves.fit([(size, 3.0 * size**power) for size in (1, 4, 16, 64, 256)])
    assert exponent == pytest.approx(power)
    assert error == pytest.approx(0.0, abs=1e-6)


def test_what_is_fixed_at_small_sizes_does_not_bend_the_exponent():
    line = [(float(4**step), 100.0 + 4.0**step) for step in range(12)]
    assert growth_curves.fit(line)[0] == pytest.approx(1.0, abs=0.1)
    whole = math.log(line[-1][1] / line[0][1]) / math.log(line[-1][0] / line[0][0])
    assert whole < 0.8  # what the whole range would give


def test_two_points_have_no_exponent():
    assert growth_curves.fit([(1.0, 1.0), (2.0, 2.0)]) == (None, None)


def test_where_a_backend_leaves_the_floor():
    ratios = {1: 3.0, 4: 1.1, 16: 1.5, 64: 2.5, 256: 4.0}  # above it at first, and for good from 64 on
    (curve,) = growth_curves.curves([record(size, ratio * 1e-3) for size, ratio in ratios.items()])
    assert (curve.what, curve.leaves_at) == ("load_s", 64)
    (curve,) = growth_curves.curves([record(size, 1e-3) for size in ratios])
    assert curve.leaves_at is None


def test_points_are_within_the_limits_and_small_ones_first():
    found = growth.points(64 * MB, 100)
    assert max(point.wanted_bytes for point in found) == 64 * MB
    assert [point.modules for point in found if point.sweep == "modules"] == [10, 100]
    assert found[0].wanted_bytes == MB
    assert growth.points(4 << 30)[-1].model == "synthetic/4GB-8"
    for point in found:
        assert abs(synthetic.tensor_bytes(point.wanted_bytes, point.modules) - point.wanted_bytes) < 0.02 * MB


def test_the_budget_ends_a_run_and_it_goes_on_where_it_ended(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(growth, "_point", lambda point, backend, folder, run_id: Record(
        run_id, backend, point.model, "fresh_process", kind="growth", facts={"sweep": point.sweep}))  # fmt: skip
    wanted = growth.points(16 * MB, 100)
    first = list(growth.run(growth.missing(wanted, ["a", "b"], []), "r", budget_s=35, clock=lambda: next(clock)))
    assert len(first) == 3
    todo = growth.missing(wanted, ["a", "b"], [*first, record(1, 1.0)])  # what else there is has no say
    rest = list(growth.run(todo, "r", budget_s=1e9, clock=lambda: 0.0))
    places = [(found.backend, found.model, found.facts["sweep"]) for found in first + rest]
    assert len(places) == len(set(places)) == 2 * len(wanted)


def test_no_room_is_said_before_anything_is_written(monkeypatch, tmp_path):
    point = growth.Point("bytes", 4 << 30, 8)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(growth.shutil, "disk_usage", lambda folder: usage(5 << 30))
    with pytest.raises(NoRoom, match=r"needs 11\.0 GB of disk"):
        growth.check_room(point, tmp_path)
    monkeypatch.setattr(growth.shutil, "disk_usage", lambda folder: usage(50 << 30))
    monkeypatch.setattr(growth.proc, "available_memory", lambda: 8 << 30)
    with pytest.raises(NoRoom, match="of memory"):
        growth.check_room(point, tmp_path)
    monkeypatch.setattr(growth.proc, "available_memory", lambda: None)
    growth.check_room(point, tmp_path)


def test_the_command_measures_and_resumes(tmp_path):
    command = ["growth", "--backend", "pickle", "--max-bytes", "4MB", "--output", str(tmp_path / "run")]
    done = CliRunner().invoke(main, [*command, "--max-modules", "10"])
    assert done.exit_code == 0, done.stderr
    first = read_records(tmp_path / "run").records
    assert [found.outcome for found in first] == ["exact"] * 3
    assert all(len(found.load_s) == growth.ROUNDS for found in first)
    assert first[-1].facts["peak_anon_bytes_load"] > 4 * MB
    done = CliRunner().invoke(main, [*command, "--max-modules", "100"])
    assert done.exit_code == 0, done.stderr
    assert "1 of 1, " in done.stderr  # what a log says of the progress
    both = read_records(tmp_path / "run").records
    assert len(both) == 4
    assert both[:3] == first
    assert len({found.run_id for found in both}) == 1


def test_what_follows_a_line_that_was_cut_off_is_kept(tmp_path):
    """A run that was killed while it wrote, and goes on."""
    writer = RecordWriter(tmp_path)
    writer.write([record(MB, 1e-3), record(4 * MB, 1e-3)])
    writer.close()
    file = tmp_path / "records.jsonl"
    file.write_text(file.read_text()[:-40])
    for size in (16 * MB, 64 * MB):
        writer = RecordWriter(tmp_path, resume=True)
        writer.write([record(size, 1e-3)])
        writer.close()
    read = read_records(tmp_path)
    assert [found.facts["tensor_bytes"] // MB for found in read.records] == [1, 16, 64]
    assert len(read.problems) == 1
