"""`make bench-json-spec`: json_spec's costs beside the floor, pickle and `torch.load(mmap=True)`, against its targets.

Not part of `pytest benchmarks/`: it takes minutes. In every round each competitor takes one turn, in an order shuffled
anew, in this one process, which imports everything beforehand; the page cache is warm throughout, and before each save
what was written earlier is on the disk: else a writer waits for what another has left. Before each load garbage is
collected: else one load frees, in its time, what another has left. Memory is measured in a process of its own for each
model (Linux only). Records of kind `json_spec_speed` keep every round, and the report is made of them:
`tables/json_spec_targets.csv` has the ratios with their intervals and says which targets are met. Nothing here fails
for being slow.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from backends.json_spec import batches, load, saving, tensors
from backends.json_spec.digests import cores, digest_named
from harness import environment
from harness.findings import speed_targets
from harness.findings.speed_targets import LARGE, SMALL
from harness.records import Record, RecordWriter

MODELS = ("resnet50", "vit_b_16", SMALL, LARGE)
BUDGET_S = {"resnet50": (20.0, 12.0), "vit_b_16": (45.0, 12.0), SMALL: (20.0, 10.0), LARGE: (90.0, 24.0)}
"""Seconds for the rounds of saving and of loading; scaled by ROUNDTRIP_SPEED_BUDGET."""
SCALE = float(os.environ.get("ROUNDTRIP_SPEED_BUDGET", "1"))
MOST_ROUNDS, LEAST_ROUNDS = 40, 3
Turn = Callable[[], "float | dict[str, float]"]


def build(name: str) -> nn.Module:
    """A seeded model in eval mode."""
    torch.manual_seed(0)
    if name.startswith("synthetic"):  # 25 layers of 4 or 40 MB
        width = 1000 if name == SMALL else 3162
        return nn.Sequential(*[nn.Linear(width, width, bias=False) for _ in range(25)]).eval()
    from torchvision import models

    return getattr(models, name)(weights=None).eval()


def tensor_bytes(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()])


def timed(function, *arguments) -> float:
    started = time.perf_counter()
    result = function(*arguments)
    taken = time.perf_counter() - started
    del result
    return taken


def anew(path: Path, function, *arguments) -> float:
    """As `timed`, of a function that writes a new file or directory `path`, which is removed afterwards."""
    taken = timed(function, *arguments)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return taken


def write_floor(path: Path, data: memoryview, durable: bool) -> None:
    with open(path, "xb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def read_floor(path: Path, data: memoryview) -> None:
    with open(path, "rb", buffering=0) as file:
        file.readinto(data)


def dump(path: Path, model: nn.Module) -> None:
    with open(path, "wb") as file:
        pickle.dump(model, file, protocol=5)


def undump(path: Path) -> nn.Module:
    with open(path, "rb") as file:
        return pickle.load(file)


def interleaved(turns: dict[str, Turn], budget_s: float, settle: Callable[[], None]) -> dict[str, list[float]]:
    """Name -> seconds of every round but the first, which warms up; a turn may give several names their seconds.

    `settle` is called before each turn.
    """
    order, found, began, number = random.Random(0), {}, time.perf_counter(), 0
    while number <= LEAST_ROUNDS or (number <= MOST_ROUNDS and time.perf_counter() - began < budget_s * SCALE):
        names = list(turns)
        order.shuffle(names)
        for name in names:
            settle()
            seconds = turns[name]()
            if number:
                for part, taken in (seconds if isinstance(seconds, dict) else {name: seconds}).items():
                    found.setdefault(part, []).append(taken)
        gc.collect()
        number += 1
    return found


def without_digests():
    """While this lasts, tensors are written and no digest of them is computed."""
    return mock.patch.object(tensors, "digest_named", return_value=lambda data: "")


def saves(model: nn.Module, artifact: Path, data: memoryview) -> dict[str, Turn]:
    other = artifact.with_name(f"{artifact.name}.other")

    def bare_write() -> dict[str, float]:
        with without_digests(), mock.patch.object(batches, "begin"):  # nobody waits for the disk, so none is hurried
            return {"json_spec_bare_write": parts("json_spec_bare", "sha256")["json_spec_bare_write"]}

    def parts(name: str, digest: str) -> dict[str, float]:
        other.mkdir()
        started = time.perf_counter()
        written = saving.write_artifact(model, other, False, digest=digest)
        written.seal(other)
        wrote = time.perf_counter()
        saving.verify_artifact(written, other)
        verified = time.perf_counter()
        written.forget()
        shutil.rmtree(other)
        return {f"{name}_write": wrote - started, f"{name}_verify": verified - wrote}

    def unread(digest: str) -> None:
        with mock.patch.object(saving, "verify_artifact"):
            saving.save(model, new, digest=digest)

    def bare() -> None:
        with without_digests():
            unread("sha256")

    def digests(name: str) -> float:
        digest_of = digest_named(name)
        with ThreadPoolExecutor(cores()) as threads:
            return timed(lambda: list(threads.map(digest_of, pieces)))

    pieces = [memoryview(tensor.detach().numpy()).cast("B") for tensor in model.state_dict().values() if tensor.ndim]

    new = artifact.with_name(f"{artifact.name}.new")
    turns: dict[str, Turn] = {
        "floor": lambda: anew(new, write_floor, new, data, False),
        "floor_durable": lambda: anew(new, write_floor, new, data, True),
        "json_spec": lambda: anew(new, saving.save, model, new),
        "json_spec_blake3": lambda: anew(new, functools.partial(saving.save, digest="blake3"), model, new),
        "json_spec_unread": lambda: anew(new, unread, "sha256"),
        "json_spec_blake3_unread": lambda: anew(new, unread, "blake3"),
        "json_spec_bare": lambda: anew(new, bare),
        "bare_write": bare_write,
        "parts": lambda: parts("json_spec", "sha256"),
        "parts_blake3": lambda: parts("json_spec_blake3", "blake3"),
        "sha256": lambda: digests("sha256"),
        "blake3": lambda: digests("blake3"),
    }
    if not artifact.name.endswith(LARGE):  # seconds a turn, and no target is about them
        turns["pickle"] = lambda: anew(new, dump, new, model)
        turns["torch_save_mmap"] = lambda: anew(new, torch.save, model, new)
    return turns


def loads(artifact: Path, paths: dict[str, Path], data: memoryview) -> dict[str, Turn]:
    small = artifact.with_name(SMALL)
    turns: dict[str, Turn] = {
        "floor": lambda: timed(read_floor, paths["floor"], data),
        "pickle": lambda: timed(undump, paths["pkl"]),
        "torch_save_mmap": lambda: timed(lambda: torch.load(paths["pt"], mmap=True, weights_only=False)),
        "safetensors_tensors": lambda: timed(load_file, paths["safetensors"]),
        "json_spec": lambda: timed(load, artifact),
        "json_spec_lazy": lambda: timed(lambda: load(artifact, verify="lazy")),
        "json_spec_unverified": lambda: timed(lambda: load(artifact, verify=False)),
        "json_spec_blake3": lambda: timed(load, artifact.with_name(f"{artifact.name}.blake3")),
    }
    if artifact.name == LARGE and small.exists():
        turns[f"json_spec_unverified {SMALL}"] = lambda: timed(lambda: load(small, verify=False))
    return turns


MEMORY = """
import sys, gc, ctypes, json, random, threading, time
import numpy, torch, torchvision
sys.path.insert(0, sys.argv[1])
from benchmarks.test_json_spec_speed import build
from backends.json_spec import load, save

def anon():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) * 1024

def peak_of(function):
    gc.collect(); ctypes.CDLL(None).malloc_trim(0)
    start, peak, done = anon(), [0], threading.Event()
    def watch():
        while not done.is_set():
            peak[0] = max(peak[0], anon()); time.sleep(0.001)
    thread = threading.Thread(target=watch); thread.start()
    kept = function()
    peak[0] = max(peak[0], anon()); done.set(); thread.join()
    return max(peak[0] - start, 0)

def states():
    return torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state())

name, artifact, other = sys.argv[2:5]
save(torch.nn.Linear(1, 1), other + ".warm")
load(other + ".warm")
before = states()
found = {"json_spec_unverified": peak_of(lambda: load(artifact, verify=False)), "json_spec": peak_of(lambda: load(artifact))}
assert states() == before, "loading changed a global random state"
made = build(name)
found["save"] = peak_of(lambda: save(made, other))
print(json.dumps(found))
"""  # noqa: E501


def peaks(name: str, artifact: Path) -> dict[str, int]:
    """Peak anonymous bytes of a load with and without verification, and of a save, in a new process."""
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", MEMORY, str(root), name, str(artifact), f"{artifact}.again"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=root)
    assert result.returncode == 0, result.stderr
    shutil.rmtree(f"{artifact}.again")
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("speed")


@pytest.fixture(scope="module")
def run(request):
    """The run's folder, and the writer of its records."""
    output = request.config.getoption("--output")
    run_id = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + "-json-spec-speed"
    path = output or Path("reports") / "runs" / run_id
    writer = RecordWriter(path)
    machine = environment.collect(torch.get_num_threads())
    (path / "environment.json").write_text(json.dumps(machine, indent=1) + "\n", encoding="utf-8")
    yield path, run_id, machine["environment_id"], writer
    writer.close()


def file_bytes(path: Path) -> int:
    return sum(part.stat().st_size for part in path.iterdir()) if path.is_dir() else path.stat().st_size


@pytest.mark.parametrize("name", MODELS)
def test_speed(name, folder, run):
    """Saves, loads, sizes and memory of one model; what is loaded is what was saved."""
    began = time.perf_counter()
    model = build(name)
    size = tensor_bytes(model)
    artifact, with_blake3 = folder / name, folder / f"{name}.blake3"
    paths = {kind: folder / f"{name}.{kind}" for kind in ("floor", "pkl", "pt", "safetensors")}
    data = memoryview(bytearray(os.urandom(1 << 20) * (size // (1 << 20) + 1))[:size])
    dump(paths["pkl"], model)
    torch.save(model, paths["pt"])
    save_file(model.state_dict(), paths["safetensors"])
    write_floor(paths["floor"], data, False)
    saving.save(model, artifact)
    saving.save(model, with_blake3, digest="blake3")
    save_budget_s, load_budget_s = BUDGET_S[name]
    saved = interleaved(saves(model, artifact, data), save_budget_s, os.sync)
    gc.collect()
    gc.freeze()  # else each collection between the loads looks through all of torch
    loaded = interleaved(loads(artifact, paths, data), load_budget_s, gc.collect)
    gc.unfreeze()
    peak = peaks(name, artifact) if sys.platform == "linux" else {}
    sizes = {"json_spec": artifact, "pickle": paths["pkl"], "torch_save_mmap": paths["pt"], "floor": paths["floor"]}
    _, run_id, environment_id, writer = run
    for competitor in dict.fromkeys([*saved, *loaded]):
        record = Record(
            run_id, competitor, name, "same_process", kind=speed_targets.KIND, tensor_bytes=size,
            save_s=saved.get(competitor, []), load_s=loaded.get(competitor, []),
            artifact_bytes=file_bytes(sizes[competitor]) if competitor in sizes else None,
            peak_anon_bytes_load=peak.get(competitor),
            peak_anon_bytes_save=peak.get("save") if competitor == "json_spec" else None,
            environment_id=environment_id, rerun="make bench-json-spec", duration_s=time.perf_counter() - began,
        )  # fmt: skip
        record.facts = speed_targets.facts(record)
        writer.write([record])
    again = load(artifact)
    for one, two in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    del again
    shutil.rmtree(with_blake3)
    for path in paths.values():
        path.unlink()
    if name != SMALL:  # the large one's rounds load it again
        shutil.rmtree(artifact)
    if name == LARGE:
        shutil.rmtree(folder / SMALL, ignore_errors=True)


def test_report(run, capsys):
    """The report is made of the records, and its table of targets is shown."""
    from harness.records import read_records
    from harness.report import write_report

    path, *_ = run
    write_report(path)
    with capsys.disabled():
        print("\n")
        for row in speed_targets.rows(read_records(path).records):
            interval = "" if row["low"] is None else f"[{row['low']:.3g}, {row['high']:.3g}]"
            target = "" if row["at most"] is None else f"at most {row['at most']:g}: {row['target']}"
            print(f"{row['model']:16} {row['figure']:64} {row['is']:8.3g} {interval:18} {target}")
        print(f"\n{path}")
