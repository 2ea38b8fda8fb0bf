"""What every export to ONNX builds anew and is the same for every model: kept, for a process that exports many.

`torch.onnx.export` translates 500 functions of onnxscript into a registry, asks torch again and again which of its
operators are composed of others, and registers 12,000 kernels, each with type hints that are made for it alone: most of
what the export of a tiny model takes. None of it depends on the model, unless it brings operators of its own, and then
all is found anew. For the corpus alone (see `warm`): a user's export pays for them, so whatever is timed does too.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any


def keep() -> None:
    """Build the tables, and have torch use them for the rest of this process and of its forks."""
    _keep_composed()
    _keep_registry()
    _register_without_hints()
    _keep_overridden(_keep_decompositions())


_registered: tuple[tuple, tuple[str, ...]] = ((), ())
"""What can bring operators, as it was, and the operators that there were then."""


def _operators() -> tuple[str, ...]:
    """The names of all operators that there are: of them the tables are made.

    Asking for them takes as long as saving a tiny model. They come with modules, libraries, or by `torch.library`.
    """
    import torch

    global _registered
    now = (len(sys.modules), frozenset(torch.ops.loaded_libraries), frozenset(torch.library._defs))
    if _registered[0] != now:
        _registered = now, tuple(torch._C._dispatch_get_all_op_names())
    return _registered[1]


def _keep_composed() -> None:
    """Of the operators that are composed of others, `torch._export.utils._collect_all_valid_cia_ops`."""
    import torch._export.utils
    from torch.export import decomp_utils, exported_program

    collect = torch._export.utils._collect_all_valid_cia_ops
    found: dict[tuple[str, ...], set] = {}

    def kept() -> set:
        if (composed := found.get(_operators())) is None:
            composed = collect()  # which may import an operator, so its names are asked for again
            found[_operators()] = composed
        return set(composed)

    for module in (torch._export.utils, decomp_utils, exported_program):
        module._collect_all_valid_cia_ops = kept
    kept()


def _keep_registry() -> None:
    """Of onnxscript's functions, `ONNXRegistry.from_torchlib`."""
    from torch.onnx import _constants
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    build = ONNXRegistry.from_torchlib
    registries: dict[Any, ONNXRegistry] = {}

    def kept(opset_version: int) -> ONNXRegistry:
        key = (opset_version, _operators())
        if key not in registries:
            registries[key] = build(opset_version)
        copy = ONNXRegistry()  # an export may add to it
        copy._opset_version = opset_version
        copy.functions = {name: list(found) for name, found in registries[key].functions.items()}
        return copy

    ONNXRegistry.from_torchlib = staticmethod(kept)
    kept(_constants.ONNX_DEFAULT_OPSET)


def _register_without_hints() -> None:
    """`OperatorBase.py_impl` for a dispatch key, which is all that an export asks it for; else torch's own."""
    import torch
    from torch._ops import OperatorBase

    plain = OperatorBase.py_impl

    def py_impl(self: OperatorBase, key: Any) -> Callable:
        if not isinstance(key, torch._C.DispatchKey) or key == torch._C.DispatchKey.Python:
            return plain(self, key)

        def register(function):
            if key in self.py_kernels:
                return plain(self, key)(function)  # and raises
            self.py_kernels[key] = function
            self._dispatch_cache.clear()
            return function

        return register

    OperatorBase.py_impl = py_impl


def _keep_decompositions() -> dict[Any, Callable]:
    """Of the operators that ONNX lacks, what to decompose them into, and which of them are composed anyway:
    `create_onnx_friendly_decomposition_table` and, of its table, `_split_decomp_table_to_cia_and_python_decomp`.
    Returns the latter."""
    from torch._decomp import decomposition_table
    from torch.export import exported_program
    from torch.onnx import _constants
    from torch.onnx._internal.exporter import _decomp
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    create, split = (
        _decomp.create_onnx_friendly_decomposition_table,
        exported_program._split_decomp_table_to_cia_and_python_decomp,
    )
    created: list[tuple[Any, dict]] = []
    parted: list[tuple[Any, dict, dict]] = []

    def kept_created(implemented: set) -> dict:
        key = (_operators(), set(implemented), dict(decomposition_table))
        if not created or created[0][0] != key:
            made = create(implemented)
            created[:] = [((_operators(), *key[1:]), made)]
        return dict(created[0][1])

    def kept_split(table: dict) -> tuple[dict, dict]:
        key = (_operators(), dict(table))
        if type(table) is not dict:
            return split(table)
        if not parted or parted[0][0] != key:
            composed, rest = split(table)
            parted[:] = [((_operators(), key[1]), dict(composed), dict(rest))]
            return composed, rest
        _, composed, rest = parted[0]
        table.clear()  # it is cut down in place
        table.update(rest)
        return dict(composed), table

    _decomp.create_onnx_friendly_decomposition_table = kept_created
    exported_program._split_decomp_table_to_cia_and_python_decomp = kept_split
    registry = ONNXRegistry.from_torchlib(_constants.ONNX_DEFAULT_OPSET)
    return kept_split(kept_created(set(_decomp.get_onnx_implemented_overloads(registry))))[0]


def _keep_overridden(composed: dict[Any, Callable]) -> None:
    """Of each composed operator, the kernels that `_override_composite_implicit_decomp` gives it while it lasts."""
    from torch._subclasses import fake_impls
    from torch.export import exported_program

    plain, rules = exported_program._override_composite_implicit_decomp, fake_impls.op_implementations_dict
    known: dict[Any, tuple[Callable, dict, dict, Callable]] = {}
    """Operator -> what it is decomposed into, its kernels before and during, its rule for tensors without values."""

    @contextlib.contextmanager
    def kept(composed: dict[Any, Callable]) -> Iterator[None]:
        before: dict[Any, dict] = {}
        with contextlib.ExitStack() as stack:
            stack.callback(_restore, before, fake_impls._deregister_op_impl)
            for operator, decomposed in composed.items():
                kernels = dict(operator.py_kernels)
                was = known.get(operator)
                if was is None or was[0] is not decomposed or was[1] != kernels:
                    has_rule = operator in rules
                    stack.enter_context(plain({operator: decomposed}))
                    if not has_rule:  # else the rule is another's, and it takes that away when it ends
                        known[operator] = (decomposed, kernels, dict(operator.py_kernels), rules[operator])
                    continue
                before[operator] = kernels
                operator.py_kernels.update(was[2])
                operator._dispatch_cache.clear()
                if operator not in rules:
                    fake_impls.register_op_impl(operator)(was[3])
            yield

    exported_program._override_composite_implicit_decomp = kept
    with kept({operator: decomposed for operator, decomposed in composed.items() if operator not in rules}):
        pass


def _restore(kernels: dict[Any, dict], forget: Callable[[Any], None]) -> None:
    """As `_override_composite_implicit_decomp` does it in the end."""
    for operator, before in kernels.items():
        operator.py_kernels.clear()
        operator.py_kernels.update(before)
        operator._dispatch_cache.clear()
        forget(operator)
