"""Claims: what the records say of each, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import tables
from harness.findings.claims import CLAIMS, verdicts
from harness.records import Record
from harness.registry import model_names, trait_names

PUBLISHED = Path(__file__).parent.parent / "reports" / "published"


def cell(backend="pickle", model="sentiment_gru", condition="source_edited", outcome="exact", **more):
    return Record("run", backend, model, condition, outcome=outcome, **more)


def verdict(number, *records):
    return verdicts(records)[number - 1]


def test_every_claim_looks_at_what_there_is():
    models = {*model_names(), *trait_names(), "*"}
    for claim in CLAIMS:
        for _, model, _ in claim.looked_at:
            assert model in models
    assert [claim.number for claim in CLAIMS] == list(range(1, 12))


def test_nothing_measured_is_said():
    assert {found.verdict for found in verdicts([])} == {"not measured"}
    assert "pickle × sentiment_gru × source_edited" in verdict(1).measured


@pytest.mark.parametrize(
    ("number", "record", "other"),
    [
        (1, cell(code_ran="edited"), {"code_ran": "refused"}),
        (
            2,
            cell(condition="source_renamed", outcome="failed", stage="load", error_type="ModuleNotFoundError"),
            {"stage": "forward"},
        ),
        (
            3,
            cell(condition="main_script", outcome="failed", stage="load", error_type="AttributeError"),
            {"error_type": "ImportError"},
        ),
        (
            4,
            cell(model="sentiment_gru_lambda", condition="fresh_process", outcome="failed", stage="save"),
            {"stage": None, "outcome": "exact"},
        ),
        (
            7,
            cell("dill", condition="main_script", outcome="failed", stage="forward", error_type="NameError",
                 message="name 'torch' is not defined"),
            {"error_type": "TypeError"},
        ),
        (9, cell("dill_recurse", code_ran="edited"), {"code_ran": "saved"}),
        (10, cell("aijson", condition="fresh_process"), {"outcome": "failed"}),
    ],
)  # fmt: skip
def test_a_claim_holds_or_no_longer(number, record, other):
    assert verdict(number, record).verdict == "holds"
    assert verdict(number, replace(record, **other)).verdict == "no longer"


def test_a_claim_about_two_methods_needs_both():
    pickle = cell(model="digits_cnn", condition="readable", outcome="", kind="probe", facts={"answer": "none"})
    dill = replace(pickle, backend="dill")
    assert verdict(6, pickle).verdict == "not measured"
    assert verdict(6, pickle, dill).verdict == "holds"
    assert verdict(6, pickle, replace(dill, facts={"answer": "all"})).verdict == "no longer"


def test_a_claim_about_a_cell_and_a_probe_needs_both():
    back = cell("aijson", condition="fresh_process")
    blob = cell("aijson", condition="readable", outcome="", kind="probe", facts={"answer": "none", "opaque_bytes": 9})
    assert verdict(11, back, blob).verdict == "holds"
    assert verdict(11, back).verdict == "not measured"
    assert verdict(11, back, replace(blob, facts={"opaque_bytes": 0})).verdict == "no longer"


def test_another_interpreter_is_no_evidence():
    assert verdict(1, cell(code_ran="edited", interpreter="Python 3.12")).verdict == "not measured"


def test_the_table_has_all_claims():
    table = tables.claims([cell(code_ran="edited")])
    assert list(table["verdict"]) == ["holds"] + ["not measured"] * 10
