"""`pickle`: the standard library's object graph, code by reference.

Writes one file, `model.pkl` (protocol 5). Classes and functions are stored as `module.name` and imported again at
load, so the source must be importable under the name that it had, and the code that runs is whatever is there then.
Functions without such a name (lambdas, closures) cannot be saved.

Use it when the same code, in the same environment, reads the file back soon.

Not when the file comes from elsewhere: loading runs whatever it says. Not where the source is absent, renamed or
edited, nor for lambdas and closures.

Source: https://docs.python.org/3/library/pickle.html
"""

from __future__ import annotations

import pickle

from backends.base import Backend


class Pickle(Backend):
    """One file, written by `pickle.dump` with protocol 5."""

    def save(self, model, directory):
        with open(directory / "model.pkl", "wb") as file:
            pickle.dump(model, file, protocol=5)

    def load(self, directory):
        # Trust boundary: unpickling runs whatever the file says.
        with open(directory / "model.pkl", "rb") as file:
            return pickle.load(file)
