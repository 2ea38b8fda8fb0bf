"""`dill` and `dill_recurse`: pickle, with functions and `__main__` classes by value.

Writes one file, `model.dill`. What lives in an importable module is still stored by reference; what lives in
`__main__`, lambdas and closures are stored as bytecode, which only the same Python minor version can run. By
default a function's globals are *not* followed (a `__main__` class comes back without its module's imports);
`recurse=True` follows the globals that the function names.

Use it when the model holds lambdas or closures, or was built in a notebook, and the Python version stays.

Not when the file comes from elsewhere: loading runs whatever it says. Not where the project's source is absent.

Source: https://dill.readthedocs.io/en/latest/dill.html
"""

from __future__ import annotations

from backends.base import Backend


class Dill(Backend):
    """`dill.dump` with its default settings."""

    settings: dict[str, bool] = {}

    def save(self, model, directory):
        import dill

        with open(directory / "model.dill", "wb") as file:
            dill.dump(model, file, **self.settings)

    def load(self, directory):
        import dill

        # Trust boundary: unpickling runs whatever the file says.
        with open(directory / "model.dill", "rb") as file:
            return dill.load(file)


class DillRecurse(Dill):
    """`dill.dump(..., recurse=True)`."""

    settings = {"recurse": True}
