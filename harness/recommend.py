"""Which backend fits what a person needs: the terminal's side of the page's ranking.

The ranking itself is `page/ranking.js`; here it runs in QuickJS (quickjs-ng, extra `report`), an engine without files
or network. This module only finds the records, turns options into a choice and a result into lines.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.conditions import CONDITIONS
from harness.errors import MissingPackage, UnknownName
from harness.findings.needs import BASE_CONDITION, COSTS, all_needs, facts_table
from harness.records import Record, find_runs, read_records

RANKING = Path(__file__).parent / "page" / "ranking.js"

PREFERENCE_WEIGHTS = (3, 2, 1)
"""Weights of the first, second and later `--prefer`; the page's sliders go from 0 to 3."""

MESSAGE_CHARACTERS = 160


@dataclass(frozen=True)
class Choice:
    """What is needed and what is weighed, as ranking.js takes it."""

    needs: tuple[str, ...] = ()
    weights: dict[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        return {"needs": list(self.needs), "weights": self.weights or {}}


def choice(needs: Sequence[str], prefer: Sequence[str], records: Sequence[Record]) -> Choice:
    """A choice from names as typed. Raises UnknownName, with the near misses and the list."""
    known = [need.id for need in all_needs(records)]
    costs = [cost.id for cost in COSTS]
    for name in needs:
        if name not in known:
            raise UnknownName("need", name, known)
    for name in prefer:
        if name not in costs:
            raise UnknownName("cost", name, costs)
    unique = dict.fromkeys(prefer)
    weights = {name: PREFERENCE_WEIGHTS[min(place, 2)] for place, name in enumerate(unique)}
    return Choice(tuple(dict.fromkeys(needs)), weights)


@cache
def _engine():
    try:
        import quickjs
    except ImportError:
        raise MissingPackage(
            "the ranking needs a JavaScript engine, and quickjs-ng is not installed",
            "pip install 'roundtrip-bench[report]'",
        ) from None
    context = quickjs.Context()
    context.eval(RANKING.read_text(encoding="utf-8"))
    context.eval(
        "function rankJson(facts, choice) {"
        "  return JSON.stringify(ranking.rank(JSON.parse(facts), JSON.parse(choice)));"
        "}"
    )
    return context.get("rankJson")


def rank(facts: dict[str, Any], wanted: Choice) -> dict[str, Any]:
    """Run ranking.js, which describes both forms. Raises MissingPackage where the engine is not installed."""
    return json.loads(_engine()(json.dumps(facts), json.dumps(wanted.to_json())))


def recommend(records: Sequence[Record], wanted: Choice, python: str = "") -> dict[str, Any]:
    """The ranking over a run's records."""
    return rank(facts_table(records, python), wanted)


def latest_run(reports: Path) -> Path:
    """The newest run below `reports` that holds records; the published one where there is none."""
    runs = [run for run in find_runs(reports) if (run / "records.jsonl").stat().st_size]
    return runs[-1] if runs else reports / "published"


def borrowed(records: Sequence[Record], published: Path) -> list[Record]:
    """The published run's probes, where a run has none of its own; of other versions, perhaps. Raises RecordsError."""
    if any(record.kind == "probe" for record in records) or not published.is_dir():
        return []
    return [record for record in read_records(published).records if record.kind == "probe"]


def of_model(records: Sequence[Record], model: str) -> list[Record]:
    """What speaks for one model: its cells, and the records that are no cells, whatever model they were made with."""
    return [record for record in records if record.kind != "cell" or record.model == model]


def conditions_of(wanted: Choice, records: Sequence[Record]) -> tuple[str, ...]:
    """What a model has to be tried under to answer a choice: a new process, and what the chosen needs ask for."""
    asked = (name for need in all_needs(records) if need.id in wanted.needs for name in need.conditions)
    known = (name for name in asked if name in CONDITIONS and CONDITIONS[name].default)
    return tuple(dict.fromkeys((BASE_CONDITION, *known)))


_COST_IDS = {cost.id for cost in COSTS}
_SIGNS = {"yes": "+", "partly": "~", "no": "-", "unmeasured": "?"}


def lines(result: dict[str, Any], records: Sequence[Record], shown: int | None = 3) -> list[str]:
    """The result as text: the sentence, then the first backends with reasons, each reason against with its evidence.

    + speaks for it, ~ in part, - against, ? was not measured.
    """
    text = [result["sentence"], ""]
    told: set[int] = set()
    for place, item in enumerate(result["order"][:shown], start=1):
        text.append(f"{place}. {item['backend']}" + ("" if item["usable"] else " (nothing came back)"))
        text += [f"   + {reason['text']}" for reason in item["for"]]
        for reason in item["against"]:
            text.append(f"   {_SIGNS[reason['verdict']]} {reason['text']}")
            if reason["cells"] and reason["cells"][0] not in told and reason["id"] not in _COST_IDS:
                told.add(reason["cells"][0])
                text += [f"       {line}" for line in _evidence(records[reason["cells"][0]])]
    return text


def _evidence(record: Record) -> list[str]:
    """A cell that speaks against, in the library's words, and the command that runs it again."""
    message = " ".join((record.message or record.outcome).split())
    words = [f"{record.model}: {message if len(message) <= MESSAGE_CHARACTERS else message[:MESSAGE_CHARACTERS] + '…'}"]
    return words + ([record.rerun] if record.rerun else [])
