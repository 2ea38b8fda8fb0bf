"""`make bench-json-spec`: json_spec's costs beside the floor, pickle and `torch.load(mmap=True)`, against its targets.

Not part of `pytest benchmarks/`: it takes minutes. In every round each competitor takes one turn, in an order shuffled
anew, in this one process; ratios are those of medians of the same rounds. The page cache is warm throughout. Memory is
measured in a process of its own for each figure (Linux only). `speed.csv` in the run's folder has every figure, and the
table printed at the end says which targets hold. Nothing here fails for being slow.
"""

from __future__ import annotations

import csv
import os
import pickle
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from backends.json_spec import files, load, saving

MODELS = ("resnet50", "vit_b_16", "synthetic_100MB", "synthetic_1GB")
LOAD_TARGETS = {"torch_mmap": 0.5, "pickle": 0.15}
SAVE_TARGET, ANON_LOAD_TARGET, ANON_SAVE_TARGET, GROWTH_TARGET = 1.25, 0.05, 0.10, 2.0
ROUNDS = int(os.environ.get("ROUNDTRIP_SPEED_ROUNDS", "9"))


def build(name: str) -> nn.Module:
    """A seeded model in eval mode."""
    torch.manual_seed(0)
    if name.startswith("synthetic"):  # 25 layers of 4 or 40 MB
        width = 1000 if name == "synthetic_100MB" else 3162
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


def write_floor(path: Path, data: memoryview, durable: bool) -> None:
    with open(path, "wb") as file:
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


def interleaved(turns: dict, rounds: int) -> dict[str, list[float]]:
    """Name -> seconds of every round but the first; `turns`: name -> function without arguments that gives seconds."""
    order, found = random.Random(0), {name: [] for name in turns}
    for number in range(rounds + 1):
        names = list(turns)
        order.shuffle(names)
        for name in names:
            seconds = turns[name]()
            if number:
                found[name].append(seconds)
    return found


MEMORY = """
import sys, os, gc, ctypes, threading, time
import torch, torchvision
sys.path.insert(0, sys.argv[1])
from benchmarks.test_json_spec_speed import build, tensor_bytes
from backends.json_spec import load, save, saving
import pathlib

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
    return peak[0] - start

what, model, directory = sys.argv[2:5]
if what == "save":
    made = build(model)
    save(torch.nn.Linear(1, 1), directory + ".warm")
    print(peak_of(lambda: save(made, directory)), tensor_bytes(made))
else:
    small = directory + ".warm"
    load(small)
    state = torch.get_rng_state()
    print(peak_of(lambda: load(directory, verify=what == "load")), int(torch.equal(state, torch.get_rng_state())))
"""


def in_new_process(*arguments: str) -> list[int]:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", MEMORY, str(root), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=root)
    assert result.returncode == 0, result.stderr
    return list(map(int, result.stdout.split()))


ROWS: list[dict] = []


def note(model: str, what: str, value: float, unit: str, target: float | None = None) -> None:
    holds = "" if target is None else "yes" if value <= target else "no"
    ROWS.append({"model": model, "what": what, "value": value, "unit": unit, "target": target, "holds": holds})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    yield tmp_path_factory.mktemp("speed")


@pytest.mark.parametrize("name", MODELS)
def test_speed(name, folder):
    """Loads, saves, sizes and memory of one model; the models give the same numbers before and after."""
    model = build(name)
    size = tensor_bytes(model)
    artifact, other = folder / name, folder / f"{name}.other"
    paths = {kind: folder / f"{name}.{kind}" for kind in ("floor", "durable", "pkl", "pt")}
    data = memoryview(bytearray(size))

    def save_parts(part: str) -> float:
        shutil.rmtree(other, ignore_errors=True)
        other.mkdir()
        started = time.perf_counter()
        written = saving.write_artifact(model, other, False)
        wrote = time.perf_counter()
        if part == "write":
            return wrote - started
        if part == "write_durable":
            files.make_durable(other)
            return time.perf_counter() - started
        saving.verify_artifact(written, other)
        return time.perf_counter() - wrote

    saves = interleaved(
        {
            "floor": lambda: timed(write_floor, paths["floor"], data, False),
            "durable_floor": lambda: timed(write_floor, paths["durable"], data, True),
            "pickle": lambda: timed(dump, paths["pkl"], model),
            "torch_save": lambda: timed(torch.save, model, paths["pt"]),
            "json_spec": lambda: timed(saving.save, model, artifact),
            "write": lambda: save_parts("write"),
            "write_durable": lambda: save_parts("write_durable"),
            "verify": lambda: save_parts("verify"),
        },
        ROUNDS if size < 5e8 else 3,
    )
    loads = interleaved(
        {
            "floor": lambda: timed(read_floor, paths["floor"], data),
            "pickle": lambda: timed(undump, paths["pkl"]),
            "torch_mmap": lambda: timed(lambda: torch.load(paths["pt"], mmap=True, weights_only=False)),
            "json_spec": lambda: timed(load, artifact),
            "json_spec_lazy": lambda: timed(lambda: load(artifact, verify="lazy")),
            "json_spec_unverified": lambda: timed(lambda: load(artifact, verify=False)),
        },
        ROUNDS if size < 5e8 else 5,
    )
    for kind, found in (("save", saves), ("load", loads)):
        for competitor, seconds in found.items():
            note(name, f"{kind} {competitor}", statistics.median(seconds) * 1e3, "ms")
    median = {competitor: statistics.median(seconds) for competitor, seconds in loads.items()}
    for competitor, target in LOAD_TARGETS.items():
        note(name, f"load unverified / {competitor}", median["json_spec_unverified"] / median[competitor], "x", target)
        note(name, f"load with SHA-256 / {competitor}", median["json_spec"] / median[competitor], "x")
    median = {competitor: statistics.median(seconds) for competitor, seconds in saves.items()}
    note(name, "save without verification / floor", median["write"] / median["floor"], "x", SAVE_TARGET)
    durable = median["write_durable"] / median["durable_floor"]
    note(name, "the same with fsync / floor with fsync", durable, "x", SAVE_TARGET)
    note(name, "overhead json_spec", sum(f.stat().st_size for f in artifact.iterdir()) - size, "bytes")
    smallest = min(paths[kind].stat().st_size for kind in ("pkl", "pt")) - size
    overhead = sum(f.stat().st_size for f in artifact.iterdir()) - size
    note(name, "overhead / the smallest pickle's", overhead / smallest, "x", 1.0)
    if sys.platform == "linux":
        shutil.rmtree(other, ignore_errors=True)
        peak, held = in_new_process("save", name, str(other))
        note(name, "anonymous memory at save / tensor bytes", peak / held, "x", ANON_SAVE_TARGET)
        shutil.copytree(f"{other}.warm", f"{artifact}.warm")
        for what in ("load", "load_unverified"):
            peak, same = in_new_process(what, name, str(artifact))
            note(name, f"anonymous memory at {what} / tensor bytes", peak / held, "x", ANON_LOAD_TARGET)
            assert same, "loading changed the global random state"
    loaded = load(artifact)
    for one, two in zip(model.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(one, two)


def test_report(capsys):
    """The growth from 100 MB to 1 GB, the CSV file, and the table."""
    found = {(row["model"], row["what"]): row["value"] for row in ROWS}
    key = "load json_spec_unverified"
    if {("synthetic_1GB", key), ("synthetic_100MB", key)} <= found.keys():
        growth = found["synthetic_1GB", key] / found["synthetic_100MB", key]
        note("synthetic", "load unverified, 1 GB / 100 MB", growth, "x", GROWTH_TARGET)
    assert ROWS, "run the whole file: the report is about the other tests"
    path = Path("reports") / "runs" / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-json-spec-speed" / "speed.csv"
    path.parent.mkdir(parents=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    with capsys.disabled():
        print("\n")
        for row in ROWS:
            target = f"target {row['target']:g}: {row['holds']}" if row["holds"] else ""
            print(f"{row['model']:16} {row['what']:48} {row['value']:12.3f} {row['unit']:6} {target}")
        print(f"\n{path}")
