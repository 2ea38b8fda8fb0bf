"""Few traits, and every kind of answer is still there."""

from __future__ import annotations

from click.testing import CliRunner

from harness import records, registry
from harness.cli import main
from harness.findings.distinct import distinct
from harness.findings.remedies import remedy
from harness.publishing import PUBLISHED
from harness.records import Record


def cells(model, duration_s=1.0, **outcomes):
    return [
        Record("run", backend, model, "fresh_process", outcome=outcome, duration_s=duration_s)
        for backend, outcome in outcomes.items()
    ]


def test_few_that_show_every_answer_and_what_is_not_known():
    found = [
        *cells("trait/a", 3.0, pickle="exact", dill="failed"),
        *cells("trait/b", 1.0, pickle="exact", dill="failed"),
        *cells("trait/c", 9.0, pickle="exact", dill="exact"),
        *cells("trait/d", 2.0, pickle="exact"),
        *cells("digits_cnn", 0.1, pickle="exact", dill="mismatch"),
    ]
    assert distinct(["trait/a", "trait/new", "trait/b", "trait/c", "trait/d"], found) == [
        "trait/new", "trait/b", "trait/c",
    ]  # fmt: skip
    assert distinct(["trait/a"], found) == ["trait/a"]  # only of what was asked for


def test_one_outcome_for_two_reasons_is_two_answers():
    def failed(model, stage, error_type, message):
        where = {"stage": stage, "error_type": error_type, "message": message, "duration_s": 1.0}
        return Record("run", "pickle", model, "fresh_process", outcome="failed", **where)

    cannot = "cannot pickle '_thread.lock' object"
    found = [
        failed("trait/a", "save", "TypeError", cannot),
        failed("trait/b", "save", "TypeError", cannot),
        failed("trait/c", "load", "TypeError", cannot),
        failed("trait/d", "save", "PicklingError", cannot),
        failed("trait/e", "save", "TypeError", "no default __reduce__ due to non-trivial __cinit__"),
    ]
    assert distinct([record.model for record in found], found) == ["trait/a", "trait/c", "trait/d", "trait/e"]


def test_every_answer_of_the_published_run_is_kept():
    known = records.read_records(PUBLISHED).records
    names = registry.trait_names()
    chosen = distinct(names, known)

    def answers(of):
        cells = (record for record in known if record.kind == "cell" and record.model in of)
        return {
            (cell.backend, cell.condition, cell.outcome, cell.stage, cell.error_type, remedy(cell)) for cell in cells
        }

    assert answers(chosen) == answers(names) and len(chosen) < len(names) / 4


def test_the_command_tries_only_them_and_says_how_many(tmp_path):
    asked = ["traits", "--backend", "pickle", "--family", "globals", "--distinct", "--output", str(tmp_path / "run")]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    family = registry.trait_names(["globals"])
    tried = {record.model for record in records.read_records(tmp_path / "run").records}
    assert 0 < len(tried) < len(family) and f"{len(tried)} of {len(family)} traits" in done.output
