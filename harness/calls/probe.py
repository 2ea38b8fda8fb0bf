"""Calls for probes: what a person would want to read in the artifact, and what a stranger would plant. See `probes`."""

from __future__ import annotations

import base64
import json
import warnings
from pathlib import Path
from typing import Any

import torch

from harness import inference
from harness.calls.session import Session


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


def forward_case(session: Session, *, folder: str) -> None:
    """Write the original's first batch as files for other languages, and what `forward` answers."""
    from backends.tracing import for_inference

    batch = inference.example_batches(session.model, list(session.user_module.examples())[:1])[0]
    with for_inference(session.model):
        answer = session.model.forward(batch)
    place = Path(folder)
    torch.save(batch, place / "input.torch")
    torch.save(_leaves(answer), place / "expected.torch")
    inputs = [
        {
            "name": f"input_{number}",  # as the backends name them
            "type": str(leaf.dtype).removeprefix("torch."),
            "dims": list(leaf.shape),
            "data": base64.b64encode(leaf.contiguous().numpy().tobytes()).decode(),
        }
        for number, leaf in enumerate(_leaves(batch))
    ]
    (place / "input.json").write_text(json.dumps(inputs))


def forward_answer(session: Session, *, folder: str, kind: str) -> str:
    """`equal` or `different`, with the largest difference of what another language answered from the original's."""
    place = Path(folder)
    expected = torch.load(place / "expected.torch", weights_only=True)
    if kind == "torch":
        found = _leaves(torch.load(place / "output", weights_only=True))
    else:
        found = [
            torch.frombuffer(bytearray(base64.b64decode(leaf["data"])), dtype=getattr(torch, leaf["type"])).reshape(
                leaf["dims"]
            )
            for leaf in json.loads((place / "output").read_text())
        ]
    if [leaf.shape for leaf in found] != [leaf.shape for leaf in expected]:
        return f"different: shapes {[list(leaf.shape) for leaf in found]}"
    pairs = [(leaf.double(), other.double()) for leaf, other in zip(found, expected, strict=True) if leaf.numel()]
    largest = max((float((leaf - other).abs().max()) for leaf, other in pairs), default=0.0)
    close = all(torch.allclose(leaf, other, rtol=1e-4, atol=1e-5) for leaf, other in pairs)
    return f"{'equal' if close else 'different'}: the largest difference is {largest:.2g}"


def _leaves(value: Any) -> list[torch.Tensor]:
    from torch.utils import _pytree as pytree

    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]
