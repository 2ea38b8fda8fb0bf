"""Whether a project runs in a condition's world by itself, which several backends ask at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from harness import conditions, registry
from harness.cell import of_itself
from harness.processes.process import WorkerDied
from harness.project.staging import stage


def test_it_is_asked_once_by_backends_that_ask_side_by_side(tmp_path, monkeypatch):
    asked = []

    class World:
        gone = ()

        def enter(self, worker):
            asked.append(worker)
            time.sleep(0.2)  # the others come meanwhile
            raise WorkerDied("here it ends")

    monkeypatch.setattr(of_itself.conditions, "prepare", lambda *_: World())
    staged, wanted = stage(registry.model_source("nested_fruit"), tmp_path), conditions.condition("class_moved")
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: of_itself.raised(staged, wanted, "nested_fruit:build"), range(3)))
    assert (found, len(asked)) == ([None] * 3, 1)
