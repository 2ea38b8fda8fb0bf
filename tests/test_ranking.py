"""The one ranking, ranking.js, run through the engine of `roundtrip recommend`; the page's tests compare with it.

Facts are written out by hand, so that a change of the rules shows here.
"""

from __future__ import annotations

import json

import pytest

from harness import recommend
from harness.errors import UnknownName
from harness.recommend import Choice
from harness.records import Record

pytest.importorskip("quickjs", reason="the ranking's engine is not installed: pip install 'roundtrip-bench[report]'")


def proof(good: int = 0, bad: int = 0, wrong: int = 0) -> dict:
    return {"for": list(range(good)), "against": list(range(bad)), "wrong": list(range(wrong))}


def backend(
    name: str, *, came: int = 9, tried: int = 9, wrong: int = 0, needs=None, costs=None, partial: int = 0
) -> dict:
    return {
        "name": name,
        "base": {**proof(came, tried - came), "partial": list(range(partial))},
        "wrong": list(range(wrong)),
        "wrong_tried": 27,
        "needs": {need: proof(*counts) for need, counts in (needs or {}).items()},
        "costs": {
            cost: {"relative": times, "shown": "1 ms", "same": [], "cells": [0]}
            for cost, times in (costs or {}).items()
        },
    }


def facts(*backends: dict) -> dict:
    needs = [{"id": name, "yes": f"has {name}", "no": f"lacks {name}"} for name in ("a", "b", "c")]
    costs = [{"id": name, "label": name} for name in ("load", "save", "size", "memory")]
    return {"needs": needs, "costs": costs, "backends": list(backends)}


def order(*backends: dict, needs=(), weights=None) -> list[str]:
    result = recommend.rank(facts(*backends), Choice(tuple(needs), weights or {}))
    return [item["backend"] for item in result["order"]]


CASES = {
    "met before not met": (
        [backend("no", needs={"a": (0, 9)}), backend("yes", needs={"a": (9, 0)})], ("a",), {}, ["yes", "no"]),
    "met, in part, not measured, not met": (
        [backend("no", needs={"a": (0, 9)}), backend("unknown"), backend("partly", needs={"a": (1, 8)}),
         backend("yes", needs={"a": (1, 0)})],
        ("a",), {}, ["yes", "partly", "unknown", "no"]),
    "two needs: one met fully is worth more than both not measured": (
        [backend("unknown"), backend("one", needs={"a": (9, 0), "b": (0, 9)})], ("a", "b"), {}, ["one", "unknown"]),
    "what nobody asked for does not count": (
        [backend("first", needs={"b": (0, 9)}), backend("second", needs={"b": (9, 0)})], (), {}, ["first", "second"]),
    "a need is stronger than any cost": (
        [backend("cheap", needs={"a": (0, 9)}, costs={"load": 1}),
         backend("dear", needs={"a": (9, 0)}, costs={"load": 99})],
        ("a",), {"load": 3}, ["dear", "cheap"]),
    "among equals the cheaper": (
        [backend("dear", costs={"load": 4}), backend("cheap", costs={"load": 1})], (), {"load": 1}, ["cheap", "dear"]),
    "a weight of 0 is no weight": (
        [backend("dear", costs={"load": 4}), backend("cheap", costs={"load": 1})], (), {"load": 0}, ["dear", "cheap"]),
    "weights decide between costs": (
        [backend("small", costs={"load": 2, "size": 1}), backend("fast", costs={"load": 1, "size": 2})],
        (), {"load": 3, "size": 1}, ["fast", "small"]),
    "a cost that was not measured counts as the worst measured": (
        [backend("unknown"), backend("dear", costs={"load": 8}), backend("cheap", costs={"load": 1})],
        (), {"load": 1}, ["cheap", "unknown", "dear"]),
    "models that did not come back count a little": (
        [backend("some", came=5), backend("all")], (), {}, ["all", "some"]),
    "silently wrong counts more than not coming back": (
        [backend("wrong", came=8, wrong=6), backend("refuses", came=6)], (), {}, ["refuses", "wrong"]),
    "nothing came back: last, whatever it promises": (
        [backend("nothing", came=0, needs={"a": (9, 0)}), backend("something", needs={"a": (0, 9)})],
        ("a",), {}, ["something", "nothing"]),
    "what comes back in part is usable": (
        [backend("nothing", came=0), backend("forward", came=0, partial=9)], (), {}, ["forward", "nothing"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_order(case):
    backends, needs, weights, expected = CASES[case]
    assert order(*backends, needs=needs, weights=weights) == expected


def test_reasons_link_to_the_cells_that_prove_them():
    result = recommend.rank(
        facts(backend("x", needs={"a": (3, 0), "b": (2, 1, 1)}, wrong=1, costs={"load": 5, "save": 1, "memory": 2})),
        Choice(("a", "b", "c"), {"load": 1, "save": 1, "size": 1, "memory": 1}),
    )
    (item,) = result["order"]
    supports = {reason["id"]: reason for reason in item["for"]}
    opposes = {reason["id"]: reason for reason in item["against"]}
    assert supports["a"] == {"id": "a", "verdict": "yes", "text": "has a (3 of 3)", "cells": [0, 1, 2]}
    assert supports["save"]["text"] == "save the least: 1 ms"
    assert opposes["b"] == {"id": "b", "verdict": "partly", "text": "has b (2 of 3, 1 silently wrong)", "cells": [0]}
    assert opposes["c"] == {"id": "c", "verdict": "unmeasured", "text": "not measured: has c", "cells": []}
    assert opposes["load"]["text"] == "load 5.0 × the least: 1 ms"
    assert (opposes["load"]["verdict"], opposes["memory"]["verdict"]) == ("no", "partly")
    assert opposes["size"]["verdict"] == "unmeasured"
    assert opposes["wrong"]["text"] == "silently wrong in 1 of 27 cells"
    assert [miss["id"] for miss in item["misses"]] == ["b", "c"]


@pytest.mark.parametrize(
    ("backends", "needs", "weights", "sentence"),
    [
        ([backend("x", needs={"a": (9, 0)}), backend("y", needs={"a": (0, 9)})], ("a",), {},
         "x meets what you need, and it alone. Runner-up: y (lacks a (0 of 9))."),
        ([backend("x", needs={"a": (0, 9), "b": (1, 0)})], ("a", "b"), {},
         "Nothing measured here meets both of your needs. x comes closest (1 of 2): lacks a (0 of 9)."),
        ([backend("x", costs={"load": 1}), backend("y", costs={"load": 4})], (), {"load": 1},
         "With no needs chosen, x comes first: by what came back, and what it costs. "
         "Runner-up: y (load 4.0 × the least: 1 ms)."),
        ([backend("x", came=0)], ("a",), {}, "No backend brought a model back in this run."),
        ([], (), {}, "No backend brought a model back in this run."),
    ],
)  # fmt: skip
def test_the_sentence_says_why_and_names_the_runner_up(backends, needs, weights, sentence):
    assert recommend.rank(facts(*backends), Choice(needs, weights))["sentence"] == sentence


def test_a_cost_says_which_neighbour_the_rounds_do_not_tell_it_from():
    """Of those that meet as many needs; in the reason, and where the runner-up is explained."""
    x, y, z, far = (backend(name, needs={"a": (1, name == "far")}, costs={"load": times, "size": times})
                    for name, times in (("x", 1), ("y", 1.2), ("z", 9), ("far", 1)))  # fmt: skip
    x["costs"]["load"]["same"] = ["y", "far"]
    y["costs"]["load"]["same"] = ["x", "z"]
    z["costs"]["load"]["same"] = ["y", "far"]
    result = recommend.rank(facts(x, y, z, far), Choice(("a",), {"load": 1, "size": 1}))
    texts = {item["backend"]: {reason["id"]: reason["text"] for reason in item["for"] + item["against"]}
             for item in result["order"]}  # fmt: skip
    assert [item["backend"] for item in result["order"]] == ["x", "y", "z", "far"]
    assert texts["x"]["load"] == "load the least: 1 ms; the rounds do not tell it from y"
    assert texts["y"]["load"] == "load 1.2 × the least: 1 ms; the rounds do not tell it from x or z"
    assert texts["z"]["load"] == "load 9.0 × the least: 1 ms; the rounds do not tell it from y"
    assert texts["far"]["load"] == "load the least: 1 ms"
    assert texts["x"]["size"] == "size the least: 1 ms"
    assert "Runner-up: y (load 1.2 × the least: 1 ms; the rounds do not tell it from x or z)." in result["sentence"]


def test_the_ranking_leaves_its_facts_alone():
    given = facts(backend("x", needs={"a": (1, 0)}), backend("y", costs={"load": 2}))
    before = json.dumps(given)
    first = recommend.rank(given, Choice(("a",), {"load": 1}))
    assert recommend.rank(given, Choice(("a",), {"load": 1})) == first
    assert json.dumps(given) == before


def test_a_choice_knows_its_names():
    records = [Record("r", "pickle", "m", "fresh_process", outcome="exact")]
    wanted = recommend.choice(("safe_load", "safe_load"), ("size", "load"), records)
    assert wanted == Choice(("safe_load",), {"size": 3, "load": 2})
    with pytest.raises(UnknownName, match="Did you mean source_absent"):
        recommend.choice(("source_absnt",), (), records)
    with pytest.raises(UnknownName, match="memory"):
        recommend.choice((), ("speed",), records)


def test_lines_name_the_evidence_once():
    records = [
        Record("r", "x", "m", "fresh_process", outcome="exact", load_s=[0.1]),
        Record("r", "x", "m", "source_absent", outcome="failed", message="No module\n named 'm'", rerun="run it"),
    ]
    result = recommend.recommend(records, recommend.choice(("source_absent", "safe_load"), ("load",), records))
    text = recommend.lines(result, records)
    assert text[0].startswith("Nothing measured here meets both of your needs. x comes closest (0 of 2): ")
    assert "   - needs your source to load" in text
    assert "       m: No module named 'm'" in text
    assert "       run it" in text
    assert "   ? not measured: runs no code that the file chooses" in text
    assert "   + load time the least: 100 ms for m" in text


def test_a_model_is_tried_only_under_what_the_needs_ask_for():
    assert recommend.conditions_of(Choice(("safe_load",)), []) == ("fresh_process",)
    assert recommend.conditions_of(Choice(("source_absent", "source_moved")), [])[:2] == (
        "fresh_process",
        "source_absent",
    )


def test_recommend_tries_a_model_that_the_run_does_not_hold(tmp_path, monkeypatch):
    """The user's own file, saved and loaded here; the safety that the run's probes found stays."""
    import shutil

    from click.testing import CliRunner

    from harness import registry
    from harness.cli import main
    from reference_models.catalog import CATALOG
    from tests import synthetic

    monkeypatch.setattr(registry, "backend_names", lambda: ["pickle", "json_spec"])
    shutil.copy(CATALOG["nested_fruit"].path, tmp_path / "mine.py")
    probes = [
        record
        for record in synthetic.records(6)
        if record.kind == "probe" and record.backend in ("pickle", "json_spec")
    ]
    run = synthetic.write(
        tmp_path / "run", [*probes, Record("r", "pickle", "other", "fresh_process", outcome="failed")]
    )
    options = ["--model", f"{tmp_path / 'mine.py'}:build", "--need", "source_absent", "--need", "safe_load"]
    done = CliRunner().invoke(main, ["recommend", "--run", str(run), *options])
    assert done.exit_code == 0, done.output
    assert done.output.count("+ comes back as it was in a new process\n") == 2
    assert done.output.count("- needs your source to load\n") == 2
    assert "not measured: runs no code" not in done.output


def test_a_run_without_probes_borrows_the_published_ones(tmp_path, monkeypatch):
    """Those of the newest run, where it has its own."""
    from click.testing import CliRunner

    from harness import registry
    from harness.cli import main
    from tests import synthetic

    records = synthetic.records(6)
    probes = [record for record in records if record.kind == "probe"]
    others = [record for record in records if record.kind != "probe"]
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    synthetic.write(tmp_path / "reports" / "published", probes)
    newest = synthetic.write(tmp_path / "reports" / "runs" / "20261127-000000-aaaa", others)
    command = ["recommend", "--need", "safe_load"]
    done = CliRunner().invoke(main, command)
    assert f"From {len(records)} records of {newest}, {len(probes)} of them probes of reports/published." in done.output
    assert "meets what you need" in done.output, done.output
    alone = CliRunner().invoke(main, [*command, "--run", str(newest)])
    assert f"From {len(others)} records of {newest}." in alone.output
    assert "not measured: runs no code" in alone.output
    synthetic.write(tmp_path / "reports" / "runs" / "20261127-000001-bbbb", records)
    assert "of them probes" not in CliRunner().invoke(main, command).output
