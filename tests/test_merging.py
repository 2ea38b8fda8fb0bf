"""Parts of a run, and what was measured anew, made one run."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.records import read_records
from tests.noisy_runs import BACKENDS, run, write

pytest.importorskip("scipy")


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


def test_what_a_later_part_found_goes_with_the_costs_of_the_earlier(tmp_path):
    old = [dataclasses.replace(record, environment_id="fast") for record in run(1)]
    floor = dataclasses.replace(old[0], backend="floor", kind="floor", facts={"waiting_share": 0.1})
    new = [
        dataclasses.replace(record, environment_id="slow", life={"step": "equal"}, outcome="close") for record in run(2)
    ]
    untimed = dataclasses.replace(new[0], condition="notebook", save_s=[], load_s=[])
    parts = [[*old[:2], floor], [*new, untimed, dataclasses.replace(floor, facts={"waiting_share": 0.9})]]
    a, b = (write(tmp_path / name, part) for name, part in zip("ab", parts, strict=True))
    merge = ["merge", str(a), str(b), "--replace", "--keep-costs", "--output", str(tmp_path / "c")]
    result = CliRunner().invoke(main, merge)
    assert result.exit_code == 0, result.output
    assert f"Note: 2 cells of {b} keep the costs of an earlier part" in result.output
    records = read_records(tmp_path / "c").records
    assert [record.facts for record in records if record.kind == "floor"] == [floor.facts]
    cells = [record for record in records if record.kind == "cell"]
    assert len(cells) == len(new) + 1
    for cell in cells:
        assert cell.outcome == "close" and cell.life == {"step": "equal"}
        costs = next(([*one.load_s], one.environment_id) for one in old if one.backend == cell.backend)
        if cell.condition == "notebook" or cell.backend not in [one.backend for one in old[:2]]:
            costs = ([], "slow")  # the earlier part did not time it
        assert (cell.load_s, cell.environment_id) == costs


def test_costs_of_two_earlier_parts(tmp_path):
    """Each model's are of the first part that timed it, whatever the later ones measured."""

    def timed(number, model, seconds):
        return dataclasses.replace(run(number)[0], model=model, environment_id=f"of part {number}", load_s=[seconds])

    parts = [[timed(1, "m", 1.0)], [timed(2, "m", 2.0), timed(2, "n", 3.0)], [timed(3, "m", 4.0), timed(3, "n", 5.0)]]
    folders = [str(write(tmp_path / name, part)) for name, part in zip("abc", parts, strict=True)]
    merge = ["merge", *folders, "--replace", "--keep-costs", "--output", str(tmp_path / "d")]
    assert CliRunner().invoke(main, merge).exit_code == 0
    kept = {one.model: (one.load_s, one.environment_id) for one in read_records(tmp_path / "d").records}
    assert kept == {"m": ([1.0], "of part 1"), "n": ([3.0], "of part 2")}


def test_what_fails_now_has_no_costs_of_the_time_when_it_worked(tmp_path):
    failed = dataclasses.replace(run(2)[0], outcome="failed", save_s=[], load_s=[])
    a, b = write(tmp_path / "a", run(1)), write(tmp_path / "b", [failed])
    merge = ["merge", str(a), str(b), "--replace", "--keep-costs", "--output", str(tmp_path / "c")]
    assert CliRunner().invoke(main, merge).exit_code == 0
    (cell,) = [one for one in read_records(tmp_path / "c").records if one.outcome == "failed"]
    assert cell.save_s == cell.load_s == []


def test_what_another_machine_measured_is_told(tmp_path):
    """Of one kind from two machines times cannot be compared; of a kind of its own they are told with their machine."""
    speed = dataclasses.replace(run(2)[0], kind="json_spec_speed", environment_id="other")
    a, b = write(tmp_path / "a", run(1)), write(tmp_path / "b", [speed])
    (b / "environment.json").write_text(
        json.dumps({"environment_id": "other", "cpu": "Zen", "cpus": 2, "left_out": []})
    )
    merge = [str(a), str(b), "--output", str(tmp_path / "c")]
    assert CliRunner().invoke(main, ["merge", *merge]).exit_code == 0
    told = {"environment_id": "other", "cpu": "Zen", "cpus": 2, "measured": ["json_spec_speed"]}
    environment = json.loads((tmp_path / "c" / "environment.json").read_text())
    assert environment["cpu"] == "one" and environment["elsewhere"] == [told]
    summary, page = (tmp_path / "c" / "summary.md").read_text(), (tmp_path / "c" / "index.html").read_text()
    assert "Measured elsewhere: json_spec_speed (2 CPUs (Zen))." in summary and "mixed" not in summary
    assert "json spec speed: cpu" in page
    # of cells the conditions are told
    there = write(tmp_path / "g", [dataclasses.replace(run(2)[0], condition="notebook", environment_id="third")])
    assert CliRunner().invoke(main, ["merge", *merge[:2], str(there), "--output", str(tmp_path / "h")]).exit_code == 0
    environment = json.loads((tmp_path / "h" / "environment.json").read_text())
    assert environment["elsewhere"] == [told, {"environment_id": "third", "measured": ["notebook"]}]
    # merged again, it is known still, until the other machine's records are replaced
    again = ["merge", str(tmp_path / "c"), str(a), "--replace", "--output", str(tmp_path / "d")]
    assert CliRunner().invoke(main, again).exit_code == 0
    assert json.loads((tmp_path / "d" / "environment.json").read_text())["elsewhere"] == [told]
    here = write(tmp_path / "e", [dataclasses.replace(speed, environment_id="same")])
    last = ["merge", str(tmp_path / "d"), str(here), "--replace", "--output", str(tmp_path / "f")]
    assert CliRunner().invoke(main, last).exit_code == 0
    assert "elsewhere" not in json.loads((tmp_path / "f" / "environment.json").read_text())


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
