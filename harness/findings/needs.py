"""What a person may need of a way of saving, and which cells prove it: the facts that `page/ranking.js` ranks.

A need is a judge: it looks at one record and says that the record proves the need (True), disproves it (False), or is
not about it (None). A need about which no record says anything is not measured, and never assumed. Judges look at
what was measured in the cell, never at the backend's name.

Needs come from three places, so that new columns and conditions take part without a change here:
- `NEEDS`, below;
- a condition that no need of the table asks for becomes a need of its own, in the words of its question;
- a record of another kind than a cell may carry `facts["proves"] = {need: true | false}`.

Needs about where a model loads count only models that the backend brings back at all (in `fresh_process`): whether
pickle can save a lambda is another need than whether it finds a renamed module. They take the reference models;
traits are asked where a need is about a single difficulty.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.conditions import CONDITIONS
from harness.findings.rankings import told_apart
from harness.records import Record

WORKS = ("exact", "close")
CAME = (*WORKS, "partial")
GIGABYTE = 1_000_000_000
BASE_CONDITION = "fresh_process"
WARM_BYTES = 1_000_000
"""Costs of smaller models are microseconds and open files; they are compared only where no larger model was timed."""

GROUPS = {
    "where": "Where will it be loaded?",
    "trust": "Whom do you trust?",
    "content": "What is in your model?",
    "after": "What comes after?",
}


@dataclass(frozen=True)
class Case:
    """One record with what its judge may want to know beside it."""

    record: Record
    carried: bool
    """The backend brings this model back in a new process (the whole or a part), or nobody tried."""
    python: str
    """Python that made the artifact, as `3.11.7`; empty where the environment is not known."""

    def loads(self, *conditions: str) -> bool | None:
        """Whether the cell came back; None where it is of another condition, a trait, or not carried at all."""
        record = self.record
        if record.kind != "cell" or record.condition not in conditions or not self.carried:
            return None
        return None if is_trait(record.model) else record.outcome in CAME


@dataclass(frozen=True)
class Need:
    """One toggle of the page, one `--need` of the terminal."""

    id: str
    group: str
    label: str
    """As the person says it."""
    yes: str
    """As the answer says it where the need is met."""
    no: str
    asks: str
    """How it is measured."""
    judge: Callable[[Case], bool | None]
    conditions: tuple[str, ...] = ()
    """Conditions that it speaks for."""


def is_trait(model: str) -> bool:
    return model.startswith("trait/")


def _carries_all(case: Case) -> bool | None:
    record = case.record
    taps = [record.taps.get(name) for name in ("preprocess", "postprocess")]
    if record.kind != "cell" or record.condition != BASE_CONDITION or is_trait(record.model) or None in taps:
        return None
    return "absent" not in taps  # what is there and differs counts as lost or wrong, for every need


def _code_inside(case: Case) -> bool | None:
    record = case.record
    if record.kind != "cell" or record.condition != BASE_CONDITION or not re.search("lambda|closure", record.model):
        return None
    return record.outcome in WORKS


def _large(case: Case) -> bool | None:
    record = case.record
    size = record.tensor_bytes or record.facts.get("tensor_bytes") or 0
    if size < GIGABYTE or (record.kind == "cell" and record.condition != BASE_CONDITION):
        return None
    if record.outcome == "unavailable":  # nobody tried
        return None
    return record.outcome in CAME or (not record.outcome and not record.error_type)


def _edit_noticed(case: Case) -> bool | None:
    return None if case.record.code_ran is None else case.record.code_ran in ("saved", "refused")


def _other_interpreter(case: Case, same_python: bool) -> bool | None:
    loaded = re.search(r"(?<![\d.])3\.?(\d{1,2})", case.record.interpreter or "")
    made = re.match(r"3\.(\d+)", case.python)
    if not loaded or not made or (loaded[1] == made[1]) != same_python:
        return None
    return case.loads("other_interpreter")


def _answers(good: str, *probes: str) -> Callable[[Case], bool | None]:
    """A judge of probes by name: whether the answer is one of the good ones, given as "one | another"."""

    def judge(case: Case) -> bool | None:
        record = case.record
        if record.kind != "probe" or record.condition not in probes or "answer" not in record.facts:
            return None
        return record.facts["answer"] in good.split(" | ")

    return judge


def _trains_on(case: Case) -> bool | None:
    """A step of training from the loaded model: the same loss, gradients, state of the optimizer and new weights."""
    step = case.record.life.get("train_step", "not applicable")
    if case.record.kind != "cell" or is_trait(case.record.model) or step.startswith("not applicable"):
        return None
    return step == "equal"


def _proved(_: Case) -> None:
    """Only records that say so themselves, in `facts["proves"]`."""


def _under(id: str, label: str, yes: str, no: str, asks: str, *conditions: str) -> Need:
    """The need to load where it will be loaded: every cell of these conditions is its proof."""
    return Need(id, "where", label, yes, no, asks, lambda case: case.loads(*conditions), conditions)


NEEDS = (
    _under("source_absent", "Loads without my source", "loads without your source",
           "needs your source to load", "The model's own module is taken away before a new process loads it.",
           "source_absent"),
    _under("saved_from_notebook", "Made in a notebook", "loads elsewhere what a notebook saved",
           "loses what a notebook saved", "The model's code runs as cells, and is saved there; loaded elsewhere.",
           "notebook"),
    _under("saved_from_main", "Made in a script", "loads elsewhere what a script saved",
           "loses what a script saved", "The model is built and saved in `__main__`, loaded elsewhere.",
           "main_script"),
    Need("other_python", "where", "Survives another Python", "loads under another Python version",
         "breaks under another Python version", "Saved here, loaded by an interpreter of another minor version.",
         lambda case: _other_interpreter(case, same_python=False), ("other_interpreter",)),
    Need("other_torch", "where", "Survives another torch", "loads under another torch",
         "breaks under another torch", "Saved here, loaded by the same Python with another torch.",
         lambda case: _other_interpreter(case, same_python=True)),
    _under("source_moved", "Source may be renamed or moved", "loads after the source was renamed or moved",
           "breaks when the source is renamed or moved", "The module is renamed, or the class moved to another one.",
           "source_renamed", "class_moved"),
    _under("main_script_edited", "Script edited since it saved", "runs what a since edited script saved",
           "does not run what a since edited script saved",
           "The model is saved from `__main__`, and `__main__` is edited before it is loaded.",
           "main_script_edited"),
    _under("saved_on_cuda", "Saved on a GPU, loaded without", "loads without a GPU what was saved on one",
           "needs the GPU that it was saved on", "The storages are tagged `cuda:0` at save; there is no GPU at load.",
           "saved_on_cuda"),
    _under("spawned_workers", "In a DataLoader's workers", "works in a DataLoader's spawned workers",
           "does not work in a DataLoader's spawned workers", "The loaded model is sent to spawned workers.",
           "spawned_workers"),
    Need("other_language", "where", "Runs in another language", "runs outside Python", "runs only in Python",
         "`forward` is run by C++ (libtorch) or JavaScript (onnxruntime) and compared.", _proved),
    Need("safe_load", "trust", "No code runs on load", "runs no code that the file chooses",
         "runs code that the file chooses", "A harmless payload is planted in the artifact; did loading run it?",
         _answers("does not run", "planted_code")),
    Need("damage_noticed", "trust", "Damage is noticed", "notices damage to the file",
         "loads a damaged file without a word, or dies of it", "Bits are flipped and the file cut; was it noticed?",
         _answers("detected | harmless", "bit_flip", "truncation")),
    Need("edit_noticed", "trust", "Edited source is noticed", "never silently runs code edited since",
         "silently runs code edited since", "`forward` is edited between save and load; which code ran?",
         _edit_noticed, ("source_edited",)),
    Need("pre_post", "content", "Pre- and postprocessing travel along", "carries pre- and postprocessing",
         "carries only the forward pass", "The loaded model still has preprocess and postprocess.",
         _carries_all),
    Need("lambda_closure", "content", "A lambda or closure inside", "keeps lambdas and closures",
         "cannot keep lambdas and closures", "Models and traits that hold a lambda or a closure.", _code_inside),
    Need("over_1gb", "content", "Over 1 GB", "manages over 1 GB", "fails over 1 GB",
         "A model of more than 1 GB of tensors is saved and loaded.", _large),
    Need("trainable", "after", "Can be trained further", "trains on as the original would",
         "does not train on as the original would", "One optimiser step from the loaded model equals the original's: "
         "loss, gradients, the optimiser's state, weights after it.", _trains_on),
    Need("readable", "after", "Parameters readable in the file", "its parameters can be read without loading",
         "not all parameters can be read without loading", "Known settings are looked for in the artifact's text.",
         _answers("all", "readable")),
    Need("deterministic", "after", "Same model, same bytes", "two saves give the same bytes",
         "two saves give different bytes", "The model is saved twice in new processes; the files are compared.",
         _answers("same", "same_bytes")),
)  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """A situation that people know, as a choice to start from."""

    title: str
    needs: tuple[str, ...]
    weights: dict[str, int]


SCENARIOS = (
    Scenario("From a notebook to another team", ("pre_post", "saved_from_notebook", "source_absent",
                                                 "other_python"), {}),
    Scenario("From a store that strangers can write to", ("pre_post", "safe_load", "damage_noticed"), {}),
    Scenario("Kept for years", ("pre_post", "other_python", "other_torch", "edit_noticed", "damage_noticed",
                                "readable"), {}),
    Scenario("Saved often, while training", ("trainable",), {"save": 3, "load": 1}),
    Scenario("Started often, in a service", ("pre_post", "safe_load"), {"load": 3, "memory": 2}),
    Scenario("Another language", ("other_language",), {}),
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """One weight of the page, one `--prefer` of the terminal: the less the better."""

    id: str
    label: str
    value: Callable[[Record], float | None]
    show: Callable[[Record], str]
    rounds: str = ""
    """Record's field that holds its rounds; empty where it was not measured in rounds."""


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _shown_time(values: list[float], floor: list[float]) -> str:
    middle = statistics.median(values)
    shown = f"{middle * 1e3:.3g} ms" if middle < 10 else f"{middle:.3g} s"
    return shown + (f", {middle / statistics.median(floor):.3g} × floor" if floor else "")


def _shown_bytes(count: float) -> str:
    return f"{count / 1e6:.3g} MB" if count >= 1e5 else f"{count / 1e3:.3g} kB"


COSTS = (
    Cost("load", "load time", lambda r: _median(r.load_s), lambda r: _shown_time(r.load_s, r.floor_read_s),
         "load_s"),
    Cost("save", "save time", lambda r: _median(r.save_s), lambda r: _shown_time(r.save_s, r.floor_write_s),
         "save_s"),
    Cost("size", "size", lambda r: r.artifact_bytes, lambda r: _shown_bytes(r.artifact_bytes or 0)),
    Cost("memory", "memory at load", lambda r: r.peak_anon_bytes_load,
         lambda r: _shown_bytes(r.peak_anon_bytes_load or 0)),
)  # fmt: skip


NO_BACKENDS = ("floor", "json_spec_speed")
"""Kinds of records whose competitors are no backends."""


def backend_names(records: Sequence[Record]) -> list[str]:
    """Who takes part: the backends of the cells; without cells, those of any kind but the floor's own records."""
    cells = dict.fromkeys(record.backend for record in records if record.kind == "cell")
    return list(cells or dict.fromkeys(record.backend for record in records if record.kind not in NO_BACKENDS))


def all_needs(records: Sequence[Record]) -> list[Need]:
    """The table's needs, then one for each condition of the records that the table does not speak for."""
    spoken = {name for need in NEEDS for name in need.conditions} | {"same_process", BASE_CONDITION}
    seen = dict.fromkeys(record.condition for record in records if record.kind == "cell")
    return [*NEEDS, *(_need_of(name) for name in seen if name not in spoken)]


def _need_of(condition: str) -> Need:
    words = condition.replace("_", " ")
    question = CONDITIONS[condition].question if condition in CONDITIONS else f"Condition {condition}."
    yes, no = f"works: {words}", f"does not work: {words}"
    return _under(condition, words.capitalize(), yes, no, question, condition)


def facts_table(records: Sequence[Record], python: str = "") -> dict[str, Any]:
    """The facts for ranking.js, which describes their form. Cells are indices into `records`.

    `python` is the version that made the artifacts, from the run's environment.
    """
    needs = all_needs(records)
    carried = {
        (record.backend, record.model): record.outcome in CAME
        for record in records
        if record.kind == "cell" and record.condition == BASE_CONDITION
    }
    costs = {cost.id: _cost_of_all(records, cost) for cost in COSTS}
    backends: dict[str, dict[str, Any]] = {
        name: {
            "name": name,
            "base": {"for": [], "against": [], "wrong": [], "partial": []},
            "wrong": [],
            "wrong_tried": 0,
            "needs": {},
            "costs": {cost: found[name] for cost, found in costs.items() if name in found},
        }
        for name in backend_names(records)
    }
    for index, record in enumerate(records):
        if (row := backends.get(record.backend)) is None:
            continue
        if record.kind == "cell" and not is_trait(record.model):
            _count_base(row, record, index)
        case = Case(record, carried.get((record.backend, record.model), True), python)
        for need in needs:
            answer = record.facts.get("proves", {}).get(need.id)
            answer = need.judge(case) if answer is None else answer
            if answer is not None:
                proof = row["needs"].setdefault(need.id, {"for": [], "against": [], "wrong": []})
                proof["for" if answer else "against"].append(index)
                if not answer and record.outcome == "mismatch":
                    proof["wrong"].append(index)
    return {
        "needs": [{"id": n.id, "group": n.group, "label": n.label, "yes": n.yes, "no": n.no, "asks": n.asks}
                  for n in needs],
        "costs": [{"id": cost.id, "label": cost.label} for cost in COSTS],
        "backends": list(backends.values()),
    }  # fmt: skip


def _count_base(row: dict[str, Any], record: Record, index: int) -> None:
    row["wrong_tried"] += 1
    if record.is_silently_wrong:  # that edited code runs is the need `edit_noticed`
        row["wrong"].append(index)
    if record.condition == BASE_CONDITION:
        row["base"]["for" if record.outcome in WORKS else "against"].append(index)
        if record.outcome == "mismatch":
            row["base"]["wrong"].append(index)
        if record.outcome == "partial":
            row["base"]["partial"].append(index)


def _cost_of_all(records: Sequence[Record], cost: Cost) -> dict[str, dict[str, Any]]:
    """Each backend's cost as a multiple of the cheapest backend's: the geometric mean over the models that it timed.

    Times of a model whose rounds were too noisy to rank by count only where there are no others, and that is said.
    """
    timed = [
        (index, record, value)
        for index, record in enumerate(records)
        if record.kind == "cell" and not is_trait(record.model) and record.load_s and (value := cost.value(record))
    ]
    large = [row for row in timed if (row[1].tensor_bytes or 0) >= WARM_BYTES] or timed
    chosen = [row for row in large if not (cost.rounds and row[1].too_noisy)] or large
    left_out = ", ".join(dict.fromkeys(row[1].model for row in large if row not in chosen))
    best: dict[str, float] = {}
    for _, record, value in chosen:
        best[record.model] = min(value, best.get(record.model, value))
    shown_model = common_model([record for _, record, _ in chosen])
    found: dict[str, list[tuple[int, Record, float]]] = {}
    for index, record, value in chosen:
        found.setdefault(record.backend, []).append((index, record, value / best[record.model]))
    shown = {name: next((row[1] for row in rows if row[1].model == shown_model), rows[0][1])
             for name, rows in found.items()}  # fmt: skip
    table = {}
    for backend, rows in found.items():
        record = shown[backend]
        note = f"; {left_out} was too noisy to count" if left_out else ""
        if cost.rounds and record.too_noisy:
            note = ", in rounds too noisy to rank by"
        table[backend] = {
            "relative": round(statistics.geometric_mean([ratio for *_, ratio in rows]), 4),
            "shown": f"{cost.show(record)} for {record.model}{note}",
            "same": _not_told_apart(record, shown.values(), cost.rounds),
            "cells": [index for index, *_ in rows],
        }
    return table


def _not_told_apart(record: Record, others: Iterable[Record], rounds: str) -> list[str]:
    """The backends whose rounds of the same model do not tell them from this one; see `rankings`."""
    return [
        other.backend
        for other in others
        if rounds and other.backend != record.backend and other.model == record.model
        and told_apart(getattr(record, rounds), getattr(other, rounds)) == 0
    ]  # fmt: skip


MOST = 0.8


def common_model(timed: Sequence[Record]) -> str | None:
    """The model by which costs are told: the largest in tensor bytes that MOST of the timed backends could be timed on.

    None where nothing was timed.
    """
    models: dict[str, tuple[set[str], int]] = {}
    for record in timed:
        backends, size = models.get(record.model, (set(), 0))
        models[record.model] = (backends | {record.backend}, max(size, record.tensor_bytes or 0))
    most = max((len(backends) for backends, _ in models.values()), default=0)
    common = [name for name, (backends, _) in models.items() if len(backends) >= MOST * most]
    return max(common, key=lambda name: (models[name][1], len(models[name][0])), default=None)
