"""What libraries look up anew at each save or load, and is the same every time: looked up once, for the corpus alone.

mlflow reads the files of three installed packages for their versions, and torch.export works out the types of its
schema for each node of a graph: a third of what these rows' cells took. Whatever is timed does it (see `warm`).
"""

from __future__ import annotations

import functools
import types
import typing
from typing import Any


def keep_versions() -> None:
    """Have the versions of installed packages remembered, by both modules that tell them."""
    import importlib.metadata

    import importlib_metadata

    for module in (importlib.metadata, importlib_metadata):
        module.version = functools.cache(module.version)


def keep_schema() -> None:
    """Have the types of the fields of torch.export's schema remembered, by class."""
    from torch._export.serde import schema, serialize

    @functools.cache
    def kept(cls: type) -> dict[str, Any]:
        return typing.get_type_hints(cls, globalns=vars(schema))

    def get_type_hints(cls: type, globalns: dict[str, Any]) -> dict[str, Any]:
        assert globalns is vars(schema)
        return kept(cls)

    serialize.typing = types.SimpleNamespace(**vars(typing) | {"get_type_hints": get_type_hints})
