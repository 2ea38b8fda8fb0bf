"""What an nn.Module has beside attributes: hooks, parametrizations, and values that torch computes from the others.

The names of torch's own bookkeeping are torch 2.6's to 2.14's; a module that has it otherwise is refused.
"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.hooks import RemovableHandle

from backends.json_spec.errors import ArtifactError, refuse

HOOKS = {
    "forward_pre": ("_forward_pre_hooks", {"with_kwargs": "_forward_pre_hooks_with_kwargs"}),
    "forward": (
        "_forward_hooks",
        {"with_kwargs": "_forward_hooks_with_kwargs", "always_call": "_forward_hooks_always_called"},
    ),
    "backward_pre": ("_backward_pre_hooks", {}),
    "backward": ("_backward_hooks", {}),
    "state_dict": ("_state_dict_hooks", {}),
    "state_dict_pre": ("_state_dict_pre_hooks", {}),
    "load_state_dict_pre": ("_load_state_dict_pre_hooks", {}),
    "load_state_dict_post": ("_load_state_dict_post_hooks", {}),
}
"""Our name -> torch's table, and flag -> torch's table of the hooks that have it."""
MORE = {"state_dict": {"public"}, "load_state_dict_pre": {"with_module", "weight_norm"}}
"""Kind -> the fields that hooks of this kind alone may have beside `on`, `call` and their flags."""
TABLES = {table for table, flags in HOOKS.values()} | {t for _, flags in HOOKS.values() for t in flags.values()}
BARE = vars(nn.Module())
_BARE_TYPES = list(map(type, BARE.values()))
FLAT = ("_flat_weights", "_flat_weight_refs")
"""What torch's recurrent layers compute from their parameters."""
_COMPATIBLE = "weight_norm.<locals>._weight_norm_compat_hook"
Encode = Callable[[Any, str], Any]


def base_class(module: nn.Module) -> type:
    """The module's class; for a parametrized one the class that it had before, as torch made the present one."""
    cls = type(module)
    if cls.__module__ == parametrize.__name__ and parametrize.is_parametrized(module):
        return parametrize.type_before_parametrizations(module)
    return cls


def own_state(module: nn.Module, path: str) -> tuple[dict[str, Any], list[str]]:
    """A module's `__dict__` without what every module has, nor what torch derives from the rest of it, and the names of
    what is computed again."""
    state = vars(module)
    if list(map(type, map(state.get, BARE))) != _BARE_TYPES or not BARE.keys() <= state.keys():
        _check_bare(state, path)
    state = {name: value for name, value in state.items() if name not in BARE}
    if isinstance(module, nn.RNNBase):
        expected = [getattr(module, name, None) for name in module._flat_weights_names]
        actual = module._flat_weights
        if len(expected) != len(actual) or any(a is not b for a, b in zip(expected, actual, strict=True)):
            way_out = "call _init_flat_weights() on it"
            refuse(path, "a recurrent layer whose flat weights are not its parameters", way_out)
        for name in FLAT:
            state.pop(name, None)
    computed = []
    for name, way in _computed(module).items():
        value = state.get(name)
        if isinstance(value, torch.Tensor) and value.grad_fn is not None:
            if not _same(value, way.compute()):
                refuse(f"{path}.{name}", "not what its hook makes of the present parameters", "run the module once")
            del state[name]
            computed.append(name)
    return state, computed


def _check_bare(state: dict[str, Any], path: str) -> None:
    """Refuse a module unless it has all that every module has, of the kinds that torch gives it."""
    for name, default in BARE.items():
        kind = dict if isinstance(default, dict) else object if default is None else type(default)
        own = kind is dict and type(state.get(name)) not in (dict, OrderedDict)
        if own or not isinstance(state.get(name), kind) or name not in state:
            refuse(path, f"a module whose {name} is missing or unusual", "call super().__init__() first")


def hook_nodes(module: nn.Module, path: str, encode: Encode) -> list[dict[str, Any]]:
    """Every hook with its flags, by kind and in the order in which they run."""
    nodes, state = [], vars(module)
    for kind, (table, flags) in HOOKS.items():
        for place, (number, hook) in enumerate(state[table].items()) if state[table] else ():
            node: dict[str, Any] = {"on": kind}
            bare = hook
            if type(hook).__name__ == "_WrappedHook":
                node["with_module"], bare = hook.with_module, hook.hook
                if hook.with_module and hook.module() is not module:
                    refuse(f"{path}.{table}[{place}]", "a hook of another module", "register it on its own module")
            if getattr(bare, "__qualname__", "") == _COMPATIBLE and bare.__module__ == parametrizations.__name__:
                node["weight_norm"] = inspect.getclosurevars(bare).nonlocals["name"]
            else:
                node["call"] = encode(bare, f".{kind}_hooks[{place}]")
            if kind == "state_dict" and getattr(hook, "_from_public_api", False):
                node["public"] = True
            nodes.append(node | {flag: True for flag, ids in flags.items() if number in state[ids]})
    return nodes


def restore_hooks(module: nn.Module, nodes: Any, decode: Callable[[Any], Any], handles: dict[Any, Any]) -> None:
    """Hang the hooks of `nodes` onto the module; `handles` gets (id of the module, kind, place) -> their handle."""
    counts: dict[str, int] = {}
    for node in nodes if isinstance(nodes, list) else [None]:
        if not isinstance(node, dict) or node.get("on") not in HOOKS or ("call" in node) is ("weight_norm" in node):
            raise ArtifactError("a module's hooks are not a list of hooks")
        kind = node["on"]
        table, flags = HOOKS[kind]
        if not node.keys() <= {"on", "call", *flags, *MORE.get(kind, ())}:
            raise ArtifactError(f"a {kind} hook has unknown fields")
        hook = decode(node["call"]) if "call" in node else _weight_norm_hook(node["weight_norm"])
        if not callable(hook):
            raise ArtifactError(f"a {kind} hook is not something that can be called")
        if "with_module" in node:
            hook = _wrapped(hook, module if node["with_module"] else None)
        if node.get("public"):
            hook._from_public_api = True  # as register_state_dict_post_hook does
        extra = [vars(module)[flag] for flag in flags.values()]
        handle = RemovableHandle(vars(module)[table], extra_dict=extra)
        vars(module)[table][handle.id] = hook
        for flag, ids in flags.items():
            if node.get(flag):
                vars(module)[ids][handle.id] = True
        handles[id(module), kind, counts.setdefault(kind, 0)] = handle
        counts[kind] += 1


def _wrapped(hook: Any, module: nn.Module | None) -> Any:
    """As torch wraps a hook, and as it unpickles one: its constructor would ask the hook for its name."""
    made = object.__new__(nn.modules.module._WrappedHook)
    made.__setstate__({"hook": hook, "with_module": module is not None, "module": module})
    return made


def _weight_norm_hook(name: Any) -> Any:
    """The local function of torch's that lets a module with `weight_norm` load older state dicts."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ArtifactError(f"a module has no tensor called {name!r}")
    module = nn.Module()
    module.register_parameter(name, nn.Parameter(torch.ones(1, 1)))
    parametrizations.weight_norm(module, name)
    return next(iter(vars(module)["_load_state_dict_pre_hooks"].values())).hook


def handle_node(
    handle: RemovableHandle, modules: list[nn.Module], path: str
) -> tuple[nn.Module | None, dict[str, Any]]:
    """The module whose hook a handle removes, and which hook it is; None and nothing where the hook is gone."""
    hooks = handle.hooks_dict_ref()
    if hooks is None or handle.id not in hooks:
        return None, {}
    for module in modules:
        for kind, (table, _) in HOOKS.items():
            if hooks is vars(module)[table]:
                return module, {"on": kind, "place": list(hooks).index(handle.id)}
    return refuse(path, "the handle of a hook of something outside the model", "drop the handle before saving")


def restore_handle(made: RemovableHandle, module: Any, node: dict[str, Any], handles: dict[Any, Any]) -> None:
    """Make `made` the handle of the hook that `node` tells of."""
    if module is None:
        vars(made).update(vars(RemovableHandle(OrderedDict())))
        return
    try:
        vars(made).update(vars(handles[id(module), node["on"], node["place"]]))
    except (KeyError, TypeError) as error:
        raise ArtifactError("a handle of a hook that is not there") from error


def restore_class(module: nn.Module, names: Any) -> None:
    """Give a module the class that torch makes for modules with parametrizations of the tensors `names`.

    Source: torch.nn.utils.parametrize.register_parametrization, which ends in these two calls.
    """
    lists = vars(module)["_modules"].get("parametrizations")
    if not isinstance(names, list) or not isinstance(lists, nn.ModuleDict) or list(lists) != names:
        raise ArtifactError("a module's parametrizations are not those that it names")
    parametrize._inject_new_class(module)
    for name in names:
        if not name.isidentifier() or name.startswith("__") or hasattr(type(module), name) or name in vars(module):
            raise ArtifactError(f"a module cannot have a parametrized tensor called {name!r}")
        parametrize._inject_property(module, name)


def restore_derived(module: nn.Module, computed: Any, spend: Callable[[int], None]) -> None:
    """Compute again what `own_state` left out. Source: torch.nn.modules.rnn.RNNBase._init_flat_weights.

    No attribute is looked up by a name of the file's choosing other than in the module's own tables, and nothing is
    computed that is larger than the parameter that it comes from; `spend` accounts for its bytes.
    """
    state = vars(module)
    if isinstance(module, nn.RNNBase):
        names = state.get("_flat_weights_names")
        if type(names) is not list or not all(type(name) is str for name in names):
            raise ArtifactError("a recurrent layer does not name its weights")
        weights = [state["_parameters"].get(name, state.get(name)) for name in names]
        if not all(weight is None or isinstance(weight, torch.Tensor) for weight in weights):
            raise ArtifactError("a recurrent layer has weights that are no tensors")
        state["_flat_weights"] = weights
        state["_flat_weight_refs"] = [None if w is None else weakref.ref(w) for w in weights]
        with torch._C.DisableTorchFunctionSubclass():  # a class of the user's may have a method that would run
            nn.RNNBase.flatten_parameters(module)
    ways = _computed(module) if computed else {}
    for name in computed:
        if name not in ways or name in state:
            raise ArtifactError(f"no hook of the module computes {name!r}")
        ways[name].check(name, spend)
        with torch.enable_grad():
            state[name] = ways[name].compute()


@dataclass(frozen=True)
class _Way:
    """How a hook of torch.nn.utils recomputes a tensor of its module."""

    hook: Any
    sources: dict[str, torch.Tensor]
    """Name -> tensor of the module, of which it is made."""
    compute: Callable[[], torch.Tensor]

    def check(self, name: str, spend: Callable[[int], None]) -> None:
        """Refuse what would run something of the file's choosing, or fill the memory; account for bytes with `spend`.

        torch's hooks look their own methods up on themselves, and the file sets their attributes.
        """
        cls = type(self.hook)
        if any(isinstance(inspect.getattr_static(cls, key, None), types.FunctionType) for key in vars(self.hook)):
            raise ArtifactError(f"the hook that computes {name!r} has an attribute where its class has a method")
        sources = self.sources.values()
        if not all(part.is_meta or part.nbytes <= part.untyped_storage().nbytes() for part in sources):
            raise ArtifactError(f"what {name!r} is computed from has no memory for every element")
        if name + "_u" not in self.sources:  # else products with vectors, as large as the first of them
            shape = np.broadcast_shapes(*(tuple(part.shape) for part in sources))  # torch's imports its compiler
            if not any(part.shape == shape for part in sources):
                raise ArtifactError(f"{name!r} would be larger than what it is computed from")
        spend(sum(part.nbytes for part in sources))


WAYS = {
    "torch.nn.utils.weight_norm:WeightNorm": ("name", ("_g", "_v"), lambda hook, made: hook.compute_weight(made)),
    "torch.nn.utils.spectral_norm:SpectralNorm": (
        "name",
        ("_orig", "_u", "_v"),
        lambda hook, made: hook.compute_weight(made, do_power_iteration=False),
    ),
    "torch.nn.utils.prune:": ("_tensor_name", ("_orig", "_mask"), lambda hook, made: hook.apply_mask(made)),
}
"""Class of a hook, or module of all such -> its attribute with the tensor's name, suffixes of that for what the tensor
is made of, and how: torch takes these from the module by `getattr`, here from one that has nothing else."""


def _computed(module: nn.Module) -> dict[str, _Way]:
    """The tensors that hooks of torch.nn.utils recompute before each forward, and how they do it."""
    found: dict[str, _Way] = {}
    state = vars(module)
    if not state["_forward_pre_hooks"]:
        return found
    tables = {**state["_parameters"], **state["_buffers"], **state}
    for hook in state["_forward_pre_hooks"].values():
        kind = f"{type(hook).__module__}:"
        attribute, suffixes, compute = WAYS.get(kind) or WAYS.get(kind + type(hook).__qualname__) or (None, (), None)
        name = vars(hook).get(attribute) if attribute is not None else None
        sources = {f"{name}{suffix}": tables.get(f"{name}{suffix}") for suffix in suffixes}
        if type(name) is str and all(isinstance(part, torch.Tensor) for part in sources.values()):
            found[name] = _Way(hook, sources, functools.partial(compute, hook, types.SimpleNamespace(**sources)))
    return found


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    one, other = one.detach(), other.detach()
    if one.device != other.device:  # `to` leaves behind what a hook has computed
        one, other = one.cpu(), other.cpu()
    return one.dtype == other.dtype and torch.equal(one, other)
