"""Shared by the tests: one way to run a cell."""

from __future__ import annotations

import pytest

from harness import registry, round_trip
from harness.conditions import condition
from harness.staging import stage


@pytest.fixture
def run_cell(tmp_path):
    """`run_cell(backend, model, condition)` -> Record."""
    count = 0

    def run(backend: str, model: str, wanted: str = "fresh_process"):
        nonlocal count
        count += 1
        source = registry.model_source(model)
        staged = stage(source, tmp_path / f"stage{count}")
        saved = round_trip.save(backend, source.builder, staged, tmp_path / f"cell{count}")
        try:
            loaded = round_trip.load(saved, condition(wanted))
            loaded.close()
        finally:
            saved.close()
        return round_trip.record("test", saved, loaded, model, wanted)

    return run
