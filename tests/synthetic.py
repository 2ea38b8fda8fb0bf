"""Records that no run made: thousands, of every kind, with every outcome, the same each time.

For the report's tests and for its limits of size and time; what they say of a backend is invented.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from backends import BUILT_IN
from harness.records import Record, RecordWriter
from reference_models.catalog import CATALOG
from reference_models.traits import TRAITS

RUN_ID = "20260102-030405-abcd"
CONDITIONS = (
    "same_process", "fresh_process", "main_script", "notebook", "source_absent", "source_renamed", "source_edited",
    "class_moved", "other_interpreter", "spawned_workers", "saved_on_cuda", "a_condition_of_the_future",
)  # fmt: skip
PROBES = {
    "planted_code": ("runs", "does not run"),
    "bit_flip": ("detected", "silent", "harmless", "crashed"),
    "truncation": ("detected", "silent"),
    "same_bytes": ("same", "differs"),
    "readable": ("all", "some", "none"),
}
INTERPRETERS = ("Python 3.12.4, torch 2.14.1", "Python 3.11.7, torch 2.13.0")
SIZES = (1e6, 1e7, 1e8, 1e9, 4e9)


def backends(count: int = 27) -> list[str]:
    """Some of the names there are, then invented ones, which have no description."""
    known = list(dict.fromkeys(["pickle", "dill", "dill_recurse", "cloudpickle", "json_spec", *BUILT_IN]))
    return [*known[: max(5, count // 2)], *(f"invented_{number}" for number in range(count))][:count]


def records(count: int = 27, traits: int = 0, seed: int = 0) -> list[Record]:
    """About 3,200 records of `count` backends; with `traits`, so many cells of traits more for each backend."""
    chance = random.Random(seed)
    made = []
    for number, backend in enumerate(backends(count)):
        skill = (number + 1) / count
        made += [*_cells(chance, backend, skill), *_probes(chance, backend), *_costs(chance, backend, skill)]
        made += [_cell(chance, backend, f"trait/{name}", "fresh_process", skill) for name in list(TRAITS)[:traits]]
    for record in [record for record in made if record.model.startswith("trait/")][:: max(traits // 2, 1)]:
        _make_wrong(record)
    made += [Record(RUN_ID, "floor", model, "fresh_process", kind="floor", facts={"waiting_share": 0.01})
             for model in CATALOG]  # fmt: skip
    for record in made:
        record.environment_id = "0123456789ab"
    return made


def write(folder: Path, made: list[Record]) -> Path:
    """A run's folder that holds them."""
    writer = RecordWriter(folder)
    writer.write(made)
    writer.close()
    (folder / "environment.json").write_text(
        '{"environment_id": "0123456789ab", "python": "3.11.7", "cpus": 2, "cpu": "invented", "torch_threads": 2, '
        '"load_average": [0.5, 0, 0], "versions": {"torch": "2.14.1", "dill": "0.4.1"}, "system": "Linux x86_64"}\n'
    )
    return folder


def _cells(chance: random.Random, backend: str, skill: float) -> Iterator[Record]:
    for model in CATALOG:
        for condition in CONDITIONS:
            for interpreter in INTERPRETERS if condition == "other_interpreter" else (None,):
                yield _cell(chance, backend, model, condition, skill, interpreter)


def _cell(
    chance: random.Random, backend: str, model: str, condition: str, skill: float, interpreter: str | None = None
) -> Record:
    hard = 0.3 if condition in ("same_process", "fresh_process") else 0.9
    outcome = "exact"
    if chance.random() < hard * (1 - skill):
        outcome = chance.choice(
            ("close", "partial", "mismatch", "unsupported", "failed", "failed", "crashed", "unavailable")
        )
    record = Record(RUN_ID, backend, model, condition, outcome=outcome, interpreter=interpreter)
    record.rerun = f"pytest benchmarks/ --model {model} --backend {backend} --condition {condition}"
    record.taps = dict.fromkeys(("preprocess", "forward", "postprocess"), "equal")
    if condition == "source_edited":
        record.code_ran = chance.choice(("saved", "edited", "refused"))
    if outcome == "mismatch":
        _make_wrong(record)
    elif outcome == "partial":
        record.taps = {"preprocess": "absent", "forward": "equal", "postprocess": "absent"}
    elif outcome != "exact":
        record.stage, record.error_type = chance.choice(("save", "load", "forward")), "RuntimeError"
        record.message = f"{model}: this is what <the library> said & meant, number {chance.randrange(9)}"
        record.traceback = 'File "site-packages/library.py", line 7, in load\n    raise RuntimeError(...)\n' * 6
    if condition == "fresh_process" and outcome in ("exact", "close", "partial") and model in CATALOG:
        _time(chance, record, skill)
    return record


def _make_wrong(record: Record) -> None:
    record.outcome = "mismatch"
    record.taps["postprocess"] = "different"
    record.differences = 40
    record.state = [{"kind": "value", "path": f"model.layers.{place}.weight[0]", "message": "was 0.5, is now 0.25"}
                    for place in range(12)]  # fmt: skip
    record.message = "model.layers.0.weight[0]: was 0.5, is now 0.25"


def _time(chance: random.Random, record: Record, skill: float) -> None:
    record.tensor_bytes = 1 << (14 + len(record.model) % 13)
    record.artifact_bytes = round(record.tensor_bytes * (1.01 + chance.random() * (1 - skill)))
    floor = 1e-4 + record.tensor_bytes * 3e-10
    for _ in range(7):
        read, write = (floor * chance.uniform(0.9, 1.3) for _ in range(2))
        record.floor_read_s.append(read)
        record.floor_write_s.append(write)
        record.load_s.append(read * (1 + 9 * (1 - skill)) * chance.uniform(0.95, 1.2))
        record.save_s.append(write * (2 + 9 * skill) * chance.uniform(0.95, 1.2))
        record.first_prediction_s.append(0.004 * chance.uniform(0.9, 1.2))
    record.first_load_s = record.load_s[0] * 5
    record.peak_anon_bytes_load = round(record.tensor_bytes * chance.uniform(0.1, 2.1))
    record.peak_anon_bytes_save = round(record.tensor_bytes * chance.uniform(0.1, 2.1))


def _probes(chance: random.Random, backend: str) -> Iterator[Record]:
    for name, answers in PROBES.items():
        answer = chance.choice(answers)
        facts = {"answer": answer, "evidence": f"{answer}: six places were tried", "tried": 6}
        yield Record(RUN_ID, backend, "digits_cnn", name, kind="probe", facts=facts, message=facts["evidence"],
                     rerun=f"roundtrip probe --backend {backend}")  # fmt: skip


def _costs(chance: random.Random, backend: str, skill: float) -> Iterator[Record]:
    for model in ("imagenet_resnet", "sentiment_gru"):
        imports_s = [1.2 + chance.random() for _ in range(3)]
        facts = {"interpreter_s": [0.02] * 3, "torch_import_s": imports_s, "backend_import_s": [0.1 * skill] * 3,
                 "load_s": [0.1 + skill] * 3, "first_prediction_s": [0.05] * 3, "total_s": [2.0] * 3}  # fmt: skip
        yield Record(RUN_ID, backend, model, "fresh_process", kind="cold_start", facts=facts)
    for size in SIZES:
        load_s = 1e-3 + size * 4e-10 * (1.2 - skill)
        facts = {"sweep": "bytes", "tensor_bytes": int(size), "save_s": size * 1e-9 * (1 + skill), "load_s": load_s,
                 "peak_anon_bytes_load": size * (1.1 - skill)}  # fmt: skip
        yield Record(RUN_ID, backend, "growth", "fresh_process", kind="growth", facts=facts)
    for modules in (10, 100, 1000, 10_000):
        facts = {
            "sweep": "modules",
            "modules": modules,
            "tensor_bytes": 10**6,
            "load_s": [modules * 1e-5 * (2 - skill)] * 3,
        }
        facts["save_s"] = [modules * 2e-5 * (2 - skill)] * 3
        yield Record(RUN_ID, backend, "growth", "fresh_process", kind="growth", facts=facts)
