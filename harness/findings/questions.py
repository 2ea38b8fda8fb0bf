"""Four questions that people ask of a way of saving, answered from the records with their cells. No torch, no pandas.

Asked of the models that the backend brings back at all in a new process, as `needs` asks; of the others its failure is
told there. The answer is counts, and the commonest message where something did not come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.findings.needs import BASE_CONDITION, CAME, is_trait
from harness.records import Record

MESSAGE_CHARACTERS = 110


@dataclass(frozen=True)
class Answer:
    """One question and what the records say: `cells` are indices into them, those that speak against first."""

    question: str
    verdict: str
    """yes | partly | no | unmeasured"""
    text: str
    cells: tuple[int, ...] = ()


Rows = list[tuple[int, Record]]


def answers(records: Sequence[Record], backend: str) -> list[Answer]:
    """The four answers for one backend."""
    cells = [(index, record) for index, record in enumerate(records) if record.backend == backend]
    cells = [(index, record) for index, record in cells if record.kind == "cell" and not is_trait(record.model)]
    lost = {record.model for _, record in cells if record.condition == BASE_CONDITION and record.outcome not in CAME}
    carried = [row for row in cells if row[1].model not in lost]
    if cells and not carried:
        text = f"not asked: in a new process it brought none of {len(lost)} models back"
        return [Answer(question, "no", text, tuple(index for index, _ in cells)) for question in QUESTIONS]
    return [_answer(question, found(carried)) for question, found in QUESTIONS.items()]


def _under(*conditions: str) -> Callable[[Rows], dict[str, Rows]]:
    return lambda rows: {name: [row for row in rows if row[1].condition == name] for name in conditions}


def _interpreters(rows: Rows) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for row in rows:
        if row[1].condition == "other_interpreter":
            found.setdefault(row[1].interpreter or "another", []).append(row)
    return found


QUESTIONS: dict[str, Callable[[Rows], dict[str, Rows]]] = {
    "I trained it in a notebook or script": _under("notebook", "main_script"),
    "Someone renamed the package": _under("source_renamed", "class_moved"),
    "The server runs another Python or torch": _interpreters,
    "The code changed since": _under("source_edited"),
}
"""Question -> the rows that answer it, by what the text calls them."""


def _answer(question: str, groups: dict[str, Rows]) -> Answer:
    groups = {name: rows for name, rows in groups.items() if rows}
    rows = [row for group in groups.values() for row in group]
    if not rows:
        return Answer(question, "unmeasured", "not tried in this run")
    good = [row for row in rows if _is_good(row[1])]
    bad = [row for row in rows if not _is_good(row[1])]
    texts = [_counts(name.replace("_", " "), group, len(groups) > 1) for name, group in groups.items()]
    if bad:
        told = Counter(_said(record) for _, record in bad)
        texts.append(told.most_common(1)[0][0])
    verdict = "partly" if good and bad else "yes" if good else "no"
    return Answer(question, verdict, "; ".join(texts), tuple(index for index, _ in [*bad, *good]))


def _is_good(record: Record) -> bool:
    """Of edited source: the saved code ran, or the change was noticed."""
    if record.code_ran is not None:
        return record.code_ran in ("saved", "refused")
    return record.outcome in CAME


def _counts(name: str, rows: Rows, named: bool) -> str:
    ran = Counter(record.code_ran for _, record in rows if record.code_ran)
    lead = f"{name}: " if named or name.startswith("Python") else ""
    if ran:
        words = {"saved": "the saved code ran in", "edited": "the edited code ran, silently, in",
                 "refused": "the change was noticed in"}  # fmt: skip
        return lead + ", ".join(f"{words[kind]} {count} of {len(rows)}" for kind, count in ran.most_common())
    return lead + f"{sum(record.outcome in CAME for _, record in rows)} of {len(rows)} models come back"


def _said(record: Record) -> str:
    message = " ".join((record.message or "").split())
    if len(message) > MESSAGE_CHARACTERS:
        message = f"{message[:MESSAGE_CHARACTERS]}…"
    error = f"{record.error_type}: " if record.error_type else ""
    return f"{record.outcome}{f' at {record.stage}' if record.stage else ''}: {error}{message}"
