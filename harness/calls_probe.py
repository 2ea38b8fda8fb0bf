"""Calls for probes: what a person would want to read in the artifact, and what a stranger would plant. See `probes`."""

from __future__ import annotations

import warnings

import torch

from harness.session import Session


def hyperparameters(session: Session) -> list[tuple[str, str]]:
    """Name and value, as text, of what configures the model's modules: numbers and texts among their attributes.

    Distinct pairs, sorted; flags and what begins with an underscore are left out.
    """
    found = set()
    for module in session.model.modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and type(value) in (int, float, str) and value != "":
                found.add((name, str(value)))
    return sorted(found)


class _Planted(torch.nn.Module):
    """TorchScript calls `__setstate__` when it loads, and its language can open a file to write."""

    def __init__(self, marker: str) -> None:
        super().__init__()
        self.marker = marker
        self.data = torch.zeros(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> str:
        return self.marker

    @torch.jit.export
    def __setstate__(self, state: str) -> None:
        self.marker = state
        self.training = False
        self.data = torch.from_file(state, True, 1)


def plant_torchscript(session: Session, *, path: str, marker: str) -> None:
    """Write a TorchScript archive that makes the file `marker` when it is loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(_Planted(marker)), path)
