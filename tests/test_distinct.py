"""Of traits with one pattern of outcomes, the quickest stands for all."""

from __future__ import annotations

from click.testing import CliRunner

from harness import records, registry
from harness.cli import main
from harness.findings.distinct import distinct
from harness.publishing import PUBLISHED
from harness.records import Record


def cells(model, duration_s=1.0, **outcomes):
    return [
        Record("run", backend, model, "fresh_process", outcome=outcome, duration_s=duration_s)
        for backend, outcome in outcomes.items()
    ]


def test_one_of_each_pattern_is_left_the_quickest_and_what_is_not_known():
    found = [
        *cells("trait/a", 3.0, pickle="exact", dill="failed"),
        *cells("trait/b", 1.0, pickle="exact", dill="failed"),
        *cells("trait/c", 9.0, pickle="exact", dill="exact"),
        *cells("trait/d", 0.1, pickle="exact"),
        *cells("digits_cnn", 0.1, pickle="exact", dill="failed"),
    ]
    assert distinct(["trait/a", "trait/new", "trait/b", "trait/c", "trait/d"], found) == [
        "trait/new", "trait/b", "trait/c", "trait/d",
    ]  # fmt: skip
    assert distinct(["trait/a"], found) == ["trait/a"]  # only of what was asked for


def test_every_pattern_of_the_published_run_is_kept():
    known = records.read_records(PUBLISHED).records
    names = registry.trait_names()
    chosen = distinct(names, known)

    def patterns(of):
        by_name = {}
        for record in known:
            if record.kind == "cell" and record.model in of:
                by_name.setdefault(record.model, []).append((record.backend, record.condition, record.outcome))
        return {frozenset(cells) for cells in by_name.values()}

    assert patterns(chosen) == patterns(names) and len(chosen) < len(names) / 2


def test_the_command_tries_only_them_and_says_how_many(tmp_path):
    asked = ["traits", "--backend", "pickle", "--family", "globals", "--distinct", "--output", str(tmp_path / "run")]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    family = registry.trait_names(["globals"])
    tried = {record.model for record in records.read_records(tmp_path / "run").records}
    assert 0 < len(tried) < len(family) and f"{len(tried)} of {len(family)} traits" in done.output
