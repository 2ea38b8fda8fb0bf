"""What the corpus does once for all its models: what each save or load needs of a library, and no model has a part in.

A module to import, or `module:function` to call. A process of the corpus has it beside what the backend's row preloads;
the processes of timed rounds have not, since a user's would not. A backend that is not here needs nothing.
"""

from __future__ import annotations

FOR_ALL = (
    "torch._dynamo.backends.registry:_lazy_import",
    "torch._inductor.compiler_bisector",
    "torch.export._trace",
    "torch.fx.experimental.validator",
    "torch.nn.attention.flex_attention",
    "torch.distributed.tensor.experimental",
)
"""What torch imports when it compiles for the first time, though it be for the backend `eager`: 0.8 s, for which each
row would pay twice for the sake of three traits."""
LAST = "harness.system.huge_pages:gather"
"""A fork costs 12 ms after it, and 16 without."""

# what the first export of a process imports beside the exporter
_EXPORTER = (
    "torch.fx.experimental.validator", "torch._inductor.ir", "torch._inductor.loop_body",
    "torch._export.passes.replace_autocast_with_hop_pass", "torch._export.passes.replace_set_grad_with_hop_pass",
)  # fmt: skip
_ONNX = (*_EXPORTER, "onnxruntime", "harness.processes.export_tables:keep", "harness.processes.rehearsal:onnx")
_SOURCES = ("harness.processes.source_tables:keep", "harness.processes.rehearsal:json_spec")
_EXPORT = (*_EXPORTER, "harness.processes.library_tables:keep_schema", "harness.processes.rehearsal:torch_export")
_MLFLOW = (
    "mlflow.utils.requirements_utils:_init_modules_to_packages_map",
    "harness.processes.library_tables:keep_versions",
    "harness.processes.rehearsal:mlflow_pyfunc",
)

WARM: dict[str, tuple[str, ...]] = {
    "joblib": ("joblib",),
    "joblib_zlib": ("joblib",),
    "json_spec": _SOURCES,
    "json_spec_source": _SOURCES,
    "torch_export": _EXPORT,
    "torch_export_static": _EXPORT,
    "onnx": _ONNX,
    "onnx_static": _ONNX,
    "onnx_torchscript": (
        "onnx",
        "onnxruntime",
        "torch.onnx._internal.torchscript_exporter.symbolic_opset20",
        "harness.processes.rehearsal:onnx_torchscript",
    ),
    "mlflow_pyfunc": _MLFLOW,
    "mlflow_pyfunc_from_code": _MLFLOW,
    "bentoml": (
        "bentoml._internal.cloud",
        "bentoml._internal.bento",
        "bentoml._internal.utils.analytics",
        "harness.processes.rehearsal:bentoml",
    ),
}
"""By backend."""
