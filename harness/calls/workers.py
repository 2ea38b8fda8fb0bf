"""Calls of a worker that starts a DataLoader's spawned workers: what the loaded model answers and is there."""

from __future__ import annotations

import multiprocessing.util
import pickle
import tempfile
from collections.abc import Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from harness import compare, inference
from harness.calls.session import Session, read_reference, seed, state_differences
from harness.snapshot import describe_process
from harness.snapshot.builder import snapshot_value


def answer_in_workers(session: Session, *, reference: str, workers: int) -> list[dict[str, Any]]:
    """Differences of what the loaded model answers when so many of a DataLoader's spawned workers preprocess.

    Random numbers drawn in `preprocess` come from that worker's own stream.
    """
    session.stage = "preprocess"
    written = read_reference(reference)
    examples = pickle.loads(written["examples"])
    seed()
    answers = inference.predict_many(session.loaded, _Sent(examples), batch_size=1, num_workers=workers)
    found: list[compare.Difference] = []
    for place, (answer, expected) in enumerate(zip(answers, written["taps"], strict=False)):
        actual = snapshot_value(answer, own_modules=session.own_modules)
        root = f"postprocess(examples[{place}])"
        found += compare.compare(expected["postprocess"], actual, compare.Tolerance(**written["tolerance"]), root)
    return [difference.to_dict() for difference in found]


def state_in_a_worker(session: Session, *, reference: str) -> list[dict[str, Any]]:
    """Differences of the state that the loaded model has in a spawned worker, from the original's.

    The model alone is sent there: what was set beside it in the loading process (globals, classes, settings) is there
    only where importing its modules sets it. Gradients, which no worker needs, torch does not send.
    """
    session.stage = "preprocess"
    inference.require_picklable(session.loaded)
    described = _Described(session.loaded, _Sent([reference]), session.own_modules)
    loader = DataLoader(described, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    (found,) = inference.from_workers(loader)
    return [difference for difference in pickle.loads(found) if difference["kind"] != "grad"]


class _Described(Dataset):
    """One item: the differences of the model's state, where the item is asked for."""

    def __init__(self, model: Any, references: Sequence[str], own_modules: tuple[str, ...]) -> None:
        self.model, self.references, self.own_modules = model, references, own_modules
        self.started_in = describe_process.started_in()

    def __len__(self) -> int:
        return len(self.references)

    def __getitem__(self, place: int) -> bytes:
        describe_process.started_in(self.started_in)
        session = Session(own_modules=self.own_modules, loaded=self.model)
        written = read_reference(self.references[place])
        found = state_differences(session, written, compare.Tolerance(**written["tolerance"]))
        return pickle.dumps([difference.to_dict() for difference in found])


class _Sent(Sequence):
    """Values; in the process to which they are sent, temporary files are looked for where they are here."""

    def __init__(self, values: list) -> None:
        self.values, self.temporary = values, tempfile.gettempdir()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: int) -> Any:
        if tempfile.gettempdir() != self.temporary:
            multiprocessing.util.get_temp_dir()  # the paths of its sockets may not be long: they stay where they are
            tempfile.tempdir = self.temporary
        return self.values[place]
