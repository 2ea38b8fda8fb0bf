"""Tables from records, with pandas, as CSV and Markdown. Nothing here imports torch or runs a model.

choice     one row a backend: what it managed, what it costs over the floor
fidelity   backend x model, one table a condition: outcomes
cost       backend x model: size, save, load, first prediction
failures   every cell that is not exact, with its message and the command to run it again
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from harness.records import OUTCOMES, Record, read_records

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
WORKS = ("exact", "close")


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a record; medians of the rounds, and ratios to the floor's medians of the same rounds."""
    rows = []
    for record in records:
        row = {
            name: getattr(record, name)
            for name in ("backend", "model", "condition", "outcome", "stage", "error_type", "message", "rerun",
                         "artifact_bytes", "tensor_bytes", "peak_anon_bytes_save", "peak_anon_bytes_load",
                         "first_load_s", "duration_s")
        }  # fmt: skip
        for name in ("save_s", "load_s", "first_prediction_s", "floor_write_s", "floor_read_s"):
            row[name] = _median(getattr(record, name))
        row["rounds"] = len(record.load_s)
        row["save_x_floor"] = _ratio(row["save_s"], row["floor_write_s"])
        row["load_x_floor"] = _ratio(row["load_s"], row["floor_read_s"])
        row["overhead_bytes"] = _difference(record.artifact_bytes, record.tensor_bytes)
        rows.append(row)
    data = pd.DataFrame(rows)
    numbers = [name for name in data if name.endswith(("_s", "_bytes", "_save", "_load", "_floor"))]
    return data.astype(dict.fromkeys(numbers, float))  # None becomes NaN


def fidelity(data: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Backends down, models across, outcomes in the cells, for one condition."""
    chosen = data[data["condition"] == condition]
    table = chosen.pivot_table(index="backend", columns="model", values="outcome", aggfunc="last", sort=False)
    return table.map(lambda outcome: MARKS.get(outcome, "") if isinstance(outcome, str) else "not run")


def cost(data: pd.DataFrame) -> pd.DataFrame:
    """One row for each backend and model whose rounds were timed: medians in milliseconds, sizes in kB."""
    timed = data[data["rounds"] > 0]
    return pd.DataFrame(
        {
            "model": timed["model"],
            "backend": timed["backend"],
            "outcome": timed["outcome"],
            "artifact kB": timed["artifact_bytes"] / 1e3,
            "overhead kB": timed["overhead_bytes"] / 1e3,
            "save ms": timed["save_s"] * 1e3,
            "× floor (save)": timed["save_x_floor"],
            "load ms": timed["load_s"] * 1e3,
            "× floor (load)": timed["load_x_floor"],
            "first load ms": timed["first_load_s"] * 1e3,
            "first prediction ms": timed["first_prediction_s"] * 1e3,
            "peak anon MB (load)": timed["peak_anon_bytes_load"] / 1e6,
            "rounds": timed["rounds"],
        }
    )


def choice(data: pd.DataFrame) -> pd.DataFrame:
    """One row a backend that a person can choose from: counts of what worked, costs on one model.

    A count is `models that came back exact or close / models tried`. The costs are those of `common_model`, so that
    the rows can be compared.
    """
    backends = list(dict.fromkeys(data["backend"]))
    rows = {backend: {} for backend in backends}
    for condition in dict.fromkeys(data["condition"]):
        for backend in backends:
            cells = data[(data["condition"] == condition) & (data["backend"] == backend)]
            rows[backend][condition] = f"{cells['outcome'].isin(WORKS).sum()}/{len(cells)}"
    for backend in backends:
        cells = data[data["backend"] == backend]
        rows[backend]["silently wrong"] = int((cells["outcome"] == "mismatch").sum())
    model = common_model(data)
    if model is not None:
        for backend in backends:
            cells = data[(data["backend"] == backend) & (data["model"] == model) & (data["rounds"] > 0)]
            if len(cells):
                cell = cells.iloc[0]
                rows[backend] |= {
                    f"save ms ({model})": f"{cell['save_s'] * 1e3:.1f}",
                    f"load ms ({model})": f"{cell['load_s'] * 1e3:.1f}",
                    f"load × floor ({model})": f"{cell['load_x_floor']:.2f}",
                    f"size MB ({model})": f"{cell['artifact_bytes'] / 1e6:.2f}",
                }
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    table.index.name = "backend"
    return table


def common_model(data: pd.DataFrame) -> str | None:
    """Of the models that the most backends could time, the largest in tensor bytes; None where nothing was timed."""
    timed = data[data["rounds"] > 0]
    if timed.empty:
        return None
    groups = timed.groupby("model").agg(backends=("backend", "nunique"), size=("tensor_bytes", "max"))
    return str(groups.sort_values(["backends", "size"]).index[-1])


def failures(data: pd.DataFrame) -> pd.DataFrame:
    """Every cell that is not exact, the silently wrong first, with the message that a user would see."""
    order = {"mismatch": 0, "crashed": 1, "failed": 2, "unsupported": 3, "partial": 4, "unavailable": 5, "close": 6}
    chosen = data[data["outcome"] != "exact"].copy()
    chosen["rank"] = chosen["outcome"].map(order)
    chosen = chosen.sort_values(["rank", "backend", "model", "condition"])
    columns = ["outcome", "backend", "model", "condition", "stage", "error_type", "message", "rerun"]
    return chosen[columns].fillna("")


def write_report(run: Path) -> list[Path]:
    """Make `tables/*.csv` and `summary.md` of a run again from its records; returns what was written.

    Raises RecordsError where nothing can be read. Lines that cannot be read are named in the summary.
    """
    read = read_records(run)
    data = frame(read.records)
    folder = run / "tables"
    folder.mkdir(exist_ok=True)
    tables = {"choice": choice(data), "cost": cost(data), "failures": failures(data)}
    tables |= {f"fidelity_{name}": fidelity(data, name) for name in dict.fromkeys(data["condition"])}
    written = []
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        table.to_csv(path, index=table.index.name == "backend")
        written.append(path)
    summary = run / "summary.md"
    summary.write_text(_summary(run, data, tables, read.problems), encoding="utf-8")
    return [summary, *written]


def _summary(run: Path, data: pd.DataFrame, tables: dict[str, pd.DataFrame], problems: list[str]) -> str:
    counts = data["outcome"].value_counts()
    outcomes = ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if name in counts)
    parts = [f"# Roundtrip: {data['backend'].nunique()} backends, {data['model'].nunique()} models", f"{outcomes}."]
    if (environment := _environment(run)) is not None:
        parts.append(environment)
    parts += ["## Which one?", _CHOICE_NOTE, markdown(tables["choice"])]
    for name, table in tables.items():
        if name.startswith("fidelity_"):
            parts += [f"## Fidelity: {name.removeprefix('fidelity_')}", markdown(table)]
    parts += ["## Cost", _COST_NOTE, markdown(tables["cost"].set_index("model"))]
    parts += [
        "## What went wrong, in the library's words",
        markdown(_shortened(tables["failures"]).set_index("outcome")),
    ]
    if problems:
        parts += ["## Lines that could not be read", "\n".join(f"- {line}" for line in problems)]
    return "\n\n".join(parts) + "\n"


_CHOICE_NOTE = (
    "A count is *models that came back exact or close / models tried* under that condition. "
    "*Silently wrong* counts cells that loaded and differ from what was saved."
)
_COST_NOTE = (
    "Medians of interleaved rounds in warm processes. The floor writes, or reads, the same number of tensor bytes in "
    "one plain file, in the same rounds. *First load* includes importing the model's source. The ratio to the floor "
    "says little for models of a few kB."
)


def _environment(run: Path) -> str | None:
    path = run / "environment.json"
    if not path.is_file():
        return None
    raw = json.loads(path.read_text(encoding="utf-8"))
    return (
        f"Python {raw['python']}, torch {raw['versions']['torch']}, {raw['cpus']} CPUs ({raw['cpu']}), "
        f"{raw['torch_threads']} torch threads, {raw['system']}; load average {raw['load_average']} at the start."
    )


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, numbers to three significant digits."""
    return table.map(_cell).to_markdown(disable_numparse=True)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _shortened(table: pd.DataFrame) -> pd.DataFrame:
    shown = table.copy()
    shown["message"] = shown["message"].map(lambda text: text if len(text) <= 160 else f"{text[:157]}...")
    return shown.drop(columns="rerun")


def _median(values: list[float]) -> float | None:
    return float(pd.Series(values).median()) if values else None


def _ratio(value: float | None, floor: float | None) -> float | None:
    return value / floor if value is not None and floor else None


def _difference(value: int | None, other: int | None) -> int | None:
    return None if value is None or other is None else value - other
