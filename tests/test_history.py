"""Runs over time: what the history keeps, and what counts as a change."""

from __future__ import annotations

import dataclasses
import random
import re
import statistics
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import history, moves, rankings
from harness.changes import _cells, _costs, _moves, compare_runs
from harness.cli import main
from harness.errors import RecordsError
from harness.records import Record, RecordWriter, read_records

pytest.importorskip("sqlite_utils")
pytest.importorskip("scipy")

BACKENDS = {"pickle": 1.0, "dill": 2.0, "torch_save": 1.3, "json_spec": 0.6}


def run(
    seed: int, slower: dict[str, float] | None = None, rounds: int = 15, run_id: str = "", jitter: float = 0.05
) -> list[Record]:
    """A run whose machine drifts, and jitters by 5 % unless told otherwise; `slower` multiplies a backend's loads."""
    noise = random.Random(seed)
    speed, drift = noise.uniform(0.7, 1.5), [noise.lognormvariate(0, 0.2) for _ in range(rounds)]
    records = []
    for backend, cost in BACKENDS.items():
        cost *= 0.01 * speed * (slower or {}).get(backend, 1.0)
        load = [cost * step * noise.lognormvariate(0, jitter) for step in drift]
        record = Record(
            run_id or f"20261124-0800{seed:02d}-aaaa", backend, "digits_cnn", "fresh_process", outcome="exact"
        )
        record.load_s, record.save_s = load, [2 * value for value in load]
        record.floor_read_s = record.floor_write_s = [0.004 * speed * step for step in drift]
        record.environment_id, record.rerun = "same", f"rerun {backend}"
        records.append(record)
    return records


def write(folder: Path, records: list[Record]) -> Path:
    writer = RecordWriter(folder)
    writer.write(records)
    writer.close()
    (folder / "environment.json").write_text('{"python": "3.11.7", "cpu": "one", "versions": {"torch": "2.14.1"}}')
    return folder


# --- what changed ---


def test_rankings_of_two_runs():
    """4 backends: 6 pairs, each at save and load."""
    found = rankings.compare_runs(run(1), run(51))
    assert (found.alike, found.silent, found.reordered) == (12, 0, ())
    found = rankings.compare_runs(run(1), run(51, {"dill": 0.4}))
    assert (found.alike, found.silent) == (8, 0)
    assert found.reordered[0] == "pickle, dill at save of digits_cnn" and len(found.reordered) == 4
    found = rankings.compare_runs(run(1), run(51, {"dill": 0.65}, jitter=0.2))
    assert found.silent >= 2 and not found.reordered
    noisy = [dataclasses.replace(record, too_noisy="two equal floors differ") for record in run(51, {"dill": 0.4})]
    assert rankings.compare_runs(run(1), noisy) == rankings.Ranking(0, 0, ())
    assert rankings.compare_runs(run(1), run(51, rounds=5)).silent == 12


@pytest.mark.parametrize("seed", range(12))
def test_the_same_again_is_no_change(seed):
    changes = compare_runs(run(seed), run(seed + 50))
    assert not changes.outcomes and not changes.costs and not changes.is_regression
    assert changes.compared_costs == 8 and changes.compared_cells == 4


@pytest.mark.parametrize("seed", range(12))
def test_a_planted_slowdown_is_found(seed):
    changes = compare_runs(run(seed, rounds=25), run(seed + 50, {"torch_save": 1.2}, rounds=25))
    assert {change.backend for change in changes.costs} == {"torch_save"}
    assert changes.is_regression
    for change in changes.costs:
        assert change.change == pytest.approx(0.2, abs=0.08)
        assert change.rerun == "rerun torch_save"


@pytest.mark.parametrize("seed", range(4))
def test_how_large_a_slowdown_would_be_found_is_known(seed):
    """Of each cost: a little more is found, and a little less is not."""
    before, after = run(seed)[:3], run(seed + 50)[:3]  # the median competitor is the machine: one hardly moves it
    place = ("dill", "digits_cnn", "load")
    moved = _moves(_costs(_cells(before), _cells(after)))
    least = dict(zip(moved, moves.least_found(list(moved.values())), strict=True))[place]
    assert 0.1 < least < 0.5 and least in compare_runs(before, after).least_slowdowns
    for part, shown in ((0.8, False), (1.25, True)):
        factor = (1 + least * part) / (1 + moved[place].change)
        slow = [dataclasses.replace(one, load_s=[value * (factor if one.backend == "dill" else 1)
                for value in one.load_s])
                for one in after]  # fmt: skip
        assert [(one.backend, one.metric) for one in compare_runs(before, slow).costs] == [place[::2]] * shown


def of_models(seed: int, slower: dict[str, float] | None = None, count: int = 9) -> list[Record]:
    """A run of `count` models whose rounds jitter by 25 %: too much for one model's rounds to tell."""
    return [
        dataclasses.replace(record, model=f"model{number}")
        for number in range(count)
        for record in run(1000 * seed + number, slower, jitter=0.25, run_id="one")
    ]


@pytest.mark.parametrize("seed", range(12))
def test_a_planted_slowdown_that_no_model_shows_alone_is_found_over_all(seed):
    changes = compare_runs(of_models(seed), of_models(seed + 50, {"torch_save": 1.45}))
    assert sorted((change.backend, change.metric) for change in changes.backends) == [
        ("torch_save", "load"), ("torch_save", "save"),
    ]  # fmt: skip
    assert dataclasses.replace(changes, costs=[]).is_regression
    assert len(changes.costs) < 18
    for change in changes.backends:
        assert change.models == 9
        assert change.low < 0.45 < change.high
    assert statistics.median(changes.least_over_models) < statistics.median(changes.least_slowdowns) / 2


@pytest.mark.parametrize("seed", range(12))
def test_the_same_again_is_no_change_over_all(seed):
    changes = compare_runs(of_models(seed), of_models(seed + 50))
    assert not changes.backends and not changes.is_regression
    assert len(changes.least_over_models) == 8


def test_a_few_percent_are_nobodys_reason_to_act():
    """Known well over nine models, and less than LEAST_CHANGE."""

    def calm(seed, slower=None):
        return [
            dataclasses.replace(record, model=f"model{number}")
            for number in range(9)
            for record in run(1000 * seed + number, slower, jitter=0.01, run_id="one")
        ]

    assert not compare_runs(calm(1), calm(2, {"dill": 1.07})).backends
    found = compare_runs(calm(1), calm(2, {"dill": 1.13})).backends
    assert {change.backend for change in found} == {"dill"}


def test_models_that_disagree_are_no_change_over_all():
    """Half of them much slower and half of them faster: the interval is as wide as they differ."""
    after = of_models(51)
    for record in after:
        if record.backend == "dill":
            factor = 2.5 if int(record.model[-1]) % 2 else 0.8
            record.load_s = [value * factor for value in record.load_s]
    changes = compare_runs(of_models(1), after)
    assert ("dill", "load") not in {(change.backend, change.metric) for change in changes.backends}
    assert any(change.backend == "dill" for change in changes.costs)


def test_few_models_say_nothing_together():
    changes = compare_runs(of_models(1, count=3), of_models(2, {"dill": 3.0}, count=3))
    assert not changes.backends and not changes.least_over_models
    assert any(change.backend == "dill" for change in changes.costs)


def test_medians_apart_are_no_change_where_intervals_overlap():
    """Noise alone parts medians by more than the least change; the intervals know."""
    apart = 0
    for seed in range(6):
        before, after = run(seed, jitter=0.6), run(seed + 50, jitter=0.6)
        assert not compare_runs(before, after).costs
        medians = [[statistics.median(record.load_s) for record in records] for records in (before, after)]
        moved = [now / was for was, now in zip(*medians, strict=True)]
        apart += max(moved) / min(moved) > 1.1
    assert apart == 6


def test_what_got_faster_is_no_regression():
    changes = compare_runs(run(1), run(2, {"dill": 0.5}))
    assert [change.worse for change in changes.costs] == [False, False]
    assert not changes.is_regression


def test_outcomes_come_worst_first():
    before, after = run(1), run(2)
    after[0] = dataclasses.replace(after[0], outcome="failed", message="gone")
    after[1] = dataclasses.replace(after[1], outcome="mismatch", message="model.weight")
    before[2] = dataclasses.replace(before[2], outcome="failed")
    changes = compare_runs(before, after)
    assert [(change.backend, change.now, change.worse) for change in changes.outcomes] == [
        ("dill", "mismatch", True),
        ("pickle", "failed", True),
        ("torch_save", "exact", False),
    ]


@pytest.mark.parametrize(("was", "now", "worse"), [("refused", "edited", True), ("edited", "saved", False)])
def test_which_code_ran_counts(was, now, worse):
    before, after = ([dataclasses.replace(run(1)[0], code_ran=ran)] for ran in (was, now))
    (change,) = compare_runs(before, after).outcomes
    assert change.worse == worse


def test_a_cell_that_is_gone_is_a_regression():
    changes = compare_runs(run(1), run(1)[1:])
    assert changes.gone == ["pickle × digits_cnn × fresh_process"]
    assert changes.is_regression


def test_one_backend_alone_is_held_against_the_floor():
    assert not compare_runs(run(1)[:1], run(2)[:1]).costs
    assert {change.metric for change in compare_runs(run(1)[:1], run(2, {"pickle": 2.0})[:1]).costs} == {"load", "save"}


def test_few_rounds_say_nothing():
    assert compare_runs(run(1, rounds=3), run(2, {"dill": 3.0}, rounds=3)).costs == []


def test_another_machine_is_noted():
    moved = [dataclasses.replace(record, environment_id="other") for record in run(1)]
    assert "different environments" in compare_runs(run(1), moved).notes[0]


# --- the database ---


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


# --- shards ---


def test_shards_make_the_whole(tmp_path):
    from harness.matrix import Settings

    whole = Settings().resolved()
    parts = [Settings(shard=(number, 3)).resolved() for number in (1, 2, 3)]
    assert sorted(name for part in parts for name in part.models) == sorted(whole.models)
    assert all(part.backends == whole.backends for part in parts)


def test_merged_shards_are_one_run(tmp_path):
    a, b = write(tmp_path / "a", run(1)[:2]), write(tmp_path / "b", run(2)[2:])
    result = CliRunner().invoke(main, ["merge", str(a), str(b), "--output", str(tmp_path / "c")])
    assert result.exit_code == 0, result.output
    records = read_records(tmp_path / "c").records
    assert [record.backend for record in records] == list(BACKENDS)
    assert {record.run_id for record in records} == {"20261124-080001-aaaa-merged"}
    assert (tmp_path / "c" / "index.html").is_file()


def test_two_runs_are_no_shards(tmp_path):
    a, b = write(tmp_path / "a", run(1)), write(tmp_path / "b", run(2))
    result = CliRunner().invoke(main, ["merge", str(a), str(b), "--output", str(tmp_path / "c")])
    assert result.exit_code == 2
    assert "pickle × digits_cnn × fresh_process" in result.output
    assert not (tmp_path / "c").exists()


def test_what_a_later_part_measured_replaces_the_earlier(tmp_path):
    old, new = run(1), run(2)
    growth = [dataclasses.replace(old[0], kind="growth", facts={"sweep": "tensors", "at": size}) for size in (8, 16)]
    again = dataclasses.replace(growth[0], run_id=new[0].run_id, facts={"sweep": "tensors", "at": 9})
    a, b = write(tmp_path / "a", old + growth), write(tmp_path / "b", [new[0], again])
    merge = ["merge", str(a), str(b), "--replace", "--output", str(tmp_path / "c")]
    result = CliRunner().invoke(main, merge)
    assert result.exit_code == 0, result.output
    assert f"3 of {len(old) + 2} records of {a} are replaced by later ones" in result.output
    records = read_records(tmp_path / "c").records
    assert [record.facts for record in records if record.kind == "growth"] == [again.facts]
    cells = {record.backend: record.load_s for record in records if record.kind == "cell"}
    assert cells == {record.backend: record.load_s for record in [*old[1:], new[0]]}
    assert cells[old[0].backend] != old[0].load_s
    twice = ["merge", str(tmp_path / "c"), str(b), "--replace", "--output", str(tmp_path / "d")]
    assert CliRunner().invoke(main, twice).exit_code == 0
    assert {record.run_id for record in read_records(tmp_path / "d").records} == {records[0].run_id}


def test_a_part_without_records_does_not_lose_the_others(tmp_path):
    a, dead, never = write(tmp_path / "a", run(1)[:2]), tmp_path / "dead", tmp_path / "never"
    dead.mkdir()
    (dead / "records.jsonl").touch()
    merge = ["merge", str(dead), str(a), "--output", str(tmp_path / "c")]
    result = CliRunner().invoke(main, merge)
    assert result.exit_code == 0, result.output
    assert f"{dead} is left out" in result.output
    assert len(read_records(tmp_path / "c").records) == 2
    assert "are not in it: dead" in (tmp_path / "c" / "summary.md").read_text()
    assert "are not in it: dead" in (tmp_path / "c" / "index.html").read_text()
    result = CliRunner().invoke(main, ["merge", str(a), str(never), "--output", str(tmp_path / "d")])
    assert result.exit_code == 2
    assert f"no run at {never}" in result.output
    result = CliRunner().invoke(main, ["merge", str(dead), "--output", str(tmp_path / "d")])
    assert result.exit_code == 2
    assert "none of the parts has a record" in result.output


@pytest.mark.parametrize("shard", ["0/3", "4/3", "x", "1"])
def test_a_shard_that_is_none_is_refused(shard):
    result = CliRunner().invoke(main, ["bench", "--shard", shard])
    assert result.exit_code == 2
    assert "K/N" in result.output
