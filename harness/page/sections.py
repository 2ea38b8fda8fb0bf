"""What the template writes without a script: a section a backend, a section a reference model, the run itself.

Plain dicts and lists for Jinja. A list of cells is a list of indices into the records, which page.js opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

from harness.conditions import CONDITIONS, in_order
from harness.findings.backend_docs import backend_doc
from harness.findings.claims import verdicts
from harness.findings.needs import GROUPS, SCENARIOS, WORKS, all_needs, backend_names, is_trait
from harness.findings.questions import answers
from harness.findings.ratios import noise
from harness.findings.remedies import remedy
from harness.page.payload import cost_of
from harness.records import Record
from harness.tables import MARKS, SEVERITY, family
from reference_models.catalog import CATALOG

FAILURES_SHOWN = 40
MODELS_NAMED = 6

OUTCOME_MEANINGS = {
    "exact": "bit-equal at all three stages and in the module's state",
    "close": "within the model's stated tolerance",
    "partial": "a stage is not in the artifact, the rest is right for every example",
    "mismatch": "it loaded and is wrong: the worst one",
    "unsupported": "the backend refused to save it, and says why",
    "failed": "an error, with the stage and the library's message",
    "crashed": "the process died or hung",
    "unavailable": "not tried: a package is missing, or the condition does not suit the model's code",
}


def context(records: Sequence[Record], environment: dict[str, Any] | None) -> dict[str, Any]:
    """All variables of the template but the inlined files, the payload and the problems."""
    numbered = list(enumerate(records))
    backends = backend_names(records)
    cells = [record for record in records if record.kind == "cell"]
    models = list(dict.fromkeys(record.model for record in cells if not is_trait(record.model)))
    needs = all_needs(records)
    return {
        "backends": [_backend(name, [row for row in numbered if row[1].backend == name], environment)
                     | {"answers": answers(records, name)} for name in backends],
        "models": [_model(name, [row for row in numbered if row[1].model == name]) for name in models],
        "counts": {
            "backends": len(backends),
            "models": len(models),
            "traits": len({record.model for record in cells if is_trait(record.model)}),
            "conditions": len({record.condition for record in cells}),
            "cells": len(cells),
            "wrong": sum(record.is_silently_wrong for record in cells),
            "probes": len(records) - len(cells),
        },
        "run_ids": list(dict.fromkeys(record.run_id for record in records)),
        "date": _date(records),
        "groups": [(title, [need for need in needs if need.group == group]) for group, title in GROUPS.items()],
        "scenarios": SCENARIOS,
        "outcomes": OUTCOME_MEANINGS,
        "marks": MARKS,
        "claims": verdicts(records),
        "environment": _flat(environment or {}),
        "noise": _noise(environment or {}, noise(records)),
    }  # fmt: skip


def code_spans(text: str) -> Markup:
    """`backticks` as <code>, everything escaped."""
    parts = re.split(r"`+([^`]+)`+", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _backend(name: str, rows: list[tuple[int, Record]], environment: dict[str, Any] | None) -> dict[str, Any]:
    doc = backend_doc(name)
    cells = [row for row in rows if row[1].kind == "cell"]
    reference = [row for row in cells if not is_trait(row[1].model)]
    return {
        "name": name,
        "doc": doc,
        "versions": _versions(doc.requires, environment),
        "ladder": _ladder(reference),
        "traits": _families([row for row in cells if is_trait(row[1].model)]),
        "costs": _costs(reference),
        "failures": _failures(cells),
        "found": [_found(index, record) for index, record in rows if record.kind != "cell"],
        "never": bool(reference) and not any(record.outcome in (*WORKS, "partial") for _, record in reference),
    }


def _model(name: str, rows: list[tuple[int, Record]]) -> dict[str, Any]:
    cells = [row for row in rows if row[1].kind == "cell"]
    sizes = [record.tensor_bytes for _, record in cells if record.tensor_bytes]
    by_backend = dict.fromkeys(record.backend for _, record in cells)
    return {
        "name": name,
        "exercises": CATALOG[name].exercises if name in CATALOG else "",
        "tensor_bytes": max(sizes, default=None),
        "conditions": in_order(record.condition for _, record in cells),
        "rows": [(backend, {record.condition: (index, record.outcome) for index, record in cells
                            if record.backend == backend}) for backend in by_backend],
    }  # fmt: skip


def _versions(requires: Iterable[str], environment: dict[str, Any] | None) -> str:
    versions = {key.lower().replace("-", "_"): (key, value)
                for key, value in ((environment or {}).get("versions") or {}).items() if value}  # fmt: skip
    found = [versions[name.lower()] for name in requires if name.lower() in versions] or (
        [versions["torch"]] if "torch" in versions else []
    )
    return ", ".join(f"{name} {version}" for name, version in found)


def _ladder(rows: list[tuple[int, Record]]) -> list[dict[str, Any]]:
    """One rung a condition: how many came back, and what the others did."""
    rungs = []
    for condition in in_order(record.condition for _, record in rows):
        chosen = [row for row in rows if row[1].condition == condition]
        question = CONDITIONS[condition].question if condition in CONDITIONS else ""
        rungs.append({"condition": condition, "question": question, **_counted(chosen)})
    return rungs


def _families(rows: list[tuple[int, Record]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[tuple[int, Record]]] = {}
    for row in rows:
        groups.setdefault((family(row[1].model), row[1].condition), []).append(row)
    return [
        {"family": name, "condition": condition, **_counted(chosen)} for (name, condition), chosen in groups.items()
    ]


def _counted(rows: list[tuple[int, Record]]) -> dict[str, Any]:
    outcomes: dict[str, list[int]] = {}
    for index, record in sorted(rows, key=lambda row: SEVERITY.get(row[1].outcome, 99)):
        outcomes.setdefault(record.outcome, []).append(index)
    works = sum(len(found) for name, found in outcomes.items() if name in WORKS)
    return {
        "works": works,
        "tried": len(rows),
        "cells": [index for found in outcomes.values() for index in found],
        "others": [(name, found) for name, found in outcomes.items() if name not in WORKS],
    }


def _costs(rows: list[tuple[int, Record]]) -> list[dict[str, Any]]:
    return [
        {"model": record.model, "cell": index, **(cost_of(record) or {})} for index, record in rows if record.load_s
    ]


def _failures(rows: list[tuple[int, Record]]) -> list[dict[str, Any]]:
    """What went wrong, one entry for each message, the silently wrong first."""
    groups: dict[tuple[str, str, str], list[tuple[int, Record]]] = {}
    for index, record in rows:
        if record.outcome not in WORKS:
            key = (record.outcome, record.stage or "", _template(record.message or "", record.model))
            groups.setdefault(key, []).append((index, record))
    found = []
    for (outcome, stage, _), chosen in sorted(groups.items(), key=lambda item: SEVERITY.get(item[0][0], 99)):
        first = chosen[0][1]
        names = list(dict.fromkeys(record.model for _, record in chosen))
        found.append({
            "outcome": outcome,
            "stage": stage,
            "error": first.error_type or "",
            "message": first.message or "no message",
            "remedy": remedy(first),
            "cells": [index for index, _ in chosen],
            "models": names[:MODELS_NAMED],
            "more": max(0, len(names) - MODELS_NAMED),
            "conditions": list(dict.fromkeys(record.condition for _, record in chosen)),
        })  # fmt: skip
    return found[:FAILURES_SHOWN]


def _template(message: str, model: str) -> str:
    """A message without what differs between models, so that one cause is one entry."""
    text = message.replace(model.removeprefix("trait/"), "MODEL")
    return re.sub(r"MODEL[:.]\w+|0x[0-9a-f]+|\d+|'[^']*'", "_", text)[:300]


def _found(index: int, record: Record) -> dict[str, Any]:
    if "answer" in record.facts:
        what = f"{record.facts['answer']}. {record.facts.get('evidence', '')}"
        return {"cell": index, "kind": record.kind, "condition": record.condition, "model": record.model,
                "outcome": record.outcome, "what": _short(what, 240)}  # fmt: skip
    what = ", ".join(f"{name.replace('_', ' ')}: {_short(value)}" for name, value in record.facts.items()
                     if name != "proves")  # fmt: skip
    return {"cell": index, "kind": record.kind, "condition": record.condition, "model": record.model,
            "outcome": record.outcome, "what": what or record.message or ""}  # fmt: skip


def _short(value: Any, characters: int = 80) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def digits(value: float | None) -> str:
    """Three significant digits, never an exponent."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 0.001 or not value else "< 0.001"


def _date(records: Sequence[Record]) -> str:
    """The day of the run, which its id begins with."""
    match = re.match(r"(\d{4})(\d\d)(\d\d)-", records[0].run_id) if records else None
    return "-".join(match.groups()) if match else ""


def _flat(environment: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in environment.items():
        if name == "elsewhere":
            for one in value:
                measured = ", ".join(one["measured"])
                rows += [(f"{measured}: {key}", item) for key, item in _flat(one) if key != "measured"]
        elif isinstance(value, dict):
            rows += [(f"{name}: {key}", str(item)) for key, item in value.items() if item is not None]
        elif value is not None:
            rows.append((name, str(value)))
    return rows


def _noise(environment: dict[str, Any], warnings: list[str]) -> str:
    """The harness's own verdict where the rounds gave one; and what the load average says."""
    if warnings:
        return f"The machine was too noisy to rank some models by times: {'; '.join(warnings)}."
    load, cpus = environment.get("load_average"), environment.get("cpus")
    if not load or not cpus:
        return "Not known: the run recorded no load average."
    busy = load[0] / cpus
    verdict = "quiet" if busy < 0.5 else "shared with other work" if busy < 1 else "busy: read the intervals first"
    return f"At the start the machine was {verdict} (load average {load[0]} on {cpus} CPUs)."
