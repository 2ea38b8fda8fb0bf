"""The globals that a function of the user's refers to by name, whether the examples reach them or not.

Code that an artifact carries by name finds the globals of a fresh import, not those of the process that saved it: a
threshold that was fitted, a table that was filled, a generator in mid-sequence. So in a model's state all of them are
described, and those of the user's modules that the code reads attributes of.

Left out are `__name__` and its like, and absolute paths, which rightly differ from place to place.
"""

from __future__ import annotations

import builtins
import dis
import functools
import os
import pathlib
import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from harness import describe_reached

if TYPE_CHECKING:
    from harness.snapshot import Builder

_BY_TEXT = frozenset({"globals", "vars", "getattr", "modules", "import_module", "environ", "getenv"})
"""Code that uses one of these may name a global, or a variable of the environment, in a text."""
_BUILTINS = dict(vars(builtins))
"""As they were when the harness was imported, before the user's code."""


def described(function: types.FunctionType, builder: Builder) -> tuple[list[str], dict[str, Any]]:
    """The names that the function would miss (NameError), and the globals that count, by their step in a path."""
    code = list(with_inner(function.__code__))
    there, missing = {}, []
    for name in sorted(_names(function, code)):
        if name in function.__globals__:
            if name not in _BUILTINS or function.__globals__[name] is not _BUILTINS[name]:  # dill writes them down
                there[name] = function.__globals__[name]
        elif not hasattr(builtins, name):
            missing.append(name)
        elif builder.state and getattr(builtins, name) is not _BUILTINS.get(name):
            there[name] = getattr(builtins, name)
    if not builder.state:
        found = {f"[{name!r}]": part for name, part in there.items()
                 if _is_own_code(part, builder) or describe_reached.holds_contents(part)}  # fmt: skip
        return missing, found | describe_reached.of_libraries(code, there, builder)
    there |= _imported_inside(code)
    found = {f"[{name!r}]": part for name, part in there.items() if not _is_of_the_place(name, part)}
    found |= _of_own_modules(code, there, builder) | _of_the_environment(code) | _operators(code)
    return missing, found | describe_reached.of_libraries(code, there, builder, _texts(code))


def with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code and all code inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from with_inner(constant)


def _names(function: types.FunctionType, code: list[types.CodeType]) -> set[str]:
    """The globals that the code loads, or names in a text where it looks names up."""
    names = _read(function.__code__, "LOAD_GLOBAL") | _read(function.__code__, "LOAD_NAME")
    return names | {text for text in _texts(code) if text in function.__globals__}


@functools.lru_cache(maxsize=4096)
def _read(code: types.CodeType, operation: str) -> frozenset[str]:
    """The names that the code, and code inside it, reads by an operation of the interpreter."""
    return frozenset(
        instruction.argval
        for part in with_inner(code)
        for instruction in dis.get_instructions(part)
        if instruction.opname == operation
    )


def _texts(code: list[types.CodeType]) -> set[str]:
    """The texts in code that may look something up by them."""
    if not any(_BY_TEXT & set(part.co_names) for part in code):
        return set()
    return {constant for part in code for constant in part.co_consts if isinstance(constant, str)}


def _imported_inside(code: list[types.CodeType]) -> dict[str, types.ModuleType]:
    """The modules that the code imports itself, as far as they are imported."""
    names = _read(code[0], "IMPORT_NAME")
    return {name: sys.modules[name] for name in names if isinstance(sys.modules.get(name), types.ModuleType)}


def _of_own_modules(code: list[types.CodeType], there: dict[str, Any], builder: Builder) -> dict[str, Any]:
    """What the code reads of the user's other modules: `settings.SCALE`, `package.settings.SCALE`."""
    names = {name for part in code for name in part.co_names} | _texts(code)
    left = [(f"[{name!r}]", part) for name, part in there.items() if isinstance(part, types.ModuleType)]
    found: dict[str, Any] = {}
    seen = set()
    while left:
        path, module = left.pop()
        if id(module) in seen or not builder.is_own(module.__name__):
            continue
        seen.add(id(module))
        for key in sorted(names & vars(module).keys()):
            part = vars(module)[key]
            if isinstance(part, types.ModuleType):
                left.append((f"{path}.{key}", part))
            elif not _is_of_the_place(key, part):
                found[f"{path}.{key}"] = part
    return found


def _of_the_environment(code: list[types.CodeType]) -> dict[str, Any]:
    if not any({"environ", "getenv", "environb"} & set(part.co_names) for part in code):
        return {}
    return {f".os.environ[{name!r}]": os.environ[name] for name in sorted(_texts(code)) if name in os.environ}


def _operators(code: list[types.CodeType]) -> dict[str, Any]:
    """The operators (`torch.library`) of the namespaces that the code names."""
    names = {name for part in code for name in part.co_names}
    if "ops" not in names:
        return {}
    return {f".torch.ops.{name}": True for name in sorted(torch.library._defs) if name.partition("::")[0] in names}


def _is_of_the_place(name: str, value: Any) -> bool:
    """Whether a global says where or under what name the code runs."""
    if name.startswith("__") and name.endswith("__"):
        return True
    if isinstance(value, pathlib.PurePath):
        return value.is_absolute()
    return isinstance(value, types.ModuleType) or (type(value) is str and os.path.isabs(value))


def _is_own_code(value: Any, builder: Builder) -> bool:
    return isinstance(value, types.FunctionType | type) and builder.is_own(value.__module__)
