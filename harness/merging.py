"""The parts of a sharded run as one run: its records together, under one id."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from harness.errors import RecordsError
from harness.records import Record, RecordWriter, read_records
from harness.registry import ROOT
from harness.report import read_environment


def merge_runs(folders: Sequence[Path], output: Path | None = None) -> tuple[Path, list[str]]:
    """Write the records of all folders into a new one; returns it, and notes on what a reader should know.

    The merged run has the first part's id with `-merged`, and its environment with the parts' ids. Raises RecordsError
    where a cell is in two parts (these are no shards of one run), OutputExists where the output is not empty.
    """
    seen: dict[tuple, Path] = {}
    records: list[Record] = []
    notes: list[str] = []
    parts = []
    for folder in folders:
        read = read_records(folder)
        notes += read.problems
        for record in read.records:
            place = _place(record)
            if place in seen:
                raise RecordsError(
                    f"{' × '.join(filter(None, place))} is in {seen[place]} and in {folder}",
                    "Merge the shards of one run: each cell is in one of them.",
                )
            seen[place] = folder
        parts.append(read.records[0].run_id)
        records += read.records
    if len({record.environment_id for record in records}) > 1:
        notes.append("the parts ran in different environments: compare costs within one model")
    run_id = f"{min(parts)}-merged"
    folder = output or ROOT / "reports" / "runs" / run_id
    writer = RecordWriter(folder)
    writer.write(dataclasses.replace(record, run_id=run_id) for record in records)
    writer.close()
    environment = (read_environment(folders[0])[0] or {}) | {"merged_from": parts}
    (folder / "environment.json").write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")
    return folder, notes


def _place(record: Record) -> tuple[str, ...]:
    """Which cell, or other measurement, a record is; growth has many of one backend and condition."""
    size = json.dumps(record.facts, sort_keys=True) if record.kind not in ("cell", "probe") else ""
    return record.kind, record.backend, record.model, record.condition, record.interpreter or "", size
