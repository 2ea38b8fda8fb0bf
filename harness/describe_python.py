"""How Python's own values are described in a snapshot: containers, simple values, any object by its attributes."""

from __future__ import annotations

import array
import ctypes
import enum
import types
import warnings
import weakref
from collections import OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any

from harness import describe_code, describe_stdlib

if TYPE_CHECKING:
    from harness.snapshot import Builder

_TOLD = frozenset({"_warned_capturable_if_run_uncaptured"})
"""Whether an optimiser has warned already: torch leaves it out of every copy."""
_ROWS = (type({}.keys()), type({}.values()), type({}.items()))


def describe(value: Any, builder: Builder) -> dict:
    """A node for any value: what has no description of its own is an object with attributes."""
    cls = type(value)
    if issubclass(cls, weakref.ProxyTypes):
        return builder.node("opaque", value)
    if issubclass(cls, enum.Enum):
        facts = {"value": value._name_ or str(value._value_)}
        parts = describe_code.attributes_of_member(value) if builder.is_own(cls.__module__) else {}
        return builder.node("constant", value, builder.named(parts), identity=False, facts=facts)
    if issubclass(cls, type):
        return describe_code.class_(value, builder)
    if issubclass(cls, types.ModuleType):
        return builder.node("import", value, identity=False, facts={"value": builder.module_name(value.__name__)})
    for describe_some in (_container, _scalar, describe_code.describe, describe_stdlib.describe):
        node = describe_some(value, builder)
        if node is not None:
            return node
    return object_(value, builder)


# --- containers and scalars


def _memory(value: Any, builder: Builder) -> dict:
    """Where a writable buffer lies: a tensor (`torch.frombuffer`) or an array may share it."""
    with memoryview(value) as view:
        if view.readonly or not view.c_contiguous or not view.nbytes:
            return {}
        address = ctypes.addressof(ctypes.c_char.from_buffer(view))
    return {"storage": [builder.storage(("cpu", address), value), 0]}


def _container(value: Any, builder: Builder) -> dict | None:
    """Built-in containers and their subclasses: content as the base class sees it, and attributes."""
    cls = type(value)
    if issubclass(cls, dict):
        items = OrderedDict.items if issubclass(cls, OrderedDict) else dict.items
        factory = builder.named({"default_factory": value.default_factory} if issubclass(cls, defaultdict) else {})
        return with_attributes("mapping", value, builder, builder.keyed(items(value)), factory)
    if issubclass(cls, types.MappingProxyType):
        return builder.node("mapping", value, builder.keyed(value.items()))
    if issubclass(cls, list | tuple):
        base = list if issubclass(cls, list) else tuple
        group = builder.indexed(base.__iter__(value))
        return with_attributes("sequence", value, builder, group, identity=base is list)
    if issubclass(cls, deque):
        facts = {"maxlen": value.maxlen}
        return with_attributes("sequence", value, builder, builder.indexed(deque.__iter__(value)), facts=facts)
    if issubclass(cls, set | frozenset):
        base = set if issubclass(cls, set) else frozenset
        return with_attributes("set", value, builder, builder.content(base.__iter__(value)), identity=base is set)
    if issubclass(cls, _ROWS):
        return builder.node("sequence", value, builder.indexed(value), identity=False)
    if issubclass(cls, weakref.WeakSet):
        return builder.node("set", value, builder.content(list(value)))
    if issubclass(cls, weakref.WeakKeyDictionary | weakref.WeakValueDictionary):
        return builder.node("mapping", value, builder.keyed(list(value.items())))
    return None


def with_attributes(kind: str, value: Any, builder: Builder, *groups: dict, **more: Any) -> dict:
    """A node whose class may be a subclass with attributes of its own."""
    return builder.node(kind, value, *groups, builder.named(attributes(value)), **more)


def _scalar(value: Any, builder: Builder) -> dict | None:
    """Subclasses of the simple types, and simple types that can change."""
    cls = type(value)
    for base in (int, str, float, bytes, complex):
        if issubclass(cls, base):
            plain = {"value": base.__new__(base, value) if base is not str else str.__str__(value)}
            group = builder.named({"value": plain["value"]}) if base in (float, complex) else builder.named({})
            facts = plain if base not in (float, complex) else {}
            return with_attributes("scalar", value, builder, group, facts=facts, identity=False)
    if issubclass(cls, bytearray):
        return builder.node("scalar", value, facts={"value": bytes(value)}) | _memory(value, builder)
    if issubclass(cls, memoryview):
        facts = {"format": value.format, "shape": list(value.shape or ())}
        node = builder.node("scalar", value, facts=facts, numbers=builder.numbers(value.tobytes(), None))
        return node | _memory(value, builder)
    if issubclass(cls, array.array):
        facts = {"typecode": value.typecode, "length": len(value)}
        node = builder.node("scalar", value, facts=facts, numbers=builder.numbers(value.tobytes(), None))
        return node | _memory(value, builder)
    if cls is range:
        facts = {"value": [value.start, value.stop, value.step]}
        return builder.node("scalar", value, identity=False, facts=facts)
    if cls is slice:
        parts = {"start": value.start, "stop": value.stop, "step": value.step}
        return builder.node("scalar", value, builder.named(parts), identity=False)
    if value is Ellipsis or value is NotImplemented:
        return builder.node("constant", value, identity=False)
    return None


# --- any other object


def object_(value: Any, builder: Builder) -> dict:
    """Attributes, from `__dict__` and slots; for a C object, what it tells `pickle`, or its class alone."""
    parts = {name: part for name, part in attributes(value).items() if name not in _TOLD}
    if parts or has_attributes(type(value)):
        return builder.node("object", value, builder.named(parts))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reduced = value.__reduce_ex__(4)
    except Exception:
        return builder.node("opaque", value)
    if isinstance(reduced, str):
        return builder.node("constant", value, identity=False, facts={"value": reduced})
    parts = {f"__reduce__()[{place}]": tuple(part) if place > 2 and part is not None else part
             for place, part in enumerate(reduced) if place and part is not None}  # fmt: skip
    return builder.node("object", value, builder.named(parts))


def has_attributes(cls: type) -> bool:
    """Whether instances can hold Python attributes."""
    return getattr(cls, "__dictoffset__", 0) != 0 or any("__slots__" in vars(base) for base in cls.__mro__)


def attributes(value: Any) -> dict[str, Any]:
    """`__dict__` and set slots, read past `__getattr__` and properties of the user's."""
    try:
        parts = dict(object.__getattribute__(value, "__dict__"))
    except (AttributeError, TypeError):
        parts = {}
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{cls.__name__.lstrip('_')}{name}"
            member = vars(cls).get(name)
            if isinstance(member, types.MemberDescriptorType):
                try:
                    parts.setdefault(name, member.__get__(value, cls))
                except AttributeError:  # not set
                    continue
    return parts
