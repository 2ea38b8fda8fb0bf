"""The seam that every way of saving a model fits into.

A backend turns a model into files in a directory and back:

    class Pickle(Backend):
        \"\"\"One file, `model.pkl`. Loses ...\"\"\"

        def save(self, model, directory):
            with open(directory / "model.pkl", "wb") as file:
                pickle.dump(model, file)

        def load(self, directory):
            with open(directory / "model.pkl", "rb") as file:
                return pickle.load(file)

The contract:

- `save` gets an empty directory that exists and may write any files into it. It must not change the model.
- `load` gets a directory that `save` filled, usually in another process, and returns the model. What it returns
  is compared with the original at `preprocess`, `forward` and `postprocess`; a stage that the artifact does not
  carry is simply not an attribute of what is returned.
- A model that the format cannot express raises `UnsupportedModel(reason)` from `save`. Everything else that goes
  wrong is left to the library's own exception: the message that a user would see is a result.
- A backend makes no claims about itself. Whether it needs the source, runs code or keeps aliasing is measured.
- Nothing heavy is imported when the backend's module is imported, beyond torch and the one library it is about.

Keyword arguments are passed to a backend that declares them, and only then:

- `save(..., examples=())`: raw inputs as `preprocess` takes them;
- `save(..., batches=())`: what `forward` takes, a batch of one data point and a batch of two, for formats that trace
  the model. They are made before the save, so that neither its time nor its effects include preprocessing;
- `save(..., constructor="")`: the importable function that makes the model, untrained where there is such a function,
  as "module:function", for formats that store weights alone: their users keep one, and the artifact may say which;
- `load(..., trusted_modules=())`: names of modules that the caller vouches for (the user's own project), for
  formats that import nothing else. A backend that runs whatever the file says has no use for them.

A method that must see the model's constructor being called has a method `recording(module)`: a context manager, entered
while the imported module of the user's builds the model, by the object whose `save` follows. It does to the module what
the method's users do to their file: derive their classes from another, or decorate them.
"""

from __future__ import annotations

import abc
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class UnsupportedModel(Exception):
    """The format cannot express this model; the message says which part, and what would make it expressible."""


class Backend(abc.ABC):
    """One way to save and load a model. See the module's docstring for the contract."""

    @abc.abstractmethod
    def save(self, model: nn.Module, directory: Path) -> None:
        """Write `model` into `directory`, which exists and is empty.

        Raises UnsupportedModel where the format cannot express the model.
        """

    @abc.abstractmethod
    def load(self, directory: Path) -> Any:
        """Return the model that `save` wrote into `directory`."""


__all__ = ["Backend", "UnsupportedModel"]
