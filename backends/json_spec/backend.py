"""`json_spec`: a readable object graph in `spec.json`, its tensors in `weights.safetensors`.

Classes and functions by import path, everything else as data; nothing that the file chooses is run at load. What
cannot be expressed (a lambda, an open file) is refused at save. Not kept: `.grad`. See FORMAT.md.
"""

from __future__ import annotations

from backends.base import Backend
from backends.json_spec.loading import load
from backends.json_spec.saving import save


class JsonSpec(Backend):
    """The format of FORMAT.md; user classes come only from `trusted_modules`."""

    def save(self, model, directory):
        save(model, directory)

    def load(self, directory, *, trusted_modules=()):
        return load(directory, trust=trusted_modules)
