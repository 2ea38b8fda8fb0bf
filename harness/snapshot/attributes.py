"""An object's attributes and where it is from, read past `__getattr__` and properties of the user's."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import Any


def has_attributes(cls: type) -> bool:
    """Whether instances can hold Python attributes."""
    return getattr(cls, "__dictoffset__", 0) != 0 or any("__slots__" in vars(base) for base in cls.__mro__)


def attributes(value: Any, owners: Iterable[type] | None = None) -> dict[str, Any]:
    """`__dict__` and set slots: of all its classes, or of `owners`."""
    try:
        parts = dict(object.__getattribute__(value, "__dict__"))
    except (AttributeError, TypeError):
        parts = {}
    for cls in type(value).__mro__ if owners is None else owners:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{cls.__name__.lstrip('_')}{name}"
            member = vars(cls).get(name)
            if isinstance(member, types.MemberDescriptorType):
                if name in parts:  # a slot of a base that another hides
                    name = f"{cls.__name__}.{name}"
                try:
                    parts[name] = member.__get__(value, cls)
                except AttributeError:  # not set
                    continue
    return parts


def added(value: Any, is_own: Callable[[str | None], bool]) -> dict[str, Any]:
    """What an object of the user's subclass has beside what its base keeps in slots of its own."""
    owners = [cls for cls in type(value).__mro__ if is_own(cls.__module__)]
    return attributes(value, owners) if owners else {}


def module_of(thing: Any) -> str:
    """The module that a thing is, or that code says it is from; of any other object its class's.

    Not the object's own `__module__`: a dictionary whose keys are its attributes may raise there.
    """
    if isinstance(thing, types.ModuleType):
        return thing.__name__
    is_code = isinstance(thing, types.FunctionType | types.BuiltinFunctionType | types.MethodType | type)
    return str((thing.__module__ if is_code else None) or type(thing).__module__)
