"""The targets of `make bench-json-spec` are judged from records alone."""

from __future__ import annotations

from harness.findings import speed_targets
from harness.records import Record
from harness.tables import every_table


def record(backend, model="resnet50", **fields):
    made = Record("run", backend, model, "same_process", kind="json_spec_speed", tensor_bytes=1000, **fields)
    made.facts = speed_targets.facts(made)
    return made


def rows(*records):
    return {row["figure"]: row for row in speed_targets.rows(records)}


def test_ratios_are_of_pairs_and_judged_against_their_target():
    drift = [1.0, 2.0, 4.0, 8.0, 3.0, 5.0, 9.0]  # of the machine: it hits both alike
    fast = record("json_spec_unverified", load_s=[0.4 * x for x in drift])
    found = rows(fast, record("torch_save_mmap", load_s=drift), record("pickle", load_s=drift[::-1]))
    row = found["load json_spec_unverified / torch_save_mmap"]
    assert abs(row["is"] - 0.4) < 1e-9 and row["target"] == "met" and row["rounds"] == 7
    slow = record("json_spec_unverified", load_s=[0.6 * x for x in drift])
    row = rows(slow, record("torch_save_mmap", load_s=drift))["load json_spec_unverified / torch_save_mmap"]
    assert row["target"] == "not met"
    near = record("json_spec_unverified", load_s=[x * y for x, y in zip(drift, [0.2, 0.45, 0.9] * 3, strict=False)])
    row = rows(near, record("torch_save_mmap", load_s=drift))["load json_spec_unverified / torch_save_mmap"]
    assert row["target"] == "met, within noise" and row["low"] <= 0.5 < row["high"]


def test_targets_of_other_models_and_of_memory():
    other = "synthetic_100MB"
    found = rows(
        record("json_spec_unverified", other, load_s=[1.0], peak_anon_bytes_load=51),
        record("torch_save_mmap", other, load_s=[1.0], artifact_bytes=1010),
        record("json_spec", other, peak_anon_bytes_save=99, artifact_bytes=1020),
    )
    assert found["load json_spec_unverified / torch_save_mmap"]["target"] == ""  # the target names other models
    assert found["anonymous memory at load, json_spec_unverified / tensors"]["target"] == "not met"
    assert found["anonymous memory at save, json_spec / tensors"]["target"] == "met"
    assert found["overhead / smallest pickle's"]["is"] == 2.0


def test_a_save_is_held_against_a_file_that_waits_for_the_disk_too():
    found = rows(
        record("floor", save_s=[1.0]), record("floor_durable", save_s=[4.0]), record("json_spec_bare", save_s=[4.0]),
        record("json_spec_unread", save_s=[6.0]), record("json_spec_write", save_s=[3.0]),
    )  # fmt: skip
    assert {name: row["target"] for name, row in found.items()} == {
        "save json_spec_bare / floor_durable": "met",
        "save json_spec_unread / floor_durable": "not met",
        "save json_spec_write / floor": "",
    }


def test_the_tables_have_them_and_no_competitor_is_a_backend():
    records = [record("json_spec_write", save_s=[1.0, 1.0]), record("floor", save_s=[1.0, 2.0])]
    tables = every_table(records)
    assert list(tables["json_spec_targets"]["is"]) == [0.75] and len(tables["json_spec_speed"]) == 2
    assert "questions" not in tables and len(tables["choice"]) == 0
