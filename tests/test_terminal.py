"""Cells as a terminal shows them: in a narrow one too, and what is the same once."""

from __future__ import annotations

import io

from rich.console import Console

from harness.commands.terminal import show_cells, show_counts
from harness.records import Record

CONDITIONS = ("fresh_process", "source_absent", "source_renamed")


def cell(backend, condition, outcome, message=None, **more):
    stage = "load" if message else None
    return Record("run", backend, "my_model", condition, outcome=outcome, stage=stage, message=message, **more)


LONG = "the source has changed since the save, and there is more to say of it than a line of a terminal takes"
CELLS = [
    *(cell("mlflow_pyfunc_from_code", condition, "failed", LONG) for condition in CONDITIONS),
    cell("pickle", "fresh_process", "exact", save_s=[0.002], load_s=[0.001]),
    cell("pickle", "source_absent", "failed", "No module named 'net'"),
    cell("pickle", "source_renamed", "failed", "No module named 'net'"),
    *(cell("json_spec_source", condition, "exact") for condition in CONDITIONS),
]


def lines(show, width, *arguments, **named):
    told = io.StringIO()
    show(Console(file=told, width=width), *arguments, **named)
    return [line.rstrip() for line in told.getvalue().splitlines()]


def test_a_narrow_terminal_cuts_what_happened_and_nothing_else():
    shown = lines(show_cells, 80, CELLS)
    assert max(map(len, shown)) <= 80
    assert [line.split() for line in shown[3:7]] == [
        ["mlflow_pyfunc_from_code", "all", "3", "failed", "load:", "…"],
        ["pickle", "fresh_process", "exact", "2.0", "1.0"],
        ["pickle", "source_absent", "failed", "load:", "…"],
        ["pickle", "source_renamed", "failed", "load:", "…"],
    ]


def test_a_backend_of_one_answer_is_one_row_and_each_message_says_where():
    shown = lines(show_cells, 200, CELLS, messages=True)
    assert [line.split()[:4] for line in shown if line.startswith("json_spec_source")] == [
        ["json_spec_source", "all", "3", "exact"]
    ]
    assert "failed mlflow_pyfunc_from_code × all 3" in shown and f"  load: {LONG}" in shown
    assert "failed pickle × source_absent, source_renamed" in shown


def test_who_is_exact_most_often_stands_first():
    shown = lines(show_counts, 80, CELLS, by_condition=False)
    assert [line.split() for line in shown if line and "─" not in line] == [
        ["backend", "exact", "failed"],
        ["json_spec_source", "3"],
        ["pickle", "1", "2"],
        ["mlflow_pyfunc_from_code", "3"],
        ["0", "cells", "load", "and", "are", "wrong."],
    ]


def test_counts_name_each_backend_in_a_narrow_terminal_and_the_condition_where_there_are_several():
    outcomes = ("exact", "partial", "mismatch", "unsupported", "failed", "crashed")
    one = [cell("mlflow_pyfunc_from_code", "fresh_process", outcome) for outcome in outcomes]
    shown = lines(show_counts, 80, one)
    assert [line.split() for line in shown if "mlflow" in line] == [["mlflow_pyfunc_from_code", *"111111"]]
    assert shown[-1] == "1 cell loads and is wrong."
    rows = [line.split()[:2] for line in lines(show_counts, 80, CELLS) if line.startswith("pickle")]
    assert rows == [["pickle", condition] for condition in CONDITIONS]
