"""From a model to its graph: the spec as JSON values, and the regions of memory that go into the weights' file."""

from __future__ import annotations

import enum
import functools
import inspect
import math
import struct
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from backends.json_spec.calls import CALL, noted
from backends.json_spec.codecs import CODECS, codec_name
from backends.json_spec.errors import ArtifactError, Unsupported, refuse
from backends.json_spec.layouts import tensor_node
from backends.json_spec.leaves import array_node, numpy_scalar
from backends.json_spec.modules import BARE, base_class, handle_node, hook_nodes, own_state
from backends.json_spec.regions import Region, View, plan, view_of_bytes
from backends.json_spec.trust import allowed, method, name_of
from backends.json_spec.values import CONTAINERS, VALUES

FORMAT = "json-spec"
VERSION = 1
NESTING_LIMIT = 60
"""Levels of containers within containers that are written; the reader accepts somewhat more."""
INLINE_BYTES = 1024
"""Longer byte strings go into the weights' file."""
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, np.ufunc)


class Slot:
    """An object with an identity: where it was first met, and how often."""

    def __init__(self, value: Any, path: str, named: bool) -> None:
        self.value, self.path, self.named, self.count = value, path, named, 1
        self.node: Any = None
        self.name = ""


class Writer:
    """One graph being written."""

    def __init__(self) -> None:
        self._slots: dict[int, Slot] = {}
        self._alive: list[Any] = []
        self._found: list[Slot] = []
        self._views: list[View] = []
        self._names: set[str] = set()
        self._handles: list[Slot] = []
        self._depth = 0

    def graph(self, model: Any, name: str = "model") -> tuple[dict[str, Any], list[Region]]:
        """The members `format, version, root, objects` of spec.json, and the regions. Raises Unsupported."""
        root = self.encode(model, name)
        order: list[Slot] = []
        stack, self._found = self._found[::-1], []
        while stack:
            slot = stack.pop()
            order.append(slot)
            slot.node = self._describe(slot.value, slot.path)
            stack.extend(reversed(self._found))
            self._found = []
        self._tell_handles([slot.value for slot in order if isinstance(slot.value, nn.Module)])
        regions = plan(self._views)
        objects: dict[str, Any] = {}
        hoisted: list[Slot] = []
        root = self._finish(root, hoisted)
        for slot in order:
            hoisted.append(slot)
            while hoisted:
                current = hoisted.pop()
                objects[current.name] = self._finish(current.node, hoisted)
        spec = {"format": FORMAT, "version": VERSION, "root": root, "objects": in_order(root, objects)}
        return spec, regions

    def encode(self, value: Any, path: str) -> Any:
        """The node for a value: JSON, a tagged value, or the Slot of something with an identity."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return value if _is_text(value) else refuse(path, "a text with a lone surrogate", "keep it as bytes")
        if kind is int:
            return value if -(2**63) <= value < 2**63 else {"$int": hex(value)}
        if kind is float:
            return _float(value)
        if id(value) in self._slots:
            slot = self._slots[id(value)]
            slot.count += 1
            return slot
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
            return {tag.key: tag.write(value, inside)}
        if isinstance(value, enum.Enum):
            if value.name not in kind.__members__:
                refuse(path, f"a combination of members of {kind.__qualname__}", "keep its integer value")
            return {"$enum": name_of(kind, path), "member": value.name}
        if isinstance(value, np.generic):
            return numpy_scalar(value, inside, path)
        if isinstance(value, np.dtype):
            return (
                {"$npdtype": value.str}
                if value.fields is None
                else refuse(path, "a structured dtype", "keep its parts")
            )
        if isinstance(value, type):
            return {"$class": name_of(value, path)}
        if isinstance(value, FUNCTIONS):
            if inspect.isbuiltin(value) and not isinstance(value.__self__, types.ModuleType | None):
                refuse(
                    path, f"the method {value.__name__} of a built-in object", "call it in a function of your module"
                )
            return {"$function": name_of(value, path)}
        codec = codec_name(kind)
        if (
            codec and codec.startswith("pandas:") and codec.endswith(("Index", "Dtype"))
        ):  # immutable: no identity of its own
            return self._codec(value, codec, path)
        return self._identified(value, kind, codec, path, inside)

    def _identified(self, value: Any, kind: type, codec: str | None, path: str, inside: Any) -> Any:
        container = CONTAINERS.get(kind)
        slot = Slot(value, path, named=False)
        self._slots[id(value)] = slot
        self._alive.append(value)
        if kind is dict and all(type(key) is str and not key.startswith("$") and _is_text(key) for key in value):
            slot.node = {key: inside(item, f"[{key!r}]") for key, item in value.items()}
        elif kind is list:
            slot.node = [inside(item, f"[{position}]") for position, item in enumerate(value)]
        elif container is not None:
            payload = container.write(value, inside)
            if kind in (set, frozenset):
                payload = sorted(payload, key=_set_order(path))
            slot.node = {container.key: payload}
        elif isinstance(value, tuple):
            if not hasattr(kind, "_fields") or not hasattr(kind, "_make"):
                refuse(path, f"a {kind.__qualname__}, a subclass of tuple", "use a tuple or a namedtuple")
            items = [inside(item, f".{field}") for field, item in zip(kind._fields, value, strict=True)]
            slot.node = {"$namedtuple": name_of(kind, path), "items": items}
        elif kind is functools.partial:
            node = {"$partial": inside(value.func, ".func"), "args": [], "keywords": {}}
            node["args"] = [inside(item, f".args[{n}]") for n, item in enumerate(value.args)]
            node["keywords"] = {key: inside(item, f".keywords[{key!r}]") for key, item in value.keywords.items()}
            slot.node = node
        elif kind is types.MethodType:
            owner, name = value.__self__, value.__name__
            if isinstance(owner, type) or inspect.getattr_static(type(owner), name, None) is not value.__func__:
                refuse(path, f"the bound method {name}, which its object's class does not define", "store the object")
            _check_method(type(owner), name, path)
            slot.node = {"$method": inside(owner, ".__self__"), "name": name}
        elif codec is not None:
            slot.node = self._codec(value, codec, path)
        elif kind is np.ndarray:
            slot.node = array_node(value, self._unique(path), self._views, inside, path)
        else:
            slot.named, slot.name = True, self._unique(path)
            self._found.append(slot)
        if isinstance(value, tuple | frozenset) and slot.count == 1 and not _holds_slot(slot.node):
            del self._slots[id(value)]  # a constant: equal ones may be one object
            return slot.node
        return slot

    def _codec(self, value: Any, name: str, path: str) -> dict[str, Any]:
        try:
            state = CODECS[name].state(value)
        except Unsupported as error:
            raise Unsupported(f"{path}: {error}") from error
        self._alive.append(state)
        return {"$codec": name, "state": {key: self.encode(item, f"{path}.{key}") for key, item in state.items()}}

    def _describe(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, torch.Tensor):
            name = self._slots[id(value)].name
            node = tensor_node(value, name, self._views, lambda item, suffix: self.encode(item, path + suffix), path)
            if vars(value):
                node["attributes"] = self._attributes(vars(value), path)
            return node
        if isinstance(value, nn.Module):
            return self._module(value, path)
        if type(value) is RemovableHandle:
            self._handles.append(self._slots[id(value)])
            return {}
        return self._object(value, path)

    def _tell_handles(self, modules: list[nn.Module]) -> None:
        """Describe the handles of hooks, once all modules are known."""
        for slot in self._handles:
            module, where = handle_node(slot.value, modules, slot.path)
            slot.node = {"$handle": None if module is None else self._slots[id(module)], **where}

    def _module(self, module: nn.Module, path: str) -> dict[str, Any]:
        cls = base_class(module)
        node: dict[str, Any] = {"$module": name_of(cls, path)}
        state, computed = own_state(module, path)
        state = {name: item for name, item in state.items() if name not in BARE and name != CALL}
        node["training"] = module.training
        for key in ("parameters", "buffers", "modules"):
            node[key] = self._attributes(vars(module)["_" + key], path)
        node["non_persistent"] = sorted(vars(module)["_non_persistent_buffers_set"])
        if cls is not type(module):
            node["parametrized"] = list(module.parametrizations)
        node["hooks"] = hook_nodes(module, path, lambda item, suffix: self.encode(item, path + suffix))
        if (full := vars(module)["_is_full_backward_hook"]) is not None:
            node["full_backward"] = full
        node["computed"] = computed
        node["attributes"] = self._attributes(state, path)
        node = {key: item for key, item in node.items() if item not in ({}, [])}
        return self._with_call(node, module, path)

    def _with_call(self, node: dict[str, Any], value: Any, path: str) -> dict[str, Any]:
        """The node with the noted call in second place. Its arguments come last: what is an attribute is named so."""
        if (note := noted(value)) is None:
            return node
        tag, name = next(iter(node.items()))
        call = {key: self.encode(item, f"{path}({key})") for key, item in note["arguments"].items()}
        return {tag: name, **({"caller": note["of"]} if note["of"] != name else {}), "call": call, **node}

    def _object(self, value: Any, path: str) -> dict[str, Any]:
        cls = type(value)
        what = f"an object of {cls.__module__}.{cls.__qualname__}"
        if isinstance(value, types.ModuleType):
            refuse(path, f"the module {value.__name__}", "import it where it is used")
        slots = {}
        for base in cls.__mro__:
            names = vars(base).get("__slots__", ())
            for name in (names,) if isinstance(names, str) else names:
                full = f"_{base.__name__.lstrip('_')}{name}" if name[:2] == "__" != name[-2:] else name
                if name not in ("__dict__", "__weakref__") and hasattr(value, full):
                    slots[full] = getattr(value, full)
        way_out = "make it in preprocess, or register a codec for it"
        if not (hasattr(value, "__dict__") or any("__slots__" in vars(base) for base in cls.__mro__)):
            refuse(path, what + ", whose state is not visible to Python", way_out)
        if next(base for base in cls.__mro__ if not base.__flags__ & 1 << 9) is not object:
            refuse(path, what + ", which derives from a built-in type", "keep the built-in value in an attribute")
        if cls.__reduce__ is not object.__reduce__ or cls.__reduce_ex__ is not object.__reduce_ex__:
            refuse(path, what + ", which says in __reduce__ how it is copied", "register a codec for it")
        if _hides_state(cls):
            refuse(path, what + ", part of whose state is not visible to Python", way_out)
        node: dict[str, Any] = {"$object": name_of(cls, path)}
        state = {key: item for key, item in getattr(value, "__dict__", {}).items() if key != CALL}
        if attributes := self._attributes(state, path):
            node["attributes"] = attributes
        if slots:
            node["slots"] = self._attributes(slots, path)
        return self._with_call(node, value, path)

    def _attributes(self, state: dict[str, Any], path: str) -> dict[str, Any]:
        for key in state:
            if type(key) is not str or key.startswith("$") or not _is_text(key):
                refuse(path, f"an object with an attribute called {key!r}", "name it with a letter")
        return {key: self.encode(item, f"{path}.{key}") for key, item in state.items()}

    def _unique(self, path: str) -> str:
        name, number = path, 1
        while name in self._names:
            number += 1
            name = f"{path}~{number}"
        self._names.add(name)
        return name

    def _finish(self, node: Any, hoisted: list[Slot]) -> Any:
        """Replace slots by references, or by what they hold where nothing else refers to it."""
        if isinstance(node, Slot):
            if not node.named and node.count == 1:
                return self._finish(node.node, hoisted)
            if not node.name:
                node.name = self._unique(node.path)
                hoisted.append(node)
            return {"$ref": node.name}
        if isinstance(node, dict):
            return {key: self._finish(item, hoisted) for key, item in node.items()}
        if isinstance(node, list):
            return [self._finish(item, hoisted) for item in node]
        return node


def in_order(root: Any, objects: dict[str, Any]) -> dict[str, Any]:
    """The objects that `root` reaches, each after all that it refers to, the last reference of a cycle aside.

    That is the order in which a depth-first walk from the root, along references as they are written, leaves them.
    """
    ordered: dict[str, Any] = {}
    entered: set[str] = set()
    walk = [(None, references(root))]
    while walk:
        name, left = walk[-1]
        target = next(left, None)
        if target is None:
            walk.pop()
            if name is not None:
                ordered[name] = objects[name]
        elif target not in entered:
            entered.add(target)
            walk.append((target, references(objects[target])))
    return ordered


def references(node: Any) -> Iterator[str]:
    """The names in a node's references, as they are written."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
            return
        for item in node.values():
            yield from references(item)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def _check_method(cls: type, name: str, path: str) -> None:
    """Refuse a bound method that no reader would bind, whatever modules it trusts."""
    known = f"{cls.__module__}:{cls.__qualname__}" in allowed() or cls in VALUES or cls in CONTAINERS or codec_name(cls)
    try:
        method(cls, name, () if known else (cls.__module__,))
    except ArtifactError:
        refuse(path, f"the method {name} of a {cls.__qualname__}", "call it in a function of your module")


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _float(value: float) -> Any:
    if math.isfinite(value) and not (value == 0 and math.copysign(1, value) < 0):
        return value
    return {"$float": repr(value)}


def _holds_slot(node: Any) -> bool:
    if isinstance(node, dict):
        return any(map(_holds_slot, node.values()))
    return isinstance(node, Slot) or (isinstance(node, list) and any(map(_holds_slot, node)))


def _set_order(path: str) -> Any:
    """Sort key for a set's nodes; refuses elements with an identity, whose order would differ between processes."""

    def key(node: Any) -> str:
        if _holds_slot(node):
            refuse(path, "a set of objects", "use a list: a set of objects has no order that is the same everywhere")
        return repr(node)

    return key


def _hides_state(cls: type) -> bool:
    """Whether instances have memory that neither their attributes nor their slots account for.

    Since Python 3.12 files and the like are heap types, which only their size tells from a class written in Python.
    Source: `object_getstate_default` of CPython's typeobject.c, which refuses to pickle for the same reason.
    """
    pointer = struct.calcsize("P")
    size = object.__basicsize__ + pointer * ((cls.__dictoffset__ > 0) + (cls.__weakrefoffset__ > 0))
    for base in cls.__mro__:
        names = vars(base).get("__slots__", ())
        names = (names,) if isinstance(names, str) else names
        size += pointer * sum(name not in ("__dict__", "__weakref__") for name in names)
    return cls.__basicsize__ > size
