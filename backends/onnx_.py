"""`onnx`, `onnx_static` and `onnx_torchscript`: the network in the exchange format that runtimes without torch read.

Writes `model.onnx`, a protobuf of standard operators (its weights beside it in `model.onnx.data`, but for the third
row), and runs it with onnxruntime. The first two rows export what `torch.export` recorded, for any batch size and for a
batch of exactly one; the third is torch's older exporter, through `torch.jit.trace`. ONNX has flat lists of named
tensors as inputs and outputs, so the nest around the outputs is kept in `nests.json`. `preprocess`, `postprocess`, all
attributes and the ability to train are lost; the operators are another library's, so outputs can differ in the last
bits.

Use it when another language, runtime or accelerator must run the network.

Not when preprocessing and postprocessing must travel too, or outputs must be equal to the last bit.

Source: https://docs.pytorch.org/docs/stable/onnx_export.html and https://onnxruntime.ai/docs/api/python/
"""

from __future__ import annotations

import itertools
import json
import os
from collections import OrderedDict

from backends.base import Backend, UnsupportedModel
from backends.tracing import for_inference, one_and_two

# read when onnxruntime is imported; without it, it keeps a device's number in the user's home and reports to its maker
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class Onnx(Backend):
    """`torch.onnx.export` of a program with a dynamic first dimension at every input, recorded from a batch of two."""

    def save(self, model, directory, *, batches=()):
        import torch
        from torch.utils import _pytree as pytree

        one, two = one_and_two(batches)
        with for_inference(model):
            program, leaves, tree = self.recorded(model, one, two)
            places = itertools.count()
            numbered = [None if leaf is None else next(places) for leaf in leaves]  # the exporters leave None out
            nest = written_nest(pytree.tree_unflatten(numbered, tree))
            inputs = [f"input_{place}" for place in range(len(pytree.tree_leaves(one)))]
            outputs = [f"output_{place}" for place in range(next(places))]
            arguments = self.exported(program, two, [*inputs, *outputs])
            torch.onnx.export(f=directory / "model.onnx", input_names=inputs, output_names=outputs, **arguments)
        (directory / "nests.json").write_text(json.dumps({"output": nest}))

    def recorded(self, model, one, two):
        """What is exported, its outputs and their nest: `torch.export` tells them without a call of the model, which
        may count its calls."""
        import torch
        from torch.utils._pytree import tree_map

        shapes = tree_map(lambda _: {0: torch.export.Dim.DYNAMIC}, two)
        # recorded here: asked to do it, torch.onnx.export tries other ways when one fails, which mark the parameters
        program = torch.export.export(model, (two,), dynamic_shapes=(shapes,))
        return program, program.graph_signature.user_outputs, program.call_spec.out_spec

    def exported(self, program, two, names):
        return {"model": program, "dynamo": True, "verbose": False}

    def load(self, directory):
        import onnxruntime
        import torch
        from torch.utils import _pytree as pytree

        session = onnxruntime.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])
        wanted = {value.name for value in session.get_inputs()}  # an input that nothing uses may be gone
        nest = json.loads((directory / "nests.json").read_text())["output"]

        def call(batch):
            leaves = {f"input_{place}": leaf.numpy() for place, leaf in enumerate(pytree.tree_leaves(batch))}
            found = session.run(None, {name: leaf for name, leaf in leaves.items() if name in wanted})
            return read_nest(nest, [torch.from_numpy(array) for array in found])

        return Graph(call)


class OnnxStatic(Onnx):
    """`torch.onnx.export` of a program for the very shapes of the example, a batch of one."""

    def recorded(self, model, one, two):
        import torch

        program = torch.export.export(model, (one,))
        return program, program.graph_signature.user_outputs, program.call_spec.out_spec


class OnnxTorchScript(Onnx):
    """`torch.onnx.export(dynamo=False)` with a dynamic first dimension everywhere, recorded from a batch of two.

    The nest of its outputs is that of a call, as this exporter makes one itself.
    """

    def recorded(self, model, one, two):
        from torch.utils import _pytree as pytree

        return model, *pytree.tree_flatten(model(one))

    def exported(self, model, two, names):
        # without the empty dictionary, a batch that is one would be taken for keyword arguments
        axes = {name: {0: "batch"} for name in names}
        return {"model": model, "args": (two, {}), "dynamo": False, "dynamic_axes": axes}


class Graph:
    """A loaded graph: `forward` and nothing else, since ONNX carries nothing else."""

    def __init__(self, call):
        self.call = call

    def forward(self, batch):
        return self.call(batch)


def written_nest(value):
    """The nest of outputs as JSON, a number in place of each tensor, None as it is.

    Raises UnsupportedModel for other containers.

    In words of its own: `torch.utils._pytree.treespec_loads` imports what a file names, and so can be made to run code.
    """
    if type(value) in (dict, OrderedDict):
        return {type(value).__name__: [[key, written_nest(inner)] for key, inner in value.items()]}
    if type(value) in (list, tuple):
        return {type(value).__name__: [written_nest(inner) for inner in value]}
    if value is None or isinstance(value, int):
        return value
    raise UnsupportedModel(
        f"an output is of the class {type(value).__name__}: outputs nest in lists, tuples and dictionaries only"
    )


def read_nest(nest, leaves):
    """What `written_nest` wrote, with `leaves` in place of the numbers."""
    if nest is None:
        return None
    if isinstance(nest, int):
        return leaves[nest]
    ((kind, inner),) = nest.items()
    if kind in ("dict", "OrderedDict"):
        return {"dict": dict, "OrderedDict": OrderedDict}[kind]((key, read_nest(value, leaves)) for key, value in inner)
    return {"list": list, "tuple": tuple}[kind](read_nest(value, leaves) for value in inner)
