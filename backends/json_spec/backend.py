"""`json_spec`: a readable object graph in `spec.json`, its tensors in `weights.safetensors`.

Classes and functions by import path, everything else as data; nothing that the file chooses is run at load. What
cannot be expressed (a lambda, an open file) is refused at save. The examples travel in the artifact with what the
model gave for them, SHA-256 of every tensor is compared at load, and source that changed since the save is reported
instead of run. A script's own classes get the name by which an import finds the script. `json_spec_source` carries the
source of the model's own modules as well, and what it needs of a notebook's cells, and runs it under private names,
whatever is importable where it is loaded.
A save runs every example twice, on what it wrote: that is most of the time of saving a model that is slow to run.
See FORMAT.md.

Use it when the file must be read, compared and loaded safely, and the source is at hand.

Not when the model holds lambdas, closures or objects that are neither data nor importable.

Source: FORMAT.md beside this file, and https://huggingface.co/docs/safetensors/index for the tensors
"""

from __future__ import annotations

from backends.base import Backend
from backends.json_spec.loading import load
from backends.json_spec.saving import save


class JsonSpec(Backend):
    """The format of FORMAT.md; user classes come only from `trusted_modules`."""

    def save(self, model, directory, *, examples=()):
        save(model, directory, examples=examples)

    def load(self, directory, *, trusted_modules=()):
        return load(directory, trust=trusted_modules)


class JsonSpecSource(Backend):
    """The same with the readable source in it; user classes come only from there."""

    def save(self, model, directory, *, examples=()):
        save(model, directory, examples=examples, bundle_source=True)

    def load(self, directory):
        # Trust boundary: runs the source that the artifact carries.
        return load(directory, trust="bundled")
