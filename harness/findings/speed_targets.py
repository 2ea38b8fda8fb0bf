"""What `make bench-json-spec` measured against the targets of json_spec, from its records. It needs no torch.

Records of kind `json_spec_speed` hold a competitor's rounds for one model; entry i of two lists is of one round, so
ratios are taken in pairs (`intervals`). A target is met where the figure is at most what is wanted; where the interval
holds the target, the rounds do not tell, and the table says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness import intervals
from harness.records import Record

KIND = "json_spec_speed"
LARGE, SMALL = "synthetic_1GB", "synthetic_100MB"
LOADS = (
    ("json_spec_unverified", "torch_save_mmap", 0.5),
    ("json_spec_unverified", "pickle", 0.15),
    ("json_spec_lazy", "torch_save_mmap", None),
    ("json_spec", "torch_save_mmap", None),
    ("json_spec", "pickle", None),
    ("json_spec", "json_spec_unverified", None),
    ("json_spec_blake3", "torch_save_mmap", None),
    ("json_spec_blake3", "pickle", None),
    ("json_spec_unverified", "safetensors_tensors", None),
    ("json_spec_unverified", f"json_spec_unverified {SMALL}", 2.0),
)
"""Competitor, the one that it is compared with, and the most that the ratio may be; None: no target, a figure."""
SAVES = (
    ("json_spec_bare", "floor_durable", 1.25),
    ("json_spec_unread", "floor_durable", 1.25),
    ("json_spec_blake3_unread", "floor_durable", 1.25),
    ("json_spec_bare_write", "floor", None),
    ("json_spec_write", "floor", None),
    ("json_spec_blake3_write", "floor", None),
    ("sha256", "floor", None),
    ("blake3", "floor", None),
    ("json_spec_verify", "floor", None),
    ("json_spec", "floor_durable", None),
    ("json_spec_blake3", "floor_durable", None),
)
"""Likewise. A save waits until the disk has everything, so what it can be held against is a file that waits too,
`floor_durable`. Verification stands apart: `unread` is a save that does not read back and compare, `bare` one that
computes no digests of tensors either. `write` ends before the disk has it, as no save does: a figure, beside `sha256`
and `blake3`, digests alone in as many threads as a save has, than which no write with them is faster.
"""
PARTS = {"peak_anon_bytes_load": ("anonymous memory at load", 0.05),
         "peak_anon_bytes_save": ("anonymous memory at save", 0.10)}  # fmt: skip
"""Field -> what it is called, and how much of the tensors' bytes it may be."""
NAMED_TARGET_MODELS = ("resnet50", "vit_b_16")
"""The models that the targets of loading against others are about."""


@dataclass(frozen=True)
class Target:
    """A figure, with its interval where it was taken in pairs, and what is wanted of it."""

    model: str
    what: str
    figure: float
    low: float | None = None
    high: float | None = None
    rounds: int | None = None
    wanted: float | None = None

    @property
    def verdict(self) -> str:
        """ "met", "not met", with ", within noise" where the interval holds the target; "" without a target."""
        if self.wanted is None:
            return ""
        said = "met" if self.figure <= self.wanted else "not met"
        unsure = self.low is not None and self.high is not None and self.low <= self.wanted < self.high
        return said + (", within noise" if unsure else "")


def targets(records: Iterable[Record]) -> list[Target]:
    """Every figure that has a target or stands beside one, by model."""
    found: list[Target] = []
    speed = [record for record in records if record.kind == KIND]
    for model in dict.fromkeys(record.model for record in speed):
        by_name = {record.backend: record for record in speed if record.model == model}
        for field, pairs, verb in (("load_s", LOADS, "load"), ("save_s", SAVES, "save")):
            for one, other, wanted in pairs:
                if verb == "load" and wanted and wanted < 1 and model not in NAMED_TARGET_MODELS:
                    wanted = None
                if one in by_name and other in by_name:
                    found += _ratio(model, f"{verb} {one} / {other}", by_name[one], by_name[other], field, wanted)
        found += _sizes(model, by_name)
    return found


def rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The targets as rows of a table."""
    return [
        {
            "backend": "json_spec", "model": one.model, "figure": one.what, "is": one.figure, "low": one.low,
            "high": one.high, "rounds": one.rounds, "at most": one.wanted, "target": one.verdict,
        }
        for one in targets(records)
    ]  # fmt: skip


def facts(record: Record) -> dict[str, Any]:
    """What the table of the records themselves shows: medians, and how many rounds there were."""
    found: dict[str, Any] = {}
    for name in ("save_s", "load_s"):
        if spread := intervals.spread(getattr(record, name)):
            found |= {name: spread.median, f"{name.removesuffix('_s')}_rounds": spread.rounds}
    for name in ("artifact_bytes", "tensor_bytes", "peak_anon_bytes_load", "peak_anon_bytes_save"):
        if (value := getattr(record, name)) is not None:
            found[name] = value
    return found


def _ratio(model: str, what: str, one: Record, other: Record, field: str, wanted: float | None) -> list[Target]:
    ratio = intervals.ratio(getattr(one, field), getattr(other, field))
    if ratio is None:
        return []
    return [Target(model, what, ratio.median, ratio.low, ratio.high, ratio.rounds, wanted)]


def _sizes(model: str, by_name: dict[str, Record]) -> list[Target]:
    """Memory as a part of the tensors' bytes, and what the artifact has over them against the smallest pickle."""
    found = []
    for name, record in by_name.items():
        if not name.startswith("json_spec") or not record.tensor_bytes:
            continue
        for field, (what, wanted) in PARTS.items():
            if (peak := getattr(record, field)) is not None:
                found.append(Target(model, f"{what}, {name} / tensors", peak / record.tensor_bytes, wanted=wanted))
    sized = {name: record.artifact_bytes - (record.tensor_bytes or 0)
             for name, record in by_name.items() if record.artifact_bytes is not None}  # fmt: skip
    others = [sized[name] for name in ("pickle", "torch_save_mmap") if name in sized]
    if "json_spec" in sized and others:
        wanted = 1.0 if model == "resnet50" else None
        found.append(Target(model, "overhead / smallest pickle's", sized["json_spec"] / min(others), wanted=wanted))
    return found
