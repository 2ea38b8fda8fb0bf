"""Makes backends/json_spec/allowed/*.csv, the names that any file may use, and says by which rule each is there.

    python -m tests.json_spec.allowed_lists          # write both lists again
    python -m tests.json_spec.allowed_lists --check  # exit with 1 where they differ from the installed libraries

The rules are below; the lists are what a loader reads, so that what a file may name is one exact identity a line and
changes only in a commit. Run it when torch or torchvision move, and read the difference before you commit it. Entries
that an older torch lacks do no harm: they name nothing there.
"""

from __future__ import annotations

import csv
import enum
import importlib
import inspect
import io
import pkgutil
import sys
import types
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from backends.json_spec.objects import hides_state

FOLDER = Path(__file__).parents[2] / "backends" / "json_spec" / "allowed"

WALKED = ("torch.nn.modules", "torch.nn.utils", "torchvision.models", "torchvision.ops", "torchvision.transforms")
"""Packages whose classes are listed: modules, and plain classes, enums and namedtuples that modules there hold."""
LEFT_OUT = {
    "torch.nn.modules.lazy": "not a module yet; once used it is another class",
    "torch.nn.modules._functions": "autograd functions",
    "torch.nn.modules.linear_cross_entropy": "autograd functions",
    "torch.nn.utils._expanded_weights": "autograd functions",
    "torch.nn.utils._named_member_accessor": "sets attributes of other modules by dotted name",
    "torch.nn.utils.stateless": "swaps tensors of other modules",
    "torchvision.models._api": "weights by URL",
    "torchvision.models._utils:_ModelURLs": "weights by URL",
    "torchvision.models.feature_extraction": "traces a model and makes code of it",
    "torchvision.transforms.v2._utils": "helpers without a class",
    "torch.nn.modules.module:_WrappedHook": "holds a weak reference",
    "torch.nn.modules.module:_IncompatibleKeys": "a result, not a part",
    "torch.nn.modules.linear:NonDynamicallyQuantizableLinear": None,
}
"""Module, or `module:class`, that no file needs, and why; None keeps it all the same."""

VALUES = """
builtins: bool bytearray bytes complex dict float frozenset int list object set str tuple
collections: Counter OrderedDict defaultdict deque
datetime: date datetime timedelta
decimal: Decimal
pathlib: Path PosixPath
PIL.Image: Image Resampling Transpose
numpy: int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bool ndarray
torch: Tensor Size
torch.nn.parameter: Parameter
torchvision.tv_tensors._image: Image
torchvision.tv_tensors._mask: Mask
torchvision.tv_tensors._video: Video
torchvision.tv_tensors._bounding_boxes: BoundingBoxes
"""
"""Classes that are named as values (a dtype argument, a default factory) and never made from data."""
ENUMS = """
PIL.Image: Resampling Transpose
torchvision.tv_tensors._bounding_boxes: BoundingBoxFormat
"""

MODULES = """
torch.nn.parallel.data_parallel: DataParallel
torch.optim.swa_utils: AveragedModel
"""
"""Modules that wrap the user's, from packages of which the rest is of no use in a file."""

OBJECTS = """
argparse: Namespace
collections: ChainMap
"""
"""Plain classes that are made from data: they hold attributes and do nothing."""

FUNCTIONS = """
builtins: str.lower str.upper str.strip str.split str.title str.casefold str.capitalize str.join str.encode str.isalnum
builtins: bytes.decode str.isalpha str.isdigit str.islower str.isspace str.lstrip str.rstrip str.splitlines
builtins: abs all any len max min repr round sorted sum
math: ceil cos exp floor log log10 log1p log2 sin sqrt
_operator: add mul neg sub truediv
torch: abs argmax clamp clip cos erf exp log log1p matmul mean relu round sigmoid sin softmax sqrt square stack sum
torch: tanh tensor bmm cat cosine_similarity flatten log_softmax mm
torch.nn.functional: celu cross_entropy elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_softmax
torch.nn.functional: logsigmoid mish mse_loss normalize one_hot pad prelu relu relu6 rrelu selu sigmoid silu softmax
torch.nn.functional: softmin softplus softshrink softsign tanh tanhshrink threshold adaptive_avg_pool2d avg_pool2d
torch.nn.functional: bilinear cosine_similarity dropout interpolate l1_loss layer_norm linear nll_loss smooth_l1_loss
torch.nn.init: kaiming_normal_ kaiming_uniform_ normal_ ones_ trunc_normal_ zeros_
torchvision.ops.boxes: box_iou generalized_box_iou nms batched_nms
torchvision.ops.giou_loss: generalized_box_iou_loss
numpy: abs argmax exp log log1p max mean min sqrt sum tanh
"""
"""Functions of numbers and tensors: none opens, imports, calls by name, writes an attribute or keeps what it gets.

`max`, `min` and `sorted` call their `key`, which is a function that the file may name, or one of a trusted module.
"""
BUILDERS = ("torchvision.models",)
"""Packages of functions that build a model; a call may give them sizes and choices, and no weights to fetch."""
NEVER_GIVEN = {"weights", "pretrained", "progress", "path", "url", "process_group", "device_ids", "quantize"}
"""Arguments that no recorded call may give: they fetch, print or reach other processes."""
FETCHES_UNASKED = {"weights_backbone"}
"""A builder with such a parameter fetches weights when it is not given."""
BUILDER_OPTIONS = ["num_classes", "dropout", "zero_init_residual", "groups", "width_per_group", "width_mult"]
"""What the builders' `**kwargs` hand on to the class."""


def main(arguments: list[str]) -> int:
    """Write the lists, or compare them. Returns the exit status."""
    texts = {"classes.csv": _text(CLASS_COLUMNS, classes()), "functions.csv": _text(FUNCTION_COLUMNS, functions())}
    if arguments == ["--check"]:
        return int(any((FOLDER / name).read_text("utf-8") != text for name, text in texts.items()))
    for name, text in texts.items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


CLASS_COLUMNS = ("name", "use", "public", "arguments")
FUNCTION_COLUMNS = ("name", "use", "public", "arguments")


def classes() -> list[tuple[str, str, str, str]]:
    """Rows of classes.csv, sorted by name and use."""
    rows = {}
    for module in _walk(WALKED):
        for name, thing in vars(module).items():
            if not isinstance(thing, type) or (thing.__module__, thing.__qualname__) != (module.__name__, name):
                continue
            full = f"{module.__name__}:{name}"
            if _left_out(module.__name__, full) or not (use := use_of(thing)):
                continue
            given = parameters(thing) if use in ("module", "object") else []
            rows[full, use] = (full, use, " ".join(_public_names(thing)), " ".join(given))
    for full in _names(MODULES):
        module, _, name = full.partition(":")
        thing = getattr(importlib.import_module(module), name)
        rows[full, "module"] = (full, "module", " ".join(_public_names(thing)), " ".join(parameters(thing)))
    for text, use in ((VALUES, "value"), (ENUMS, "enum"), (OBJECTS, "object")):
        for full in _names(text):
            rows[full, use] = (full, use, "", "")
    return [rows[key] for key in sorted(rows)]


def functions() -> list[tuple[str, str, str, str]]:
    """Rows of functions.csv: `function` may be named and held, `builder` may also be called."""
    rows = {full: (full, "function", "", "") for full in _names(FUNCTIONS)}
    for module in _walk(BUILDERS):
        for name, thing in vars(module).items():
            if not isinstance(thing, types.FunctionType) or thing.__module__ != module.__name__ or name[0] == "_":
                continue
            given = _signature(inspect.unwrap(thing))
            if {"weights", "progress"} <= set(given) and not set(given) & FETCHES_UNASKED:
                options = BUILDER_OPTIONS if "**" in given else []
                allowed = sorted({*given, *options} - NEVER_GIVEN - {"*", "**"})
                full = f"{module.__name__}:{name}"
                rows[full] = (full, "builder", " ".join(_public_names(thing)), " ".join(allowed))
    return [rows[key] for key in sorted(rows)]


def use_of(cls: type) -> str:
    """What a file may do with a class; empty where it may do nothing."""
    if issubclass(cls, nn.Module):
        return "" if cls.__name__.startswith("Lazy") or hasattr(cls, "__del__") else "module"
    if issubclass(cls, enum.Enum):
        return "" if any(hasattr(member.value, "url") for member in cls) or "Weights" in cls.__name__ else "enum"
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return "namedtuple"
    if issubclass(cls, BaseException) or next(b for b in cls.__mro__ if not b.__flags__ & 1 << 9) is not object:
        return ""
    plain = type(cls) is type and not hides_state(cls) and not hasattr(cls, "__del__")
    plain = plain and cls.__reduce__ is object.__reduce__ and not hasattr(cls, "__set_name__")
    return "object" if plain or cls.__module__ == "torch.nn.utils.prune" else ""


def parameters(cls: type) -> list[str]:
    """The names that a recorded call of the class may give, `*` for any number of positional ones.

    What a constructor hands on as `**kwargs` (a GRU's sizes), its base class names.
    """
    names: list[str] = []
    for base in cls.__mro__[: -1 if cls.__mro__[-2] is not nn.Module else -2]:
        if "__init__" in vars(base):
            shown = _signature(base.__init__)[1:]
            names += [name for name in shown if name not in names and name not in NEVER_GIVEN and name != "**"]
            if "**" not in shown:
                break
    return names


def _signature(function: Any) -> list[str]:
    shown = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [shown.get(p.kind, p.name) for p in inspect.signature(function).parameters.values()]


def _walk(roots: tuple[str, ...]) -> list[types.ModuleType]:
    found = []
    for root in roots:
        package = importlib.import_module(root)
        found.append(package)
        for entry in pkgutil.walk_packages(package.__path__, root + "."):
            found.append(importlib.import_module(entry.name))
    return found


def _left_out(module: str, full: str) -> bool:
    if full in LEFT_OUT:
        return LEFT_OUT[full] is not None
    return any(LEFT_OUT.get(prefix) for prefix in _prefixes(module))


def _prefixes(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


PUBLIC = (
    "torch.nn", "torch.nn.utils.rnn", "torchvision.models", "torchvision.models.detection",
    "torchvision.models.segmentation", "torchvision.models.video", "torchvision.models.optical_flow",
    "torchvision.models.quantization", "torchvision.ops", "torchvision.transforms", "torchvision.transforms.v2",
)  # fmt: skip
"""Where people import from; AI-JSONable's files name classes by these."""


def _public_names(thing: Any) -> list[str]:
    own = f"{thing.__module__}:{thing.__qualname__}"
    names = [f"{module}:{thing.__qualname__}" for module in PUBLIC]
    return [
        name
        for name, module in zip(names, PUBLIC, strict=True)
        if name != own and vars(importlib.import_module(module)).get(thing.__qualname__) is thing
    ]


def _names(text: str) -> list[str]:
    lines = (line.partition(":") for line in text.split("\n") if line)
    return [f"{module}:{name}" for module, _, names in lines for name in names.split()]


def _text(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *rows])
    return out.getvalue()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main(sys.argv[1:]))
