"""Settings of the whole process that change what a model answers, and that no artifact carries.

A program sets them before it saves, and the process that loads has the defaults: the type that `torch.tensor([1.0])`
gets, what NumPy does about an overflow, how many digits a printed array has, which warnings are errors, where a
relative path leads. They belong to a model's state (`model.<process>`), whether the model depends on them or not:
nobody can tell that from outside.

Left out: how many threads there are, and the global generators of `random`, NumPy and torch. Those are the process's
own; the harness seeds them before each example.
"""

from __future__ import annotations

import contextlib
import functools
import locale
import os
import socket
import sys
import threading
import time
import types
import warnings
from _signal import NSIG, getsignal  # `signal` makes an enumeration of each answer, 64 in every description
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils import _pytree
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from harness.snapshot import describe_reached

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_STARTED_IN = os.getcwd()
_LOCALE = ("LC_NUMERIC", "LC_CTYPE", "LC_TIME", "LC_COLLATE", "LC_MONETARY")
_PRODUCTS = (("generic", "all"), ("mkldnn", "matmul"), ("mkldnn", "conv"), ("mkldnn", "rnn"))
_DIALECTS = frozenset({"excel", "excel-tab", "unix"})
_LONGEST_FIELD = 131072
"""Of a line of `csv`, unless another length is set."""
_HOOKS = {
    "torch.nn.modules.module": (
        "_global_forward_hooks",
        "_global_forward_pre_hooks",
        "_global_backward_hooks",
        "_global_backward_pre_hooks",
        "_global_module_registration_hooks",
        "_global_parameter_registration_hooks",
        "_global_buffer_registration_hooks",
    ),
    "torch.optim.optimizer": ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks"),
}
"""By the module that keeps them."""


def started_in(folder: str | None = None) -> str:
    """The working directory that this process had when it began; `folder`: what is to count as that one, in a process
    that began where another one had gone."""
    global _STARTED_IN
    _STARTED_IN = folder or _STARTED_IN
    return _STARTED_IN


def settings() -> dict[str, Any]:
    """The settings by the words that read them: plain values, or what was set, as a function that formats numbers."""
    found: dict[str, Any] = {
        "torch.get_default_dtype()": str(torch.get_default_dtype()),
        "torch.get_default_device()": str(torch.get_default_device()),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.is_inference_mode_enabled()": torch.is_inference_mode_enabled(),
        "torch.is_anomaly_enabled()": torch.is_anomaly_enabled(),
        "torch.is_autocast_enabled('cpu')": torch.is_autocast_enabled("cpu"),
        "torch.get_autocast_dtype('cpu')": str(torch.get_autocast_dtype("cpu")),
        "torch.get_deterministic_debug_mode()": torch.get_deterministic_debug_mode(),
        "torch.utils.deterministic.fill_uninitialized_memory": torch._C._get_deterministic_fill_uninitialized_memory(),
        "torch.get_float32_matmul_precision()": _precision(),
        "torch.sparse.check_sparse_tensor_invariants": torch._C._check_sparse_tensor_invariants(),
        "torch.backends.quantized.engine": torch._C._get_qengine(),
        "torch.backends.mkldnn.enabled": torch._C._get_mkldnn_enabled(),
        "torch.backends.nnpack": torch._C._get_nnpack_enabled(),
        "torch.__future__": [
            torch.__future__.get_overwrite_module_params_on_conversion(),
            torch.__future__.get_swap_module_params_on_conversion(),
        ],
        "torch.backends.cudnn": [
            torch._C._get_cudnn_enabled(),
            torch._C._get_cudnn_benchmark(),
            torch._C._get_cudnn_deterministic(),
        ],
        "torch.backends.cuda.sdp": [
            torch._C._get_flash_sdp_enabled(),
            torch._C._get_mem_efficient_sdp_enabled(),
            torch._C._get_math_sdp_enabled(),
        ],
        "torch.backends.mha.get_fastpath_enabled()": torch.backends.mha.get_fastpath_enabled(),
        "torch.set_flush_denormal()": sys.float_info.min * 0.25 == 0.0,
        "torch.get_printoptions()": {key: str(value) for key, value in vars(torch._tensor_str.PRINT_OPTS).items()},
        "torch.hub.set_dir()": torch.hub._hub_dir,
        "locale": {name: locale.setlocale(getattr(locale, name)) for name in _LOCALE},
        "time.tzname": list(time.tzname),
        "sys.getrecursionlimit()": sys.getrecursionlimit(),
        "sys.get_int_max_str_digits()": sys.get_int_max_str_digits(),
        "socket.getdefaulttimeout()": socket.getdefaulttimeout(),
        "warnings.filters": _filters(),
    }
    if (numpy := sys.modules.get("numpy")) is not None:
        found["numpy.geterr()"] = numpy.geterr()
        found["numpy.get_printoptions()"] = dict(sorted(numpy.get_printoptions().items()))
    found |= _options()
    with contextlib.suppress(OSError):
        found["os.getcwd()"] = None if os.getcwd() == _STARTED_IN else os.getcwd()
    return found


def _precision() -> list[str | None]:
    """How exact products of float32 have to be, in torch's older words and in the newer ones for each kind of product.

    Unset is as exact as can be.
    """
    older = None
    with contextlib.suppress(RuntimeError):  # where it was set in the newer words
        older = torch.get_float32_matmul_precision()
    return [older, *(torch._C._get_fp32_precision_getter(*kind).replace("none", "ieee") for kind in _PRODUCTS)]


def described(builder: Builder) -> dict[str, Any]:
    """The settings, and what the user's code put where every module, tensor or optimizer meets it: global hooks,
    functions in torch's and NumPy's own namespaces."""
    found: dict[str, Any] = settings()
    for home, table in [(home, table) for home, tables in _HOOKS.items() for table in tables]:
        hooks = list(getattr(sys.modules[home], table, {}).values())
        if own := [hook for hook in hooks if builder.is_own(_module_of(hook))]:  # a backend may have one to load lazily
            found[f"{home}.{table}"] = own
    found |= _registered(builder)
    for path, space in _spaces().items():
        known = _KNOWN.get(path, {})
        if describe_reached.is_unchanged(vars(space), known):
            continue
        new = {name: part for name, part in vars(space).items()
               if known.get(name) is not part and isinstance(part, types.FunctionType)}  # fmt: skip
        found |= {f"{path}.{name}": part for name, part in new.items() if builder.is_own(part.__module__)}
        if all(_package(part) == _package(space) for part in new.values()):  # what the library set when it was used
            _KNOWN[path] = dict(vars(space))
    return found


def _package(part: Any) -> str:
    return (getattr(part, "__module__", None) or part.__name__).partition(".")[0]


def _options() -> dict[str, Any]:
    """The options of pandas and scikit-learn that are not as they were when these were imported."""
    found: dict[str, Any] = {}
    if (pandas := sys.modules.get("pandas")) is not None:
        with contextlib.suppress(AttributeError):
            options = pandas._config.config
            for name, option in options._registered_options.items():  # past `get_option`, which warns of some
                root, key = options._get_root(name)
                if root[key] != option.defval:
                    found[f"pandas.get_option({name!r})"] = root[key]
    if (sklearn := sys.modules.get("sklearn")) is not None:
        with contextlib.suppress(AttributeError):
            before = sklearn._config._global_config
            changed = {key: value for key, value in sklearn.get_config().items() if value != before.get(key)}
            found |= {f"sklearn.get_config()[{key!r}]": value for key, value in changed.items()}
    return found


def _registered(builder: Builder) -> dict[str, Any]:
    """The user's classes and functions in registries of torch, NumPy and Python, handlers of signals and of errors that
    nobody caught, and modes that were entered and not left."""
    nodes = sorted(builder.type_name(cls) for cls in list(_pytree.SUPPORTED_NODES) if builder.is_own(cls.__module__))
    safe = [part for part in torch.serialization.get_safe_globals() if isinstance(part, type | types.FunctionType)]
    found = {
        "torch.utils._pytree.SUPPORTED_NODES": nodes,
        "torch.serialization.get_safe_globals()": sorted(
            builder.module_name(part.__module__) + "." + part.__qualname__
            for part in safe
            if builder.is_own(part.__module__)
        ),
        "torch.overrides": [mode for mode in _get_current_function_mode_stack() if builder.is_own(_module_of(mode))],
        "torch.utils._python_dispatch": [
            mode for mode in _get_current_dispatch_mode_stack() if builder.is_own(_module_of(mode))
        ],
    }
    if (csv := sys.modules.get("csv")) is not None:
        found |= {f"csv.get_dialect({name!r})": _dialect(csv.get_dialect(name))
                  for name in csv.list_dialects() if name not in _DIALECTS}  # fmt: skip
        if (limit := csv.field_size_limit()) != _LONGEST_FIELD:
            found["csv.field_size_limit()"] = limit
    if (numpy := sys.modules.get("numpy")) is not None and builder.is_own(_module_of(numpy.geterrcall())):
        found["numpy.geterrcall()"] = numpy.geterrcall()
    saved = torch._C._autograd._top_saved_tensors_default_hooks(True) or ()
    found["torch.autograd.graph.saved_tensors_hooks"] = [hook for hook in saved if builder.is_own(_module_of(hook))]
    hooks = {"sys.excepthook": sys.excepthook, "threading.excepthook": threading.excepthook}
    hooks |= {f"signal.getsignal({number})": hook for number in range(1, NSIG) if callable(hook := getsignal(number))}
    found |= {path: hook for path, hook in hooks.items() if builder.is_own(_module_of(hook))}
    return {path: part for path, part in found.items() if part}


def _dialect(dialect: Any) -> dict[str, Any]:
    """How it is read and written."""
    return {name: getattr(dialect, name) for name in dir(dialect) if not name.startswith("_")}


def _module_of(called: Any) -> str | None:
    while isinstance(called, functools.partial):
        called = called.func
    return getattr(called, "__module__", None) or type(called).__module__


def _spaces() -> dict[str, Any]:
    spaces = {"torch": torch, "torch.Tensor": torch.Tensor, "torch.nn.functional": torch.nn.functional}
    return spaces | ({"numpy": sys.modules["numpy"]} if "numpy" in sys.modules else {})


_KNOWN = {path: dict(vars(space)) for path, space in _spaces().items()}
"""The namespaces as they were when they held nothing of anybody else's: most names need not be looked at again."""


def _filters() -> list[list[str]]:
    """The filters that make an error of a warning, and those of a whole category of Python's: libraries silence some
    of their own."""
    return [
        [
            action,
            category.__name__,
            getattr(message, "pattern", message) or "",
            getattr(module, "pattern", module) or "",
        ]
        for action, message, category, module, line in warnings.filters
        if action == "error"
        or (category is Warning and not message and not module)
        or (
            category.__module__ == "builtins"
            and not message
            and not module
            and (action, message, category, module, line) not in _FILTERS
        )
    ]


_FILTERS = list(warnings.filters)
"""Those that a process starts with."""
