"""One save and one load before any that counts: what a library makes at its first use, and keeps, is then there.

The first export of a process takes three times as long as the second, and the corpus has a new process for each file of
models. Here a model without any difficulty is saved and loaded in the process that the others are forked from. For the
corpus alone (see `warm`): a user's first save is a first use, so whatever is timed has it too.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from harness import inference, registry
from harness.calls.session import declared


class Plain(torch.nn.Module):
    """Four readings in, three scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return output.tolist()


def build() -> torch.nn.Module:
    """The random stream of the process stays where it was."""
    with torch.random.fork_rng(devices=[]):
        return Plain().eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


def rehearse(backend: str) -> None:
    """Save the model and load it. Raises what the backend raises: it is then not warm, and the cells pay for it."""
    with _no_monitor(), tempfile.TemporaryDirectory(prefix="roundtrip-") as folder:
        method, model = registry.load_backend(backend), build()
        batches = inference.example_batches(model, examples())
        offered = {"examples": examples, "batches": lambda: batches, "constructor": f"{__name__}:build"}
        method.save(model, Path(folder), **declared(method.save, **offered))
        loaded = method.load(Path(folder), **declared(method.load, trusted_modules=(__name__,)))
        inference.trace(loaded, examples()[0], torch.tensor(examples()[0]))


@contextlib.contextmanager
def _no_monitor() -> Iterator[None]:
    """tqdm, which shows the progress of an export to ONNX, starts a thread, and what has threads is not forked."""
    if (tqdm := sys.modules.get("tqdm")) is None:
        yield
        return
    before, tqdm.tqdm.monitor_interval = tqdm.tqdm.monitor_interval, 0
    try:
        yield
    finally:
        tqdm.tqdm.monitor_interval = before


# the names that `warm` calls, each for the rows that share its library
onnx = functools.partial(rehearse, "onnx")
onnx_torchscript = functools.partial(rehearse, "onnx_torchscript")
torch_export = functools.partial(rehearse, "torch_export")
mlflow_pyfunc = functools.partial(rehearse, "mlflow_pyfunc")
json_spec = functools.partial(rehearse, "json_spec")
bentoml = functools.partial(rehearse, "bentoml")
