"""What a save and a load cost: interleaved rounds, so that a machine's drift hits all backends alike.

In every round each backend of one model saves, loads and predicts once, in an order shuffled anew, each in its own
process that is kept warm; the floor (the same tensor bytes through one plain file) takes its turn as one more
competitor. Round 0 warms up: its times are dropped, and it is the one in which memory is watched.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.process import Worker, WorkerDied, WorkerFailed
from harness.round_trip import Loaded, Saved


@dataclass
class Competitor:
    """One backend's warm processes, and what its rounds gave (seconds, bytes; named as in the record)."""

    saved: Saved
    loaded: Loaded
    own_modules: tuple[str, ...]
    costs: dict[str, Any] = field(default_factory=lambda: {"save_s": [], "load_s": [], "first_prediction_s": []})
    died: str | None = None


def interleave(
    competitors: list[Competitor], rounds: int, folder: Path, tick: Callable[[str], None], seed: int = 0
) -> None:
    """Run the rounds; every competitor's `costs` is filled, the floor's times among them.

    A competitor that fails in a round takes no further part; `died` then says why.
    """
    if not competitors or rounds < 1:
        return
    folder.mkdir(parents=True, exist_ok=True)
    order = random.Random(seed)
    tensor_bytes = competitors[0].saved.facts["tensor_bytes"]
    floors: dict[str, list[float]] = {"floor_write_s": [], "floor_read_s": []}
    with Worker() as floor:
        for number in range(rounds + 1):
            turns: list[Competitor | None] = [*competitors, None]
            order.shuffle(turns)
            for competitor in turns:
                if competitor is None:
                    _floor_turn(floor, tensor_bytes, folder, floors, counted=number > 0)
                elif competitor.died is None:
                    tick(f"round {number} of {rounds}: {competitor.saved.backend}")
                    _turn(competitor, folder, counted=number > 0)
    for competitor in competitors:
        competitor.costs |= floors


def _floor_turn(worker: Worker, tensor_bytes: int, folder: Path, floors: dict[str, list[float]], counted: bool) -> None:
    path = folder / "floor"
    for name, seconds in worker.call("floor", path=str(path), tensor_bytes=tensor_bytes).items():
        if counted:
            floors[name].append(seconds)
    path.unlink()


def _turn(competitor: Competitor, folder: Path, counted: bool) -> None:
    saved, loaded, costs = competitor.saved, competitor.loaded, competitor.costs
    directory = folder / f"{saved.backend.replace('/', '_').replace(':', '_')}-save"
    save_arguments = {"backend": saved.backend, "directory": str(directory)}
    load_arguments = {
        "backend": saved.backend,
        "directory": str(saved.artifact),
        "trusted_modules": competitor.own_modules,
    }
    try:
        if counted:
            costs["save_s"].append(saved.worker.call("save", **save_arguments)["save_s"])
            costs["load_s"].append(loaded.worker.call("load", **load_arguments)["load_s"])
            predicted = loaded.worker.call("first_prediction", reference=str(saved.reference))
            costs["first_prediction_s"].append(predicted["first_prediction_s"])
        else:
            _, peak = saved.worker.call_watched("save", **save_arguments)
            costs["peak_anon_bytes_save"] = peak.anon_bytes
            loaded.worker.call("forget")
            _, peak = loaded.worker.call_watched("load", **load_arguments)
            costs["peak_anon_bytes_load"], costs["peak_file_bytes_load"] = peak.anon_bytes, peak.file_bytes
            loaded.worker.call("first_prediction", reference=str(saved.reference))
    except (WorkerFailed, WorkerDied) as error:
        competitor.died = str(error)
    shutil.rmtree(directory, ignore_errors=True)
