"""`torchscript` and `torchscript_trace`: the network in torch's own small language, for C++ and mobile.

Writes one file, `model.pt`: a zip archive with the tensors and the code of `forward` in TorchScript. `torch.jit.script`
compiles the Python source of `forward` and of whatever it calls, control flow included, and refuses what is not in the
language; `torch.jit.trace` records the operations of one call and turns everything that depended on the values into
constants. `preprocess`, `postprocess` and all attributes that `forward` does not use are lost, silently.

Loading runs the archive's own `__setstate__`, whose language can open and write files.

Use it when a program without Python must run the network and it has to be TorchScript.

Not when anything else will do: torch has deprecated TorchScript in favour of `torch.export`.

Source: https://docs.pytorch.org/docs/stable/jit.html
"""

from __future__ import annotations

import torch

from backends.base import Backend
from backends.tracing import for_inference, one_and_two


class TorchScript(Backend):
    """`torch.jit.script`: the source, compiled."""

    def save(self, model, directory):
        with for_inference(model):
            torch.jit.save(torch.jit.script(model), directory / "model.pt")
        for module in model.modules():  # torch.jit.script leaves it on the original
            vars(module).pop("__overloads__", None)

    def load(self, directory):
        return torch.jit.load(directory / "model.pt")


class TorchScriptTrace(TorchScript):
    """`torch.jit.trace`: one call on a batch of two, recorded.

    `strict=False` lets it return dictionaries; it does not call the model twice more to check, since the harness does.
    """

    def save(self, model, directory, *, batches=()):
        _, batch = one_and_two(batches)
        with for_inference(model):
            torch.jit.save(torch.jit.trace(model, (batch,), strict=False, check_trace=False), directory / "model.pt")
