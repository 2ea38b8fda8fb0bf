"""Ways to save a model: a table of names, nothing imported until it is asked for.

The table names a class and what must be installed for it. It says nothing of what a backend can do: that is measured.
Other packages add rows through the entry point group `roundtrip.backends`; see CONTRIBUTING.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.base import Backend, UnsupportedModel


@dataclass(frozen=True)
class BackendEntry:
    """One row of the table: where the class is, and what it needs."""

    target: str
    """`module:Class`, imported on first use."""
    requires: tuple[str, ...] = ()
    """Top-level import names that must be installed."""
    extra: str | None = None
    """The extra of `roundtrip-bench` that installs them; None when the base install does."""
    slow: bool = False
    """One of the dearest, for its library's imports, its exporter or its codec, or the costly variant of another row: a
    run leaves it out that does not ask for it, so that it takes five minutes on two cores."""
    preload: tuple[str, ...] = ()
    """Modules of the library that take a good part of a second to import: a run imports them once for all cells."""


# what torch.export imports when it is first called: half a second to two seconds, in 1,400 modules
_EXPORTER = (
    "torch.export._trace", "torch._export.passes", "torch._export.non_strict_utils", "torch._export.serde.serialize",
    "torch.export.pt2_archive._package",
)  # fmt: skip
_ONNX = ("onnx", "onnxruntime", "onnxscript")
_ONNX_EXPORTER = ("onnxscript.function_libs.torch_lib.ops", "torch.onnx._internal.exporter._torchlib.ops")

BUILT_IN: dict[str, BackendEntry] = {
    "pickle": BackendEntry("backends.pickle_:Pickle"),
    "dill": BackendEntry("backends.dill_:Dill", ("dill",)),
    "dill_recurse": BackendEntry("backends.dill_:DillRecurse", ("dill",)),
    "cloudpickle": BackendEntry("backends.cloudpickle_:CloudPickle", ("cloudpickle",)),
    "cloudpickle_by_value": BackendEntry("backends.cloudpickle_:CloudPickleByValue", ("cloudpickle",)),
    "joblib": BackendEntry("backends.joblib_:Joblib", ("joblib",), "joblib"),
    "joblib_zlib": BackendEntry("backends.joblib_:JoblibZlib", ("joblib",), "joblib", slow=True),
    "jsonpickle": BackendEntry(
        "backends.jsonpickle_:JsonPickle", ("jsonpickle",), "jsonpickle", slow=True, preload=("jsonpickle.ext.pandas",)
    ),
    "jsonpickle_keys": BackendEntry(
        "backends.jsonpickle_:JsonPickleKeys",
        ("jsonpickle",),
        "jsonpickle",
        slow=True,
        preload=("jsonpickle.ext.pandas",),
    ),
    "torch_save": BackendEntry("backends.torch_save:TorchSave"),
    "torch_save_mmap": BackendEntry("backends.torch_save:TorchSaveMmap"),
    "torch_save_protocol5": BackendEntry("backends.torch_save:TorchSaveProtocol5"),
    "torch_save_dill": BackendEntry("backends.torch_save:TorchSaveDill", ("dill",)),
    "torch_package": BackendEntry("backends.torch_package:TorchPackage"),
    "state_dict": BackendEntry("backends.state_dict:StateDict"),
    "state_dict_config": BackendEntry("backends.state_dict:StateDictConfig"),
    "safetensors": BackendEntry("backends.safetensors_:Safetensors", ("safetensors",)),
    "safetensors_config": BackendEntry("backends.safetensors_:SafetensorsConfig", ("safetensors",)),
    "hf_mixin": BackendEntry(
        "backends.hf_mixin:HfMixin", ("huggingface_hub",), "hf", preload=("huggingface_hub.hub_mixin",)
    ),
    "tensorizer": BackendEntry(
        "backends.tensorizer_:Tensorizer", ("tensorizer",), "tensorizer", preload=("tensorizer",)
    ),
    "tensorizer_verified": BackendEntry(
        "backends.tensorizer_:TensorizerVerified", ("tensorizer",), "tensorizer", slow=True, preload=("tensorizer",)
    ),
    "aijson": BackendEntry("backends.aijson_:AiJson", ("aijson",), "aijson"),
    "json_spec": BackendEntry("backends.json_spec.backend:JsonSpec", ("safetensors",), preload=("safetensors.torch",)),
    "json_spec_source": BackendEntry(
        "backends.json_spec.backend:JsonSpecSource", ("safetensors",), preload=("safetensors.torch",)
    ),
    "torchscript": BackendEntry("backends.torchscript:TorchScript"),
    "torchscript_trace": BackendEntry("backends.torchscript:TorchScriptTrace"),
    "torch_export": BackendEntry("backends.torch_export:TorchExport", slow=True, preload=_EXPORTER),
    "torch_export_static": BackendEntry("backends.torch_export:TorchExportStatic", slow=True, preload=_EXPORTER),
    "onnx": BackendEntry("backends.onnx_:Onnx", _ONNX, "onnx", slow=True, preload=(*_EXPORTER, *_ONNX_EXPORTER)),
    "onnx_static": BackendEntry(
        "backends.onnx_:OnnxStatic", _ONNX, "onnx", slow=True, preload=(*_EXPORTER, *_ONNX_EXPORTER)
    ),
    "onnx_torchscript": BackendEntry("backends.onnx_:OnnxTorchScript", ("onnx", "onnxruntime"), "onnx", slow=True),
    "skops": BackendEntry("backends.skops_:Skops", ("skops",), "skops", preload=("skops.io",)),
    "mlflow_pyfunc": BackendEntry(
        "backends.mlflow_pyfunc:MlflowPyfunc", ("mlflow",), "mlflow", slow=True, preload=("mlflow.pyfunc",)
    ),
    "mlflow_pyfunc_from_code": BackendEntry(
        "backends.mlflow_pyfunc:MlflowPyfuncFromCode", ("mlflow",), "mlflow", slow=True, preload=("mlflow.pyfunc",)
    ),
    "torchserve_mar": BackendEntry(
        "backends.torchserve_mar:TorchServeMar", ("ts", "model_archiver"), "torchserve", slow=True
    ),
    "bentoml": BackendEntry(
        "backends.bentoml_:BentoML", ("bentoml",), "bentoml", slow=True, preload=("bentoml.pytorch",)
    ),
}

__all__ = ["BUILT_IN", "Backend", "BackendEntry", "UnsupportedModel"]
