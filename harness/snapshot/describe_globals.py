"""The globals that a function of the user's refers to by name, whether the examples reach them or not.

Code that an artifact carries by name finds the globals of a fresh import, not those of the process that saved it: a
threshold that was fitted, a table that was filled, a generator in mid-sequence. So in a model's state all of them are
described, and those of the user's modules that the code reads attributes of.

Left out are `__name__` and its like, and absolute paths, which rightly differ from place to place; of these it counts
whether they lead anywhere.
"""

from __future__ import annotations

import builtins
import codecs
import contextlib
import importlib.machinery
import importlib.util
import os
import pathlib
import re
import sys
import types
from collections.abc import Set
from typing import TYPE_CHECKING, Any

import torch

from harness.snapshot import describe_beside, describe_imports, describe_reached, user_modules
from harness.snapshot.attributes import module_of
from harness.source import bytecode, looked_up
from harness.source.looked_up import ENVIRONMENT, EVALUATES, IMPORTS, TO_GLOBALS, TO_MODULES

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_NAMES_ITSELF = frozenset({"__name__", "__module__", "__package__", "__spec__"})
_ITSELF = "['__name__']"
"""The code's own module in a path, whatever its name."""
_OTHERS = ".<own>"
"""Any other of the user's modules in a path, of those that a text may name."""
_CODECS = frozenset({"encode", "decode", "open", "lookup", "lookup_error", "read_text", "write_text", "getencoder"})
_CODEC = re.compile(r"[A-Za-z][\w.-]{1,30}")
_BUILTINS = dict(vars(builtins))
"""As they were when the harness was imported, before the user's code."""


def described(function: types.FunctionType, builder: Builder) -> tuple[list[str], dict[str, Any]]:
    """The names that the function would miss (NameError), and the globals that count, by their step in a path."""
    code = list(bytecode.with_inner(function.__code__))
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
    there |= describe_imports.inside(function, builder)
    builder.libraries |= {module_of(part) for part in there.values()}
    steps = {name: f"[{name!r}]" if name in function.__globals__ else describe_imports.step(name) for name in there}
    found = {steps[name]: part for name, part in there.items() if not is_of_the_place(name, part)}
    found |= _that_are_files(there) | describe_beside.described(function, there, builder)
    modules = {steps[name]: part for name, part in there.items() if isinstance(part, types.ModuleType)}
    found |= _of_own_modules(function, code, modules, builder) | _of_the_environment(code, there) | _operators(code)
    found |= _codecs(code) | _can_import(code, builder)
    return missing, found | describe_reached.of_libraries(code, there, builder, looked_up.texts(code[0]))


def _names(function: types.FunctionType, code: list[types.CodeType]) -> set[str]:
    """The globals that the code loads, or names in a text where it looks names up; those that begin as a text that ends
    in `_`."""
    names = bytecode.read(function.__code__, "LOAD_GLOBAL") | bytecode.read(function.__code__, "LOAD_NAME")
    texts = looked_up.texts(code[0])
    if looked_up.ways(function.__code__) & TO_GLOBALS:
        names |= {text for text in texts if text in function.__globals__}
    if (beginnings := looked_up.beginnings(texts)) and looked_up.ways(function.__code__) & {"globals", "vars"}:
        names |= {name for name in function.__globals__ if name.startswith(beginnings)}
    return names


def imported_late(function: types.FunctionType, builder: Builder) -> dict[str, Any]:
    """What the code reads of the user's modules that it imports itself, which the saving process had imported.

    They are imported as the code will, so that a copy that did not yet come there has what it will find.
    """
    if not builder.imported:
        return {}
    there = {}
    named = describe_imports.named(function, builder)
    names = {name: (describe_imports.step(name), one.stated) for name, one in named.items()}
    if _imports_itself(function.__code__):
        names[function.__globals__.get("__name__")] = (_ITSELF, False)
    for name, (path, stated) in names.items():
        if user_modules.before_moving(name) in builder.imported:
            module = describe_imports.module(name, function, builder, stated)
            there |= {} if module is None else {path: module}
    return _of_own_modules(function, list(bytecode.with_inner(function.__code__)), there, builder) if there else {}


def _imports_itself(code: types.CodeType) -> bool:
    return bool(looked_up.ways(code) & IMPORTS) and "__name__" in bytecode.read(code, "LOAD_GLOBAL")


def _finds_itself(function: types.FunctionType, code: list[types.CodeType]) -> bool:
    """Whether the code may look up its own module: an import has to be told which."""
    if looked_up.ways(code[0]) & TO_MODULES - IMPORTS:
        return True
    names = {name for part in code for name in part.co_names}
    return bool(names & _NAMES_ITSELF) or function.__globals__.get("__name__") in looked_up.texts(code[0])


def _of_own_modules(
    function: types.FunctionType, code: list[types.CodeType], modules: dict[str, types.ModuleType], builder: Builder
) -> dict[str, Any]:
    """What the code reads of the user's other modules, by their paths: `settings.SCALE`, `package.settings.SCALE`."""
    texts = looked_up.texts(code[0])
    names = {name for part in code for name in part.co_names} | texts
    beginnings = looked_up.beginnings(texts) if looked_up.ways(code[0]) & {"getattr", "vars"} else ()
    named = describe_imports.named(function, builder)
    taken = {describe_imports.step(name): one.parts for name, one in named.items()
             if one.parts is not None and name not in function.__globals__}  # fmt: skip
    left = [(path, path, module) for path, module in modules.items()]
    if looked_up.ways(code[0]) & TO_MODULES:  # `sys.modules[__name__].SCALE`
        home = user_modules.home_of(function)
        others = [module for module in user_modules.own(builder) if module not in home]
        left += [(_OTHERS, _OTHERS, module) for module in others]
        if _finds_itself(function, code):
            left += [(_ITSELF, _ITSELF, module) for module in home]  # comes first
    found: dict[str, Any] = {}
    seen = set()  # by each way: which of two comes upon a module first depends on what was imported when
    while left:
        way, path, module = left.pop()
        module = user_modules.now(module)
        if (way, id(module)) in seen or not builder.is_own(module.__name__):
            continue
        seen.add((way, id(module)))
        space = user_modules.names_in(module)
        begun = {key for key in space if key.startswith(beginnings)} if beginnings else set()
        for key in sorted(taken.get(path, names) & space.keys() | begun):
            part = space[key]
            if isinstance(part, types.ModuleType):
                if path in taken and describe_imports.step(part.__name__) in modules:
                    continue  # `from package import module` imports both
                if user_modules.was_imported(part, builder):
                    left.append((way, f"{path}.{key}", part))
            elif not is_of_the_place(key, part):
                step = f"{path}.{key}"
                if path == _OTHERS and step in found:  # the text may name this module as well as the other
                    step = f"{path}.{user_modules.when_saved(module.__name__, builder)}.{key}"
                found.setdefault(step, part)
        if "__getattr__" in space and taken.get(path, names) - space.keys():
            found[f"{path}.__getattr__"] = space["__getattr__"]
    return found


def _can_import(code: list[types.CodeType], builder: Builder) -> dict[str, bool]:
    """Whether the libraries can be found that the code imports itself: the program may have added to `sys.path`."""
    names = {name.partition(".")[0] for name in bytecode.read(code[0], "IMPORT_NAME")} - sys.stdlib_module_names - {""}
    return {f".import {name}": True for name in sorted(names) if not builder.is_own(name) and _is_there(name)}


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a module that the program made
        return name in sys.modules


def by_data(function: types.FunctionType, texts: Set[str]) -> dict[str, Any]:
    """The globals and variables of the environment that the code may find by one of these texts, which are data."""
    ways = looked_up.ways(function.__code__)
    found: dict[str, Any] = {}
    words = looked_up.words(texts) if ways & EVALUATES else texts
    spaces = [("[{!r}]", function.__globals__)] if ways & TO_GLOBALS else []
    spaces += [(f"{_ITSELF}.{{}}", vars(home)) for home in user_modules.home_of(function)] if ways & TO_MODULES else []
    for path, space in spaces:
        named = {name: space[name] for name in words & space.keys()}
        found |= {path.format(name): part for name, part in named.items() if not is_of_the_place(name, part)}
    if ways & ENVIRONMENT:
        found |= {f".os.environ[{name!r}]": os.environ[name] for name in texts & os.environ.keys()}
    return found


def looks_up(function: types.FunctionType) -> bool:
    """Whether the code may find a global, or a variable of the environment, by a text."""
    return bool(looked_up.ways(function.__code__) & (TO_GLOBALS | TO_MODULES | ENVIRONMENT))


def loaded(function: types.FunctionType) -> frozenset[str]:
    """The globals that the code reads or rebinds."""
    return frozenset().union(
        *(bytecode.read(function.__code__, f"{word}_GLOBAL") for word in ("LOAD", "STORE", "DELETE"))
    )


def written(function: types.FunctionType, builder: Builder) -> frozenset[str]:
    """The globals that the code rebinds, its own and of the user's modules that it knows: `settings.SCALE = 2`."""
    own = bytecode.read(function.__code__, "STORE_GLOBAL") | bytecode.read(function.__code__, "DELETE_GLOBAL")
    return own | {
        name
        for *path, name in bytecode.set_in_globals(function.__code__)
        if ".".join(path) in modules_known(function, builder)
    }


def modules_known(function: types.FunctionType, builder: Builder) -> dict[str, types.ModuleType]:
    """The user's modules that the code reads among its globals, and those that it reads of these, by their paths."""
    names = {name for part in bytecode.with_inner(function.__code__) for name in part.co_names}
    spaces: list[tuple[str, dict[str, Any]]] = [("", function.__globals__)]
    found: dict[str, types.ModuleType] = {}
    while spaces:
        path, space = spaces.pop()
        for name in sorted(names & space.keys()):
            part = space[name]
            if isinstance(part, types.ModuleType) and builder.is_own(part.__name__) and part not in found.values():
                found[f"{path}{name}"] = part
                spaces.append((f"{path}{name}.", vars(part)))
    return found


def _of_the_environment(code: list[types.CodeType], there: dict[str, Any]) -> dict[str, Any]:
    """The variables that a text names, in the code or a global, and those that begin as a text that ends in `_`."""
    if not looked_up.ways(code[0]) & ENVIRONMENT:
        return {}
    texts = looked_up.texts(code[0]) | {value for value in there.values() if type(value) is str}
    names = texts | looked_up.words(text for text in texts if "$" in text)
    beginnings = looked_up.beginnings(texts)
    return {
        f".os.environ[{name!r}]": value
        for name, value in sorted(os.environ.items())
        if name in names or (beginnings and name.startswith(beginnings))
    }


def _codecs(code: list[types.CodeType]) -> dict[str, Any]:
    """Which codecs, and handlers of their errors, there are of those that the code names: a program has its own."""
    if not any(_CODECS & set(part.co_names) for part in code):
        return {}
    texts = {text for part in code for text in part.co_consts if isinstance(text, str) and _CODEC.fullmatch(text)}
    found = {}
    for text in sorted(texts):
        for look_up in (codecs.lookup, codecs.lookup_error):
            with contextlib.suppress(Exception):  # not there; or the user's code, which is asked
                look_up(text)
                found[f".codecs.{look_up.__name__}({text!r})"] = True
    return found


def _that_are_files(there: dict[str, Any]) -> dict[str, Any]:
    """Whether the absolute paths among the globals lead somewhere: where they lead to differs from place to place."""
    paths = {name: value for name, value in there.items() if isinstance(value, str | pathlib.Path)}
    return {f"[{name!r}].exists()": True for name, value in paths.items()
            if os.path.isabs(value) and os.path.lexists(value)}  # fmt: skip


def _operators(code: list[types.CodeType]) -> dict[str, Any]:
    """The operators (`torch.library`) of the namespaces that the code names."""
    names = {name for part in code for name in part.co_names}
    if "ops" not in names:
        return {}
    return {f".torch.ops.{name}": True for name in sorted(torch.library._defs) if name.partition("::")[0] in names}


def is_of_the_place(name: str, value: Any) -> bool:
    """Whether a global says where or under what name the code runs."""
    if name in user_modules.OF_THE_PLACE:
        return True
    if isinstance(value, pathlib.PurePath):
        return value.is_absolute()
    return type(value) is types.ModuleType or (type(value) is str and os.path.isabs(value))


def _is_own_code(value: Any, builder: Builder) -> bool:
    return isinstance(value, types.FunctionType | type) and builder.is_own(value.__module__)
