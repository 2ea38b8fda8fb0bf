"""`bentoml`: a model in a BentoML store, the project's code by value.

Writes a store with one model: `model.yaml`, which names versions and signatures, and `saved_model.pt`, which is
`torch.save` with cloudpickle as its pickler. The project's own modules are given as `external_modules`, so cloudpickle
takes their code along as bytecode, which only the same Python minor version can run. What is lost is what cloudpickle
loses: closures that shared a variable no longer do. BentoML calls `bentoml.pytorch` deprecated since 1.4, and now
advises to write files into `bentoml.models.create(...)` oneself, which is no way of saving of its own.

Use it when the model is served from a Bento, and its code must travel with it.

Not when the artifact comes from somebody you do not trust (loading unpickles), or Python may be another version there.

Source: https://docs.bentoml.com/en/latest/reference/bentoml/frameworks/pytorch.html
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from backends.base import Backend
from backends.project import own_modules

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")


class BentoML(Backend):
    """`bentoml.pytorch.save_model` with the project's own modules, into a store in the directory."""

    def save(self, model, directory):
        import bentoml.pytorch

        with store(directory):
            bentoml.pytorch.save_model("model:saved", model, external_modules=own_modules(model))

    def load(self, directory):
        import bentoml.pytorch

        with store(directory):
            # Trust boundary: unpickling runs whatever the file says.
            return bentoml.pytorch.load_model("model:saved", weights_only=False)


@contextmanager
def store(directory):
    """BentoML's store of models, here in place of the one in the user's home."""
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models.model import ModelStore

    BentoMLContainer.model_store.set(ModelStore(directory))
    try:
        yield
    finally:
        BentoMLContainer.model_store.reset()
