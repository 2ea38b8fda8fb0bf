"""How a model is built again: shared by the backends that store its weights and leave the rest to importable code.

Such an artifact names the code. There are two customs, and both are measured:

- a function that builds the model is kept in the project, and the artifact says which ("module:function");
- the model's class is called with recorded arguments, as in `Model(**config)`. `CallRecorder` records them while the
  model is built.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import sys
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from backends.base import UnsupportedModel


def import_name(name: str, trusted_modules: Collection[str]) -> Any:
    """What "module:name" names. The file chose the name, so its module must be one that the caller trusts.

    Raises ValueError for a module that is not trusted, ImportError, and AttributeError.
    """
    module, _, attribute = name.partition(":")
    if module.partition(".")[0] not in trusted_modules:
        raise ValueError(f"the file names {name!r}, and {module!r} is not among the trusted modules {trusted_modules}")
    return getattr(importlib.import_module(module), attribute)


def importable(constructor: str) -> str:
    """`constructor`, if it can be stored. Raises UnsupportedModel where there is none, or one of `__main__`."""
    if not constructor:
        raise UnsupportedModel("weights alone are stored, and no importable function that builds the model is known")
    if constructor.startswith("__main__:"):
        raise UnsupportedModel(
            f"weights alone are stored, and {constructor} cannot be imported elsewhere: move it into a module"
        )
    return constructor


def own_classes(module: Any, kind: type = object) -> dict[str, type]:
    """The subclasses of `kind` at the top level of a user's `module`, by name: its project's, not the libraries'."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, kind) and _of_one_project(value.__module__, module)
    }


def _of_one_project(name: str, module: Any) -> bool:
    if name == module.__name__:
        return True
    file, here = getattr(sys.modules.get(name), "__file__", None), getattr(module, "__file__", None)
    if not file or not here:
        return False
    project = Path(here).parents[module.__name__.count(".")]
    return Path(file).is_relative_to(project) and "site-packages" not in Path(file).relative_to(project).parts


class CallRecorder:
    """Records with which arguments the module classes of a user's file are called, while it builds a model."""

    def __init__(self) -> None:
        self._calls: weakref.WeakKeyDictionary[torch.nn.Module, dict[str, Any]] = weakref.WeakKeyDictionary()

    @contextmanager
    def recording(self, module: Any) -> Iterator[None]:
        """Wrap the constructors of `module`'s own nn.Module classes; afterwards they are as they were."""
        found = [cls for cls in own_classes(module, torch.nn.Module).values() if "__init__" in vars(cls)]
        originals = {cls: vars(cls)["__init__"] for cls in found}
        for cls, original in originals.items():
            cls.__init__ = self._recorded(original)
        try:
            yield
        finally:
            for cls, original in originals.items():
                cls.__init__ = original

    def _recorded(self, original: Any) -> Any:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def init(instance, *args, **kwargs):
            bound = signature.bind(instance, *args, **kwargs)
            bound.apply_defaults()
            # the outermost constructor begins first: what a subclass hands to its parent is not the call
            self._calls.setdefault(instance, dict(list(bound.arguments.items())[1:]))
            original(instance, *args, **kwargs)

        return init

    def call(self, model: torch.nn.Module) -> tuple[str, dict[str, Any]]:
        """("module:Class", keyword arguments) of the call that made `model`.

        Raises UnsupportedModel where none was recorded, or where the class or an argument cannot be written as JSON
        and read back the same.
        """
        cls = type(model)
        if model not in self._calls:
            raise UnsupportedModel(f"no call of a constructor of {cls.__name__} was recorded while it was built")
        for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]:
            if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD and parameter.kind is not parameter.KEYWORD_ONLY:
                raise UnsupportedModel(f"{cls.__name__}({parameter}): arguments are recorded by name")
        arguments = self._calls[model]
        for name, value in arguments.items():
            if not _is_json(value):
                raise UnsupportedModel(
                    f"the constructor's argument {name!r} is a {type(value).__name__}, which JSON cannot hold"
                )
        return importable(f"{cls.__module__}:{cls.__qualname__}"), arguments


def _is_json(value: Any) -> bool:
    """Whether `value` comes back from JSON as it was: no tuple, no key that is a number, no NaN."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError, RecursionError):
        return False
