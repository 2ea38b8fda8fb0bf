"""From a model to its graph: the spec as JSON values, and the regions of memory that go into the weights' file."""

from __future__ import annotations

import array
import enum
import functools
import inspect
import math
import operator
import types
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from backends.json_spec import objects
from backends.json_spec.calls import CALL, noted
from backends.json_spec.codecs import CODECS, codec_name
from backends.json_spec.errors import ArtifactError, Unsupported, UntrustedName, refuse
from backends.json_spec.forms import FORMS
from backends.json_spec.layouts import tensor_node
from backends.json_spec.leaves import array_node, dtype_node, numpy_scalar
from backends.json_spec.modules import base_class, handle_node, hook_nodes, own_state
from backends.json_spec.regions import (
    Region,
    View,
    check_apart,
    plan,
    view_of_array,
    view_of_buffer,
    view_of_bytes,
)
from backends.json_spec.script import MAIN, TYPED
from backends.json_spec.slots import Slot, finished, holds_slot
from backends.json_spec.trust import (
    BUILTIN_METHODS,
    LIBRARIES,
    allowed,
    check_name,
    class_method,
    listed_function,
    method,
    name_of,
    plain_name,
)
from backends.json_spec.values import CONTAINERS, VALUES

FORMAT = "json-spec"
VERSION = 1
NESTING_LIMIT = 60
"""Levels of containers within containers that are written; the reader accepts somewhat more."""
INLINE_BYTES = 1024
"""Longer byte strings go into the weights' file."""
FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    functools._lru_cache_wrapper,
    np.ufunc,
)


_TEXT = frozenset([str])
_SMALL = frozenset([int, bool])


def _is_small(value: tuple[Any, ...]) -> bool:
    """Whether a tuple holds small whole numbers and truth values alone, as most of a module's do: it is a constant."""
    return _SMALL.issuperset(map(type, value)) and (not value or -(2**63) <= min(value) <= max(value) < 2**63)


class Writer:
    """One graph being written."""

    def __init__(self) -> None:
        self._slots: dict[int, Slot] = {}
        self._alive: list[Any] = []
        self._found: list[Slot] = []
        self._views: list[View] = []
        self._apart: list[View] = []
        """Memory that is not written as memory."""
        self._shared: dict[int, str] = {}
        """Path of an object by the id of what it might have in common with others."""
        self._names: set[str] = set()
        self._keys: set[str] = set()
        """Names of attributes that may be."""
        self._classes: set[type] = set()
        """Classes whose instances are known to be objects with a name."""
        self._definitions: dict[tuple[int, str], tuple[Any, str]] = {}
        """Id of a class or function, and what it stands for -> the thing, which so keeps its id, and its name."""
        self._handles: list[Slot] = []
        self._depth = 0
        self.typed: dict[str, tuple[str, str]] = {}
        """Name of a class or function of a notebook -> the path where it is needed first, and what it is."""

    def graph(self, model: Any, name: str = "model") -> tuple[dict[str, Any], list[Region]]:
        """The members `format, version, root, objects` of spec.json, and the regions. Raises Unsupported."""
        root = self.encode(model, name)
        order: list[Slot] = []
        stack, self._found = self._found[::-1], []
        while stack:
            slot = stack.pop()
            order.append(slot)
            slot.node = self._describe(slot)
            stack.extend(reversed(self._found))
            self._found = []
        self._tell_handles(order)
        for shared in self._shared.keys() & self._slots.keys():
            self._check_alone(self._slots[shared].value, self._slots[shared].path)
        check_apart(self._apart, self._views)
        regions = plan(self._views)
        root, made = finished(root, order, self._unique)
        return {"format": FORMAT, "version": VERSION, "root": root, "objects": made}, regions

    @property
    def names(self) -> set[str]:
        """Every name of a class or function in the graph."""
        return {name for _, name in self._definitions.values()}

    def place(self, value: Any) -> str | None:
        """The path of an object with an identity in the graph; None where it is not in it."""
        slot = self._slots.get(id(value))
        return slot.path if slot is not None else None

    def encode(self, value: Any, path: str) -> Any:
        """The node for a value: JSON, a tagged value, or the Slot of something with an identity."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return value if _is_text(value) else refuse(path, "a text with a lone surrogate", "keep it as bytes")
        if kind is int:
            return value if -(2**63) <= value < 2**63 else self._checked("$int", hex(value), path)
        if kind is float:
            return _float(value)
        if kind is tuple and _is_small(value) and self._depth < NESTING_LIMIT:
            return {"$tuple": list(value)}
        if (slot := self._slots.get(id(value))) is not None:
            slot.count += 1
            return slot
        if kind in self._classes and self._depth < NESTING_LIMIT:
            return self._named(value, path)
        self._depth += 1
        try:
            if self._depth > NESTING_LIMIT:
                refuse(path, f"nested more than {NESTING_LIMIT} levels deep", "put levels into objects of their own")
            return self._encode(value, kind, path)
        finally:
            self._depth -= 1

    def _encode(self, value: Any, kind: type, path: str) -> Any:
        def inside(item: Any, suffix: str) -> Any:
            return self.encode(item, path + suffix)

        if kind is bytes and len(value) > INLINE_BYTES:
            node = {"$blob": len(value), "entry": path}
            self._views.append(view_of_bytes(value, self._unique(path), node))
            return node
        if kind in VALUES:
            tag = VALUES[kind]
            return self._checked(tag.key, tag.write(value, inside), path)
        if isinstance(value, enum.Enum):
            name = self._name(kind, path, "enum")
            if value.name in kind.__members__:
                return {"$enum": name, "member": value.name}
            members = [member.name for member in value] if isinstance(value, enum.Flag) else None
            if members is None or functools.reduce(operator.or_, map(kind.__getitem__, members), kind(0)) != value:
                refuse(path, f"a {kind.__qualname__} that is not made of its members", "keep its integer value")
            return {"$enum": name, "members": members}
        if isinstance(value, np.generic):
            return numpy_scalar(value, inside, path)
        if isinstance(value, np.dtype):
            return {"$npdtype": dtype_node(value, path)}
        if isinstance(value, type):
            return {"$class": self._name(value, path, "class")}
        if isinstance(value, FUNCTIONS):
            if inspect.isbuiltin(value) and not isinstance(value.__self__, types.ModuleType | None):
                return self._builtin_method(value, path)
            return {"$function": self._name(value, path, "function")}
        codec = codec_name(kind)
        if (
            codec and codec.startswith("pandas:") and codec.endswith(("Index", "Dtype"))
        ):  # immutable: no identity of its own
            return self._codec(value, codec, path)
        return self._identified(value, kind, codec, path, inside)

    def _checked(self, tag: str, payload: Any, path: str) -> dict[str, Any]:
        """The node; refused where no reader would take it, which has limits for texts and numbers."""
        if not FORMS[tag].payload(payload):
            refuse(path, f"a {tag[1:]} that is too long or too odd for the format", "keep it as bytes")
        return {tag: payload}

    def _identified(self, value: Any, kind: type, codec: str | None, path: str, inside: Any) -> Any:
        container = CONTAINERS.get(kind)
        slot = Slot(value, path)
        self._slots[id(value)] = slot
        self._alive.append(value)
        if kind is dict and all(type(key) is str and not key.startswith("$") and _is_text(key) for key in value):
            slot.node = {key: inside(item, f"[{key!r}]") for key, item in value.items()}
        elif kind is list:
            slot.node = [inside(item, f"[{position}]") for position, item in enumerate(value)]
        elif container is not None:
            self._check_attributes(value, frozenset(), path)
            payload = container.write(value, inside)
            if kind is bytearray:
                self._apart += view_of_buffer(value, path)
            if kind in (set, frozenset):
                payload = sorted(payload, key=_set_order(path))
            slot.node = {container.key: payload}
        elif _is_namedtuple(value) and not objects.attributes(value):
            items = [inside(item, f".{field}") for field, item in zip(kind._fields, value, strict=True)]
            slot.node = {"$namedtuple": self._name(kind, path, "namedtuple"), "items": items}
        elif kind is functools.partial:
            node = {"$partial": inside(value.func, ".func"), "args": [], "keywords": {}}
            node["args"] = [inside(item, f".args[{n}]") for n, item in enumerate(value.args)]
            node["keywords"] = {key: inside(item, f".keywords[{key!r}]") for key, item in value.keywords.items()}
            if vars(value):
                node["attributes"] = self._attributes(vars(value), path)
            slot.node = node
        elif kind is types.MethodType:
            owner, name = value.__self__, value.__name__
            if isinstance(owner, type):
                _check_class_method(owner, value, path)
            elif inspect.getattr_static(type(owner), name, None) is not value.__func__:
                refuse(path, f"the bound method {name}, which its object's class does not define", "store the object")
            else:
                _check_method(type(owner), name, path)
            slot.node = {"$method": inside(owner, ".__self__"), "name": name}
        elif codec is not None:
            slot.node = self._codec(value, codec, path)
        elif kind is np.ndarray:
            if value.dtype.kind == "O" and value.size:
                self._apart.append(view_of_array(value, path, {}))
            slot.node = array_node(value, self._unique(path), self._views, inside, path)
        else:
            self._classes.add(kind)
            return self._named(value, path)
        if isinstance(value, tuple | frozenset) and slot.count == 1 and not holds_slot(slot.node):
            del self._slots[id(value)]  # a constant: equal ones may be one object
            return slot.node
        return slot

    def _named(self, value: Any, path: str) -> Slot:
        """The slot of an object that is described later, under a name of its own."""
        slot = self._slots[id(value)] = Slot(value, path, self._unique(path))
        self._found.append(slot)
        return slot

    def _builtin_method(self, value: Any, path: str) -> Any:
        """A method of a dict, a list, a text: `table.get`."""
        name = value.__name__
        if name not in BUILTIN_METHODS.get(type(value.__self__), ()) or _listed(value):
            return (
                {"$function": self._name(value, path, "function")}
                if _listed(value)
                else refuse(path, f"the method {name} of a built-in object", "call it in a function of your module")
            )
        return {"$method": self.encode(value.__self__, path + ".__self__"), "name": name}

    def _codec(self, value: Any, name: str, path: str) -> dict[str, Any]:
        codec = CODECS[name]
        if codec.own is not None:
            self._check_attributes(value, codec.own, path)
        if (shared := codec.shares(value)) is not None:
            self._alive.append(shared)
            self._check_alone(shared, path)
        if type(value) is array.array:
            self._apart += view_of_buffer(value, path)
        try:
            state = codec.state(value)
        except Unsupported as error:
            raise Unsupported(f"{path}: {error}") from error
        self._alive.append(state)
        return {"$codec": name, "state": {key: self.encode(item, f"{path}.{key}") for key, item in state.items()}}

    def _describe(self, slot: Slot) -> dict[str, Any]:
        value, path = slot.value, slot.path
        if isinstance(value, torch.Tensor):
            node = tensor_node(
                value, slot.name, self._views, lambda item, suffix: self.encode(item, path + suffix), path
            )
            if vars(value):
                node["attributes"] = self._attributes(vars(value), path)
            return node
        if isinstance(value, nn.Module):
            return self._module(value, path)
        if type(value) is RemovableHandle:
            self._handles.append(slot)
            return {}
        return self._object(value, path)

    def _tell_handles(self, order: list[Slot]) -> None:
        """Describe the handles of hooks, once all modules are known."""
        modules = [slot.value for slot in order if isinstance(slot.value, nn.Module)] if self._handles else []
        for slot in self._handles:
            module, where = handle_node(slot.value, modules, slot.path)
            slot.node = {"$handle": None if module is None else self._slots[id(module)], **where}

    def _module(self, module: nn.Module, path: str) -> dict[str, Any]:
        cls = base_class(module)
        node: dict[str, Any] = {"$module": self._name(cls, path, "module")}
        own, (state, computed) = vars(module), own_state(module, path)
        state.pop(CALL, None)
        node["training"] = module.training
        self._check_alone(own, path)
        for key in ("parameters", "buffers", "modules"):
            self._check_alone(table := own["_" + key], path)
            if table:
                node[key] = self._attributes(table, path)
        if unsaved := own["_non_persistent_buffers_set"]:
            node["non_persistent"] = sorted(unsaved)
        if cls is not type(module):
            node["parametrized"] = list(module.parametrizations)
        if hooks := hook_nodes(module, path, lambda item, suffix: self.encode(item, path + suffix)):
            node["hooks"] = hooks
        if (full := own["_is_full_backward_hook"]) is not None:
            node["full_backward"] = full
        if computed:
            node["computed"] = computed
        if state:
            node["attributes"] = self._attributes(state, path)
        return self._with_call(node, module, path)

    def _with_call(self, node: dict[str, Any], value: Any, path: str) -> dict[str, Any]:
        """The node with the noted call in second place. Its arguments come last: what is an attribute is named so."""
        if (note := noted(value)) is None:
            return node
        tag, name = next(iter(node.items()))
        call = {key: self.encode(item, f"{path}({key})") for key, item in note["arguments"].items()}
        module, _, qualname = note["of"].partition(":")
        caller = f"{plain_name(module)}:{qualname}"
        return {tag: name, **({"caller": caller} if caller != name else {}), "call": call, **node}

    def _object(self, value: Any, path: str) -> dict[str, Any]:
        objects.check(value, path)
        node: dict[str, Any] = {"$object": self._name(type(value), path, "object")}
        if (held := objects.content(value)) is not None:
            self._alive.append(held)
            node["content"] = self.encode(held, path)
        own = objects.attributes(value)
        if own is value:
            node["entries_are_attributes"] = True
        elif type(value).__dictoffset__:
            self._check_alone(own, path)
            if attributes := self._attributes({key: item for key, item in own.items() if key != CALL}, path):
                node["attributes"] = attributes
        if slots := objects.slots(value):
            node["slots"] = self._attributes(slots, path)
        return self._with_call(node, value, path)

    def _name(self, thing: Any, path: str, kind: str) -> str:
        """The name of a class or function, refused where it is a library's and no reader takes it from a file."""
        if (known := self._definitions.get((id(thing), kind))) is not None:
            return known[1]
        name = name_of(thing, path)
        if name.partition(":")[0].partition(".")[0] in LIBRARIES:
            try:
                check_name(name, kind, ())
            except UntrustedName:
                what = "function" if kind == "function" else "class"
                way_out = f"use it in a {'function' if kind == 'function' else 'class'} of your own module"
                refuse(path, f"or needs the {what} {name}, which no reader takes from a file", way_out)
        self._definitions[id(thing), kind] = thing, name
        if name.startswith(f"{TYPED}:") and thing.__module__ == MAIN:
            self.typed.setdefault(name, (path, "function" if kind == "function" else "class"))
        return name

    def _check_alone(self, shared: Any, path: str) -> None:
        """Refuse an object whose state, or a table of it, another has too: a reader makes one for each."""
        if (other := self._shared.setdefault(id(shared), path)) != path:
            way_out = "keep one of them, and make the other of it where it is used"
            refuse(path, f"what shares its state with {other}", way_out)

    def _check_attributes(self, value: Any, known: frozenset[str], path: str) -> None:
        """Refuse an object of a library's with attributes that its form has no place for."""
        for name in objects.attributes(value):
            if not name.startswith("_") and name not in known:
                what = f"a {type(value).__qualname__} with an attribute {name} of its own"
                refuse(path, what, "keep it in an attribute of what holds this")

    def _attributes(self, state: dict[str, Any], path: str) -> dict[str, Any]:
        if not (_TEXT.issuperset(map(type, state)) and self._keys.issuperset(state)):
            for key in state:
                if type(key) is not str or key.startswith("$") or not (_is_text(key) and key.isprintable()):
                    refuse(path, f"an object with an attribute called {key!r}", "name it with a letter")
            self._keys.update(state)
        return {key: self.encode(item, f"{path}.{key}") for key, item in state.items()}

    def _unique(self, path: str) -> str:
        name, number = path, 1
        while name in self._names:
            number += 1
            name = f"{path}~{number}"
        self._names.add(name)
        return name


def _check_method(cls: type, name: str, path: str) -> None:
    """Refuse a bound method that no reader would bind, whatever modules it trusts."""
    known = f"{cls.__module__}:{cls.__qualname__}" in allowed() or cls in VALUES or cls in CONTAINERS or codec_name(cls)
    try:
        method(cls, name, () if known else (plain_name(cls.__module__),))
    except ArtifactError:
        refuse(path, f"the method {name} of a {cls.__qualname__}", "call it in a function of your module")


def _check_class_method(cls: type, value: types.MethodType, path: str) -> None:
    """Refuse a bound class method that no reader would bind."""
    try:
        if class_method(cls, value.__name__, (plain_name(cls.__module__),)) == value:
            return
    except ArtifactError:
        pass
    way_out = "call it in a function of your module"
    refuse(path, f"the class method {value.__name__}, which {cls.__qualname__} does not define", way_out)


def _is_namedtuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(type(value), "_fields") and hasattr(type(value), "_make")


def _listed(function: Any) -> bool:
    return inspect.isbuiltin(function) and listed_function(function) is not None


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _float(value: float) -> Any:
    if math.isfinite(value) and not (value == 0 and math.copysign(1, value) < 0):
        return value
    return {"$float": repr(value)}


def _set_order(path: str) -> Any:
    """Sort key for a set's nodes; refuses elements with an identity, whose order would differ between processes."""

    def key(node: Any) -> str:
        if holds_slot(node):
            refuse(path, "a set of objects", "use a list: a set of objects has no order that is the same everywhere")
        return repr(node)

    return key
