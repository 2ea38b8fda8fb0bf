"""Runs of four backends on a machine that drifts and jitters, the same for one seed."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

from harness.records import Record, RecordWriter

BACKENDS = {"pickle": 1.0, "dill": 2.0, "torch_save": 1.3, "json_spec": 0.6}


def run(
    seed: int, slower: dict[str, float] | None = None, rounds: int = 15, run_id: str = "", jitter: float = 0.05
) -> list[Record]:
    """A run whose machine drifts, and jitters by 5 % unless told otherwise; `slower` multiplies a backend's loads."""
    noise = random.Random(seed)
    speed, drift = noise.uniform(0.7, 1.5), [noise.lognormvariate(0, 0.2) for _ in range(rounds)]
    records = []
    for backend, cost in BACKENDS.items():
        cost *= 0.01 * speed * (slower or {}).get(backend, 1.0)
        load = [cost * step * noise.lognormvariate(0, jitter) for step in drift]
        record = Record(
            run_id or f"20261124-0800{seed:02d}-aaaa", backend, "digits_cnn", "fresh_process", outcome="exact"
        )
        record.load_s, record.save_s = load, [2 * value for value in load]
        record.floor_read_s = record.floor_write_s = [0.004 * speed * step for step in drift]
        record.environment_id, record.rerun = "same", f"rerun {backend}"
        records.append(record)
    return records


def of_models(seed: int, slower: dict[str, float] | None = None, count: int = 9) -> list[Record]:
    """A run of `count` models whose rounds jitter by 25 %: too much for one model's rounds to tell."""
    return [
        dataclasses.replace(record, model=f"model{number}")
        for number in range(count)
        for record in run(1000 * seed + number, slower, jitter=0.25, run_id="one")
    ]


def write(folder: Path, records: list[Record]) -> Path:
    writer = RecordWriter(folder)
    writer.write(records)
    writer.close()
    (folder / "environment.json").write_text('{"python": "3.11.7", "cpu": "one", "versions": {"torch": "2.14.1"}}')
    return folder
