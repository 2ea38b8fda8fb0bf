"""How torch's own values are described in a snapshot: tensors of every layout, modules, generators."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import UninitializedTensorMixin

from harness.snapshot import describe_asked
from harness.snapshot.attributes import attributes

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_BARE = frozenset(vars(torch.nn.Module()))
"""torch's own bookkeeping in a module's `__dict__`: described as parameters, buffers, hooks, not as attributes."""
_REBUILT = frozenset({"_compiled_call_impl", "_flat_weight_refs"})
"""What torch itself never pickles and makes anew: the accelerated copy of `forward` that `Module.compile` leaves
behind; by what a recurrent layer sees, when it is called, that its weights are others now."""
_WRAPPED = frozenset({"forward", "get_compiler_config", "_torchdynamo_orig_callable", "_torchdynamo_wrapper_id"})
"""What `torch.compile` notes on the module that it makes around another: which it wrapped, a child too, and under what
number of the process; its `forward` is made anew of that child."""
_TRACED = frozenset(
    {"_graph", "_code", "_lineno_map", "_prologue_start", "_graphmodule_cls_name", "_graphpair", "_replicate_hook"}
)
"""A GraphModule's own bookkeeping: its graph is described by the steps, and torch writes its code anew from them."""
_HOOKS = tuple(sorted(name for name in _BARE if name.endswith("_hooks")))
_HOOK_FLAGS = tuple(sorted(name for name in _BARE if name.endswith(("_with_kwargs", "_always_called"))))
_NAMED = (torch.dtype, torch.device, torch.layout, torch.memory_format, torch.qscheme)
_PARAMETER_MARKS = frozenset({"_is_param", "_is_buffer"})
_COMPILER = ("torch._dynamo", "torch._inductor", "torch._functorch")


def describe(value: Any, builder: Builder) -> dict | None:
    """A node, or None for what is not torch's. Classes are read from `type`, which no proxy can fake."""
    cls = type(value)
    if issubclass(cls, torch.Tensor):
        return tensor(value, builder)
    if issubclass(cls, torch.nn.Module):
        return module(value, builder)
    if issubclass(cls, _NAMED):
        return builder.node("constant", value, identity=False, facts={"value": str(value)})
    if issubclass(cls, torch.finfo | torch.iinfo):
        return builder.node("constant", value, identity=False, facts={"value": value.dtype})
    if issubclass(cls, torch.Generator):
        facts = {"device": str(value.device), "value": bytes(value.get_state().numpy())}
        return builder.node("generator", value, facts=facts)
    if issubclass(cls, torch.UntypedStorage | torch.TypedStorage):
        untyped = value if cls is torch.UntypedStorage else value._untyped_storage
        view = torch.empty(0, dtype=torch.uint8, device=untyped.device).set_(untyped)
        return builder.node("storage", value, builder.named({"bytes": view}))
    if issubclass(cls, torch.distributions.Transform):
        parts = attributes(value)
        if cls.__name__ != "_InverseTransform":  # its inverse, which is made when it is asked for
            parts.pop("_inv", None)
        return builder.node("object", value, builder.named(parts))
    if cls.__module__ == "torch.utils.hooks" and cls.__name__ == "RemovableHandle":
        node = builder.node("handle", value, builder.named({"takes off": _taken_off(value)}))
        if (table := _table_of(value)) is not None:
            builder.tables.append((node, "hooks_dict_ref()", table))
        return node
    if cls.__module__ == "torch.nn.modules.module" and cls.__name__ == "_WrappedHook":
        return builder.node("hook", value, builder.named({"hook": value.hook}), facts={"hooks": value.with_module})
    if cls.__module__.startswith(_COMPILER):
        return builder.node("opaque", value)
    return None


# --- tensors


def tensor(value: torch.Tensor, builder: Builder) -> dict:
    """Class, dtype, shape, device, layout, requires_grad, the logical values, Python attributes; in a model's state
    also strides, storage, gradient and hooks.

    Logical values: conjugate and negative views are resolved, because no reader can tell; NaNs keep their places and
    lose their payload; -0.0 is not 0.0. The stride of a dimension of length one is arbitrary and left out.
    """
    facts: dict[str, Any] = {"dtype": str(value.dtype), "device": str(value.device)}
    if id(value) not in builder.recomputed:  # else it says how the last call was made
        facts["requires_grad"] = value.requires_grad
    if isinstance(value, UninitializedTensorMixin):
        return builder.node("tensor", value, facts=facts | {"shape": "not initialised"})
    facts["layout"] = str(value.layout)
    facts["parameter"] = isinstance(value, torch.nn.Parameter)
    own = {name: part for name, part in attributes(value).items() if name not in _PARAMETER_MARKS}
    if value.layout == torch.jagged:  # its parts are below; its sizes are symbols that count through the process
        own = {}
    groups = [builder.named(own)]
    if builder.state:
        facts["inference"] = value.is_inference()
        if value.grad_fn is not None and id(value) not in builder.recomputed:
            facts["graph"] = value.grad_fn.name()
        groups += _training_state(value, builder)
    plain = value.detach()
    parts, more = _parts(plain)
    if not plain.is_nested:
        facts["shape"] = list(plain.shape)
    node: dict[str, Any] = {}
    if parts is not None:
        return builder.node("tensor", value, *groups, builder.named(parts), facts=facts | more)
    if builder.state:
        facts["stride"] = [step for step, length in zip(plain.stride(), plain.shape, strict=True) if length != 1]
        if plain.numel() == 0:
            facts["stride"] = []
        node = _storage(plain, builder)
    if plain.device.type != "meta":
        node["numbers"] = builder.numbers(_bytes(plain), facts["dtype"].removeprefix("torch."))
    node = builder.node("tensor", value, *groups, facts=facts, **node)
    if builder.state:
        describe_asked.of_view(plain, node, builder)
    return node


def _training_state(value: torch.Tensor, builder: Builder) -> list[dict]:
    groups = []
    if value.is_leaf and value.grad is not None:
        groups.append(builder.named({"grad": value.grad}, word="grad"))
    for table in ("_backward_hooks", "_post_accumulate_grad_hooks"):
        hooks = getattr(value, table, None)
        if isinstance(hooks, Mapping):
            groups.append(builder.indexed(hooks.values(), f".{table}", "hooks"))
    return groups


def _parts(value: torch.Tensor) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The tensors that a tensor without plain strided values is made of, and facts; None for a plain one."""
    flatten = getattr(value, "__tensor_flatten__", None)
    if flatten is not None:  # a subclass that wraps others: a jagged nested tensor, a quantised weight
        return {name: getattr(value, name) for name in flatten()[0]}, {}
    if value.is_nested:
        return {f"unbind()[{place}]": part for place, part in enumerate(value.unbind())}, {}
    if value.is_quantized:
        facts: dict[str, Any] = {"qscheme": str(value.qscheme())}
        if value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            parts = {"q_scale()": value.q_scale(), "q_zero_point()": value.q_zero_point()}
        else:
            facts["q_axis"] = value.q_per_channel_axis()
            parts = {
                "q_per_channel_scales()": value.q_per_channel_scales(),
                "q_per_channel_zero_points()": value.q_per_channel_zero_points(),
            }
        return {**parts, "int_repr()": value.int_repr()}, facts
    if value.layout == torch.strided:
        return None, {}
    if value.layout == torch.sparse_coo:
        facts = {"coalesced": value.is_coalesced(), "sparse_dim": value.sparse_dim()}
        return {"indices()": value._indices(), "values()": value._values()}, facts
    if value.layout in (torch.sparse_csr, torch.sparse_bsr):
        return {f"{name}()": getattr(value, name)() for name in ("crow_indices", "col_indices", "values")}, {}
    if value.layout in (torch.sparse_csc, torch.sparse_bsc):
        return {f"{name}()": getattr(value, name)() for name in ("ccol_indices", "row_indices", "values")}, {}
    return {"to_dense()": value.to_dense()}, {}  # mkldnn


def _storage(value: torch.Tensor, builder: Builder) -> dict:
    """Which memory, and where in it. The address is the key, so that an array that shares it is seen too."""
    storage = value.untyped_storage()
    if storage.nbytes() == 0:
        return {}
    key = (str(value.device), storage.data_ptr() or storage._cdata)
    return {"storage": [builder.storage(key, storage), value.storage_offset() * value.element_size()]}


def _bytes(value: torch.Tensor) -> bytes:
    with torch._C.DisableTorchFunctionSubclass():
        value = value.as_subclass(torch.Tensor).cpu().resolve_conj().resolve_neg().contiguous()
        if value.numel() == 0:
            return b""
        row = value.as_strided((value.numel(),), (1,))  # a single number may have any stride and be contiguous
        return row.view(torch.uint8).numpy().tobytes()


# --- modules


def _taken_off(handle: Any) -> Any:
    """The hook that a handle would remove; its number counts through the process, and a copy of the table may have
    other keys."""
    table = _table_of(handle)
    return table.get(handle.id) if isinstance(table, Mapping) else None


def _table_of(handle: Any) -> Any:
    reference = getattr(handle, "hooks_dict_ref", None)
    return reference() if isinstance(reference, weakref.ref) else None


def module(value: torch.nn.Module, builder: Builder) -> dict:
    """Class, training flag, parameters, buffers and their persistence, children, hooks, extra state, attributes.

    Everything in `__dict__` and slots counts except what a bare `nn.Module` has there, which differs between versions
    of torch and is described by what it means.
    """
    if isinstance(value, torch.jit.ScriptModule):
        return _script_module(value, builder)
    tables = attributes(value)
    if isinstance(value, torch.nn.RNNBase) and value._weights_have_changed():  # which `forward` sees too
        tables["_flat_weights"] = [getattr(value, name, None) for name in value._flat_weights_names]
    skipped = _BARE | _REBUILT | (_TRACED if isinstance(value, torch.fx.GraphModule) else frozenset())
    if type(value).__module__.startswith(_COMPILER):
        skipped |= _WRAPPED
    parts: dict[str, Any] = {}
    roles: dict[str, str] = {}
    for role in ("parameter", "buffer", "submodule"):
        table = tables.get("_modules" if role == "submodule" else f"_{role}s", {})
        parts.update(table)
        roles.update(dict.fromkeys(table, role))
    for name, part in tables.items():
        if name not in skipped:
            shown = f"__dict__[{name!r}]" if name in parts else name
            parts[shown], roles[shown] = part, "plain attribute"
    builder.recomputed |= {id(tables.get(name)) for name in _recomputed(tables)}
    passing = tables.get("_non_persistent_buffers_set", ())
    persistent = {name: name not in passing for name, role in roles.items() if role == "buffer"}
    groups = [builder.named(parts, roles=roles, persistent=persistent)]
    groups += [
        builder.indexed(tables[table].values(), f".{table}", "hooks")
        for table in _HOOKS
        if isinstance(tables.get(table), Mapping)
    ]
    if type(value).get_extra_state is not torch.nn.Module.get_extra_state:
        groups.append(builder.named({"get_extra_state()": value.get_extra_state()}))
    if isinstance(value, torch.fx.GraphModule) and "_graph" in tables:
        groups.append(builder.indexed(_steps(tables["_graph"]), ".graph"))
    facts = {"training": tables.get("training"), "hooks": _hook_flags(tables), "tables": _odd_tables(tables, builder)}
    node = builder.node("module", value, *groups, facts=facts)
    if builder.state:
        describe_asked.of_hooks(tables, node, builder)
    builder.tables += [(node, name, table) for name, table in tables.items() if name in _BARE and _is_table(table)]
    return node


def _is_table(value: Any) -> bool:
    return isinstance(value, dict | set)


def _odd_tables(tables: Mapping[str, Any], builder: Builder) -> list[str]:
    """Which of its own tables the user has replaced by objects of a class, and by which: what is put in may change."""
    classes = {name: type(tables[name]) for name in sorted(_BARE & tables.keys())}
    return [f"{name}: {builder.type_name(cls)}" for name, cls in classes.items() if builder.is_own(cls.__module__)]


def _steps(graph: torch.fx.Graph) -> Iterator[tuple]:
    """What a traced module does: (operation, target, arguments, keyword arguments) of each step.

    A step goes by its number. One that only fetches an attribute is told where it is used: a pickle traces the module
    anew, which fetches once for each use. torch's own operators go by their names: they remember how they were called.
    """
    numbers: dict[torch.fx.Node, str] = {}
    fetched = 0
    for place, node in enumerate(graph.nodes):
        if node.op == "get_attr":
            numbers[node] = f"self.{node.target}"
            fetched += 1
            continue
        numbers[node] = f"step {place - fetched}"
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), numbers.__getitem__)
        is_operator = isinstance(node.target, torch._ops.OperatorBase | torch._ops.OpOverloadPacket)
        yield (node.op, str(node.target) if is_operator else node.target, tuple(args), tuple(kwargs.items()))


def _recomputed(tables: Mapping[str, Any]) -> list[Any]:
    """The attributes that a hook of torch's computes anew before each call: a pruned weight, a normed one."""
    hooks = [
        hook for hook in tables.get("_forward_pre_hooks", {}).values() if type(hook).__module__.startswith("torch.")
    ]
    return [getattr(hook, "name", None) or getattr(hook, "_tensor_name", None) for hook in hooks]


def _hook_flags(tables: Mapping[str, Any]) -> list[tuple[str, list[int]]]:
    """By flag, the places of the hooks that have it: the numbers in torch's tables count through the process."""
    flags = []
    for flag in _HOOK_FLAGS:
        table = flag.removesuffix("_with_kwargs").removesuffix("_always_called")
        places = [place for place, number in enumerate(tables.get(table, ())) if number in tables.get(flag, ())]
        if places:
            flags.append((flag, places))
    if tables.get("_is_full_backward_hook") is not None:
        flags.append(("_is_full_backward_hook", [int(tables["_is_full_backward_hook"])]))
    return flags


def _script_module(value: torch.jit.ScriptModule, builder: Builder) -> dict:
    """TorchScript keeps its attributes in C++: those that its type names, tensors and children among them. Its code,
    which names types by numbers of the process, is left out."""
    parts = {name: child for name, child in value.named_children()}
    roles = dict.fromkeys(parts, "submodule")
    for role, entries in (
        ("parameter", value.named_parameters(recurse=False)),
        ("buffer", value.named_buffers(recurse=False)),
    ):
        for name, part in entries:
            parts[name], roles[name] = part, role
    for name in torch._C.ConcreteModuleType.from_jit_type(value._c._type()).get_attributes():
        if name not in parts and name not in _BARE:
            parts[name], roles[name] = value._c.getattr(name), "plain attribute"
    facts = {"training": value.training, "original_name": value.original_name}
    return builder.node("module", value, builder.named(parts, roles=roles), facts=facts)
