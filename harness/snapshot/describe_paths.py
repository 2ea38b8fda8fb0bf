"""What code finds by a dotted path that is a text: `_target_: package.module.Class` of a configuration.

Where the user's code names a way to resolve such a path, each text among the model's values and in the code counts that
begins as one of the user's modules and leads to something: what it leads to, as the program has changed it, and
that it leads there. The module is imported as the code will, where the original had imported it; where it had not,
it counts that the module would be found.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import sys
import types
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.snapshot import describe_globals, user_modules
from harness.source import bytecode

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

WAYS = frozenset(
    {"import_module", "__import__", "locate", "resolve_name", "import_string", "instantiate", "get_class", "get_object"}
)
"""What resolves paths, by the names in code: importlib, pydoc, pkgutil, pydantic, Hydra."""
_PATH = re.compile(r"[^\W\d]\w*(?:[.:][^\W\d]\w*)+")
_NOTHING = object()


def described(builder: Builder, texts: Iterable[str]) -> dict[str, Any]:
    """What the paths among the texts, and among those in the user's code, lead to, by their step in a path."""
    every = {*texts, *(text for function, _ in builder.functions for text in _constants(function.__code__))}
    found: dict[str, Any] = {}
    for text in sorted(text for text in every if _PATH.fullmatch(text)):
        names = text.replace(":", ".").split(".")
        if builder.is_own(names[0]) and (value := _leads_to(names, builder)) is not _NOTHING:
            is_value = not describe_globals.is_of_the_place(names[-1], value)
            found |= {f"[{text!r}]": value} if is_value else {f"[{text!r}].exists()": True}
    return found


def _leads_to(names: list[str], builder: Builder) -> Any:
    """The value; the name of the module alone, where that was not imported; `_NOTHING` where the path ends before."""
    modules = [".".join(names[:place]) for place in range(1, len(names) + 1)]
    modules = [name for name in modules if user_modules.is_findable(name)]
    if not modules:
        return _NOTHING
    if modules[-1] not in (builder.imported or sys.modules):
        return modules[-1]
    if modules[-1] not in sys.modules:
        builder.will_import(modules[-1])
    with contextlib.suppress(Exception):  # the user's code; or there is no such name
        return functools.reduce(getattr, names[len(modules) :], importlib.import_module(modules[-1]))
    return _NOTHING


@functools.lru_cache(maxsize=4096)
def _constants(code: types.CodeType) -> frozenset[str]:
    return frozenset(text for part in bytecode.with_inner(code) for text in part.co_consts if type(text) is str)
