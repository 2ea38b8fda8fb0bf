"""`cloudpickle` and `cloudpickle_by_value`: pickle, with functions by value.

Writes one file, `model.cloudpickle`. Lambdas, closures and what lives in `__main__` are stored as bytecode together
with the globals that they name; bytecode runs only on the same Python minor version. Importable modules stay
references, unless `register_pickle_by_value` is called for them: the second variant calls it for the modules of the
model's own classes that are not installed packages.

Source: https://github.com/cloudpipe/cloudpickle#overriding-pickles-serialization-mechanism-for-importable-constructs
"""

from __future__ import annotations

import os
import sys
import sysconfig
from contextlib import ExitStack, contextmanager
from pathlib import Path

from backends.base import Backend


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


def own_modules(model):
    """The imported modules that lie beside the model's own source and are not installed packages."""
    top = type(model).__module__.partition(".")[0]
    origin = getattr(sys.modules.get(top), "__file__", None)
    if origin is None:
        return []
    project = Path(origin).parent
    if project.name == top:  # a package: its modules lie one level deeper
        project = project.parent
    installed = tuple(f"{sysconfig.get_path(key)}{os.sep}" for key in ("stdlib", "purelib", "platlib"))
    return [
        module
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None))
        and file.startswith(f"{project}{os.sep}")
        and not file.startswith(installed)
        and module.__name__ != "__main__"
    ]


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
