"""Runs over time: an SQLite file to which each run is appended, and what it tells of a backend's cost and outcomes.

SQLite, because one process writes a few hundred rows a run, any tool opens the file, and its format is promised to
stay readable until 2050; through sqlite-utils, whose migrations keep a table of what was applied.

    runs      one row a run: when, on what, with which versions
    cells     the outcome of each cell of a reference model
    traits    how many traits came to each outcome, by backend and condition
    costs     one row a backend, model and metric: the median and its ratio to the floor with the interval's ends

A schema is changed by adding a migration below; none is ever edited.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.environment import read_environment
from harness.errors import MissingPackage, RecordsError
from harness.findings.needs import is_trait
from harness.intervals import ratio, spread
from harness.records import Record, read_records

FILE = "history.db"
FLOORS = {"load": "floor_read_s", "save": "floor_write_s"}
"""Metric -> the floor that it is measured against; the metric's own field is `METRIC_s`."""


@dataclass(frozen=True)
class Point:
    """What one run gave for one backend, model and metric. Seconds, and multiples of the floor of the same rounds."""

    run_id: str
    started: str
    backend: str
    median_s: float
    ratio: float | None
    low: float | None
    high: float | None
    rounds: int
    changed: str
    """Versions and machine that differ from the run before, in words; empty where nothing did."""


def migrations():
    """The schema's history. Raises MissingPackage without sqlite-utils."""
    try:
        from sqlite_utils import Migrations
    except ImportError:
        raise MissingPackage(
            "the history needs sqlite-utils, which is not installed", "pip install 'roundtrip-bench[report]'"
        ) from None
    steps = Migrations("roundtrip")

    @steps()
    def m001_runs_cells_costs(db) -> None:
        db["runs"].create(
            {
                "run_id": str, "started": str, "environment_id": str, "python": str, "cpu": str, "versions": str,
                "load_average": str, "records": int, "added": str,
            },
            pk="run_id",
        )  # fmt: skip
        place = {"run_id": str, "backend": str, "model": str, "condition": str, "interpreter": str}
        db["cells"].create({**place, "outcome": str, "code_ran": str, "message": str}, pk=tuple(place))
        counted = {"run_id": str, "backend": str, "condition": str, "outcome": str}
        db["traits"].create({**counted, "count": int}, pk=tuple(counted))
        measured = {"run_id": str, "backend": str, "model": str, "metric": str}
        db["costs"].create(
            {**measured, "median_s": float, "ratio": float, "low": float, "high": float, "rounds": int},
            pk=tuple(measured),
        )
        db["costs"].create_index(["metric", "model", "backend"])

    return steps


def open_history(path: Path):
    """The database, created or brought to this version's schema. Raises RecordsError for a newer or a damaged one."""
    import sqlite3

    steps = migrations()
    from sqlite_utils import Database

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        db = Database(path)
        known = {step.name for step in steps.pending(db)} | {step.name for step in steps.applied(db)}
        ours = {step.name for step in steps._migrations}
        if known - ours:
            raise RecordsError(f"{path} was written by a newer version of the harness", "Upgrade roundtrip-bench.")
        steps.apply(db)
    except sqlite3.DatabaseError as error:
        raise RecordsError(
            f"{path} cannot be read: {error}", "Move it away; `roundtrip history --add RUN` begins anew."
        ) from None
    return db


def add(db, folder: Path) -> str:
    """Append a run; a run that is there already is replaced. Returns its id. Raises RecordsError."""
    records = read_records(folder).records
    environment, _ = read_environment(folder if folder.is_dir() else folder.parent)
    run_id = records[0].run_id
    with db.conn:
        for table in ("runs", "cells", "traits", "costs"):
            db[table].delete_where("run_id = ?", [run_id])
        db["runs"].insert(_run(run_id, records, environment or {}))
        db["cells"].insert_all(_cells(run_id, records), replace=True)
        db["traits"].insert_all(_traits(run_id, records))
        db["costs"].insert_all(_costs(run_id, records), replace=True)
    return run_id


def remember(folder: Path, reports: Path) -> Path | None:
    """Append a run that lies in `reports`/runs to the history there; None where it does not, or without the extra.

    A run in a folder of the user's choice is left to `roundtrip history --add`.
    """
    if folder.resolve().parent != (reports / "runs").resolve():
        return None
    try:
        db = open_history(reports / FILE)
    except MissingPackage:
        return None
    add(db, folder)
    return reports / FILE


def _run(run_id: str, records: Sequence[Record], environment: dict[str, Any]) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "started": _started(run_id),
        "environment_id": records[0].environment_id,
        "python": environment.get("python"),
        "cpu": environment.get("cpu"),
        "versions": json.dumps(environment.get("versions") or {}, sort_keys=True),
        "load_average": json.dumps(environment.get("load_average")),
        "records": len(records),
        "added": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    }


def _started(run_id: str) -> str:
    """`20261124-081500-ab12` as a time; the id itself where it is none."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.strptime(run_id[:15], "%Y%m%d-%H%M%S"))
    except ValueError:
        return run_id


def _cells(run_id: str, records: Sequence[Record]) -> list[dict[str, Any]]:
    return [
        {
            "run_id": run_id,
            "backend": record.backend,
            "model": record.model,
            "condition": record.condition,
            "interpreter": record.interpreter or "",
            "outcome": record.outcome,
            "code_ran": record.code_ran,
            "message": record.message,
        }
        for record in records
        if record.kind == "cell" and not is_trait(record.model)
    ]


def _traits(run_id: str, records: Sequence[Record]) -> list[dict[str, Any]]:
    counts = Counter((r.backend, r.condition, r.outcome) for r in records if r.kind == "cell" and is_trait(r.model))
    names = ("backend", "condition", "outcome")
    return [{"run_id": run_id, **dict(zip(names, key, strict=True)), "count": count} for key, count in counts.items()]


def _costs(run_id: str, records: Sequence[Record]) -> list[dict[str, Any]]:
    rows = []
    for record in records:
        for metric, floor in FLOORS.items():
            seen = spread(getattr(record, f"{metric}_s"))
            if record.kind != "cell" or seen is None or not getattr(record, floor):
                continue
            found = ratio(getattr(record, f"{metric}_s"), getattr(record, floor))
            rows.append(
                {
                    "run_id": run_id,
                    "backend": record.backend,
                    "model": record.model,
                    "metric": metric,
                    "median_s": seen.median,
                    "ratio": found and found.median,
                    "low": found and found.low,
                    "high": found and found.high,
                    "rounds": seen.rounds,
                }
            )
    return rows


def common_model(db, metric: str) -> str | None:
    """The model that the most backends have costs of in the newest run, the dearest of these; None of nothing."""
    found = db.execute(
        "select model from costs where metric = ? and run_id = (select max(run_id) from costs) "
        "group by model order by count(*) desc, max(median_s) desc limit 1",
        [metric],
    ).fetchone()
    return found and found[0]


def trend(db, metric: str, model: str, backends: Sequence[str] = ()) -> list[Point]:
    """Every run's figures for a model, oldest first, with what changed since the run before."""
    chosen = f" and backend in ({','.join('?' * len(backends))})" if backends else ""
    rows = db.query(
        "select costs.*, started, environment_id, python, cpu, versions from costs join runs using (run_id) "
        f"where metric = ? and model = ?{chosen} order by started, run_id, backend",
        [metric, model, *backends],
    )
    points, before, last = [], None, None
    changed = ""
    for row in rows:
        now = {"python": row["python"], "cpu": row["cpu"], **json.loads(row["versions"] or "{}")}
        if row["run_id"] != last:
            changed, before, last = _changed(before, now), now, row["run_id"]
        points.append(
            Point(
                row["run_id"], row["started"], row["backend"], row["median_s"], row["ratio"], row["low"], row["high"],
                row["rounds"], changed,
            )
        )  # fmt: skip
    return points


def _changed(before: dict[str, Any] | None, now: dict[str, Any]) -> str:
    if before is None:
        return ""
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return ", ".join(f"{name} {before.get(name) or 'none'} → {now.get(name) or 'none'}" for name in names)
