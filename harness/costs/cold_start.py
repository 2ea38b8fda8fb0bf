"""Cold starts: a real new interpreter that imports, loads and predicts once, as a service does that is started.

    interpreter_s       from the start of the process to its first line
    torch_import_s      import torch
    backend_import_s    import the backend, and the library that it is about
    load_s              load; it imports the model's source and what that imports, where the backend needs them
    first_prediction_s  preprocess, forward and postprocess of the first example
    total_s             all of these

Each costs seconds, most of it torch's import. The files are in the page cache: a start before the first counted one
sees to it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.costs.competitor import Competitor
from harness.processes.process import TIMEOUT_S, WorkerDied, WorkerFailed
from harness.records import Record
from harness.registry import ROOT, backend_entry
from harness.round_trip import bench_command

PARTS = ("interpreter_s", "torch_import_s", "backend_import_s", "load_s", "first_prediction_s")
CHILD = Path(__file__).with_name("cold_start_child.py")
LAST_LINES = 4


def measure(competitors: Sequence[Competitor], repeats: int, folder: Path, run_id: str, model: str) -> list[Record]:
    """A record a backend: `repeats` starts each, the backends in turn.

    A start that fails is an outcome, with the interpreter's last words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = [
        Record(
            run_id,
            competitor.saved.backend,
            model,
            "fresh_process",
            kind="cold_start",
            rerun=f"{bench_command(competitor.saved.backend, model)} --rounds 1 --cold-starts all",
        )
        for competitor in competitors
    ]
    if competitors:
        _start(competitors[0], folder)
    for _ in range(repeats):
        for competitor, record in zip(competitors, records, strict=True):
            if record.outcome:
                continue
            found = _start(competitor, folder)
            if isinstance(found, str):
                record.outcome, record.stage, record.message = "failed", "load", found
                continue
            for name in (*PARTS, "total_s"):
                value = found[name] if name in found else sum(found[part] for part in PARTS)
                record.facts.setdefault(name, []).append(value)
    return records


def _start(competitor: Competitor, folder: Path) -> dict[str, float] | str:
    """The durations of one start, or why there are none."""
    saved = competitor.saved
    module, _, name = backend_entry(saved.backend).target.rpartition(":")
    answer, inputs, wanted = folder / "answer.json", folder / "inputs.pkl", folder / "wanted.json"
    answer.unlink(missing_ok=True)
    try:
        arguments = saved.worker.call(
            "cold_start_inputs", backend=saved.backend, reference=str(saved.reference), path=str(inputs),
            trusted_modules=competitor.own_modules,
        )  # fmt: skip
    except (WorkerFailed, WorkerDied) as error:
        return str(error)
    wanted.write_text(
        json.dumps(
            {
                "root": str(ROOT), "project": str(saved.stage.folder), "module": module, "class": name,
                "artifact": str(saved.artifact), "inputs": str(inputs), "answer": str(answer), "arguments": arguments,
            }
        )
    )  # fmt: skip
    command = [sys.executable, "-P", str(CHILD), str(wanted)]
    try:
        done = subprocess.run(
            [*command, repr(time.monotonic())], capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT_S:.0f} s; killed"
    if done.returncode != 0 or not answer.is_file():
        last = " | ".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        return f"exit code {done.returncode}: {last}".replace(f"{ROOT}/", "").replace(f"{folder}/", "")
    return json.loads(answer.read_text(encoding="utf-8"))
