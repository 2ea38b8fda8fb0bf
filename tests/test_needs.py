"""Which cells prove which need: a record, and what it says. What says nothing is not measured."""

from __future__ import annotations

import pytest

from harness.findings.needs import GROUPS, NEEDS, SCENARIOS, all_needs, facts_table
from harness.records import Record


def cell(condition="fresh_process", outcome="exact", model="m", backend="x", **fields) -> Record:
    return Record("r", backend, model, condition, outcome=outcome, **fields)


def probe(name: str, answer: str) -> Record:
    return Record("r", "x", "m", name, kind="probe", facts={"answer": answer})


def growth(outcome: str, size: int) -> Record:
    facts = {"sweep": "bytes", "tensor_bytes": size}
    return Record("r", "x", f"synthetic/{size}", "fresh_process", kind="growth", outcome=outcome, facts=facts)


def says(need: str, *records: Record, python: str = "3.11.7") -> tuple[int, int] | None:
    """How many of the records speak for the need and against it; None where none does."""
    table = facts_table([cell(), *records], python)
    (row,) = [row for row in table["backends"] if row["name"] == "x"]
    found = row["needs"].get(need)
    return None if found is None else (len(found["for"]), len(found["against"]))


TAPS = {"preprocess": "equal", "forward": "equal", "postprocess": "equal"}
FORWARD_ONLY = {"preprocess": "absent", "forward": "equal", "postprocess": "absent"}


@pytest.mark.parametrize(
    ("need", "record", "expected"),
    [
        ("source_absent", cell("source_absent"), (1, 0)),
        ("source_absent", cell("source_absent", "close"), (1, 0)),
        ("source_absent", cell("source_absent", "partial"), (1, 0)),
        ("source_absent", cell("source_absent", "mismatch"), (0, 1)),
        ("source_absent", cell("source_absent", "crashed"), (0, 1)),
        ("source_absent", cell("source_renamed"), None),
        ("source_absent", cell("source_absent", model="trait/lambda_attribute"), None),
        ("saved_from_main", cell("main_script", "failed"), (0, 1)),
        ("saved_from_main", cell("notebook", "failed"), None),
        ("saved_from_notebook", cell("notebook", "unsupported"), (0, 1)),
        ("saved_from_notebook", cell("notebook"), (1, 0)),
        ("source_moved", cell("source_renamed"), (1, 0)),
        ("source_moved", cell("class_moved", "failed"), (0, 1)),
        ("other_python", cell("other_interpreter", interpreter="Python 3.12.4, torch 2.14.1"), (1, 0)),
        ("other_python", cell("other_interpreter", interpreter="torch 2.13.0, Python 3.11.9"), None),
        ("other_torch", cell("other_interpreter", interpreter="torch 2.13.0, Python 3.11.9"), (1, 0)),
        ("other_torch", cell("other_interpreter", "crashed", interpreter="Python 3.12.4, torch 2.14.1"), None),
        ("edit_noticed", cell("source_edited", code_ran="edited"), (0, 1)),
        ("edit_noticed", cell("source_edited", "failed", code_ran="refused"), (1, 0)),
        ("edit_noticed", cell("source_edited", code_ran="saved"), (1, 0)),
        ("edit_noticed", cell("source_edited"), None),
        ("pre_post", cell(taps=TAPS), (1, 0)),
        ("pre_post", cell(outcome="partial", taps=FORWARD_ONLY), (0, 1)),
        ("pre_post", cell(outcome="mismatch", taps=TAPS | {"postprocess": "different"}), (1, 0)),
        ("pre_post", cell(outcome="failed", taps={}), None),
        ("lambda_closure", cell(model="trait/closure_recursive", outcome="failed"), (0, 1)),
        ("lambda_closure", cell(model="sentiment_gru_lambda"), (1, 0)),
        ("lambda_closure", cell(model="sentiment_gru"), None),
        ("over_1gb", cell(tensor_bytes=2_000_000_000), (1, 0)),
        ("over_1gb", cell(outcome="crashed", tensor_bytes=2_000_000_000), (0, 1)),
        ("over_1gb", cell(tensor_bytes=999_999_999), None),
        ("over_1gb", cell("source_absent", tensor_bytes=2_000_000_000), None),
        ("over_1gb", growth("exact", 1 << 30), (1, 0)),
        ("over_1gb", growth("failed", 1 << 30), (0, 1)),
        ("over_1gb", growth("mismatch", 4 << 30), (0, 1)),
        ("over_1gb", growth("unavailable", 1 << 30), None),
        ("over_1gb", growth("exact", 1 << 28), None),
        ("saved_on_cuda", cell("saved_on_cuda", "failed"), (0, 1)),
        ("main_script_edited", cell("main_script_edited"), (1, 0)),
        ("spawned_workers", cell("spawned_workers"), (1, 0)),
        ("safe_load", probe("planted_code", "does not run"), (1, 0)),
        ("safe_load", probe("planted_code", "runs"), (0, 1)),
        ("safe_load", probe("bit_flip", "detected"), None),
        ("damage_noticed", probe("bit_flip", "detected"), (1, 0)),
        ("damage_noticed", probe("truncation", "silent"), (0, 1)),
        ("damage_noticed", probe("bit_flip", "crashed"), (0, 1)),
        ("deterministic", probe("same_bytes", "differs"), (0, 1)),
        ("readable", probe("readable", "all"), (1, 0)),
        ("readable", probe("readable", "some"), (0, 1)),
        ("other_language", Record("r", "x", "m", "", kind="http", facts={"proves": {"other_language": True}}), (1, 0)),
        ("trainable", cell(facts={"proves": {"trainable": False}}), (0, 1)),
        ("trainable", cell(life={"train_step": "equal"}), (1, 0)),
        ("trainable", cell(life={"train_step": "different: loss: was 1.0, is now 2.0"}), (0, 1)),
        ("trainable", cell(life={"train_step": "failed: TypeError: a Graph has no parameters"}), (0, 1)),
        ("trainable", cell(life={"train_step": "not applicable: the original raises ValueError"}), None),
        ("trainable", cell(model="trait/x", life={"train_step": "equal"}), None),
        ("trainable", cell(), None),
    ],
)  # fmt: skip
def test_what_a_record_says(need, record, expected):
    assert says(need, record) == expected


def test_where_it_loads_is_asked_only_of_models_that_it_carries():
    lost = [cell(model="lost", outcome="failed"), cell("source_absent", "failed", model="lost")]
    assert says("source_absent", *lost) is None
    assert says("source_absent", *lost, cell("source_absent")) == (1, 0)


def test_a_condition_that_no_need_knows_becomes_one():
    records = [cell(), cell("moon_phase", "failed")]
    (need,) = [need for need in all_needs(records) if need.id == "moon_phase"]
    assert (need.label, need.group) == ("Moon phase", "where")
    assert says("moon_phase", *records) == (0, 1)
    assert "moon_phase" not in {need.id for need in all_needs([cell()])}


def test_the_basics_are_no_needs():
    assert len(all_needs([cell(), cell("same_process")])) == len(NEEDS)


def test_costs_are_multiples_of_the_cheapest_in_the_same_model():
    rows = [
        cell(model="big", tensor_bytes=10**8, artifact_bytes=10**8, load_s=[0.1, 0.2, 0.3], floor_read_s=[0.1] * 3),
        cell(model="big", tensor_bytes=10**8, artifact_bytes=2 * 10**8, load_s=[0.8] * 3, backend="y"),
        cell(model="tiny", tensor_bytes=10, artifact_bytes=9000, load_s=[0.001], backend="y"),
    ]
    x, y = facts_table(rows)["backends"]
    assert (x["costs"]["load"]["relative"], y["costs"]["load"]["relative"]) == (1.0, 4.0)
    assert (x["costs"]["size"]["relative"], y["costs"]["size"]["relative"]) == (1.0, 2.0)
    assert x["costs"]["load"]["shown"] == "200 ms, 2 × floor for big"
    assert y["costs"]["load"]["cells"] == [1]
    assert "save" not in x["costs"]


def timed(backend: str, model: str, load_s: list[float], too_noisy: str | None = None) -> Record:
    return cell(backend=backend, model=model, tensor_bytes=10**8, artifact_bytes=10**8, load_s=load_s,
                floor_read_s=[0.1] * len(load_s), too_noisy=too_noisy)  # fmt: skip


def test_costs_name_what_the_rounds_do_not_tell_apart():
    """Every round of y is dearer than x's; w is so in most."""
    x = [0.2, 0.21, 0.19, 0.2, 0.22, 0.2, 0.21, 0.2]
    w = [value * (1.3 if number % 4 else 0.9) for number, value in enumerate(x)]
    rows = [timed("x", "m", x), timed("y", "m", [value * 1.1 for value in x]), timed("w", "m", w),
            timed("few", "m", [0.9, 0.9, 0.9]), timed("elsewhere", "n", x)]  # fmt: skip
    found = {row["name"]: row["costs"] for row in facts_table(rows)["backends"]}
    same = {name: costs["load"]["same"] for name, costs in found.items()}
    assert same.pop("elsewhere") == []
    assert same == {"x": ["w", "few"], "y": ["w", "few"], "w": ["x", "y", "few"], "few": ["x", "y", "w"]}
    assert found["x"]["size"]["same"] == []


def test_times_of_a_noisy_model_do_not_rank_where_another_can():
    rows = [timed("x", "m", [0.2] * 7), timed("y", "m", [0.4] * 7)]
    rows += [timed(name, "noisy", [load_s] * 7, "two floors differ") for name, load_s in (("x", 0.9), ("y", 0.1))]
    x, y = (row["costs"] for row in facts_table(rows)["backends"])
    assert (x["load"]["relative"], y["load"]["relative"]) == (1.0, 2.0)
    assert x["load"]["shown"] == "200 ms, 2 × floor for m; noisy was too noisy to count"
    assert x["size"]["shown"] == "100 MB for m" and x["size"]["cells"] == [0, 2]
    x, y = (row["costs"] for row in facts_table(rows[2:])["backends"])
    assert (x["load"]["relative"], y["load"]["relative"]) == (9.0, 1.0)
    assert x["load"]["shown"] == "900 ms, 9 × floor for noisy, in rounds too noisy to rank by"


def test_base_and_silent_errors_are_counted():
    rows = [
        cell(),
        cell(model="n", outcome="mismatch"),
        cell("source_absent", "mismatch"),
        cell(model="o", outcome="partial"),
        cell("source_edited", "mismatch", code_ran="edited"),  # what `edit_noticed` is about
    ]
    (x,) = facts_table(rows)["backends"]
    assert x["base"] == {"for": [0], "against": [1, 3], "wrong": [1], "partial": [3]}
    assert (x["wrong"], x["wrong_tried"]) == ([1, 2], 5)


def test_the_floors_own_records_are_no_backend():
    rows = [cell(), Record("r", "floor", "m", "fresh_process", kind="floor")]
    assert [row["name"] for row in facts_table(rows)["backends"]] == ["x"]
    rows[0] = probe("same_bytes", "same")
    assert [row["name"] for row in facts_table(rows)["backends"]] == ["x"]


def test_the_tables_are_consistent():
    names = [need.id for need in NEEDS]
    assert len(names) == len(set(names))
    assert {need.group for need in NEEDS} <= GROUPS.keys()
    assert {name for scenario in SCENARIOS for name in scenario.needs} <= set(names)
    assert {name for scenario in SCENARIOS for name in scenario.weights} <= {"load", "save", "size", "memory"}
