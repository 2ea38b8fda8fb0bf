"""Tables from records, with pandas. Nothing here imports torch or runs a model, reads a file or writes one.

choice       one row a backend: what it managed, what it costs over the floor
fidelity     backend x model, one table a condition: outcomes
probes       backend x probe of safety or transparency: the answers
questions    backend x what people ask first: the answer, with the commonest message
traits       backend x family of traits, under each condition: how many came back
silent       the traits that backends get silently wrong, the most often so first
difficulties trait x backend, under each condition: outcomes
cost         backend x model: size, save, load, first prediction
resources    backend x model: memory, bytes written, cold page cache, predictions a second
failures     every cell that is not exact, with its message, a remedy and the command to run it again
claims       what the article series reports, and what was measured
other kinds  what records of another kind than a cell found, one table a kind
cells        every record with every field, a row each
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from harness.conditions import in_order
from harness.findings import ratios, speed_targets
from harness.findings.claims import verdicts
from harness.findings.growth_curves import curves as curves_of
from harness.findings.needs import MOST, WORKS, backend_names, is_trait
from harness.findings.questions import answers
from harness.findings.remedies import remedy
from harness.intervals import BASELINE
from harness.records import Record
from reference_models.traits import TRAITS

MARKS = {
    "exact": "✔ exact",
    "close": "≈ close",
    "partial": "◐ partial",
    "mismatch": "✘ MISMATCH",
    "unsupported": "– unsupported",
    "failed": "✘ failed",
    "crashed": "✘ crashed",
    "unavailable": "? unavailable",
}

SEVERITY = {
    "mismatch": 0, "crashed": 1, "failed": 2, "unsupported": 3, "partial": 4, "unavailable": 5, "close": 6, "exact": 7,
}  # fmt: skip
"""The silently wrong first; the order in which failures are read."""

_NUMBERS = ("_s", "_bytes", "_save", "_load", "_floor", "_low", "_high")


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a record: plain fields as they are, medians of rounds, and ratios to the floor's medians.

    Lists and dicts of other things become JSON, so that a field that is new takes part without a change here.
    """
    rows = []
    for record in records:
        row = {item.name: _plain(getattr(record, item.name)) for item in dataclasses.fields(record)}
        row["rounds"] = len(record.load_s)
        row["remedy"] = remedy(record)
        row |= ratios.columns(record)
        row["overhead_bytes"] = _difference(record.artifact_bytes, record.tensor_bytes)
        rows.append(row)
    data = pd.DataFrame(rows)
    numbers = [name for name in data if name.endswith(_NUMBERS)]
    return data.assign(**{name: pd.to_numeric(data[name], errors="coerce").astype(float) for name in numbers})


def _plain(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, int | float) for item in value):
        return _median(value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else None
    return value


def cells(data: pd.DataFrame, traits: bool | None = False) -> pd.DataFrame:
    """The rows that are cells: of reference models, of traits alone, or (None) of both."""
    chosen = data[data["kind"] == "cell"]
    return chosen if traits is None else chosen[chosen["model"].map(is_trait) == traits]


def fidelity(data: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Backends down, models across, outcomes in the cells, for one condition."""
    chosen = cells(data)
    chosen = chosen[chosen["condition"] == condition]
    table = chosen.pivot_table(index="backend", columns="model", values="outcome", aggfunc=_worst, sort=False)
    return table.map(lambda outcome: MARKS.get(outcome, "") if isinstance(outcome, str) else "not run")


def _worst(outcomes: pd.Series) -> str:
    """Several interpreters in one place of the table: the one that went worst."""
    return min(outcomes, key=lambda outcome: SEVERITY.get(outcome, 99))


def family(model: str) -> str:
    """A trait's family; of a trait that is no longer in the corpus, "other"."""
    trait = TRAITS.get(model.removeprefix("trait/"))
    return trait.family if trait else "other"


def exercises(model: str) -> str:
    """What a trait exercises; empty for one that is no longer in the corpus."""
    trait = TRAITS.get(model.removeprefix("trait/"))
    return trait.exercises if trait else ""


def traits(data: pd.DataFrame) -> pd.DataFrame:
    """Backend and condition down, families across: `came back / tried`, and how many came back silently wrong."""
    chosen = cells(data, traits=True)
    if chosen.empty:
        return pd.DataFrame()
    chosen = chosen.assign(
        family=chosen["model"].map(family),
        works=chosen["outcome"].isin(WORKS),
        wrong=chosen["outcome"] == "mismatch",
    )
    groups = chosen.groupby(["backend", "condition", "family"], sort=False)
    counts = groups.agg(works=("works", "sum"), tried=("works", "size"), wrong=("wrong", "sum"))
    texts = counts.apply(
        lambda row: f"{row['works']}/{row['tried']}" + (f", {row['wrong']} wrong" if row["wrong"] else ""), axis=1
    )
    table = texts.unstack("family")
    return table.reset_index().set_index("backend")


def difficulties(data: pd.DataFrame) -> pd.DataFrame:
    """Trait and condition down, backends across: outcomes; with the trait's family and what it exercises."""
    chosen = cells(data, traits=True)
    if chosen.empty:
        return pd.DataFrame()
    table = chosen.pivot_table(
        index=["model", "condition"], columns="backend", values="outcome", aggfunc=_worst, sort=False
    ).reset_index()
    table.columns.name = None
    table.insert(1, "family", table["model"].map(family))
    table.insert(2, "exercises", table["model"].map(exercises))
    return table.rename(columns={"model": "trait"}).fillna("not run")


def silent(data: pd.DataFrame) -> pd.DataFrame:
    """One row a trait and condition that some backend gets silently wrong: how many do, and which, in the order of the
    run's other cells: those of traits are in the order in which they were done."""
    places = {name: place for place, name in enumerate(dict.fromkeys(data["backend"]))}
    wrong = cells(data, traits=True)
    wrong = wrong[wrong["outcome"] == "mismatch"].sort_values(
        "backend", key=lambda names: names.map(places), kind="stable"
    )
    if wrong.empty:
        return pd.DataFrame()
    groups = wrong.groupby(["model", "condition"], sort=False)
    table = groups.agg(wrong=("backend", "size"), backends=("backend", ", ".join)).reset_index()
    table.insert(1, "exercises", table["model"].map(exercises))
    return table.rename(columns={"model": "trait"}).sort_values("wrong", ascending=False, kind="stable")


def questions(records: Sequence[Record]) -> pd.DataFrame:
    """Backends down, what people ask first across, the answers in the cells."""
    rows = [
        {"backend": name} | {answer.question: answer.text for answer in answers(records, name)}
        for name in backend_names(records)
    ]
    return pd.DataFrame(rows).set_index("backend") if rows else pd.DataFrame()


def cost(data: pd.DataFrame) -> pd.DataFrame:
    """One row for each backend and model whose rounds were timed: medians in milliseconds, sizes in kB."""
    timed = cells(data)
    timed = timed[timed["rounds"] > 0]
    return pd.DataFrame(
        {
            "model": timed["model"],
            "backend": timed["backend"],
            "outcome": timed["outcome"],
            "artifact kB": timed["artifact_bytes"] / 1e3,
            "overhead kB": timed["overhead_bytes"] / 1e3,
            "save ms": timed["save_s"] * 1e3,
            "× floor (save)": timed["save_x_floor"],
            "interval (save)": timed.apply(ratios.interval_text, axis=1, what="save"),
            "load ms": timed["load_s"] * 1e3,
            "× floor (load)": timed["load_x_floor"],
            "interval (load)": timed.apply(ratios.interval_text, axis=1, what="load"),
            "first load ms": timed["first_load_s"] * 1e3,
            "first prediction ms": timed["first_prediction_s"] * 1e3,
            "load to first prediction ms": timed["load_to_prediction_s"] * 1e3,
            "peak anon MB (load)": timed["peak_anon_bytes_load"] / 1e6,
            "rounds": timed["rounds"],
            "stopped": timed["load_stopped"],
        }
    )


def _with_baseline(table: pd.DataFrame, records: list[Record], baseline: str = BASELINE) -> pd.DataFrame:
    """The table of costs with what each backend costs over the baseline backend, in the same rounds."""
    found = ratios.against(records, baseline)
    keys = list(zip(table["backend"], table["model"], strict=True))
    columns = {f"{what} × {baseline}": [found.get(key, {}).get(what, "–") for key in keys] for what in ("save", "load")}
    return table.assign(**columns)


def resources(data: pd.DataFrame) -> pd.DataFrame:
    """What the timed cells used beside time, and what a loaded model does: memory, bytes written, cold cache, speed."""
    timed = cells(data)
    timed = timed[timed["rounds"] > 0]
    return pd.DataFrame(
        {
            "model": timed["model"],
            "backend": timed["backend"],
            "peak anon MB (save)": timed["peak_anon_bytes_save"] / 1e6,
            "peak anon MB (load)": timed["peak_anon_bytes_load"] / 1e6,
            "peak file MB (load)": timed["peak_file_bytes_load"] / 1e6,
            "written kB (save)": timed["written_bytes_save"] / 1e3,
            "load × map floor": timed["map_x_floor"].where(timed["maps"] == True),  # noqa: E712  maps may be None
            "cold load ms": timed["load_cold_s"] * 1e3,
            "cold floor ms": timed["floor_read_cold_s"] * 1e3,
            "predictions/s": timed["predictions_per_s"],
        }
    )


def choice(data: pd.DataFrame) -> pd.DataFrame:
    """One row a backend that a person can choose from: counts of what worked, costs on one model.

    A count is `models that came back exact or close / models tried`, and behind it how many more came back in part;
    what was `unavailable` here was not tried. *Silently wrong* leaves out cells in which merely edited code ran:
    `source_edited` counts these. The costs are those of `common_model`, so that rows can be compared; traits are not
    counted.
    """
    data = cells(data)
    wrong = (data["outcome"] == "mismatch") & (data["code_ran"] != "edited")
    data = data.assign(works=data["outcome"].isin(WORKS), part=data["outcome"] == "partial", wrong=wrong)
    data["tried"] = data["outcome"] != "unavailable"
    rows: dict[str, dict[str, Any]] = {backend: {} for backend in dict.fromkeys(data["backend"])}
    groups = data.groupby(["backend", "condition"], sort=False)
    counts = groups.agg(works=("works", "sum"), tried=("tried", "sum"), part=("part", "sum"))
    texts = {place: f"{row.works}/{row.tried}" + (f" +{row.part} part" if row.part else "")
             for place, row in zip(counts.index, counts.itertuples(), strict=True) if row.tried}  # fmt: skip
    for condition in in_order(data["condition"]):
        for backend, row in rows.items():
            row[condition] = texts.get((backend, condition), "–")
    for backend, wrong in data.groupby("backend")["wrong"].sum().items():
        rows[backend]["silently wrong"] = int(wrong)
    model = common_model(data)
    timed = data[(data["model"] == model) & (data["rounds"] > 0)].drop_duplicates("backend")
    for _, cell in timed.iterrows():
        rows[cell["backend"]] |= {
            f"save ms ({model})": f"{cell['save_s'] * 1e3:.1f}",
            f"load ms ({model})": f"{cell['load_s'] * 1e3:.1f}",
            f"load × floor ({model})": ratios.interval_of(cell, "load"),
            f"size MB ({model})": f"{cell['artifact_bytes'] / 1e6:.2f}",
        }
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    table.index.name = "backend"
    return table


def common_model(data: pd.DataFrame) -> str | None:
    """As `needs.common_model`: the largest model that most of the timed backends could be timed on, or None."""
    timed = data[data["rounds"] > 0]
    if timed.empty:
        return None
    groups = timed.groupby("model").agg(backends=("backend", "nunique"), size=("tensor_bytes", "max"))
    common = groups[groups["backends"] >= MOST * groups["backends"].max()]
    return str(common.sort_values(["size", "backends"]).index[-1])


def failures(data: pd.DataFrame) -> pd.DataFrame:
    """Every cell that is not exact, the silently wrong first, with the message that a user would see."""
    chosen = cells(data, traits=None)
    chosen = chosen[chosen["outcome"] != "exact"].copy()
    chosen["rank"] = chosen["outcome"].map(SEVERITY)
    chosen = chosen.sort_values(["rank", "backend", "model", "condition"])
    columns = [
        "outcome",
        "backend",
        "model",
        "condition",
        "stage",
        "error_type",
        "message",
        "code_ran",
        "remedy",
        "rerun",
    ]
    return chosen[columns].fillna("")


def claims(records: Iterable[Record]) -> pd.DataFrame:
    """The series' eleven claims: what is reported, what was measured, and whether it holds."""
    return pd.DataFrame(
        {
            "claim": f"{found.claim.number}. {found.claim.method}: {found.claim.condition}",
            "reported": found.claim.reported,
            "verdict": found.verdict,
            "measured": found.measured,
            "rerun": found.rerun,
        }
        for found in verdicts(records)
    )


def probes(records: Iterable[Record]) -> pd.DataFrame:
    """Backends down, probes of safety and transparency across, their answers in the cells."""
    rows = [{"backend": record.backend, "probe": record.condition, "answer": record.facts["answer"]}
            for record in records if record.kind == "probe" and "answer" in record.facts]  # fmt: skip
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows).pivot_table(
        index="backend", columns="probe", values="answer", aggfunc="last", sort=False
    )
    return table.fillna("not measured")


def other_kinds(records: Iterable[Record]) -> dict[str, pd.DataFrame]:
    """Kind -> its table: who and what, and each of the `facts` as a column."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record.kind != "cell":
            head = {name: getattr(record, name) for name in ("backend", "model", "condition", "outcome", "message")}
            found = {name: _plain(value) for name, value in record.facts.items()}
            rows.setdefault(record.kind, []).append(head | found | {"rerun": record.rerun})
    return {kind: pd.DataFrame(lines).dropna(axis="columns", how="all") for kind, lines in rows.items()}


def growth_curves(records: list[Record]) -> pd.DataFrame:
    """Backend, sweep and cost: the fitted exponent, and from which size on it takes twice the floor or more."""
    rows = [
        {
            "backend": curve.backend,
            "sweep": curve.sweep,
            "cost": curve.what,
            "exponent": curve.exponent,
            "standard error": curve.error,
            "leaves the floor at": curve.leaves_at,
            "smallest": curve.points[0][0],
            "largest": curve.points[-1][0],
            "cost of the largest": curve.points[-1][1],
        }
        for curve in curves_of(records)
    ]
    return pd.DataFrame(rows)


def every_table(records: list[Record]) -> dict[str, pd.DataFrame]:
    """All tables by name, the reader's first."""
    data = frame(records)
    tables = {"choice": choice(data), "cost": _with_baseline(cost(data), records), "failures": failures(data)}
    tables["claims"] = claims(records)
    some = {"questions": questions(records), "probes": probes(records), "resources": resources(data)}
    some |= {"traits": traits(data), "silent": silent(data), "difficulties": difficulties(data)}
    tables |= {name: table for name, table in some.items() if len(table)}
    tables |= {f"fidelity_{name}": fidelity(data, name) for name in dict.fromkeys(cells(data)["condition"])}
    if len(curves := growth_curves(records)):
        tables["growth_curves"] = curves
    if rows := speed_targets.rows(records):
        tables["json_spec_targets"] = pd.DataFrame(rows)
    return tables | other_kinds(records) | {"cells": data}


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, numbers to three significant digits."""
    return table.map(_cell).to_markdown(disable_numparse=True)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _median(values: list[float]) -> float | None:
    return float(statistics.median(values)) if values else None


def _difference(value: int | None, other: int | None) -> int | None:
    return None if value is None or other is None else value - other
