"""What every export to ONNX builds anew and is the same for every model: kept, for a process that exports many.

`torch.onnx.export` translates 500 functions of onnxscript into a registry, asks torch again and again which of its
operators are composed of others, and registers 12,000 kernels, each with type hints that are made for it alone: most of
what the export of a tiny model takes. None of it depends on the model, unless it brings operators of its own, and then
all is found anew. For the corpus alone (see `warm`): a user's export pays for them, so whatever is timed does too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def keep() -> None:
    """Build the tables, and have torch use them for the rest of this process and of its forks."""
    _keep_composed()
    _keep_registry()
    _register_without_hints()


def _operators() -> tuple[str, ...]:
    """The names of all operators that there are: of them the tables are made."""
    import torch

    return tuple(torch._C._dispatch_get_all_op_names())


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
