"""What the page's scripts read: every record, shortened, and the facts that the ranking needs.

    {"strings": [text], "backends": [name], "models": [name], "conditions": [name], "questions": {condition: text},
     "families": {trait: family}, "exercises": {trait: text}, "cells": [Cell or 0], "found": [Cell],
     "packed": [number, backend, model, condition, found, ...], "facts": as `needs.facts_table`, "common_model": name,
     "rerun": RERUN, "rerun_trait": RERUN_TRAIT}

A Cell leaves out what is empty. Long texts that repeat (messages, tracebacks, commands) are numbers into `strings`.
Fields that this module does not know by name, those of later harnesses, arrive in `more` and are shown as they are.
`rerun` is left out where it is `RERUN`, or of a trait `RERUN_TRAIT`, filled in; else it is a text to fill in likewise,
and false where there is no command.

Cells that were not timed come by the ten thousand and say the same few hundred things. They are 0 in `cells`; `packed`
has five numbers for each: which cell, backend, model, condition, and what was found, a number into `found`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from typing import Any

from harness import intervals
from harness.conditions import CONDITIONS, in_order
from harness.findings.needs import common_model, facts_table, is_trait
from harness.findings.remedies import remedy
from harness.records import Record
from harness.tables import exercises, family

RERUN = "pytest benchmarks/ --model {model} --backend {backend} --condition {condition}"
RERUN_TRAIT = "roundtrip check {model} --backend {backend} --condition {condition}"
DIFFERENCES_SHOWN = 6
DIFFERENCES_OF_TRAITS_SHOWN = 2
TRACEBACK_CHARACTERS = 1_200

_SHOWN_ELSEWHERE = {
    "run_id", "backend", "model", "condition", "kind", "outcome", "stage", "error_type", "message", "traceback",
    "taps", "state", "differences", "save_s", "load_s", "first_load_s", "first_prediction_s", "floor_write_s",
    "floor_read_s", "artifact_bytes", "tensor_bytes", "peak_anon_bytes_save", "peak_anon_bytes_load",
    "environment_id", "rerun", "schema_version", "duration_s", "interpreter",
}  # fmt: skip


class _Strings:
    """Texts by number; the same text twice is one number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, text: str | None) -> int | None:
        return self.numbers.setdefault(text, len(self.numbers)) if text else None


def build(records: Sequence[Record], environment: dict[str, Any] | None) -> dict[str, Any]:
    """The payload; see the module's docstring."""
    strings = _Strings()
    defaults = {item.name: _default(item) for item in dataclasses.fields(Record)}
    names = {
        key: list(dict.fromkeys(getattr(record, key) for record in records))
        for key in ("backend", "model", "condition")
    }
    names["condition"] = in_order(names["condition"])
    index = {key: {name: number for number, name in enumerate(values)} for key, values in names.items()}
    cells: list[dict | int] = [_cell(record, index, strings, defaults) for record in records]
    packed, found = _packed(cells, [record.kind == "cell" and not record.load_s for record in records])
    timed = [record for record in records if record.kind == "cell" and record.load_s]
    return {
        "backends": names["backend"],
        "models": names["model"],
        "conditions": names["condition"],
        "questions": {name: CONDITIONS[name].question for name in names["condition"] if name in CONDITIONS},
        "families": {name: family(name) for name in names["model"] if is_trait(name)},
        "exercises": {name: exercises(name) for name in names["model"] if is_trait(name)},
        "cells": cells,
        "packed": packed,
        "found": found,
        "strings": list(strings.numbers),
        "facts": facts_table(records, str((environment or {}).get("python", ""))),
        "common_model": common_model(timed),
        "rerun": RERUN,
        "rerun_trait": RERUN_TRAIT,
    }


def _packed(cells: list[dict | int], chosen: Sequence[bool]) -> tuple[list[int], list[dict]]:
    """`packed` and `found`; the chosen cells become 0."""
    packed: list[int] = []
    numbers: dict[str, int] = {}
    for place, cell in enumerate(cells):
        if chosen[place]:
            where = [cell.pop(name) for name in ("b", "m", "c")]
            packed += [place, *where, numbers.setdefault(json.dumps(cell), len(numbers))]
            cells[place] = 0
    return packed, [json.loads(text) for text in numbers]


def _default(item: dataclasses.Field) -> Any:
    return item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default


def _cell(record: Record, index: dict[str, dict[str, int]], strings: _Strings, defaults: dict[str, Any]) -> dict:
    trait = record.kind == "cell" and is_trait(record.model)
    shown = DIFFERENCES_OF_TRAITS_SHOWN if trait else DIFFERENCES_SHOWN
    cell: dict[str, Any] = {
        "b": index["backend"][record.backend],
        "m": index["model"][record.model],
        "c": index["condition"][record.condition],
        "o": record.outcome,
        "kind": record.kind if record.kind != "cell" else None,
        "stage": record.stage,
        "error": record.error_type,
        "message": strings(record.message),
        "traceback": None if trait else strings(_tail(record.traceback)),
        "taps": record.taps if set(record.taps.values()) - {"equal"} else None,
        "state": [[str(item.get("path")), str(item.get("message"))] for item in record.state[:shown]],
        "differences": record.differences or None,
        "remedy": strings(remedy(record)) if record.kind == "cell" else None,
        "on": record.interpreter,
        "rerun": _rerun(record, strings),
        "cost": cost_of(record),
        "more": {
            name: _rounded(getattr(record, name))
            for name in defaults
            if name not in _SHOWN_ELSEWHERE and getattr(record, name) != defaults[name]
        },
    }
    return {name: value for name, value in cell.items() if value is not None and value not in ([], {}, "")}


def _rerun(record: Record, strings: _Strings) -> int | bool | None:
    """None for the usual command, False for none, else the number of one with {backend}, {model}, {condition} in it."""
    usual = RERUN_TRAIT if is_trait(record.model) else RERUN
    names = {name: getattr(record, name) for name in ("backend", "model", "condition")}
    if not record.rerun or record.rerun == usual.format(**names):
        return None if record.rerun else False
    form = record.rerun
    for name, value in names.items():
        form = re.sub(rf"(--{name}) {re.escape(value)}(?!\S)", rf"\1 {{{name}}}", form)
    return strings(form)


def _tail(text: str | None) -> str | None:
    return text if text is None or len(text) <= TRACEBACK_CHARACTERS else f"…{text[-TRACEBACK_CHARACTERS:]}"


def cost_of(record: Record) -> dict[str, Any] | None:
    """What a timed cell cost: durations in seconds as [25 %, median, 75 %] of the rounds.

    `save_x` and `load_x` are ratios to the floor as [low, median, high], with the interval of `intervals.ratio`; low
    and high are None where there were too few rounds for one, or scipy is missing.
    """
    if not record.load_s:
        return None
    cost = {
        "save": _quartiles(record.save_s),
        "load": _quartiles(record.load_s),
        "predict": _quartiles(record.first_prediction_s),
        "save_x": _interval(record.save_s, record.floor_write_s),
        "load_x": _interval(record.load_s, record.floor_read_s),
        "first": _rounded(record.first_load_s),
        "bytes": record.artifact_bytes,
        "tensor_bytes": record.tensor_bytes,
        "peak_save": record.peak_anon_bytes_save,
        "peak_load": record.peak_anon_bytes_load,
        "rounds": len(record.load_s),
    }
    return {name: value for name, value in cost.items() if value is not None}


def _interval(values: Sequence[float], floor: Sequence[float]) -> list[float | None] | None:
    found = intervals.ratio(values, floor)
    return found and _rounded([found.low, found.median, found.high])


def _quartiles(values: Sequence[float]) -> list[float] | None:
    found = intervals.spread(values)
    return found and _rounded([found.low_quartile, found.median, found.high_quartile])


def _rounded(value: Any) -> Any:
    """Floats to five significant digits, in whatever holds them: more is noise, and bytes. NaN and infinity as text."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    return value
