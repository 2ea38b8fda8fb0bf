"""`torch_export` and `torch_export_static`: the network as a graph of torch's core operators, a `.pt2` file.

Writes one file, `model.pt2`: a zip archive with the graph as JSON, its parameters, constants and the nests of its
inputs and outputs. The graph holds what `forward` did on the example, for any batch size, or, in the second row, for a
batch of exactly one: it succeeds where the code commits itself to the size that it saw. Python control flow that
depends on values is refused. `preprocess`, `postprocess`, all other methods and attributes and the training mode are
lost, silently. Loading unpickles parts of the file.

Use it when the network goes to ahead-of-time compilation, another runtime or a team that needs no Python source of it.

Not when preprocessing and postprocessing must travel too, or the model will be trained further with dropout, running
statistics or parts under `no_grad`, which are recorded as in inference; of a weight that two layers share it trains
one copy then.

Source: https://docs.pytorch.org/docs/stable/export.html
"""

from __future__ import annotations

from backends.base import Backend
from backends.tracing import for_inference, one_and_two


class TorchExport(Backend):
    """`torch.export.export` with a dynamic first dimension at every input, recorded from a batch of two."""

    def save(self, model, directory, *, batches=()):
        import torch
        from torch.utils._pytree import tree_map

        _, batch = one_and_two(batches)
        shapes = tree_map(lambda _: {0: torch.export.Dim.DYNAMIC}, batch)
        with for_inference(model):
            program = torch.export.export(model, (batch,), dynamic_shapes=(shapes,))
        torch.export.save(program, directory / "model.pt2")

    def load(self, directory):
        import torch

        # Trust boundary: parts of the file are unpickled.
        return torch.export.load(directory / "model.pt2").module()


class TorchExportStatic(TorchExport):
    """`torch.export.export` as it is called without more: for the very shapes of the example, a batch of one."""

    def save(self, model, directory, *, batches=()):
        import torch

        batch, _ = one_and_two(batches)
        with for_inference(model):
            program = torch.export.export(model, (batch,))
        torch.export.save(program, directory / "model.pt2")
