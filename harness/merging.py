"""The parts of a sharded run as one run, or an older run with newer parts in it: records together, under one id."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.environment import read_environment
from harness.errors import RecordsError
from harness.records import CAN_BE_TIMED, COSTS, OF_COSTS, Record, RecordWriter, read_records
from harness.registry import ROOT

PROBLEMS_SHOWN = 5
_OF_A_RUN = {"merged_from", "left_out", "elsewhere", "measured"}
"""What `environment.json` says of a run that was put together, beside the environment."""


def merge_runs(
    folders: Sequence[Path], output: Path | None = None, replace: bool = False, keep_costs: bool = False
) -> tuple[Path, list[str]]:
    """Write the records of all folders into a new one; returns it, and notes on what a reader should know.

    With `replace`, what two folders measured is taken from the later one. Of growth and the like, where one backend and
    model have many records, it is taken as a whole. With `keep_costs` too, the later one gives what came back alone: a
    cell that was timed in an earlier one keeps these times, sizes and peaks, and the environment that they are of.

    The merged run has the id, with `-merged`, and the environment of the part with the most records, and the parts'
    ids; what was measured in another environment is told as `elsewhere`. A part that ended before it had a record is
    left out, with a note. Raises RecordsError where a folder is not there, none has a record, or, without `replace`, a
    cell is in two parts (these are no shards of one run); OutputExists where the output is not empty.
    """
    parts: dict[Path, list[Record]] = {}
    notes: list[str] = []
    left_out = []
    for folder in folders:
        if not folder.exists():
            raise RecordsError(f"no run at {folder}", "Name the folders of the parts.")
        try:
            read = read_records(folder)
        except RecordsError as error:
            notes.append(f"{folder} is left out: {error.message}")
            left_out.append(folder.name)
            continue
        notes += [f"{folder}: {problem}" for problem in read.in_short(PROBLEMS_SHOWN)]
        parts[folder] = read.records
    if not parts:
        raise RecordsError("none of the parts has a record: " + "; ".join(notes), "Run at least one part to its end.")
    if keep_costs:
        notes += _keep_costs(parts)
    if replace:
        parts, told = _latest(parts)
        notes += told
    else:
        _check_apart(parts)
    records = [record for part in parts.values() for record in part]
    if len({record.environment_id for record in records}) > 1:
        notes.append("the parts ran in different environments: compare costs within one model")
    environments = {folder: read_environment(folder)[0] or {} for folder in parts}
    ids = [one for folder, part in parts.items() for one in environments[folder].get("merged_from", [part[0].run_id])]
    main = max(parts, key=lambda part: len(parts[part]))
    run_id = f"{parts[main][0].run_id.removesuffix('-merged')}-merged"
    folder = output or ROOT / "reports" / "runs" / run_id
    writer = RecordWriter(folder)
    writer.write(dataclasses.replace(record, run_id=run_id) for record in records)
    writer.close()
    environment = environments[main] | {"merged_from": sorted(set(ids))}
    environment.pop("elsewhere", None)
    here, _ = Counter(record.environment_id for record in parts[main]).most_common(1)[0]
    if elsewhere := _elsewhere(records, environments.values(), here):
        environment["elsewhere"] = elsewhere
    if left_out:
        environment["left_out"] = left_out
    (folder / "environment.json").write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")
    return folder, notes


def _elsewhere(records: Sequence[Record], environments: Iterable[dict[str, Any]], here: str) -> list[dict[str, Any]]:
    """The environments of records that are not of the environment `here`, each with what was `measured` in it: the
    conditions of cells, the kinds of other records."""
    known = {}
    for environment in environments:
        for one in (environment, *environment.get("elsewhere", ())):
            known[one.get("environment_id")] = {key: value for key, value in one.items() if key not in _OF_A_RUN}
    kinds: dict[str, set[str]] = {}
    for record in records:
        if record.environment_id and record.environment_id != here:
            what = record.condition if record.kind == "cell" else record.kind
            kinds.setdefault(record.environment_id, set()).add(what)
    return [known.get(one, {"environment_id": one}) | {"measured": sorted(kinds[one])} for one in sorted(kinds)]


def _check_apart(parts: dict[Path, list[Record]]) -> None:
    seen: dict[tuple, Path] = {}
    for folder, records in parts.items():
        for record in records:
            place = _place(record)
            if place in seen:
                raise RecordsError(
                    f"{' × '.join(filter(None, place[1:5]))} is in {seen[place]} and in {folder}",
                    "Merge the shards of one run: each cell is in one of them; or --replace the earlier one's.",
                )
            seen[place] = folder


def _keep_costs(parts: dict[Path, list[Record]]) -> list[str]:
    """Give the cells of later parts the costs of earlier ones; a note on each part that has such cells.

    Of a model that an earlier part timed, what it has no costs of has none: those of another run are beside no floor.
    """
    timed: dict[tuple[str, ...], Record] = {}
    notes = []
    for folder, records in parts.items():
        before, models = timed.copy(), {record.model for record in timed.values()}
        timed |= {_place(record)[:-1]: record for record in records
                  if record.model not in models
                  and (record.kind in OF_COSTS or (record.kind == "cell" and record.save_s))}  # fmt: skip
        left = [record for record in records if record.kind not in OF_COSTS or record.model not in models]
        kept = 0
        for number, record in enumerate(left):
            earlier = before.get(_place(record)[:-1]) if record.outcome in CAN_BE_TIMED else None
            if record.kind == "cell" and record.model in models and (earlier or record.save_s):
                names = (*COSTS, "environment_id") if earlier else COSTS
                left[number] = dataclasses.replace(
                    record, **{name: getattr(earlier or _NO_COSTS, name) for name in names}
                )
                kept += earlier is not None
        parts[folder] = left
        if kept:
            notes.append(f"{kept} cells of {folder} keep the costs of an earlier part")
    return notes


_NO_COSTS = Record("", "", "", "")


def _latest(parts: dict[Path, list[Record]]) -> tuple[dict[Path, list[Record]], list[str]]:
    """The parts without what a later one measured too, and a note on each that lost something."""
    kept: dict[Path, list[Record]] = {}
    notes: list[str] = []
    measured: set[tuple[str, ...]] = set()
    for folder, records in reversed(parts.items()):
        left = [record for record in records if _place(record)[:-1] not in measured]
        if len(left) < len(records):
            notes.append(f"{len(records) - len(left)} of {len(records)} records of {folder} are replaced by later ones")
        if left:
            kept[folder] = left
        measured.update(_place(record)[:-1] for record in records)
    return dict(reversed(kept.items())), notes[::-1]


def _place(record: Record) -> tuple[str, ...]:
    """Which cell, or other measurement, a record is; growth has many of one backend and condition."""
    size = json.dumps(record.facts, sort_keys=True) if record.kind not in ("cell", "probe") else ""
    return record.kind, record.backend, record.model, record.condition, record.interpreter or "", size
