"""`cloudpickle` and `cloudpickle_by_value`: pickle, with functions by value.

Writes one file, `model.cloudpickle`. Lambdas, closures and what lives in `__main__` are stored as bytecode together
with the globals that they name; bytecode runs only on the same Python minor version. Importable modules stay
references, unless `register_pickle_by_value` is called for them: the second variant calls it for the modules of the
model's own classes that are not installed packages.

Use it when the model must run, by value, where its source is not, under the same Python minor version.

Not when the file comes from elsewhere: loading runs whatever it says. Not for closures that share a variable: each gets
its own.

Source: https://github.com/cloudpipe/cloudpickle#overriding-pickles-serialization-mechanism-for-importable-constructs
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

from backends.base import Backend
from backends.project import own_modules


class CloudPickle(Backend):
    """`cloudpickle.dump` with its default settings."""

    def save(self, model, directory):
        import cloudpickle

        with open(directory / "model.cloudpickle", "wb") as file:
            cloudpickle.dump(model, file)

    def load(self, directory):
        import pickle

        # Trust boundary: unpickling runs whatever the file says.
        with open(directory / "model.cloudpickle", "rb") as file:
            return pickle.load(file)


class CloudPickleByValue(CloudPickle):
    """`cloudpickle.dump` after `register_pickle_by_value` for the project's own modules."""

    def save(self, model, directory):
        with ExitStack() as stack:
            for module in own_modules(model):
                stack.enter_context(pickled_by_value(module))
            super().save(model, directory)


@contextmanager
def pickled_by_value(module):
    """Register `module` for the time of one save: the registration is global to the process."""
    import cloudpickle

    if module.__name__ in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)
