"""Shared by the tests: one way to run a cell, and the outcomes that are expected."""

from __future__ import annotations

import csv
import gc
import os
import sys
from pathlib import Path

import pytest

from harness import registry, round_trip
from harness.cell import saving
from harness.conditions import condition
from harness.project.staging import stage
from harness.system import huge_pages

LONGEST = ("test_contract.py", "test_for_everyone.py", "test_cold_start.py", "test_cli.py", "test_probes.py")


def pytest_sessionstart() -> None:
    """What tests start is no worker of pytest-xdist, in which pytest-benchmark measures nothing."""
    os.environ.pop("PYTEST_XDIST_WORKER", None)
    os.environ.pop("PYTEST_XDIST_WORKER_COUNT", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where files go to several processes, the longest go first, and each process computes with one thread: two pools
    of threads on the same cores spend their time waiting for each other."""
    if hasattr(config, "workerinput"):  # of pytest-xdist
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        # many tests fork this process, which by now holds torch and more: nothing of it is gone through or copied again
        gc.freeze()
        huge_pages.gather()
        items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture
def run_cell(tmp_path):
    """`run_cell(backend, model, condition, interpreter, original)` -> Record."""
    count = 0

    def run(backend: str, model: str, wanted: str = "fresh_process", interpreter=None, original=None):
        nonlocal count
        count += 1
        source = registry.model_source(model)
        staged = stage(source, tmp_path / f"stage{count}")
        chosen = condition(wanted)
        saved = saving.save(backend, source.builder, staged, tmp_path / f"cell{count}", chosen.saving, original)
        try:
            loaded = round_trip.load(saved, chosen, interpreter)
            loaded.close()
        finally:
            saved.close()
        return round_trip.record("test", saved, loaded, model, wanted)

    return run


@pytest.fixture(scope="session")
def expected() -> dict[tuple[str, str, str], str]:
    """(backend, model, condition) -> outcome, from the files in `expected/`; blank: nobody has looked at it."""
    found = {}
    for path in Path(__file__).with_name("expected").glob("*.csv"):
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                model = row.pop("model")
                found |= {(path.stem, model, condition): outcome for condition, outcome in row.items() if outcome}
    return found


@pytest.fixture
def many_open_files():
    """The process has files open beyond descriptor 1023, which `select` does not take."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("so many files cannot be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    opened: list[int] = []
    try:
        while not opened or opened[-1] < 1030:
            opened.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
