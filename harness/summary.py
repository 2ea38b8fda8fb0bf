"""`summary.md`: the run in Markdown, short enough for a pull-request comment whatever the run's size.

Parts come in the order in which a reader needs them. What no longer fits is left out whole and named, with the file
that has it; nothing is cut in the middle of a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.findings.needs import WORKS
from harness.records import OUTCOMES
from harness.tables import cells, markdown

COMMENT_CHARACTERS = 65_536
"""The most that a comment on a pull request can hold."""
_RESERVE = 2_000
"""Kept for the list of what was left out."""
MESSAGE_CHARACTERS = 160
SILENT_SHOWN = 15

CHOICE_NOTE = (
    "A count is *models that came back exact or close / models tried* under that condition, and behind it how many "
    "more came back in part. *Silently wrong* counts cells that loaded and differ from what was saved; cells in which "
    "merely edited code ran are not among them, `source_edited` counts these."
)
COST_NOTE = (
    "Medians of interleaved rounds in warm processes. The floor writes, or reads, the same number of tensor bytes in "
    "one plain file, in the same rounds; a ratio is the median of the rounds' ratios, its interval a 99 % bootstrap of "
    "that median, with no outlier left out. *First load* includes importing the model's source; other backends' cells "
    "ran beside it. The ratio to the floor says little for models of a few kB."
)


def summary(tables: dict[str, pd.DataFrame], environment: dict[str, Any] | None, problems: Sequence[str]) -> str:
    """The whole text, at most COMMENT_CHARACTERS long. `tables` as `tables.every_table` makes them."""
    data = tables["cells"]
    backends = cells(data, traits=None)["backend"].nunique()
    parts = [_Part("", f"# Roundtrip: {backends} backends, {_models(data)}\n\n{_outcomes(data)}.")]
    if problems:
        parts.append(_Part("", "\n".join(f"> **Note:** {line}" for line in problems[:20])))
    if environment is not None:
        parts.append(_Part("", environment_line(environment)))
    parts.append(_Part("choice", f"## Which one?\n\n{CHOICE_NOTE}\n\n{markdown(tables['choice'])}"))
    if "questions" in tables:
        parts.append(_Part("questions", f"## What people ask first\n\n{markdown(tables['questions'])}"))
    if "probes" in tables:
        parts.append(_Part("probes", f"## Safety and transparency\n\n{markdown(tables['probes'])}"))
    failures = tables["failures"]
    edited = failures["code_ran"] == "edited"
    wrong = failures[(failures["outcome"] == "mismatch") & ~edited]
    if len(wrong):
        parts.append(_Part("failures", f"## Silently wrong\n\n{markdown(_grouped(wrong))}"))
    if edited.any():
        parts.append(_Part("failures", f"**Ran code that was edited since the save:** {_counted(failures[edited])}"))
    if never := _never(data):
        parts.append(_Part("failures", f"**Rows that brought nothing back:** {never}"))
    if "silent" in tables:
        worst = tables["silent"].head(SILENT_SHOWN).set_index("trait")
        note = (
            f"Cells that load and are wrong without a word: {int(tables['silent']['wrong'].sum())}. The difficulties "
            "that most backends get so; `tables/difficulties.csv` has every difficulty × backend."
        )
        parts.append(_Part("silent", f"## Difficulties that come back silently wrong\n\n{note}\n\n{markdown(worst)}"))
    for name, table in tables.items():
        if name.startswith("fidelity_"):
            parts.append(_Part(name, f"## Fidelity: {name.removeprefix('fidelity_')}\n\n{markdown(table)}"))
    parts.append(_Part("cost", f"## Cost\n\n{COST_NOTE}\n\n{markdown(tables['cost'].set_index('model'))}"))
    if "traits" in tables:
        note = "Tiny models with one difficulty each: *came back / tried*, by family."
        parts.append(_Part("traits", f"## Traits\n\n{note}\n\n{markdown(tables['traits'])}"))
    note = "What the article series reports of pickle, dill and AI-JSONable, and what was measured here."
    claims = markdown(_shortened(tables["claims"]).set_index("claim"))
    parts.append(_Part("claims", f"## The series' claims\n\n{note}\n\n{claims}"))
    for kind in [name for name in tables if name not in _KNOWN and not name.startswith("fidelity_")]:
        table = _shortened(tables[kind]).set_index("backend")
        parts.append(_Part(kind, f"## {kind.replace('_', ' ').capitalize()}\n\n{markdown(table)}"))
    others = _grouped(failures[failures["outcome"] != "mismatch"])
    parts.append(_Part("failures", f"## What went wrong, in the library's words\n\n{markdown(others)}"))
    return _fit(parts)


_KNOWN = {
    "choice", "claims", "cost", "failures", "probes", "traits", "cells", "questions", "silent", "difficulties"
}  # fmt: skip


class _Part:
    """A piece of the text, and the table that has all of it."""

    def __init__(self, table: str, text: str) -> None:
        self.table = table
        self.text = text if table == "choice" else _compact(text)


def _compact(text: str) -> str:
    """Markdown's tables without the spaces and dashes that align them for the eye: half of a wide table is these."""
    lines = [re.sub(r"-{3,}", "--", re.sub(r" {2,}", " ", line)) if line[:1] == "|" else line
             for line in text.split("\n")]  # fmt: skip
    return "\n".join(lines)


def _fit(parts: list[_Part]) -> str:
    """Parts as long as they fit, in order; a part that does not is passed over, a later and smaller one may still."""
    kept, left, used = [], [], 0
    for part in parts:
        if used + len(part.text) + 2 <= COMMENT_CHARACTERS - _RESERVE:
            kept.append(part.text)
            used += len(part.text) + 2
        else:
            left.append(part.table or "a note")
    if left:
        names = ", ".join(f"`tables/{name}.csv`" for name in left[:12]) + (" and more" if len(left) > 12 else "")
        kept.append(f"*Left out here, to fit a comment: {names}. `index.html` shows all of it.*")
    return "\n\n".join(kept) + "\n"


def _never(data: pd.DataFrame) -> str:
    """The backends without a single cell that came back, even in part, each with its commonest reason."""
    told = []
    for backend, found in cells(data).groupby("backend", sort=False):
        if not found["outcome"].isin([*WORKS, "partial"]).any():
            reason = found["message"].dropna().value_counts()
            told.append(f"`{backend}` ({_short(reason.index[0]) if len(reason) else 'no message'})")
    return "; ".join(told)


def _models(data: pd.DataFrame) -> str:
    reference, traits = cells(data)["model"].nunique(), cells(data, traits=True)["model"].nunique()
    return f"{reference} models" + (f", {traits} traits" if traits else "")


def _outcomes(data: pd.DataFrame) -> str:
    counts = cells(data, traits=None)["outcome"].value_counts()
    return ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if name in counts)


def environment_line(raw: dict[str, Any]) -> str:
    """A sentence on the machine, and on each other one; what a record of an older harness lacks is left out."""
    others = [
        f" Measured elsewhere: {', '.join(one['measured'])} ({_machine(one)})." for one in raw.get("elsewhere", ())
    ]
    load = f"; load average {raw['load_average']} at the start" if raw.get("load_average") else ""
    return f"{_machine(raw)}{load}.{''.join(others)}"


def _machine(raw: dict[str, Any]) -> str:
    versions = raw.get("versions") or {}
    parts = [
        f"Python {raw['python']}" if "python" in raw else "",
        f"torch {versions['torch']}" if versions.get("torch") else "",
        f"{raw['cpus']} CPUs ({raw.get('cpu')})" if raw.get("cpus") else "",
        f"{raw['torch_threads']} torch threads" if raw.get("torch_threads") else "",
        str(raw.get("system") or ""),
    ]
    return ", ".join(part for part in parts if part)


def _counted(cells: pd.DataFrame) -> str:
    """Backend and number of cells."""
    return ", ".join(f"{backend} {number}" for backend, number in cells["backend"].value_counts(sort=False).items())


def _grouped(failures: pd.DataFrame) -> pd.DataFrame:
    """One row for what one backend answers with one message: the cells of it counted, the first one named."""
    short = _shortened(failures)
    groups = short.groupby(["outcome", "backend", "stage", "message"], sort=False)
    table = groups.agg(
        cells=("model", "size"), first=("model", "first"), condition=("condition", "first"), remedy=("remedy", "first")
    )
    return table.reset_index().set_index("outcome")


def _shortened(table: pd.DataFrame) -> pd.DataFrame:
    shown = table.drop(columns="rerun", errors="ignore").copy()
    for name in ("message", "measured"):
        if name in shown:
            shown[name] = shown[name].fillna("").map(_short)
    return shown


def _short(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[: MESSAGE_CHARACTERS - 3]}..."
