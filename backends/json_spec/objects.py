"""Plain Python objects: what of them Python can see, and which built-in type they derive from, if any."""

from __future__ import annotations

import collections
import contextlib
import inspect
import struct
import types
from typing import Any

from backends.json_spec.errors import ArtifactError, refuse

FILLED = (dict, list, set, collections.OrderedDict, collections.defaultdict, collections.deque)
"""Built-in types from which a class may derive; made empty and filled with `content`."""
VALUED = (tuple, frozenset, str, bytes, int, float, complex)
"""Built-in types from which a class may derive; made of `content`, which is there first."""
WAY_OUT = "make it in preprocess, or register a codec for it"


def native_base(cls: type) -> type:
    """The built-in type that lays out the memory of a class's instances."""
    return next(base for base in cls.__mro__ if not base.__flags__ & 1 << 9)


def check(value: Any, path: str) -> None:
    """Raise Unsupported unless attributes, slots and content are all that there is to an object."""
    cls, base = type(value), native_base(type(value))
    what = f"an object of {cls.__module__}.{cls.__qualname__}"
    if isinstance(value, types.ModuleType):
        refuse(path, f"the module {value.__name__}", "import it where it is used")
    if not (hasattr(value, "__dict__") or any("__slots__" in vars(one) for one in cls.__mro__)):
        refuse(path, what + ", whose state is not visible to Python", WAY_OUT)
    if base is not object and base not in FILLED + VALUED:
        refuse(path, what + f", which derives from {base.__qualname__}", WAY_OUT)
    if cls.__reduce__ is not base.__reduce__ or cls.__reduce_ex__ is not base.__reduce_ex__:
        refuse(path, what + ", which says in __reduce__ how it is copied", "register a codec for it")
    for one in cls.__mro__:
        for name in slot_names(one):
            if inspect.getattr_static(cls, name) is not vars(one)[name]:
                refuse(path, what + f", whose slot {name} is hidden by another", "give one of them another name")
    if hides_state(cls):
        refuse(path, what + ", part of whose state is not visible to Python", WAY_OUT)
    own = attributes(value)
    if type(own) is not dict and own is not value:
        refuse(path, what + f", whose attributes are in a {type(own).__qualname__}", "keep them in a dict")


def attributes(value: Any) -> dict[str, Any]:
    """An object's own `__dict__`, whatever its class says that it is."""
    return own_dict(value) if type(value).__dictoffset__ else {}


def own_dict(value: Any) -> dict[str, Any]:
    """The `__dict__` that attributes are in. Raises TypeError where there is none."""
    way = _way_to_dict(type(value))
    return vars(value) if way is None else way.__get__(value)


def give_entries(value: Any) -> None:
    """Make a dict its own attributes, as `self.__dict__ = self` does. Raises ArtifactError for anything else."""
    way = _way_to_dict(type(value))
    if way is None or not isinstance(value, dict):
        raise ArtifactError(f"{type(value).__qualname__} is no dict that has attributes")
    way.__set__(value, value)


def _way_to_dict(cls: type) -> types.GetSetDescriptorType | None:
    """What reads and sets the `__dict__` of instances, whatever the class itself calls so."""
    ways = (vars(base).get("__dict__") for base in cls.__mro__)
    return next((way for way in ways if isinstance(way, types.GetSetDescriptorType)), None)


def slots(value: Any) -> dict[str, Any]:
    """Name -> value of an object's slots that are set."""
    found = {}
    for base in type(value).__mro__:
        for name in slot_names(base):
            with contextlib.suppress(AttributeError):  # not set
                found.setdefault(name, vars(base)[name].__get__(value))
    return found


def slot_names(cls: type) -> list[str]:
    """The names of the slots that a class itself has, as their descriptors are found under."""
    names = vars(cls).get("__slots__", ())
    names = (names,) if isinstance(names, str) else names
    full = [f"_{cls.__name__.lstrip('_')}{name}" if name[:2] == "__" != name[-2:] else name for name in names]
    return [name for name in full if isinstance(vars(cls).get(name), types.MemberDescriptorType)]


def content(value: Any) -> Any:
    """What the built-in type under an object's class holds, as a value of exactly that type; None for none."""
    base = native_base(type(value))
    if base is object:
        return None
    if base is collections.deque:
        return collections.deque(collections.deque.__iter__(value), maxlen=value.maxlen)
    if issubclass(base, dict):
        plain = base()
        if base is collections.defaultdict:
            plain.default_factory = collections.defaultdict.default_factory.__get__(value)
        for key, item in base.items(value):
            base.__setitem__(plain, key, item)
        return plain
    if base in (list, set, tuple, frozenset):
        return base(base.__iter__(value))
    if base is complex:
        return complex.__add__(value, 0j)
    return {str: str.__str__, bytes: bytes.__bytes__, int: int.__int__, float: float.__float__}[base](value)


def empty(cls: type, base: type, maxlen: Any = None) -> Any:
    """An instance of a class that derives from a type of FILLED, without running its `__new__` or `__init__`."""
    made = base.__new__(cls)
    if base is collections.deque:
        collections.deque.__init__(made, maxlen=maxlen)
    return made


def valued(cls: type, base: type, held: Any) -> Any:
    """An instance of a class that derives from a type of VALUED. Raises ArtifactError unless `held` is of that type."""
    if type(held) is not base:
        raise ArtifactError(f"{cls.__qualname__} derives from {base.__qualname__}, its content does not")
    return base.__new__(cls, held)


def hides_state(cls: type) -> bool:
    """Whether instances have memory that neither their attributes, nor their slots, nor their content account for.

    Since Python 3.12 files and the like are heap types, which only their size tells from a class written in Python.
    Source: `object_getstate_default` of CPython's typeobject.c, which refuses to pickle for the same reason.
    """
    pointer = struct.calcsize("P")
    base = native_base(cls)
    added = (cls.__dictoffset__ != 0 and base.__dictoffset__ == 0) + (
        cls.__weakrefoffset__ > 0 == base.__weakrefoffset__
    )
    size = base.__basicsize__ + pointer * added
    for one in cls.__mro__:
        names = vars(one).get("__slots__", ())
        names = (names,) if isinstance(names, str) else names
        size += pointer * sum(name not in ("__dict__", "__weakref__") for name in names)
    return cls.__basicsize__ > size
