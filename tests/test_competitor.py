"""A backend's turns: in which process they take place, and what they leave. No time is judged."""

from __future__ import annotations

import pytest

from harness import registry
from harness.cell import saving
from harness.costs import competitor
from harness.costs.competitor import Competitor, Process
from harness.processes.process import Worker, WorkerDied
from harness.project.staging import stage


@pytest.fixture
def one(tmp_path):
    source = registry.model_source("nested_fruit")
    staged = stage(source, tmp_path / "stage")
    saved = saving.save("pickle", source.builder, staged, tmp_path / "cell")
    found = Competitor(saved, staged.own_modules)
    yield found
    found.close()
    saved.close()


def processes(one: Competitor, rounds: int) -> list[int]:
    """Which process took the turns of each round."""
    found = []
    for _ in range(rounds):
        workers = {one._process.turn(name)[0] for name in ("load", "save")}
        (worker,) = workers
        found.append(worker.call("about")["process"])
    return found


def test_each_round_has_a_new_process_that_has_warmed_up(one, tmp_path, monkeypatch):
    one.warm_up(tmp_path)
    found = processes(one, 3)
    first = one.saved.worker.call("about")["process"]
    assert len({first, *found}) == 4
    called, call = [], Worker.call
    monkeypatch.setattr(Worker, "call", lambda worker, name, **rest: called.append(name) or call(worker, name, **rest))
    for count in (1, 2):
        called.clear()
        one.save(tmp_path)
        one.load()
        assert [name for name in called if name in ("save", "load")] == ["save", "save", "load", "load"]
        assert len(one.costs["save_s"]) == len(one.costs["load_s"]) == count
        assert len(one.costs["first_prediction_s"]) == len(one.costs["predictions_per_s"]) == count
    assert one.costs["peak_anon_bytes_load"] is not None and not list(tmp_path.glob("save*"))
    one.load_cold()
    assert len(one.costs["load_s"]) == 2 and len(one.costs["load_cold_s"]) <= 1


def test_what_is_dear_stays(one, tmp_path, monkeypatch):
    monkeypatch.setattr(competitor, "RENEWED_S", 0.0)
    one.warm_up(tmp_path)
    assert set(processes(one, 2)) == {one.saved.worker.call("about")["process"]}
    one.save(tmp_path)
    assert len(one.costs["save_s"]) == 1


def test_a_quick_run_keeps_its_processes(one, tmp_path):
    one.warm_up(tmp_path, renewed=False)
    assert set(processes(one, 2)) == {one.saved.worker.call("about")["process"]}


def test_a_process_with_threads_is_not_forked(one, monkeypatch):
    process, about = Process(one.saved.worker), one.saved.worker.call("about")
    assert about["running_threads"] == 1 and process.renew(True) and not process.renew(False)
    monkeypatch.setattr(one.saved.worker, "call", lambda name: about | {"running_threads": 2})
    assert not process.renew(True)


def test_a_fork_that_dies_ends_the_turns_and_not_the_first(one, tmp_path):
    one.warm_up(tmp_path)
    worker, _ = one._process.turn("save")
    worker._process.kill()
    with pytest.raises(WorkerDied):
        one.load()
    assert one.saved.worker.call("about")
