"""`aijson`: AI-JSONable's graph of constructor calls, with a state dictionary beside it for the weights.

Writes `model.ai.json`, the calls that built the model, as `{"var0": {"module", "caller", "kwargs"}, ...}` in which
`"$var0"` is a reference, and `weights.pt`. The decorator has to be on the classes when the model is made: it notes
their calls then. This row does what the package's README does, for each class of the user's file: `@aijson` on it, and
the model built inside `logging_context()`. At load the calls are made again and the weights are put in.

Decorated classes take keyword arguments only; an argument must be JSON or made by a decorated class itself. Tuples
become lists, keys of dictionaries strings. What is set after the constructor is lost, unless it is a named tensor.

Use it when a model's parameters must be read and edited as text.

Not when the file comes from elsewhere: building imports and calls whatever it names.

Source: https://github.com/blythed/aijson
"""

from __future__ import annotations

import importlib
import json
from contextlib import contextmanager

import torch

from backends.base import Backend, UnsupportedModel
from backends.constructors import own_classes


class AiJson(Backend):
    """`logging_context` and `build`, and `state_dict` for the weights."""

    graph = None

    @contextmanager
    def recording(self, module):
        from aijson import logging_context

        decorate(module)
        with logging_context() as graph:
            yield
        self.graph = graph

    def save(self, model, directory):
        if not self.graph:
            raise UnsupportedModel("no call of a decorated class was recorded while the model was built")
        (directory / "model.ai.json").write_text(json.dumps(self.graph, indent=2), encoding="utf-8")
        torch.save(model.state_dict(), directory / "weights.pt")

    def load(self, directory, trusted_modules=()):
        from aijson import aijson
        from aijson.build import build

        graph = json.loads((directory / "model.ai.json").read_text(encoding="utf-8"))
        for name in {call["module"]: None for call in graph.values()}:
            if name.partition(".")[0] in trusted_modules:
                decorate(importlib.import_module(name))
        # Trust boundary: building imports and calls whatever the file names.
        model = build(graph)
        aijson.vanilla = False  # `build` means to, but leaves the package's global switch on: nothing more is recorded
        model.load_state_dict(torch.load(directory / "weights.pt", weights_only=True))
        return model.eval()


def decorate(module):
    """`@aijson` on each class that `module` defines; once."""
    from aijson import aijson

    for cls in own_classes(module).values():
        if "_old_init" not in vars(cls):
            aijson(cls)
