"""Every cell of the matrix, and what saving and loading cost."""

from __future__ import annotations

import pytest


class WorkerClock:
    """A clock that advances by the durations that workers measured, so that the pipe to them is not in the numbers."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


CLOCK = WorkerClock()


def worker_clock() -> float:
    """pytest-benchmark's timer."""
    return CLOCK.now_s


def test_cell(cells, model, backend, condition, record_property):
    """The cell has an outcome; whatever the backend did is a result, a model that cannot be built is not."""
    record = cells(model)[backend, condition]
    record_property("outcome", record.outcome)
    assert record.stage != "build", f"{model} cannot be built: {record.error_type}: {record.message}"


@pytest.mark.benchmark(timer=worker_clock)
def test_cost(cells, model, backend, operation, benchmark):
    """The rounds that were measured, shown by pytest-benchmark."""
    records = cells(model)
    record = records.get((backend, "fresh_process"))
    if record is None:
        pytest.skip("costs are measured in fresh_process, which was not asked for")
    durations = getattr(record, f"{operation}_s")
    if not record.load_s:
        pytest.skip(f"{record.outcome} at {record.stage}: nothing to time")
    benchmark.group = f"{model}: {operation}"
    benchmark.name = f"{backend}"
    benchmark.extra_info.update(outcome=record.outcome, artifact_bytes=record.artifact_bytes)
    rounds = iter(durations)
    benchmark.pedantic(lambda: CLOCK.advance(next(rounds)), rounds=len(durations), iterations=1)
