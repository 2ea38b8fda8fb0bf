"""What every export to ONNX builds anew and is the same for every model: kept, for a process that exports many.

`torch.onnx.export` translates 500 functions of onnxscript into a registry, and asks torch 60 times which of its
operators are composed of others: two thirds of what the export of a tiny model takes. Neither depends on the model,
unless it brings operators of its own, and then both are found anew. For the corpus alone: a user's export pays for
them, so whatever is timed does too.
"""

from __future__ import annotations

from typing import Any


def keep_tables() -> None:
    """Build the tables, and have torch use them for the rest of this process and of its forks."""
    import torch
    import torch._export.utils
    from torch.export import decomp_utils
    from torch.onnx import _constants
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    utils = torch._export.utils
    build, collect, materialize = (
        ONNXRegistry.from_torchlib, utils._collect_all_valid_cia_ops, utils._materialize_cpp_cia_ops
    )  # fmt: skip
    registries: dict[Any, ONNXRegistry] = {}
    materialized: set[tuple[str, ...]] = set()
    collecting = False

    def operators() -> tuple[str, ...]:
        return tuple(torch._C._dispatch_get_all_op_names())

    def registry(opset_version: int) -> ONNXRegistry:
        key = (opset_version, operators())
        if key not in registries:
            registries[key] = build(opset_version)
        copy = ONNXRegistry()  # an export may add to it
        copy._opset_version = opset_version
        copy.functions = {name: list(found) for name, found in registries[key].functions.items()}
        return copy

    def materialize_once() -> None:
        if collecting:
            return
        if (names := operators()) not in materialized:
            materialize()
            materialized.add(names)

    def collect_at_once() -> set:
        nonlocal collecting
        materialize_once()
        collecting = True
        try:
            return collect()
        finally:
            collecting = False

    ONNXRegistry.from_torchlib = staticmethod(registry)
    utils._materialize_cpp_cia_ops = materialize_once
    utils._collect_all_valid_cia_ops = decomp_utils._collect_all_valid_cia_ops = collect_at_once
    registry(_constants.ONNX_DEFAULT_OPSET)
    torch.export.default_decompositions().items()
