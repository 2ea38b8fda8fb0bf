"""All files of a run's report, made again from its records alone: tables, summary, badge and page.

    tables/*.csv, tables/*.parquet   the tables of `tables`; Parquet where pyarrow is installed (extra `report`)
    summary.md                       fits a pull-request comment
    badge.json                       for a badge service's endpoint
    index.html                       the page that people choose from, one self-contained file; it leads to a
                                     trend.html beside it

Records that cannot be read, or that do not belong together, become notes at the top of summary and page; the rest is
shown.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import page
from harness.environment import read_environment
from harness.errors import RecordsError
from harness.findings import ratios
from harness.findings.needs import WORKS, is_trait
from harness.records import Record, read_records, records_file
from harness.summary import summary
from harness.tables import every_table

PROBLEMS_SHOWN = 20


def write_report(run: Path) -> list[Path]:
    """Write the report into `run`; returns what was written, the summary first.

    Raises RecordsError where no record can be read: after writing page and summary that say so, if there is a file.
    """
    folder = run if run.is_dir() else run.parent
    environment, problems = read_environment(folder)
    try:
        read = read_records(run)
    except RecordsError as error:
        if records_file(folder).is_file():
            (folder / "summary.md").write_text(f"# Roundtrip: nothing to report\n\n{error}\n", encoding="utf-8")
            (folder / "index.html").write_text(page.render([], environment, [str(error)]), encoding="utf-8")
        raise
    problems = [*read.in_short(PROBLEMS_SHOWN), *problems, *mixed(read.records)]
    problems += ratios.few_rounds(read.records)
    noise, in_short = ratios.noise(read.records), ratios.noise_in_short(read.records)
    tables = every_table(read.records)
    written = [folder / "summary.md", folder / "index.html", folder / "badge.json"]
    written[0].write_text(summary(tables, environment, [*problems, *noise]), encoding="utf-8")
    beside = (folder / "trend.html").is_file()
    written[1].write_text(page.render(read.records, environment, [*problems, *in_short], beside), encoding="utf-8")
    written[2].write_text(json.dumps(badge(read.records), ensure_ascii=False) + "\n", encoding="utf-8")
    return written + _write_tables(tables, folder / "tables")


def _write_tables(tables: dict[str, Any], folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    parquet = importlib.util.find_spec("pyarrow") is not None
    written = []
    for name, table in tables.items():
        indexed = table.index.name == "backend"
        written.append(folder / f"{name}.csv")
        table.to_csv(written[-1], index=indexed)
        if parquet:
            written.append(folder / f"{name}.parquet")
            (table.reset_index() if indexed else table.reset_index(drop=True)).to_parquet(written[-1], index=False)
    return written


def mixed(records: Sequence[Record]) -> list[str]:
    """Notes on records that do not belong together: costs of one kind of several machines, or the same cell twice."""
    notes = []
    machines: dict[str, set[str]] = {}
    for record in records:
        if record.environment_id and (record.kind != "cell" or record.load_s or record.save_s):
            machines.setdefault(record.kind, set()).add(record.environment_id)
    for kind, found in machines.items():
        if len(found) > 1:
            notes.append(
                f"records ({kind}) of {len(found)} machines or environments are mixed "
                f"({', '.join(sorted(found)[:4])}): outcomes can be compared, times and memory cannot"
            )
    seen: set[tuple[Any, ...]] = set()
    doubled = 0
    for record in records:
        key = (record.kind, record.backend, record.model, record.condition, record.interpreter)
        doubled += record.kind == "cell" and key in seen
        seen.add(key)
    if doubled:
        notes.append(f"{doubled} cells are there more than once (runs put together?); each is counted as it stands")
    return notes


def badge(records: Sequence[Record]) -> dict[str, Any]:
    """The endpoint form of a badge service: label, message, colour. Silent errors are the headline."""
    cells = [record for record in records if record.kind == "cell" and not is_trait(record.model)]
    works = sum(record.outcome in WORKS for record in cells)
    wrong = sum(record.is_silently_wrong for record in cells)
    message = f"{works} of {len(cells)} cells came back, {wrong} silently wrong"
    return {"schemaVersion": 1, "label": "roundtrip", "message": message, "color": "blue" if cells else "lightgrey"}
