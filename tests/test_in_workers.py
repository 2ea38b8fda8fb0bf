"""What a DataLoader's spawned workers make of a model that came back."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cell import in_workers
from harness.cell.saving import Saved
from tests.programs import project

FAKES = Path(__file__).with_name("fakes.py")
NIGHTLY = pytest.mark.nightly
"""Of the long tests, those that ask another way what one of the others asks."""


@pytest.mark.parametrize(
    ("backend", "outcome", "told"),
    [
        (f"{FAKES}:Honest", "exact", ""),
        ("hf_mixin", "exact", ""),  # what it mixes into the class is nobody's state, and in no worker
        (f"{FAKES}:Unpicklable", "failed", "does not pickle"),
        (f"{FAKES}:WrongInWorkers", "mismatch", "in a spawned worker: postprocess(examples[0])"),
    ],
)
def test_spawned_workers(run_cell, backend, outcome, told):
    record = run_cell(backend, "nested_fruit", "spawned_workers")
    assert record.outcome == outcome, record.message
    assert told in (record.message or "")


DRAWS = """
import torch

class Draws(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.calls, self.numbers = 0, {{"one": 1}}

    def preprocess(self, x):
        return torch.tensor(x) + self.numbers["one"]

    def forward(self, batch):
        self.calls += 1
        return batch + {added}

    def postprocess(self, output):
        return [self.calls, *output.tolist()]

def build():
    return Draws().eval()

def examples():
    return [[1.0], [2.0], [3.0]]
"""


@pytest.mark.parametrize(
    ("backend", "added", "counts_in", "outcome"),
    [
        pytest.param("Honest", "0", "a global", "exact", marks=NIGHTLY),
        pytest.param("Honest", "torch.rand(1)", "the model", "exact", marks=NIGHTLY),
        ("Honest", "torch.rand(1) + self.calls", "the model", "exact"),
        ("WrongInWorkers", "torch.rand(1)", "the model", "mismatch"),
    ],
)
def test_a_model_that_counts_or_draws_in_spawned_workers(run_cell, tmp_path, backend, added, counts_in, outcome):
    """Its answers depend on how often it was asked, and on what else drew; whoever preprocesses has no part in it."""
    text = DRAWS.format(added=added)
    if counts_in == "a global":
        text = text.replace("self.calls += 1", "global CALLS; CALLS += 1").replace("[self.calls", "[CALLS")
    project(tmp_path / "p", draws=f"CALLS = 0\n{text}")
    record = run_cell(f"{FAKES}:{backend}", f"{tmp_path / 'p' / 'draws.py'}:build", "spawned_workers")
    assert record.outcome == outcome, record.message


KNOWS = """
import os
import tempfile
import torch

WORDS = {"a": 1}
PLACE = "words"

class Knows(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def preprocess(self, x):
        return torch.tensor([float(WORDS.get(x, 0))])

    def forward(self, batch):
        return batch * self.scale

    def postprocess(self, output):
        return output.tolist()

def build():
    return Knows()

def examples():
    return ["a"]
"""
SET_BESIDE = """
def build():
    WORDS["rare"] = 2
    return Knows()
"""
SENT_OR_FOUND = """
def preprocess(self, x):
    at_home = os.getcwd() == "/usr" and os.path.exists(os.path.join(tempfile.gettempdir(), PLACE))
    return torch.tensor([float(at_home)])

def build():
    os.chdir("/usr")
    open(os.path.join(tempfile.gettempdir(), PLACE), "w").close()
    model = Knows()
    model.forward(torch.ones(1)).backward()
    return model

Knows.preprocess = preprocess
"""


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (
            SET_BESIDE,
            "this model is another in a spawned worker: outputs equal, state differs: "
            "model.__class__.preprocess.__globals__['WORDS']['rare']: 2 (int) is gone",
        ),
        (SENT_OR_FOUND, None),
    ],
)
def test_the_state_in_spawned_workers(run_cell, tmp_path, added, message):
    """What the builder set beside the model, which no example asks for, is in the loading process, where the builder
    was called, and not in its worker. Gradients are not sent, and the working directory and the folder for temporary
    files are the same there."""
    project(tmp_path / "p", knows=KNOWS + added)
    record = run_cell("state_dict", f"{tmp_path / 'p' / 'knows.py'}:build", "spawned_workers")
    assert (record.outcome, record.message) == ("unavailable" if message else "exact", message)


A_LAMBDA = """
def build():
    model = Knows()
    model.rule = lambda x: x
    return model
"""
NOTED = """
def build():
    model = Knows()
    model.scale.note, model.numbers = 1, {"one": 1}
    return model
"""
OTHER_BESIDE = """
WORDS = {}

def build():
    WORDS.update({"a": 1, "rare": lambda: 2})
    return Knows()

def preprocess(self, x):
    return torch.tensor([float(WORDS[x])])

Knows.preprocess = preprocess
"""
DRAWN = """
Knows.preprocess = lambda self, x: torch.rand(1)
"""
LOST = "outputs equal, state differs: model.scale.note: 1 (int) is gone"


@pytest.mark.parametrize(
    ("backend", "added", "outcome", "told"),
    [
        ("cloudpickle", A_LAMBDA, "unavailable", "this model does not work in spawned workers, whatever saves it:"),
        pytest.param(
            "cloudpickle_by_value",
            A_LAMBDA,
            "failed",
            "num_workers > 0 sends the model to spawned processes, and",
            marks=NIGHTLY,
        ),
        ("pickle", OTHER_BESIDE, "failed", "preprocess of data point 0: KeyError: 'a'"),
        pytest.param(
            "state_dict",
            OTHER_BESIDE,
            "unavailable",
            "this model does not work in spawned workers, whatever saves it:",
            marks=NIGHTLY,
        ),
        ("state_dict", NOTED, "unavailable", f"this model is another in a spawned worker: {LOST}"),
        ("state_dict", DRAWN, "unavailable", "this model is another in a spawned worker: postprocess(examples[0])"),
        (f"{FAKES}:WrongInWorkers", NOTED, "mismatch", "in a spawned worker: outputs equal, state differs: model.numb"),
    ],
)
def test_what_the_original_itself_does_in_a_worker_is_no_method_s_doing(
    run_cell, tmp_path, backend, added, outcome, told
):
    """It cannot be sent, loses what torch does not send, lacks what was set beside it, or draws there what is drawn
    there. A class that is another than the one of its name, which a method adds, is, and what is lacking anywhere."""
    project(tmp_path / "p", knows=KNOWS + added)
    record = run_cell(backend, f"{tmp_path / 'p' / 'knows.py'}:build", "spawned_workers")
    assert record.outcome == outcome, record.message
    assert record.message.startswith(told)


def test_the_original_is_asked_once_for_all_methods(tmp_path, monkeypatch):
    """What it does there is a question to the model, which its cells with other methods have in common."""
    asked = []

    def found(*_):
        asked.append(1)
        return {"raised": None, "answers": [], "states": [{"path": "model.x", "message": "1 (int) is gone"}]}

    monkeypatch.setattr(in_workers, "_found", found)
    methods = [Saved(name, None, tmp_path / name, shares=tmp_path / "described") for name in ("pickle", "dill")]
    told = [in_workers.judged(saved, None, "", "exact") for saved in methods]
    assert [one["outcome"] for one in told] == ["unavailable"] * 2
    assert len(asked) == 3  # two copies, one original
