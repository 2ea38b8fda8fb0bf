"""What people ask first is answered from the cells, and only from them."""

from __future__ import annotations

from harness import tables
from harness.findings.questions import QUESTIONS, answers
from harness.records import Record

NOTEBOOK, RENAMED, ELSEWHERE, EDITED = QUESTIONS


def cell(condition="fresh_process", outcome="exact", model="m", backend="x", **more) -> Record:
    return Record("r", backend, model, condition, outcome=outcome, **more)


def answer(question: str, *records: Record):
    (found,) = [found for found in answers(records, "x") if found.question == question]
    return found


def test_what_was_not_tried_is_said():
    assert {(found.verdict, found.cells) for found in answers([cell()], "x")} == {("unmeasured", ())}


def test_a_failure_is_counted_and_told_first():
    found = answer(
        NOTEBOOK,
        cell("main_script"),
        cell("main_script", "failed", "n", stage="load", error_type="AttributeError", message="no\nclass"),
    )
    assert (found.verdict, found.cells) == ("partly", (1, 0))
    assert found.text == "1 of 2 models come back; failed at load: AttributeError: no class"


def test_a_notebook_and_a_script_are_told_apart():
    found = answer(NOTEBOOK, cell("notebook", "unsupported", stage="save", message="it was typed"), cell("main_script"))
    assert (found.verdict, found.cells) == ("partly", (0, 1))
    assert found.text.startswith("notebook: 0 of 1 models come back; main script: 1 of 1 models come back; unsupported")


def test_renamed_is_asked_of_both_ways():
    found = answer(RENAMED, cell("source_renamed"), cell("class_moved", "mismatch", message="z"))
    assert found.verdict == "partly"
    assert found.text.startswith("source renamed: 1 of 1 models come back; class moved: 0 of 1 models come back")


def test_each_interpreter_is_named():
    found = answer(
        ELSEWHERE,
        cell("other_interpreter", interpreter="Python 3.12.1, torch 2.14.1"),
        cell("other_interpreter", "crashed", interpreter="Python 3.13.0, torch 2.14.1", message="killed"),
    )
    assert "Python 3.12.1, torch 2.14.1: 1 of 1" in found.text and "Python 3.13.0, torch 2.14.1: 0 of 1" in found.text


def test_which_code_ran_is_told():
    good = answer(EDITED, cell("source_edited", code_ran="saved"))
    assert (good.verdict, good.text) == ("yes", "the saved code ran in 1 of 1")
    noticed = answer(EDITED, cell("source_edited", "failed", code_ran="refused", message="changed"))
    assert noticed.verdict == "yes"
    silent = answer(EDITED, cell("source_edited", "mismatch", code_ran="edited", message="edited code ran"))
    assert (silent.verdict, silent.text.partition(";")[0]) == ("no", "the edited code ran, silently, in 1 of 1")


def test_models_that_it_never_brings_back_are_not_asked():
    lost = [cell(outcome="failed", model="n"), cell("main_script", "failed", "n"), cell("main_script")]
    assert answer(NOTEBOOK, *lost).text == "1 of 1 models come back"
    nothing = answer(NOTEBOOK, cell(outcome="failed"), cell("main_script", "failed"))
    assert (nothing.verdict, nothing.cells) == ("no", (0, 1))


def test_the_table_has_every_backend():
    table = tables.questions([cell(), cell("main_script"), cell(backend="y")])
    assert list(table.index) == ["x", "y"]
    assert table.loc["x", NOTEBOOK] == "1 of 1 models come back"
    assert table.loc["y", NOTEBOOK] == "not tried in this run"


def test_the_silently_wrong_traits_come_most_often_wrong_first():
    rows = [
        cell(model="trait/lambda_attribute"),
        cell(model="trait/lambda_attribute", outcome="mismatch", backend="y"),
        cell(model="trait/tied_weights", outcome="mismatch", backend="y"),  # was done first
        cell(model="trait/tied_weights", outcome="mismatch"),
    ]
    data = tables.frame(rows)
    silent = tables.silent(data)
    assert list(silent["trait"]) == ["trait/tied_weights", "trait/lambda_attribute"]
    assert list(silent["wrong"]) == [2, 1]
    assert list(silent["backends"]) == ["x, y", "y"]
    whole = tables.difficulties(data).set_index("trait")
    assert whole.loc["trait/lambda_attribute", "x"] == "exact"
    assert whole.loc["trait/tied_weights", "y"] == "mismatch"
