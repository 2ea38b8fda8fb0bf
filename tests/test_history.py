"""Runs over time: what the history keeps, and what the commands tell of it."""

from __future__ import annotations

import dataclasses
import re

import pytest
from click.testing import CliRunner

from harness import history
from harness.cli import main
from harness.errors import RecordsError
from harness.records import Record
from tests.noisy_runs import BACKENDS, of_models, run, write

pytest.importorskip("sqlite_utils")
pytest.importorskip("scipy")


def test_runs_are_kept_with_what_changed(tmp_path):
    db = history.open_history(tmp_path / "history.db")
    history.add(db, write(tmp_path / "a", run(1)))
    folder = write(tmp_path / "b", run(2))
    (folder / "environment.json").write_text('{"python": "3.12.1", "cpu": "one", "versions": {"torch": "2.14.1"}}')
    history.add(db, folder)
    points = history.trend(db, "load", "digits_cnn", ["pickle"])
    assert [point.run_id for point in points] == ["20261124-080001-aaaa", "20261124-080002-aaaa"]
    assert [point.changed for point in points] == ["", "python 3.11.7 → 3.12.1"]
    for point in points:
        assert point.ratio == pytest.approx(2.5, rel=0.1)
        assert point.low <= point.ratio <= point.high
    assert points[0].started == "2026-11-24 08:00:01"


def test_a_run_is_not_added_twice(tmp_path):
    db = history.open_history(tmp_path / "history.db")
    folder = write(tmp_path / "a", run(1))
    history.add(db, folder)
    history.add(db, folder)
    assert db["runs"].count == 1
    assert db["costs"].count == 2 * len(BACKENDS)


def test_traits_are_counted(tmp_path):
    records = run(1) + [
        Record("20261124-080001-aaaa", "pickle", f"trait/t{n}", "fresh_process", outcome="exact") for n in range(3)
    ]
    db = history.open_history(tmp_path / "history.db")
    history.add(db, write(tmp_path / "a", records))
    assert [row["count"] for row in db["traits"].rows] == [3]
    assert db["cells"].count == len(BACKENDS)


def test_an_older_database_is_brought_up_to_date(tmp_path, monkeypatch):
    """Migrations that are added later are applied, and keep the rows."""
    db = history.open_history(tmp_path / "history.db")
    history.add(db, write(tmp_path / "a", run(1)))
    db.close()
    original = history.migrations

    def later():
        steps = original()

        @steps()
        def m999_a_column(db) -> None:
            db["runs"].add_column("note", str, not_null_default="")

        return steps

    monkeypatch.setattr(history, "migrations", later)
    db = history.open_history(tmp_path / "history.db")
    assert [row["note"] for row in db["runs"].rows] == [""]
    db.close()
    monkeypatch.setattr(history, "migrations", original)
    with pytest.raises(RecordsError, match="newer version"):
        history.open_history(tmp_path / "history.db")


def test_a_damaged_database_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "history.db").write_bytes(b"not a database" * 100)
    with pytest.raises(RecordsError, match="Move it away"):
        history.open_history(tmp_path / "history.db")


def test_only_runs_of_the_reports_folder_are_remembered(tmp_path):
    reports = tmp_path / "reports"
    folder = write(reports / "runs" / "a", run(1))
    assert history.remember(write(tmp_path / "elsewhere", run(2)), reports) is None
    assert not (reports / history.FILE).exists()
    assert history.remember(folder, reports) == reports / history.FILE


# --- the commands ---


def test_compare_fails_on_a_regression(tmp_path):
    a, b = write(tmp_path / "a", run(1)), write(tmp_path / "b", run(2, {"dill": 1.5}))
    result = CliRunner().invoke(main, ["compare", str(a), str(b), "--fail-on", "regression"])
    assert result.exit_code == 1, result.output
    assert "SLOWER dill × digits_cnn: load +" in result.output
    assert "rerun dill" in result.output
    c, d = write(tmp_path / "c", of_models(1)), write(tmp_path / "d", of_models(2, {"dill": 1.5}))
    result = CliRunner().invoke(main, ["compare", str(c), str(d), "--fail-on", "regression"])
    assert result.exit_code == 1, result.output
    assert re.search(r"SLOWER dill: load \+\d+% over 9 models \(\+\d+% to \+\d+%\)", result.output)
    assert "of the backends would show one of" in result.output
    same = CliRunner().invoke(main, ["compare", str(a), str(a), "--fail-on", "regression"])
    assert same.exit_code == 0
    assert "0 worse, 0 better" in same.output
    assert "Half of the costs would show a slowdown of 1" in same.output  # 10 to 20 %, with 5 % of jitter


def test_compare_tells_of_lines_that_it_cannot_read(tmp_path):
    a, b = write(tmp_path / "a", run(1)), write(tmp_path / "b", run(2))
    file = b / "records.jsonl"
    file.write_text(file.read_text().replace('"schema_version": 1', '"schema_version": 99', 1))
    result = CliRunner().invoke(main, ["compare", str(a), str(b)])
    assert f"Note: {b}: records.jsonl, line 1: schema version 99" in result.output


def test_history_tells_of_lines_that_it_cannot_read(tmp_path):
    a = write(tmp_path / "a", run(1))
    (a / "records.jsonl").write_text((a / "records.jsonl").read_text() + "{\n{\n")
    done = CliRunner().invoke(main, ["history", "--file", str(tmp_path / "h.db"), "--add", str(a)])
    assert f"Note: {a}: records.jsonl, line 5 and 1 lines more: not a whole JSON object" in done.output


def test_history_shows_runs_and_writes_the_page(tmp_path):
    a, b = write(tmp_path / "a", run(1)), write(tmp_path / "b", run(2))
    file, page = tmp_path / "h.db", tmp_path / "trend.html"
    empty = CliRunner().invoke(main, ["history", "--file", str(file)])
    assert "No costs there yet" in empty.output
    arguments = ["history", "--file", str(file), "--add", str(a), "--add", str(b), "--page", str(page)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "digits_cnn: load, × floor" in result.output
    text = page.read_text()
    assert "20261124-080002-aaaa" in text and "http://" not in text.replace("http://www.w3.org", "")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_history_is_readable_in_a_narrow_terminal(tmp_path, columns):
    """36 backends and 40 runs: a whole row each, no line too long, the newest run among those that fit."""
    names = [f"a_backend_of_23_letters{n:02d}"[-23:] for n in range(36)]
    file = tmp_path / "h.db"
    db = history.open_history(file)
    for day in range(40):
        records = [dataclasses.replace(run(day)[0], backend=name, run_id=f"202611{day % 28 + 1:02d}-08{day:02d}00-aaaa")
                   for name in names]  # fmt: skip
        folder = write(tmp_path / f"run{day}", records)
        (folder / "environment.json").write_text(f'{{"python": "3.11.{day // 39}", "versions": {{"torch": "2.14.1"}}}}')
        history.add(db, folder)
    shown = ["history", "--file", str(file)]
    text = CliRunner().invoke(main, shown, env={"COLUMNS": str(columns)}).output
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(tuple(names))}
    assert sorted(rows) == sorted(names)
    newest = {point.backend: point for point in history.trend(db, "load", "digits_cnn") if point.started[8:10] == "28"}
    for name, cells in rows.items():
        *ratios, low, to, high = cells
        point = newest[name]
        assert [ratios[-1], low, to, high] == [
            f"{point.ratio:.3g}", f"{point.low:.3g}", "to", f"{point.high:.3g}"]  # fmt: skip
        assert 2 <= len(ratios) == len(next(iter(rows.values()))) - 3 < 40
    assert f"the newest {len(ratios)} of 40 runs (--all: every one)" in " ".join(text.split())
    assert "changed: python 3.11.0 → 3.11.1" not in text or columns > 60
    whole = CliRunner().invoke(main, [*shown, "--all"], env={"COLUMNS": str(columns)}).output
    assert all(len(line.split()) == 1 + 40 + 3 for line in whole.splitlines() if line.startswith(tuple(names)))
    assert "2026-11-12 08:39:00 changed: python 3.11.0 → 3.11.1" in whole
