"""Which names a file may use, and how a name becomes a class or a function.

A name is `module:qualname`. It is accepted when it is listed here exactly, when it is a class defined in the parts of
torch and torchvision named by CLASS_RULES, or when its module is one that the caller trusts. A name never reaches
through one module into another: what it finds must call itself by that name.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
from collections.abc import Iterable
from typing import Any

from backends.json_spec.errors import ArtifactError, UntrustedName, refuse

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")

FUNCTIONS = frozenset(
    [f"builtins:{name}" for name in ("abs", "all", "any", "len", "max", "min", "repr", "round", "sorted", "sum")]
    + [f"math:{name}" for name in ("ceil", "cos", "exp", "floor", "log", "log10", "log1p", "log2", "sin", "sqrt")]
    + [f"_operator:{name}" for name in ("add", "mul", "neg", "sub", "truediv")]
    + [
        f"torch:{name}"
        for name in [
            "abs",
            "argmax",
            "clamp",
            "clip",
            "cos",
            "erf",
            "exp",
            "log",
            "log1p",
            "matmul",
            "mean",
            "relu",
            "round",
            "sigmoid",
            "sin",
            "softmax",
            "sqrt",
            "square",
            "stack",
            "sum",
            "tanh",
            "tensor",
        ]
    ]
    + [
        f"torch.nn.functional:{name}"
        for name in [
            "celu",
            "cross_entropy",
            "elu",
            "gelu",
            "glu",
            "hardsigmoid",
            "hardswish",
            "hardtanh",
            "leaky_relu",
            "log_softmax",
            "logsigmoid",
            "mish",
            "mse_loss",
            "normalize",
            "one_hot",
            "pad",
            "prelu",
            "relu",
            "relu6",
            "rrelu",
            "selu",
            "sigmoid",
            "silu",
            "softmax",
            "softplus",
            "softsign",
            "tanh",
            "tanhshrink",
            "threshold",
        ]
    ]
    + [
        f"torch.nn.init:{name}"
        for name in ["kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "trunc_normal_", "zeros_"]
    ]
    + [f"torchvision.ops.boxes:{name}" for name in ["box_iou", "generalized_box_iou", "nms", "batched_nms"]]
    + [f"torchvision.ops.giou_loss:{name}" for name in ("generalized_box_iou_loss",)]
    + [
        f"numpy:{name}"
        for name in ["abs", "argmax", "exp", "log", "log1p", "max", "mean", "min", "sqrt", "sum", "tanh"]
    ]
)
"""Functions that any file may name, each by the one name given here."""

CLASSES = frozenset(
    [
        f"builtins:{name}"
        for name in [
            "bool",
            "bytearray",
            "bytes",
            "complex",
            "dict",
            "float",
            "frozenset",
            "int",
            "list",
            "object",
            "set",
            "str",
            "tuple",
        ]
    ]
    + [f"collections:{name}" for name in ["Counter", "OrderedDict", "defaultdict", "deque"]]
    + ["datetime:date", "datetime:datetime", "datetime:timedelta", "decimal:Decimal", "pathlib:Path"]
    + ["pathlib:PosixPath", "PIL.Image:Image", "PIL.Image:Resampling", "PIL.Image:Transpose", "numpy:ndarray"]
    + [f"numpy:{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
    + ["numpy:float16", "numpy:float32", "numpy:float64", "numpy:bool", "torch:Tensor", "torch:Size"]
    + ["torch.nn.parameter:Parameter", "torchvision.tv_tensors._image:Image", "torchvision.tv_tensors._mask:Mask"]
    + ["torchvision.tv_tensors._video:Video", "torchvision.tv_tensors._bounding_boxes:BoundingBoxes"]
)
"""Classes that any file may name as a value (a dtype argument, a default factory); they are not made from data."""

CLASS_RULES = ("torch.nn.", "torchvision.models.", "torchvision.ops.", "torchvision.transforms.")
"""Where any class may be named and made from data; under `torch.nn.` it must be an nn.Module."""


def name_of(thing: Any, path: str) -> str:
    """The name under which a class or function can be found again. Raises Unsupported where there is none."""
    if not isinstance(thing, type) and (listed := _listed_functions().get(id(thing))):
        return listed
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    kind = "class" if isinstance(thing, type) else "function"
    if qualname and "<lambda>" in qualname:
        refuse(path, "a lambda", "give it a module-level name")
    if qualname and "<locals>" in qualname:
        refuse(path, f"the local {kind} {qualname}", f"define the {kind} at module level")
    if module == "__main__":
        refuse(path, f"the {kind} {qualname} of __main__", f"move the {kind} to a module that can be imported")
    name = f"{module}:{qualname}"
    if not module or not qualname or _find(sys.modules.get(module), qualname) is not thing:
        refuse(
            path, f"the {kind} {name}, which cannot be found under that name", f"give the {kind} its module-level name"
        )
    return name


def _listed_functions() -> dict[int, str]:
    """id -> name of every listed function whose module is imported; listed functions are never freed."""
    found = {}
    for name in sorted(FUNCTIONS):
        module, _, qualname = name.partition(":")
        thing = _find(sys.modules.get(module), qualname)
        if thing is not None:
            found.setdefault(id(thing), name)
    return found


def _find(module: Any, qualname: str) -> Any:
    """The object at `qualname`, through class bodies alone: no `__getattr__`, no attribute of a module in a module."""
    thing: Any = module
    for position, part in enumerate(qualname.split(".")):
        if thing is None or (position and not isinstance(thing, type)):
            return None
        thing = vars(thing).get(part)
    return thing


def check_name(name: Any, kind: str, trust: Iterable[str]) -> None:
    """Raise UntrustedName unless `name` may stand for `kind`: "made" (an instance is made), "class" or "function"."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArtifactError(f"{name!r} is not a name of the form module:qualname")
    module = name.partition(":")[0]
    if any(module == trusted or module.startswith(trusted + ".") for trusted in trust):
        return
    if kind == "function" and name in FUNCTIONS:
        return
    if kind == "class" and name in CLASSES:
        return
    if kind != "function" and (name in MADE or (module + ".").startswith(CLASS_RULES)):
        return
    raise UntrustedName(
        f"the file names the {'function' if kind == 'function' else 'class'} {name}, which is not trusted: "
        f"if {module} is your own module, load with trust=[{module.partition('.')[0]!r}]"
    )


MADE = frozenset(["PIL.Image:Resampling", "PIL.Image:Transpose"])
"""Further classes of which values (here enum members) may be made."""


def resolve(name: str, kind: str, trust: Iterable[str]) -> Any:
    """Import and return what a name stands for. Raises ArtifactError where it is missing or is not what it says."""
    check_name(name, kind, trust)
    module_name, _, qualname = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ArtifactError(f"{name} cannot be imported: {error}") from error
    thing = _find(module, qualname)
    if thing is None:
        raise ArtifactError(f"{module_name} has no {qualname}")
    if kind == "function":
        if name in FUNCTIONS:
            return thing
        fits = isinstance(thing, types.FunctionType | types.BuiltinFunctionType)
    else:
        fits = isinstance(thing, type)
    if not fits or thing.__module__ != module_name or thing.__qualname__ != qualname:
        raise UntrustedName(f"{name} is not a {'function' if kind == 'function' else 'class'} defined there")
    if module_name.startswith("torch.nn.") and kind != "function" and name not in CLASSES:
        from torch import nn

        if not issubclass(thing, nn.Module):
            raise UntrustedName(f"{name} is not an nn.Module")
    return thing
