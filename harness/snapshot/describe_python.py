"""How Python's own values are described in a snapshot: containers, simple values, any object by its attributes."""

from __future__ import annotations

import array
import ctypes
import enum
import functools
import gc
import operator
import types
import warnings
import weakref
from collections import OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any

from harness.snapshot import describe_code, describe_live, describe_reached, describe_stdlib
from harness.snapshot.attributes import attributes, has_attributes

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_TOLD = frozenset({"_warned_capturable_if_run_uncaptured", "_opt_called", "_stop_words_id"})
"""Whether an optimiser has warned already, or was used: torch leaves it out of every copy. Which list of stop words, by
its address, scikit-learn has looked at already: any other is looked at again."""
_OF_A_WEAK_SET = vars(weakref.WeakSet()).keys()
_OF_WEAK_TABLES = vars(weakref.WeakKeyDictionary()).keys() | vars(weakref.WeakValueDictionary()).keys()
_ROWS = (type({}.keys()), type({}.values()), type({}.items()))


def describe(value: Any, builder: Builder) -> dict:
    """A node for any value: what has no description of its own is an object with attributes."""
    cls = type(value)
    if issubclass(cls, weakref.ProxyTypes):
        return describe_live.proxy(value, builder)
    if issubclass(cls, enum.Enum):
        facts = {"value": value._name_ or str(value._value_)}
        parts = describe_code.attributes_of_member(value) if builder.is_own(cls.__module__) else {}
        return builder.node("constant", value, builder.named(parts), identity=False, facts=facts)
    if issubclass(cls, type):
        return describe_code.class_(value, builder)
    if issubclass(cls, types.ModuleType):
        return _module(value, builder)
    for describe_some in (
        _container,
        _scalar,
        describe_code.describe,
        describe_stdlib.describe,
        describe_live.describe,
    ):
        node = describe_some(value, builder)
        if node is not None:
            return node
    return object_(value, builder)


def _module(value: types.ModuleType, builder: Builder) -> dict:
    """A module by its name; what the code reads of one of the user's is told afterwards, see `describe_found`."""
    node = builder.node("import", value, identity=False, facts={"value": builder.module_name(value.__name__)})
    if builder.state and (builder.is_own(value.__name__) or describe_reached.is_made_here(value)):
        builder.modules.append((value, node))
    return node


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
        return _view(builder.node("mapping", value, builder.keyed(value.items())), value, builder)
    if issubclass(cls, list | tuple):
        base = list if issubclass(cls, list) else tuple
        groups = [builder.indexed(base.__iter__(value))]
        if getattr(cls, "n_fields", 0) > getattr(cls, "n_sequence_fields", 0):  # `time.struct_time`: more than it shows
            groups.append(builder.named(value.__reduce__()[1][1]))
        return with_attributes("sequence", value, builder, *groups, identity=base is list)
    if issubclass(cls, deque):
        facts = {"maxlen": value.maxlen}
        return with_attributes("sequence", value, builder, builder.indexed(deque.__iter__(value)), facts=facts)
    if issubclass(cls, set | frozenset):
        base = set if issubclass(cls, set) else frozenset
        builder.hashes = builder.hashes or len(value) > 1
        return with_attributes("set", value, builder, builder.content(base.__iter__(value)), identity=base is set)
    if issubclass(cls, _ROWS):
        return _view(builder.node("sequence", value, builder.indexed(value), identity=False), value, builder)
    if issubclass(cls, weakref.WeakSet):
        own = {name: part for name, part in attributes(value).items() if name not in _OF_A_WEAK_SET}
        return builder.node("set", value, builder.content(list(value)), builder.named(own))
    if issubclass(cls, weakref.WeakKeyDictionary | weakref.WeakValueDictionary):
        own = {name: part for name, part in attributes(value).items() if name not in _OF_WEAK_TABLES}
        return builder.node("mapping", value, builder.keyed(list(value.items())), builder.named(own))
    return None


def _view(node: dict, value: Any, builder: Builder) -> dict:
    """Note the dictionary behind a view: where the model has that too, what is written into it shows in the view."""
    if builder.state:
        builder.views += [(node, part) for part in gc.get_referents(value) if isinstance(part, dict)]
    return node


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
        return with_attributes("scalar", value, builder, facts={"value": bytes(value)}) | _memory(value, builder)
    if issubclass(cls, memoryview):
        facts = {"format": value.format, "shape": list(value.shape or ()), "readonly": value.readonly}
        facts["stride"] = list(value.strides or ())
        node = builder.node("scalar", value, facts=facts, numbers=builder.numbers(value.tobytes(), None))
        return node | _memory(value, builder)
    if issubclass(cls, array.array):
        facts = {"typecode": value.typecode, "length": len(value)}
        numbers = builder.numbers(value.tobytes(), None)
        node = with_attributes("scalar", value, builder, facts=facts, numbers=numbers)
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

_UNCHANGING = (operator.attrgetter, operator.itemgetter, operator.methodcaller)
"""Of which nobody can tell whether they are one or two."""


def object_(value: Any, builder: Builder) -> dict:
    """Attributes, from `__dict__` and slots; for a C object, and for one of a subclass of its, what it tells `pickle`.

    The class alone, where it tells nothing.
    """
    parts = {name: part for name, part in attributes(value).items() if name not in _TOLD}
    step = parts.get("step")
    if isinstance(step, types.FunctionType | types.MethodType) and hasattr(step, "_wrapped_by_lr_sched"):
        # to warn, where it is called out of turn
        del parts["step"]
    if has_attributes(type(value)) and not _tells(type(value)):
        return builder.node("object", value, builder.named(parts))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reduced = value.__reduce_ex__(4)
    except Exception:
        return builder.node("object" if parts else "opaque", value, builder.named(parts))
    if isinstance(reduced, str):
        return builder.node("constant", value, identity=False, facts={"value": reduced})
    if parts and isinstance(reduced, tuple) and len(reduced) > 2 and _keys(reduced[2]) <= parts.keys():
        reduced = (*reduced[:2], None, *reduced[3:])  # the same attributes
    told = {f"__reduce__()[{place}]": tuple(part) if place > 2 and part is not None else part
            for place, part in enumerate(reduced)
            if part is not None and (place or isinstance(part, functools.partial))}  # fmt: skip
    return builder.node("object", value, builder.named(parts | told), identity=type(value) not in _UNCHANGING)


def _keys(state: Any) -> set[Any]:
    """The attributes in a state for pickle; one that is none for what holds more."""
    if isinstance(state, tuple) and len(state) == 2 and all(part is None or isinstance(part, dict) for part in state):
        return {key for part in state if part for key in part}
    return set(state) if isinstance(state, dict) else {None} if state is not None else set()


def _tells(cls: type) -> bool:
    """Whether a base in C has words of its own for pickle: it keeps more than attributes."""
    for base in cls.__mro__[:-1]:
        if reduce := vars(base).get("__reduce__") or vars(base).get("__reduce_ex__"):
            return not isinstance(reduce, types.FunctionType)
        if (state := vars(base).get("__getstate__")) and not isinstance(state, types.FunctionType):
            return True
    return False
