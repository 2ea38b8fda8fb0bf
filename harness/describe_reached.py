"""What a model reaches outside itself and the user's modules, and a copy elsewhere does not bring along.

Two kinds. *Contents that no attribute shows*: of a context variable and of a `threading.local`, and decimal's context
where code uses decimal. *What the user's code set on a library*: an attribute of a module that the code reads, a method
or a public attribute of a class of torch.nn. A library as it was imported is the library's affair; a change of it is
the program's.

Numbers alone of a library's module, for its texts name versions and places, and nothing of those that tell where a
process runs. What a class of another library had when it was imported nobody knows, so there only the user's own
functions and classes are told from it.
"""

from __future__ import annotations

import contextlib
import contextvars
import decimal
import threading
import types
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from harness.snapshot import Builder

_HOLDS = (contextvars.ContextVar, threading.local)
_NUMBERS = (bool, int, float, complex)
_OF_THE_PROCESS = frozenset({"sys", "os", "platform", "time", "socket", "sysconfig"})
_AS_IMPORTED = {
    cls: frozenset(vars(cls))
    for module in (torch.nn, *vars(torch.nn.modules).values())
    if isinstance(module, types.ModuleType)
    for cls in vars(module).values()
    if isinstance(cls, type)
}
"""Of torch.nn's classes, the attributes that they had before anything of the user's was imported."""


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


def of_libraries(code: Iterable[types.CodeType], used: Mapping[str, Any], builder: Builder) -> dict[str, Any]:
    """What the code reads of libraries that can be changed: numbers and the user's own code in a library's modules, and
    the context of decimal. `used`: the globals that the code loads, by name."""
    names = {name for part in code for name in part.co_names}
    found: dict[str, Any] = {}
    for name, part in used.items():
        if isinstance(part, types.ModuleType) and not _is_of_the_process(part, builder):
            kept = {key: vars(part)[key] for key in names & vars(part).keys() if not key.startswith("_")}
            found |= {f"[{name!r}].{key}": value for key, value in kept.items() if _counts(value, builder)}
        if getattr(part, "__module__", getattr(part, "__name__", None)) == "decimal":
            context = decimal.getcontext()
            found |= {
                f"decimal.getcontext().{key}": getattr(context, key) for key in ("prec", "rounding", "Emin", "Emax")
            }
    return found


def set_on_class(cls: type, builder: Builder) -> dict[str, Any]:
    """What the user's code set on a library's class or on one of its bases."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__ == "builtins" or builder.is_own(base.__module__):
            continue
        known = _AS_IMPORTED.get(base)
        for name, part in vars(base).items():
            is_new = (
                known is not None and name not in known and not name.startswith("_") and type(part) in (*_NUMBERS, str)
            )
            if is_new or _is_own_function(part, builder):
                found.setdefault(name, part)
    return found


def _is_of_the_process(module: types.ModuleType, builder: Builder) -> bool:
    return builder.is_own(module.__name__) or module.__name__.partition(".")[0] in _OF_THE_PROCESS


def _counts(value: Any, builder: Builder) -> bool:
    return type(value) in _NUMBERS or _is_own_function(value, builder)


def _is_own_function(value: Any, builder: Builder) -> bool:
    return isinstance(value, types.FunctionType) and builder.is_own(value.__module__)
