"""From a spec to the model: audit every name, then build; nothing that the file chooses is run.

Named objects are made empty first and filled afterwards, so that cycles work; what hashes its contents (sets, dicts
with other keys than text) is filled last.
"""

from __future__ import annotations

import collections
import enum
import functools
import inspect
import math
import operator
import types
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from backends.json_spec import layouts, objects
from backends.json_spec.bundle import Bundle
from backends.json_spec.calls import CALL
from backends.json_spec.codecs import CODECS, restore
from backends.json_spec.errors import ArtifactError
from backends.json_spec.forms import NAMED, tag_of
from backends.json_spec.leaves import read_array, read_dtype, read_scalar
from backends.json_spec.modules import BARE, restore_class, restore_derived, restore_handle, restore_hooks
from backends.json_spec.places import Places
from backends.json_spec.tensors import Weights
from backends.json_spec.trust import BUILTIN_METHODS, class_method, method, resolve
from backends.json_spec.values import CONTAINERS, VALUES, Tag

VALUE_TAGS: dict[str, Tag] = {tag.key: tag for tag in [*VALUES.values(), *CONTAINERS.values()]}
MEMBERS = {"parameters": torch.Tensor, "buffers": torch.Tensor, "modules": nn.Module}
"""Tables of a module, and what they hold beside None."""
TENSORS = frozenset([torch.Tensor, nn.Parameter])
"""Of which most are; to ask whether a Parameter is a tensor takes torch longer than to find its class here."""
_MEMBERS = [(key, "_" + key, kind, TENSORS if kind is torch.Tensor else ()) for key, kind in MEMBERS.items()]
LEAVES = frozenset([str, int, float, bool, type(None)])
"""Nodes that stand for themselves."""
_BARE = [(key, type(value)) for key, value in BARE.items() if hasattr(value, "__len__")]
"""Attribute of every module that is a container, and its type."""
_NOTHING: dict[str, Any] = {}
_ONE_NAME = "two members of a module have one name, or the name of a field of torch's own"
COPIED_SLACK_BYTES = 16 << 20
"""What is copied or computed at load is in the file once for every copy; more than twice that is an attempt to fill the
memory."""
REFERENCE_LIMIT = 100
"""References within references that are followed before anything mutable intervenes; writers nest no deeper."""


class Reader:
    """One graph being built; `audit` has passed."""

    _in_order = True
    """Whether modules and tensors are made in the order of the file, in which what they hold comes before them."""
    _contains_itself = "contains itself by way of values that cannot be changed once made"

    def __init__(
        self, objects: dict[str, Any], weights: Weights, trust: Collection[str], bundle: Bundle | None = None
    ) -> None:
        self._objects, self._weights, self._trust, self._bundle = objects, weights, tuple(trust), bundle
        self._built: dict[str, Any] = {}
        self._building: set[str] = set()
        self._fills: list[Callable[[], None]] = []
        self._late: list[Callable[[], None]] = []
        self._resolved: dict[tuple[str, str], Any] = {}
        self._copied_bytes = 0
        self._places, self._filled = Places(), Places()
        """What will be hashed when it is made, and when the objects in it are filled."""
        self._modules: list[tuple[nn.Module, dict[str, Any]]] = []
        self._handles: dict[Any, Any] = {}
        self._last: list[Callable[[], None]] = []
        self._plain_classes: dict[str, type | None] = {}
        self._member_names: set[str] = set()
        """Names of parameters, buffers and children that were seen to be possible."""

    def build(self, root: Any) -> Any:
        """The model. Raises ArtifactError where the graph makes no sense."""
        if self._in_order:
            self._make_in_order()
        model = self.decode(root)
        self.complete()
        return model

    def _make_in_order(self) -> None:
        """Make the tensors and modules that come by a short way; all else is made where something refers to it."""
        built, weights, modules = self._built, self._weights, self._modules
        for name, node in self._objects.items():
            if type(node) is not dict or name in built:
                continue
            if "$tensor" in node:
                if (tensor := layouts.read_plain(node, weights)) is not None:
                    built[name] = tensor
            elif "$module" in node and (cls := self._plain_class(node["$module"])) is not None:
                module = built[name] = object.__new__(cls)
                modules.append((module, node))
                self._fill_module(module, node)
                if "call" in node or "slots" in node:
                    self._fill_rest(module, node)

    def _plain_class(self, name: str) -> type | None:
        """The class of modules that have no built-in type under them; None where a name is of another kind."""
        if name not in self._plain_classes:
            cls = self._resolve(name, "module")
            plain = issubclass(cls, nn.Module) and objects.native_base(cls) is object
            self._plain_classes[name] = cls if plain else None
        return self._plain_classes[name]

    def complete(self) -> None:
        """Fill all that was made empty, and let torch compute again what it derives."""
        for stage in (self._fills, self._late):
            while self._fills or stage:
                (self._fills or stage).pop()()
        modules, self._modules = self._modules, []
        for module, node in modules:
            if "parametrized" in node:
                restore_class(module, node["parametrized"])
        for module, node in modules:
            if "computed" in node or isinstance(module, nn.RNNBase):
                restore_derived(module, node.get("computed", ()), self._spend)
        while self._last:
            self._last.pop()()

    def decode(self, node: Any) -> Any:
        """The value of a node."""
        kind = type(node)
        if kind in LEAVES:
            return node
        if kind is list:
            return [self.decode(item) for item in node]
        if kind is not dict:
            return node
        tag = tag_of(node)
        if tag is None:
            return {key: self.decode(item) for key, item in node.items()}
        if tag == "$ref":
            return self._reference(node["$ref"])
        if tag == "$tuple":
            return tuple([item if type(item) in LEAVES else self.decode(item) for item in node["$tuple"]])
        if tag in VALUE_TAGS:
            made = VALUE_TAGS[tag].make(node[tag], self._key if tag == "$frozenset" else self.decode)
            self._schedule(VALUE_TAGS[tag], made, node[tag])
            return made
        return self._tagged(tag, node)

    def _schedule(self, tag: Tag, target: Any, payload: Any) -> None:
        if tag.fill is not None:
            if tag.keyed and not _simple_keys(tag.key, payload):
                self._late.append(functools.partial(self._make_keys, tag, target, payload))
            else:
                self._fills.append(functools.partial(tag.fill, target, payload, self.decode))

    def _make_keys(self, tag: Tag, target: Any, payload: Any) -> None:
        """Make what will be hashed, and leave the rest until that is filled: a hash may take any attribute."""
        made = {id(node): self._key(node) for node in _keys(tag.key, payload)}

        def fill() -> None:
            self._filled.go_through([made[id(node)] for node in _keys(tag.key, payload) if not _is_leaves(node)])
            tag.fill(target, payload, lambda n: made[id(n)] if id(n) in made else self.decode(n))

        self._late.append(fill)

    def _key(self, node: Any) -> Any:
        """The value of a node that will be hashed."""
        value = self.decode(node)
        if not _is_leaves(node):
            self._places.go_through(value)
        return value

    def _reference(self, name: str) -> Any:
        built = self._built.get(name, self)
        if built is not self:
            return built
        if name in self._building:
            raise ArtifactError(f"{name} {self._contains_itself}")
        if len(self._building) > REFERENCE_LIMIT:
            raise ArtifactError(f"{name} is reached by more than {REFERENCE_LIMIT} references within each other")
        node = self._objects[name]
        if type(node) is dict and "$tensor" in node and "class" not in node:  # leads nowhere: the short way
            made = self._built[name] = self._tensor("$tensor", node)
            return made
        if isinstance(node, list) or (isinstance(node, dict) and tag_of(node) is None):
            made = self._built[name] = [] if isinstance(node, list) else {}
            self._fills.append(lambda: _fill_plain(made, node, self.decode))
            return made
        self._building.add(name)
        made = self._built[name] = self.decode(node)
        self._building.discard(name)
        return made

    def _tagged(self, tag: str, node: dict[str, Any]) -> Any:
        payload = node[tag]
        if tag in NAMED:
            thing = self._resolve(payload, NAMED[tag])
            if tag in ("$class", "$function"):
                return thing
            return self._made(tag, thing, node)
        if tag == "$int":
            return int(payload, 16)
        if tag == "$float":
            value = float(payload)
            if math.isfinite(value) and value != 0:
                raise ArtifactError("a finite number is tagged as $float")
            return value
        if tag == "$blob":
            data = self._weights.blob(node["entry"])
            if len(data) != payload:
                raise ArtifactError("a byte string's length is not that of its entry")
            return data
        if tag == "$npscalar":
            return read_scalar(node)
        if tag == "$npdtype":
            return read_dtype(payload)
        if tag == "$partial":
            function = self.decode(payload)
            if not callable(function):
                raise ArtifactError("a partial of something that cannot be called")
            made = functools.partial(function, *map(self.decode, node["args"]), **self.decode(node["keywords"]))
            if "attributes" in node:
                self._fills.append(lambda: vars(made).update(self._attributes(node["attributes"])))
            return made
        if tag == "$method":
            owner, name = self.decode(payload), node["name"]
            if isinstance(owner, type):
                return class_method(owner, name, self._trust)
            if name in BUILTIN_METHODS.get(type(owner), ()):
                return getattr(owner, name)
            return types.MethodType(method(type(owner), name, self._trust), owner)
        if tag == "$codec":
            return self._restore(payload, node["state"])
        if tag == "$ndarray":
            return read_array(node, self._weights)
        if tag == "$objectarray":
            array = np.empty(len(node["items"]), object)
            for position, item in enumerate(node["items"]):
                array[position] = self.decode(item)
            return array.reshape(payload)
        if tag == "$handle":
            handle = object.__new__(RemovableHandle)
            module = self.decode(payload)
            self._last.append(lambda: restore_handle(handle, module, node, self._handles))
            return handle
        return self._tensor(tag, node)

    def _tensor(self, tag: str, node: dict[str, Any]) -> torch.Tensor:
        if tag == "$tensor":
            plain = layouts.read_strided(node, self._weights)
        elif tag == "$sparse":
            plain = layouts.read_sparse(node, self.decode, self._spend)
        else:
            plain = layouts.read_quantized(node, self.decode, self._spend)
        tensor = layouts.finish(plain, node, self.decode(node.get("class")))
        if "attributes" in node:
            self._fills.append(lambda: vars(tensor).update(self._attributes(node["attributes"])))
        if "grad" in node:
            self._fills.append(lambda: layouts.set_gradient(tensor, self.decode(node["grad"])))
        return tensor

    def _restore(self, name: str, state: Any) -> Any:
        outer, self._fills = self._fills, []
        values = self.decode(state)  # complete before the codec sees it
        while self._fills:
            self._fills.pop()()
        self._fills = outer
        kept = CODECS[name].kept
        for key in kept:
            if type(part := values.get(key)) is dict:
                self._places.meet(part, len(part))
        self._spend(self._places.go_through([part for key, part in values.items() if key not in kept]))
        return restore(name, values, self._spend)

    def _spend(self, count: int) -> None:
        """Account for bytes that are about to be copied or computed."""
        self._copied_bytes += count
        if self._copied_bytes > 2 * self._weights.size_bytes + COPIED_SLACK_BYTES:
            raise ArtifactError("the file has the same bytes copied again and again")

    def _made(self, tag: str, cls: type, node: dict[str, Any]) -> Any:
        if tag == "$enum":
            names = node.get("members", [node.get("member")])
            if not issubclass(cls, enum.Flag if "members" in node else enum.Enum) or set(names) - set(cls.__members__):
                raise ArtifactError(f"{cls.__qualname__} has not all members {names!r}")
            found = [cls.__members__[name] for name in names]
            return functools.reduce(operator.or_, found, cls(0)) if "members" in node else found[0]
        if tag == "$namedtuple":
            items = [self.decode(item) for item in node["items"]]
            if not issubclass(cls, tuple) or len(getattr(cls, "_fields", ())) != len(items):
                raise ArtifactError(f"{cls.__qualname__} is not a namedtuple of {len(items)} fields")
            return tuple.__new__(cls, items)
        if (tag == "$module") is not issubclass(cls, nn.Module):
            raise ArtifactError(f"{cls.__qualname__} stands as a {tag[1:]}, which it is not")
        made = self._instance(cls, node)
        if isinstance(made, nn.Module):
            self._modules.append((made, node))
        self._fills.append(functools.partial(self._fill_object, made, node))
        return made

    def _instance(self, cls: type, node: dict[str, Any]) -> Any:
        """An instance without attributes; its content, where a built-in type is under it, comes at once or later."""
        base = objects.native_base(cls)
        if base is object and "content" not in node:
            return object.__new__(cls)
        if "content" not in node or base not in objects.FILLED + objects.VALUED:
            raise ArtifactError(f"{cls.__qualname__} derives from {base.__qualname__}, which the file does not fit")
        held = node["content"]
        if isinstance(held, dict) and "$ref" in held:
            held = self._objects[held["$ref"]]
        if base in objects.VALUED:
            return objects.valued(cls, base, self.decode(held))
        tag = tag_of(held) if isinstance(held, dict) else None
        key = tag or {list: "$list", dict: "$dict"}.get(type(held))
        if key != CONTAINERS[base].key:
            raise ArtifactError(f"{cls.__qualname__} derives from {base.__qualname__}, its content does not")
        payload = held[tag] if tag else held if base is list else [[name, item] for name, item in held.items()]
        made = objects.empty(cls, base, payload[0] if base is collections.deque else None)
        self._schedule(CONTAINERS[base], made, payload)
        return made

    def _fill_module(self, made: nn.Module, node: dict[str, Any]) -> None:
        """Give a module what every module has, and its attributes."""
        state, built = made.__dict__, self._built
        state.update(BARE)
        for key, make in _BARE:
            state[key] = make()
        state["training"] = node["training"]
        if "full_backward" in node:
            state["_is_full_backward_hook"] = node["full_backward"]
        attributes, members = node.get("attributes", _NOTHING), _NOTHING
        for key, own, kind, classes in _MEMBERS:
            if key not in node:
                continue
            nodes = node[key]
            if not self._member_names.issuperset(nodes):
                self._check_names(nodes)
            if not (attributes.keys().isdisjoint(nodes) and (not members or members.keys().isdisjoint(nodes))):
                raise ArtifactError(_ONE_NAME)
            members, table = {**members, **nodes} if members else nodes, state[own]
            for name, item in nodes.items():
                if type(item) is dict and "$ref" in item and (target := item["$ref"]) in built:
                    value = built[target]
                elif item is None:
                    table[name] = None
                    continue
                else:  # not yet made
                    value = self.decode(item)
                if type(value) not in classes and not isinstance(value, kind):
                    raise ArtifactError(f"the {key} of a module hold something else")
                table[name] = value
        if "non_persistent" in node:
            state["_non_persistent_buffers_set"].update(node["non_persistent"])
        if "hooks" in node:
            restore_hooks(made, node["hooks"], self.decode, self._handles)
        if attributes:
            self._attributes(attributes, state)
            if len(state) != len(BARE) + len(attributes):
                raise ArtifactError(_ONE_NAME)

    def _fill_object(self, made: Any, node: dict[str, Any]) -> None:
        """Give an object all that its node tells."""
        if isinstance(made, nn.Module):
            self._fill_module(made, node)
        elif node.get("entries_are_attributes"):
            objects.give_entries(made)
        elif "attributes" in node:
            self._attributes(node["attributes"], objects.own_dict(made))
        self._fill_rest(made, node)

    def _fill_rest(self, made: Any, node: dict[str, Any]) -> None:
        """Give an object the call that made it, and its slots."""
        if "call" in node:
            called = node.get("caller", node.get("$module", node.get("$object")))
            vars(made)[CALL] = {"of": called, "arguments": self._attributes(node["call"])}
        for name, item in self._attributes(node["slots"]).items() if "slots" in node else ():
            slot = inspect.getattr_static(type(made), name, None)
            if not isinstance(slot, types.MemberDescriptorType):
                raise ArtifactError(f"{type(made).__qualname__} has no slot {name!r}")
            slot.__set__(made, item)

    def _check_names(self, names: Collection[str]) -> None:
        """Refuse what no parameter, buffer or child of a module may be called."""
        if not all(name and "." not in name for name in names):
            raise ArtifactError("a parameter, buffer or child of a module has a name that is empty or has a dot")
        if not BARE.keys().isdisjoint(names):
            raise ArtifactError(_ONE_NAME)
        self._member_names.update(names)

    def _attributes(self, nodes: Any, made: dict[str, Any] | None = None) -> dict[str, Any]:
        """The values of a table, put into `made` where it is given."""
        if not isinstance(nodes, dict):
            raise ArtifactError("attributes are not an object")
        made, built = {} if made is None else made, self._built
        leaves = LEAVES
        for key, item in nodes.items():
            if type(item) in leaves:
                made[key] = item
            elif type(item) is not dict:
                made[key] = self.decode(item)
            elif "$ref" in item:
                name = item["$ref"]
                made[key] = built[name] if name in built else self._reference(name)
            elif "$tuple" in item and leaves.issuperset(map(type, item["$tuple"])):
                made[key] = tuple(item["$tuple"])
            else:
                made[key] = self.decode(item)
        return made

    def _resolve(self, name: str, kind: str) -> Any:
        if (name, kind) not in self._resolved:
            self._resolved[name, kind] = resolve(name, kind, self._trust, self._bundle)
        return self._resolved[name, kind]


def _fill_plain(made: Any, node: Any, decode: Callable[[Any], Any]) -> None:
    if isinstance(made, list):
        made.extend(map(decode, node))
    else:
        made.update((key, decode(item)) for key, item in node.items())


def _is_leaves(node: Any) -> bool:
    """Whether a node is a plain value, or a tuple of such."""
    return type(node) is not dict or ("$tuple" in node and LEAVES.issuperset(map(type, node["$tuple"])))


def _simple_keys(tag: str, payload: Any) -> bool:
    """Whether everything that will be hashed is plain JSON, so that filling need not wait."""
    return not any(isinstance(key, dict | list) for key in _keys(tag, payload))


def _keys(tag: str, payload: Any) -> list[Any]:
    """The nodes in a dict or a set that will be hashed."""
    if tag == "$defaultdict":
        payload = payload[1]
    return payload if tag == "$set" else [pair[0] for pair in payload]
