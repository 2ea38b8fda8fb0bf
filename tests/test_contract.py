"""Every backend against every reference model under every default condition: the outcomes that are expected.

`expected/BACKEND.csv` has a row a model and a column a condition. A backend that is added needs its file, a model its
rows, a condition its column; an outcome that changes with a library's new version changes there, in a commit that says
so. `python tests/expected_from.py RUN [BACKEND ...]` writes the files from a run's records: look at each cell that
changed.
"""

from __future__ import annotations

import pytest

from backends import BUILT_IN
from harness.conditions import default_names
from harness.matrix import Run, Settings
from reference_models.catalog import CATALOG

EVERYDAY = tuple(name for name, entry in BUILT_IN.items() if not entry.slow)
BLANK = 0
"""Cells that nobody has looked at yet; the number only goes down."""
SLOW = tuple(name for name, entry in BUILT_IN.items() if entry.slow)
CHEAPEST_FIRST = (
    "nested_fruit", "closure_preprocess", "digits_cnn", "tied_char_lm", "sentiment_gru", "sentiment_gru_lambda",
    "tabular_wine", "imagenet_resnet", "detector",
)  # fmt: skip
"""A row of outcomes, one a condition, is tried whole with the first model that has it; every night has all cells."""
DEAR = CHEAPEST_FIRST[-3:]
"""Models whose cells cost a second, for their libraries are imported wherever they are loaded: a process in which a
library is there already would not tell which backends do without it."""
DAILY = ("fresh_process", "source_absent")
"""What each model is tried under with every backend; dear ones in a fresh process alone."""


def first_to_have(row_of: dict[tuple[str, str], tuple[str | None, ...]]) -> dict[str, tuple[str, ...]]:
    """Model -> the backends whose row, by (backend, model), no cheaper model has."""
    found = {}
    for model in CHEAPEST_FIRST:
        cheaper = CHEAPEST_FIRST[: CHEAPEST_FIRST.index(model)]
        new = (name for name in EVERYDAY if row_of[name, model] not in [row_of[name, other] for other in cheaper])
        found[model] = tuple(new)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    cheap = tuple(name for name in CATALOG if name not in DEAR)
    run = Run(Settings(EVERYDAY, cheap, DAILY, rounds=0, life="none"), tmp_path_factory.mktemp("contract") / "run")
    yield run
    run.close()


@pytest.fixture
def outcomes(expected, tmp_path):
    """`outcomes(model, backends, condition, ...)` -> the unexpected ones among them."""

    def tried(model: str, backends, *conditions: str):
        run = Run(Settings(backends, (model,), conditions, rounds=0, life="none"), tmp_path / "run")
        try:
            wanted = {key: outcome for key, outcome in expected.items() if key[2] in run.settings.conditions}
            return unexpected(run.model(model), wanted, backends, model)
        finally:
            run.close()

    return tried


def test_the_tables_are_complete(expected):
    cells = {(backend, model, name) for backend in BUILT_IN for model in CATALOG for name in default_names()}
    assert expected.keys() <= cells
    assert {key[:2] for key in expected} == {key[:2] for key in cells}
    assert len(cells - expected.keys()) <= BLANK


@pytest.mark.parametrize("model", [name for name in CATALOG if name not in DEAR])
def test_outcomes(run, model, expected):
    wanted = {key: outcome for key, outcome in expected.items() if key[2] in DAILY}
    assert not unexpected(run.model(model), wanted, EVERYDAY, model)


@pytest.mark.parametrize("model", DEAR)
def test_outcomes_of_dear_models_in_a_fresh_process(model, outcomes):
    assert not outcomes(model, EVERYDAY, "fresh_process")


@pytest.mark.parametrize("model", CHEAPEST_FIRST)
def test_outcomes_that_no_cheaper_model_has(model, outcomes, expected):
    """Under the other conditions. Settings without a backend would be those of all."""
    row_of = {
        (name, other): tuple(expected.get((name, other, condition)) for condition in default_names())
        for name in EVERYDAY
        for other in CHEAPEST_FIRST
    }
    asked = DAILY[:1] if model in DEAR else DAILY
    if backends := first_to_have(row_of)[model]:
        assert not outcomes(model, backends, *(name for name in default_names() if name not in asked))


def test_a_row_is_tried_whole_with_the_first_model_that_has_it():
    same, other = ("exact", "failed"), ("exact", "exact")
    rows = {(name, model): same for name in EVERYDAY for model in CHEAPEST_FIRST}
    changed = rows | {("pickle", "detector"): other, ("dill", "digits_cnn"): other, ("dill", "detector"): other}
    assert first_to_have(rows) == dict.fromkeys(CHEAPEST_FIRST, ()) | {CHEAPEST_FIRST[0]: EVERYDAY}
    found = first_to_have(changed)
    assert (found["detector"], found["digits_cnn"]) == (("pickle",), ("dill",))
    assert sorted(CHEAPEST_FIRST) == sorted(CATALOG)


@pytest.mark.nightly
@pytest.mark.parametrize("model", CATALOG)
def test_all_outcomes(model, outcomes):
    assert not outcomes(model, EVERYDAY)


@pytest.mark.parametrize("model", [pytest.param("digits_cnn", marks=pytest.mark.nightly), "nested_fruit"])
def test_what_works_lasts_through_timed_rounds(model, tmp_path):
    # a budget that no machine is too busy for: what ends the rounds is their number
    run = Run(Settings(EVERYDAY, (model,), ("fresh_process",), rounds=2, budget_s=3600.0), tmp_path / "run")
    try:
        records = [record for record in run.model(model) if record.kind == "cell"]
    finally:
        run.close()
    working = [record for record in records if record.outcome in ("exact", "close", "partial", "mismatch")]
    assert len(working) > len(EVERYDAY) / 2
    for cell in working:
        timed = (cell.save_s, cell.load_s, cell.first_prediction_s, cell.floor_read_s, cell.floor_write_s)
        assert [len(times) for times in timed] == [2] * len(timed), f"{cell.backend}: {cell.message}"
        assert min(min(times) for times in timed) > 0
        assert cell.artifact_bytes > 0


@pytest.mark.nightly
@pytest.mark.parametrize("model", CATALOG)
def test_outcomes_of_slow_backends(model, outcomes):
    assert not outcomes(model, SLOW)


def unexpected(records, expected, backends, model) -> dict[tuple[str, str, str], str]:
    """Every cell of the model and backends whose outcome is another than the table's, in words."""
    found = {(cell.backend, cell.model, cell.condition): cell for cell in records if cell.kind == "cell"}
    return {
        key: f"expected {outcome}, was {found[key].outcome} ({found[key].stage}: {found[key].message})"
        for key, outcome in expected.items()
        if key[0] in backends and key[1] == model and found[key].outcome != outcome
    }


def test_the_trained_model_keeps_its_accuracy(run):
    cells = [cell for cell in run.records if cell.model == "digits_cnn" and cell.outcome == "exact"]
    assert len(cells) >= 8
    for cell in cells:
        assert cell.score_saved == cell.score_loaded
        assert cell.score_loaded["accuracy"] >= 0.97


def test_failures_keep_their_words(run):
    for cell in run.records:
        if cell.kind == "cell" and cell.outcome not in ("exact", "close"):
            assert cell.message
            assert cell.rerun.startswith("pytest benchmarks/ --model")


@pytest.mark.parametrize(
    ("backend", "model", "condition", "error"),
    [
        ("pickle", "sentiment_gru_lambda", "fresh_process", "AttributeError"),
        ("pickle", "sentiment_gru", "source_absent", "ModuleNotFoundError"),
        ("dill", "sentiment_gru", "source_absent", "ModuleNotFoundError"),
    ],
)
def test_what_the_series_reports(run, backend, model, condition, error):
    (cell,) = [c for c in run.records if (c.backend, c.model, c.condition) == (backend, model, condition)]
    assert (cell.outcome, cell.error_type) == ("failed", error)
