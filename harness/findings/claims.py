"""The article series' eleven claims, each held against the cells that test it. Nothing here imports torch.

The series, *Conventions for packaging deep learning models* (August 2022) and the posts that follow it, saves one
small text model, here `sentiment_gru`, with pickle, dill and AI-JSONable. A claim is data: what the author reports, and
where to look. What was measured comes from the records alone; a claim whose cells are not there is `not measured`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.records import Record

MODEL = "sentiment_gru"


@dataclass(frozen=True)
class Claim:
    """One claim: who says what, the cells that test it, and what they show if it holds."""

    number: int
    method: str
    condition: str
    """In words."""
    reported: str
    looked_at: tuple[tuple[str, str, str], ...]
    """(backend, model, condition or probe); the model `*` is any."""
    holds: Callable[[Record], bool]


@dataclass(frozen=True)
class Verdict:
    """A claim and what the records say of it."""

    claim: Claim
    verdict: str
    """holds | no longer | not measured"""
    measured: str
    rerun: str = ""


def _code(ran: str) -> Callable[[Record], bool]:
    return lambda record: record.code_ran == ran


def _error(*words: str) -> Callable[[Record], bool]:
    return lambda record: all(word in f"{record.stage}: {record.error_type}: {record.message}" for word in words)


def _readable(*answers: str) -> Callable[[Record], bool]:
    return lambda record: record.facts.get("answer") in answers


def _comes_back(record: Record) -> bool:
    return record.outcome == "exact"


def _comes_back_with_a_blob(record: Record) -> bool:
    return record.facts.get("opaque_bytes", 0) > 0 if record.kind == "probe" else _comes_back(record)


CLAIMS = (
    Claim(
        1, "pickle", "`forward` is edited between save and load", "the edited code runs, silently",
        (("pickle", MODEL, "source_edited"),), _code("edited"),
    ),
    Claim(
        2, "pickle", "the module is renamed", "`ModuleNotFoundError` at load",
        (("pickle", MODEL, "source_renamed"),), _error("load", "ModuleNotFoundError"),
    ),
    Claim(
        3, "pickle", "built and saved by a script's `__main__`", "`AttributeError` at load elsewhere",
        (("pickle", MODEL, "main_script"),), _error("load", "AttributeError"),
    ),
    Claim(
        4, "pickle", "a lambda as an attribute", "cannot be saved",
        (("pickle", "sentiment_gru_lambda", "fresh_process"),), _error("save"),
    ),
    Claim(
        5, "pickle", "`__getstate__`/`__setstate__` that drop the lambda of a module",
        "`cannot assign module before Module.__init__() call` at load",
        (("pickle", "trait/setstate_before_init", "fresh_process"),),
        _error("load", "cannot assign module before Module.__init__() call"),
    ),
    Claim(
        6, "pickle, dill", "reading the parameters that built the model out of the file", "not possible: opaque",
        (("pickle", "*", "readable"), ("dill", "*", "readable")), _readable("none"),
    ),
    Claim(
        7, "dill", "classes in `__main__`, default settings", "loads, then `NameError` when run",
        (("dill", MODEL, "main_script"),), _error("NameError", "is not defined"),
    ),
    Claim(
        8, "dill, `recurse=True`", "classes in `__main__`, source edited afterwards", "the saved code runs",
        (("dill_recurse", MODEL, "main_script_edited"),), _code("saved"),
    ),
    Claim(
        9, "dill, `recurse=True`", "classes imported from a module, source edited afterwards",
        "the edited code runs: by reference after all",
        (("dill_recurse", MODEL, "source_edited"),), _code("edited"),
    ),
    Claim(
        10, "AI-JSONable", "constructor calls as JSON, built again from it",
        "rebuilt without the building script (the weights apart)",
        (("aijson", MODEL, "fresh_process"),), _comes_back,
    ),
    Claim(
        11, "AI-JSONable", "together with another format for the weights", "a readable graph beside an opaque blob",
        (("aijson", MODEL, "fresh_process"), ("aijson", "*", "readable")), _comes_back_with_a_blob,
    ),
)  # fmt: skip


def verdicts(records: Iterable[Record]) -> list[Verdict]:
    """Every claim, in the series' order."""
    found: dict[tuple[str, str, str], Record] = {}
    for record in records:
        if record.interpreter is None:
            found[record.backend, record.model, record.condition] = record
            found[record.backend, "*", record.condition] = record
    return [_verdict(claim, [found.get(place) for place in claim.looked_at]) for claim in CLAIMS]


def _verdict(claim: Claim, cells: list[Record | None]) -> Verdict:
    if any(cell is None for cell in cells):
        missing = [" × ".join(place) for place, cell in zip(claim.looked_at, cells, strict=True) if cell is None]
        return Verdict(claim, "not measured", f"no cell {', '.join(missing)}")
    measured = "; ".join(dict.fromkeys(_said(cell) for cell in cells))
    return Verdict(claim, "holds" if all(map(claim.holds, cells)) else "no longer", measured, cells[0].rerun)


def _said(record: Record) -> str:
    if record.kind == "probe":
        return f"{record.backend}: {record.message}"
    parts = [record.outcome]
    if record.code_ran:
        parts.append(f"{record.code_ran} code" if record.code_ran != "refused" else "the change was noticed")
    if record.stage:
        parts.append(f"at {record.stage}: {record.error_type}: {record.message}")
    elif record.message:
        parts.append(record.message)
    return ", ".join(parts)
