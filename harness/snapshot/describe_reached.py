"""What a model reaches outside itself and the user's modules, and a copy elsewhere does not bring along.

Two kinds. *Contents that no attribute shows*: of a context variable and of a `threading.local`, and decimal's context
where code uses decimal. *What the user's code set on a library*: an attribute of a module that the code reads, a method
or a public attribute of a class of torch.nn. A library as it was imported is the library's affair; a change of it is
the program's.

Plain values alone of a library's module or class, and of its texts none that name versions or places; nothing of those
that tell where a process runs. What a class of another library had when it was imported nobody knows, so there the
user's own functions are told from it, and what the code reads by its name. In a module that the code uses all that is
the user's counts, whatever reads it: an encoder of the user's in the place of the standard library's, a method of it.
"""

from __future__ import annotations

import abc
import contextlib
import contextvars
import decimal
import operator
import os
import threading
import types
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from harness.snapshot.attributes import attributes, module_of

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_HOLDS = (contextvars.ContextVar, threading.local)
_NUMBERS = (bool, int, float, complex)
_PLAIN = frozenset({*_NUMBERS, str, bytes, type(None)})
_ENTRIES = 1000
_OF_THE_PROCESS = frozenset({"sys", "os", "platform", "time", "socket", "sysconfig"})
_AS_IMPORTED = {
    cls: dict(vars(cls))
    for module in (torch.nn, *vars(torch.nn.modules).values())
    if isinstance(module, types.ModuleType)
    for cls in vars(module).values()  # tensors too, which they import
    if isinstance(cls, type)
}
"""Of torch.nn's classes, the attributes as they were before anything of the user's was imported."""
_TENSORS_AS_IMPORTED = {cls: dict(vars(cls)) for cls in (torch.Tensor, torch._C.TensorBase)}
"""Of other classes that every model meets: hundreds of attributes, among which none was the user's."""
_LARGE = 400
"""Names in a module that is not looked through. What is set in torch's and NumPy's is seen elsewhere: functions by
`describe_process`, a class of torch where code names it or the model has one."""


def context_variable(value: contextvars.ContextVar, builder: Builder) -> dict:
    """Its name, its default, and what it is now, where that was set."""
    parts = {}
    if value in (now := contextvars.copy_context()):
        parts["get()"] = now[value]
    with contextlib.suppress(LookupError):
        parts["default"] = contextvars.Context().run(value.get)
    return builder.node("context variable", value, builder.named(parts), facts={"value": value.name})


def thread_local(value: threading.local, builder: Builder) -> dict:
    """What this thread put into it."""
    return builder.node("object", value, builder.named(threading.local.__getattribute__(value, "__dict__")))


def holds_contents(value: Any) -> bool:
    """Whether a global of this value is described by what it holds."""
    return isinstance(value, _HOLDS)


def of_libraries(
    code: Iterable[types.CodeType], used: Mapping[str, Any], builder: Builder, texts: Collection[str] = ()
) -> dict[str, Any]:
    """What the code reads of libraries that can be changed: plain values and the user's own code in their modules, and
    the context of decimal. `used`: the globals that the code loads, by name; `texts`: what it may look up."""
    names = {name for part in code for name in part.co_names} | set(texts)
    found: dict[str, Any] = {}
    left = [(f"[{name!r}]", part) for name, part in used.items()]
    seen: set[int] = set()
    while left:
        path, part = left.pop()
        if builder.state and _is_of_the_process(part):  # a clock of the program's own
            own = {key: vars(part)[key] for key in names & vars(part).keys()}
            found |= {f"{path}.{key}": value for key, value in own.items() if _is_own_function(value, builder)}
        if isinstance(part, types.ModuleType | type) and id(part) not in seen and not _is_left_out(part, builder):
            seen.add(id(part))
            kept = {key: vars(part)[key] for key in names & vars(part).keys() if not key.startswith("_")}
            every = isinstance(part, types.ModuleType) and builder.state and is_made_here(part)
            found |= {f"{path}.{key}": value for key, value in kept.items() if every or _counts(key, value, builder)}
            left += [(f"{path}.{key}", value) for key, value in kept.items() if isinstance(value, types.ModuleType)]
            if isinstance(part, type):
                found |= {f"{path}.{key}": method for key, method in _own_methods(part, builder).items()}
            elif builder.state:
                left += [(f"{path}.{key}", value) for key, value in kept.items() if isinstance(value, type)]
                found |= {f"{path}.{key}": value for key, value in kept.items() if isinstance(value, abc.ABCMeta)}
                found |= {f"{path}.{key}": value for key, value in _own_in(part, builder).items()}
        if module_of(part) == "decimal":
            for word, context in (("getcontext()", None), ("DefaultContext", decimal.DefaultContext)):
                found |= {f"decimal.{word}.{key}": value for key, value in decimal_context(context).items()}
    return found


def decimal_context(context: decimal.Context | None = None) -> dict[str, Any]:
    """What decimals are rounded and written by, and which conditions raise: now, or in contexts that are made later, in
    a thread that starts or by `Context()`, which copy `DefaultContext`."""
    context = context or decimal.getcontext()
    found = {key: getattr(context, key) for key in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")}
    return found | {"traps": sorted(signal.__name__ for signal, is_set in context.traps.items() if is_set)}


def is_made_here(module: types.ModuleType) -> bool:
    """Whether the program made the module: no import finds it, so all in it is the program's."""
    return getattr(module, "__spec__", None) is None and not hasattr(module, "__file__")


def set_on_class(cls: type, builder: Builder) -> dict[str, Any]:
    """What the user's code set on a library's class or on one of its bases."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__ == "builtins" or builder.is_own(base.__module__):
            continue
        known = _AS_IMPORTED.get(base)
        if (before := known or _TENSORS_AS_IMPORTED.get(base)) is not None and is_unchanged(vars(base), before):
            continue
        for name, part in vars(base).items():
            if known is not None and known.get(name) is part:
                continue
            if (known is not None and _is_plain(name, part)) or _is_own_function(part, builder):
                found.setdefault(name, part)
        found = _own_accessors(base, builder) | found
    return found


def set_on_function(function: types.FunctionType, builder: Builder) -> dict[str, Any]:
    """The attributes of a library's function that the program may have set: plain values, and what is the user's."""
    return {
        name: part
        for name, part in vars(function).items()
        if not name.startswith("_") and (_counts(name, part, builder) or builder.is_own(module_of(part)))
    }


def is_unchanged(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a namespace holds the very objects that it held before, in the same order: quick where it does."""
    return (
        len(now) == len(before) and all(map(operator.is_, now.values(), before.values())) and list(now) == list(before)
    )


def _is_plain(name: str, value: Any) -> bool:
    if name.startswith("_"):
        return name == "__constants__"
    if name == "next_id":  # torch counts every hook of the process in RemovableHandle
        return False
    return type(value) in (*_NUMBERS, str, list, tuple, dict, set)


def _is_left_out(part: types.ModuleType | type, builder: Builder) -> bool:
    if isinstance(part, type):
        return not builder.state or part.__module__ == "builtins" or builder.is_own(part.__module__)
    return builder.is_own(part.__name__) or _is_of_the_process(part)


def _is_of_the_process(part: Any) -> bool:
    return isinstance(part, types.ModuleType) and part.__name__.partition(".")[0] in _OF_THE_PROCESS


def _own_in(module: types.ModuleType, builder: Builder) -> dict[str, Any]:
    """What of the user's is in a library's module and in its classes: functions, classes, objects of these."""
    name = module.__name__
    if name not in builder.set_in_modules:
        found = builder.set_in_modules[name] = {}
        is_small = len(vars(module)) <= _LARGE and name.partition(".")[0] != "torch"
        for key, part in list(vars(module).items()) if is_small else ():
            if isinstance(part, type) and part.__module__.partition(".")[0] == name.partition(".")[0]:
                found |= {f"{key}.{inner}": method for inner, method in _own_methods(part, builder).items()}
            elif builder.is_own(module_of(part)):
                found[key] = part
            elif not isinstance(part, type | types.ModuleType | types.FunctionType) and _is_of(part, name):
                own = {inner: method for inner, method in attributes(part).items() if _is_own_function(method, builder)}
                found |= {f"{key}.{inner}": method for inner, method in own.items()}
    return builder.set_in_modules[name]


def _is_of(value: Any, module: str) -> bool:
    return type(value).__module__.partition(".")[0] == module.partition(".")[0]


def _own_methods(cls: type, builder: Builder) -> dict[str, Any]:
    methods = {name: part for name, part in vars(cls).items() if _is_own_function(part, builder)}
    return methods | _own_accessors(cls, builder)


def _counts(name: str, value: Any, builder: Builder) -> bool:
    if type(value) in _NUMBERS or _is_own_function(value, builder):
        return True
    if not builder.state or "version" in name:
        return False
    if type(value) is str:
        return not os.path.isabs(value)
    if type(value) in (list, tuple, set, frozenset, dict) and len(value) <= _ENTRIES:
        parts = [*value, *value.values()] if type(value) is dict else value
        return all(type(part) in _PLAIN for part in parts)
    return False


def _is_own_function(value: Any, builder: Builder) -> bool:
    return isinstance(value, types.FunctionType) and builder.is_own(value.__module__)


def _own_accessors(cls: type, builder: Builder) -> dict[str, Any]:
    """The user's attributes of pandas' tables: see `register_dataframe_accessor`."""
    parts = {name: vars(cls).get(name) for name in vars(cls).get("_accessors", ())}
    return {name: part for name, part in parts.items()
            if builder.is_own(getattr(getattr(part, "_accessor", None), "__module__", None))}  # fmt: skip
