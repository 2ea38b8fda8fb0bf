"""Artifacts that are made here and loaded by another Python.

Most of it is seen with this very Python, started as if it were another. What two versions do to each other is seen with
those that `make interpreters` builds; those tests are skipped where they are not built.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness import registry
from harness.conditions import OTHER_INTERPRETER
from harness.errors import InterpreterError
from harness.matrix import Settings
from harness.processes import interpreters, process
from harness.processes.process import Worker, WorkerDied

FAKES = Path(__file__).with_name("fakes.py")
BUILT = {path: interpreters.describe(path) for path in interpreters.found()}
NEXT = [other for other in BUILT.values() if other.python.rpartition(".")[0] != "%d.%d" % sys.version_info[:2]]  # noqa: UP031


@pytest.fixture(scope="module")
def this():
    return interpreters.describe(sys.executable)


@pytest.fixture(scope="module")
def poor(tmp_path_factory):
    """This Python and its torch, without torchvision and cloudpickle."""
    folder = tmp_path_factory.mktemp("poor")
    libraries = folder / "libraries"
    libraries.mkdir()
    for entry in Path(find_spec("torch").origin).parent.parent.iterdir():
        if not entry.name.startswith(("torchvision", "cloudpickle", "__")) and entry.suffix != ".pth":
            (libraries / entry.name).symlink_to(entry)
    os.system(f"{sys.executable} -m venv --without-pip {folder / 'venv'}")
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(str(libraries))
    poor = interpreters.describe(str(folder / "venv" / "bin" / "python"))
    yield poor
    interpreters.close(poor)


def test_a_worker_elsewhere_holds_torch_and_nothing_else(this):
    with Worker(this) as worker:
        about = worker.call("about")
    assert about["torch"].startswith(this.torch)
    assert about["python"] == this.python
    assert about["main"] == []
    assert not {"pandas", "pytest", "sklearn", "torchvision", "cloudpickle", "click"} & set(about["modules"])


def test_workers_elsewhere_are_processes_of_their_own(this):
    with Worker(this) as one, Worker(this) as other:
        pids = {one._process.pid, other._process.pid, os.getpid()}
        assert len(pids) == 3
        os.kill(one._process.pid, signal.SIGSEGV)
        with pytest.raises(WorkerDied, match="killed by SIGSEGV"):
            one.call("about")
        assert other.call("about")["python"] == this.python
    assert not Path(f"/proc/{one._process.pid}").exists()


def test_a_cell_elsewhere_is_exact(run_cell, this):
    record = run_cell(f"{FAKES}:Honest", "nested_fruit", OTHER_INTERPRETER, this)
    assert (record.outcome, record.interpreter) == ("exact", this.label)


@pytest.mark.parametrize(("fake", "told"), [("Crashes", "SIGABRT"), ("Leaves", "exit code 3")])
def test_a_crash_elsewhere_is_an_outcome(run_cell, this, fake, told):
    record = run_cell(f"{FAKES}:{fake}", "nested_fruit", OTHER_INTERPRETER, this)
    assert record.outcome == "crashed"
    assert told in record.message


def test_a_hang_elsewhere_is_an_outcome(run_cell, this, monkeypatch):
    monkeypatch.setattr(process, "TIMEOUT_S", 5.0)
    record = run_cell(f"{FAKES}:Hangs", "nested_fruit", OTHER_INTERPRETER, this)
    assert record.outcome == "crashed"
    assert "no answer within 5 s" in record.message


@pytest.mark.parametrize(
    ("backend", "model", "lacks"),
    [("pickle", "imagenet_resnet", "torchvision"), ("cloudpickle_by_value", "imagenet_resnet", "cloudpickle")],
)
def test_what_the_other_one_lacks_is_named(run_cell, poor, backend, model, lacks):
    record = run_cell(backend, model, OTHER_INTERPRETER, poor)
    assert record.outcome == "unavailable"
    assert record.message.startswith(f"{lacks} cannot be imported in {poor.label}: ModuleNotFoundError")


def test_what_is_not_needed_may_be_missing(run_cell, poor):
    """cloudpickle writes for pickle: without by-value parts it is not needed to load."""
    assert run_cell("pickle", "nested_fruit", OTHER_INTERPRETER, poor).outcome == "exact"


def test_what_is_not_here_either_is_not_the_reason(run_cell, this, tmp_path):
    """A model that does without a library where it is not there, and fails elsewhere for another reason."""
    text = registry.model_source("nested_fruit").path.read_text()
    text = text.replace(
        "import torch\n", "import torch\ntry:\n    import not_there\nexcept ImportError:\n    pass\n", 1
    )
    (tmp_path / "without.py").write_text(text)
    record = run_cell(f"{FAKES}:OtherWorlds", f"{tmp_path / 'without.py'}:build", OTHER_INTERPRETER, this)
    assert record.outcome == "failed", record.message


def test_a_failure_of_the_backends_own_stays_one(run_cell, this):
    assert run_cell(f"{FAKES}:PostprocessDies", "nested_fruit", OTHER_INTERPRETER, this).outcome == "failed"


def test_an_interpreter_that_cannot_serve_is_refused(tmp_path):
    with pytest.raises(InterpreterError, match="no Python that runs"):
        interpreters.describe(str(tmp_path / "none"))
    os.system(f"{sys.executable} -m venv --without-pip {tmp_path / 'bare'}")
    with pytest.raises(InterpreterError, match="has no torch"):
        interpreters.describe(str(tmp_path / "bare" / "bin" / "python"))


CELL = """
import sys
from pathlib import Path
from harness.matrix import Run, Settings

run = Run(Settings(("pickle",), ("nested_fruit",), ("fresh_process",), rounds=0, life="none"), Path(sys.argv[1]))
print([cell.outcome + (cell.message or "") for cell in run.model("nested_fruit") if cell.kind == "cell"])
run.close()
"""


def test_filters_of_warnings_that_the_program_was_started_with_are_everywhere(tmp_path):
    """By an option and by a variable. Processes that save had them and those that load had not: everything differed."""
    command = [sys.executable, "-W", "ignore", "-c", CELL, str(tmp_path / "run")]
    variables = {"PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONWARNINGS": "error::ResourceWarning"}
    environment = os.environ | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout == "['exact']\n", done.stdout + done.stderr


def test_the_condition_needs_an_interpreter(monkeypatch):
    monkeypatch.setattr(interpreters, "found", lambda: ())
    with pytest.raises(InterpreterError, match="make interpreters"):
        Settings(conditions=(OTHER_INTERPRETER,)).resolved()


def test_naming_an_interpreter_asks_for_the_condition():
    settings = Settings(models=("nested_fruit",), interpreters=(sys.executable,)).resolved()
    cells = settings.cells()
    assert cells[-1] == (OTHER_INTERPRETER, interpreters.describe(sys.executable))
    assert [name for name, other in cells if other is None] == list(settings.conditions[:-1])


@pytest.mark.skipif(not NEXT, reason="another Python minor is not built: make interpreters")
@pytest.mark.parametrize(
    ("backend", "outcome", "told"),
    [
        ("pickle", "exact", ""),
        ("json_spec", "exact", ""),
        ("cloudpickle_by_value", "crashed", "killed by SIGSEGV"),
    ],
)
def test_another_minor_version(run_cell, backend, outcome, told):
    record = run_cell(backend, "nested_fruit", OTHER_INTERPRETER, NEXT[0])
    assert record.outcome == outcome
    assert told in (record.message or "")


WRITTEN_OTHERWISE = """
import collections, functools, typing
import torch

Pair = collections.namedtuple("Pair", "x y")

@typing.runtime_checkable
class Runs(typing.Protocol):
    def run(self) -> int: ...

class Kept(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.pair, self.kind = Pair(1.0, 2.0), Runs

    @functools.cached_property
    def total(self):
        return sum(self.pair)

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return batch * self.pair.x

    def postprocess(self, output):
        return output.tolist()

def build():
    return Kept().eval()

def examples():
    return [[1.0], [2.0]]
"""


@pytest.mark.skipif(not NEXT, reason="another Python minor is not built: make interpreters")
def test_what_the_standard_library_writes_into_classes_differs_from_python_to_python(run_cell, tmp_path):
    """Which is no difference of the model: a lock of `cached_property`, the module that a field of a named tuple names,
    what `typing` notes of a protocol."""
    (tmp_path / "kept.py").write_text(WRITTEN_OTHERWISE)
    record = run_cell("pickle", f"{tmp_path / 'kept.py'}:build", OTHER_INTERPRETER, NEXT[0])
    assert record.outcome == "exact", record.state
