"""Columns that say what a backend costs over the floor, and over a baseline backend, with intervals.

All from records: entry i of two lists is of one round, so ratios are taken in pairs. See `intervals` for the method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness import intervals
from harness.records import Record

PAIRS = {"save": ("save_s", "floor_write_s"), "load": ("load_s", "floor_read_s"), "map": ("load_s", "floor_map_s")}
"""What is compared with which floor: `map` is a load against mapping the file and touching each page."""
MAPS = 0.5
"""From this part of the tensors' bytes in file-backed memory on, a loader is said to map its file."""


TELLING_BYTES = 1 << 20
"""Below it, a few pages of the library's own files weigh as much as the tensors."""


def columns(record: Record) -> dict[str, float | int | bool | str | None]:
    """One timed record's ratios to the floor with intervals, its quartiles and outliers, load to first prediction."""
    row: dict[str, float | int | bool | str | None] = {}
    for what, (duration, floor) in PAIRS.items():
        found = intervals.ratio(getattr(record, duration), getattr(record, floor))
        row |= {
            f"{what}_x_floor": found and found.median,
            f"{what}_x_floor_low": found and found.low,
            f"{what}_x_floor_high": found and found.high,
        }
    for name in ("save_s", "load_s"):
        found = intervals.spread(getattr(record, name))
        stem = name.removesuffix("_s")
        row |= {
            f"{stem}_low_quartile_s": found and found.low_quartile,
            f"{stem}_high_quartile_s": found and found.high_quartile,
            f"{stem}_outliers": found and found.outliers,
        }
    row["load_to_prediction_s"] = _median(
        [load + first for load, first in zip(record.load_s, record.first_prediction_s, strict=False)]
    )
    row["maps"] = maps(record)
    return row


def against(records: Iterable[Record], baseline: str = intervals.BASELINE) -> dict[tuple[str, str], dict[str, str]]:
    """(backend, model) -> {"save": text, "load": text}: each timed cell over the baseline backend of the same rounds.

    The text is such as "1.31 [1.22, 1.40] slower", "0.99 [0.95, 1.04] no difference", "1.2, 3 rounds".
    """
    timed = {(record.backend, record.model): record for record in records if record.kind == "cell" and record.load_s}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for (backend, model), record in timed.items():
        other = timed.get((baseline, model))
        if other is not None and backend != baseline:
            ratios = {
                "save": intervals.ratio(record.save_s, other.save_s),
                "load": intervals.ratio(record.load_s, other.load_s),
            }
            found[backend, model] = {name: text(ratio) for name, ratio in ratios.items()}
    return found


def text(ratio: intervals.Ratio | None, verdict: bool = True) -> str:
    """A ratio for people, with its interval, or with what is missing for one."""
    if ratio is None:
        return "–"
    if ratio.low is None or ratio.high is None:
        rounds = f", {ratio.rounds} rounds" if ratio.rounds < intervals.LEAST_ROUNDS else ""
        return f"{_digits(ratio.median)}{rounds}"
    shown = f"{_digits(ratio.median)} [{_digits(ratio.low)}, {_digits(ratio.high)}]"
    return f"{shown} {ratio.verdict}" if verdict else shown


def interval_of(row: Mapping[str, float | None], what: str) -> str:
    """The ratio to the floor with its interval, from the columns of `columns`: "2.25 [2.1, 2.4]"."""
    middle, low, high = (row[f"{what}_x_floor{end}"] for end in ("", "_low", "_high"))
    if _missing(middle):
        return "–"
    return (
        _digits(middle) if _missing(low) or _missing(high) else f"{_digits(middle)} [{_digits(low)}, {_digits(high)}]"
    )


def interval_text(row: Mapping[str, float | None], what: str) -> str:
    """The interval columns of `columns` as one cell: "[2.1, 2.4]", or how to get it."""
    low, high = row[f"{what}_x_floor_low"], row[f"{what}_x_floor_high"]
    if _missing(low) or _missing(high):
        return "–" if intervals.can_bootstrap() else intervals.HOW_TO_INSTALL
    return f"[{_digits(low)}, {_digits(high)}]"


def maps(record: Record) -> bool | None:
    """Whether the load was seen to map the file rather than to read it; None where that cannot be told."""
    if record.peak_file_bytes_load is None or (record.tensor_bytes or 0) < TELLING_BYTES:
        return None
    return record.peak_file_bytes_load >= MAPS * record.tensor_bytes


def noise(records: Iterable[Record]) -> list[str]:
    """A warning for each model whose rounds were too noisy to rank by."""
    return [
        f"{record.model}: too noisy to rank by times: {record.too_noisy}"
        for record in records
        if record.kind == "floor" and record.too_noisy
    ]


def noise_in_short(records: Iterable[Record]) -> list[str]:
    """The same as one line, without the reasons; empty where no model was too noisy."""
    names = ", ".join(record.model for record in records if record.kind == "floor" and record.too_noisy)
    return [f"{names}: too noisy to rank by times; see how this was measured"] * bool(names)


def few_rounds(records: Iterable[Record]) -> list[str]:
    """A line on the models that were timed in fewer rounds than an interval needs; empty where there are none."""
    rounds: dict[str, int] = {}
    for record in records:
        if record.kind == "cell" and record.load_s:
            rounds[record.model] = max(rounds.get(record.model, 0), len(record.load_s))
    names = ", ".join(f"{model} {most}" for model, most in rounds.items() if most < intervals.LEAST_ROUNDS)
    advice = f"{intervals.LEAST_ROUNDS} give intervals: time fewer backends, or give each model more seconds (--budget)"
    return [f"timed in few rounds: {names}; {advice}"] * bool(names)


def _missing(value: float | None) -> bool:
    return value is None or value != value


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _median(values: list[float]) -> float | None:
    found = intervals.spread(values)
    return found and found.median
