"""What is set for the whole process belongs to a model's state: each setting, changed, is the one difference."""

from __future__ import annotations

import csv
import importlib
import locale
import os
import signal
import socket
import sys
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from harness.compare import compare
from harness.snapshot import describe_process
from harness.snapshot.builder import snapshot_model, snapshot_value

OWN = [__name__.partition(".")[0]]


def mine(*_):
    return None


class Pair:
    """One of the user's."""


class Mode(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class DispatchMode(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Model(torch.nn.Module):
    def rarely(self, x):
        return torch.ops.made_in_a_test.twice(x)


def described():
    return snapshot_model(Model(), own_modules=OWN)


def tokyo():
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()


def here():
    os.environ.pop("TZ", None)
    time.tzset()


OPTIMIZER = importlib.import_module("torch.optim.optimizer")


def hook(name, home=torch.nn.modules.module):
    handles = []
    register = getattr(home, name)
    return lambda: handles.append(register(mine)), lambda: handles.pop().remove()


def attribute(holder, name, value):
    was = getattr(holder, name)
    return lambda: setattr(holder, name, value), lambda: setattr(holder, name, was)


def enter(make):
    entered = []

    def do():
        entered.append(make())
        entered[-1].__enter__()

    return do, lambda: entered.pop().__exit__(None, None, None)


def errors():
    context = warnings.catch_warnings()
    context.__enter__()
    warnings.simplefilter("error", FutureWarning)
    return type("Left", (), {"__enter__": mine, "__exit__": lambda *_: context.__exit__(None, None, None)})()


DIGITS, LIMIT = sys.get_int_max_str_digits(), sys.getrecursionlimit()
FOLDER = os.getcwd()
CHANGES = {
    "torch.get_default_dtype()": (
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "torch.get_default_device()": (lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)),
    "torch.is_grad_enabled()": (lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True)),
    "torch.is_inference_mode_enabled()": enter(torch.inference_mode),
    "torch.backends.nnpack": (
        lambda: torch.backends.nnpack.set_flags(False),
        lambda: torch.backends.nnpack.set_flags(True),
    ),
    "torch.__future__": (
        lambda: torch.__future__.set_overwrite_module_params_on_conversion(True),
        lambda: torch.__future__.set_overwrite_module_params_on_conversion(False),
    ),
    "torch.autograd.graph.saved_tensors_hooks": enter(lambda: torch.autograd.graph.saved_tensors_hooks(mine, mine)),
    "torch.is_anomaly_enabled()": (
        lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
        lambda: torch.autograd.set_detect_anomaly(False),
    ),
    "torch.is_autocast_enabled('cpu')": (
        lambda: torch.set_autocast_enabled("cpu", True),
        lambda: torch.set_autocast_enabled("cpu", False),
    ),
    "torch.get_autocast_dtype('cpu')": (
        lambda: torch.set_autocast_dtype("cpu", torch.float16),
        lambda: torch.set_autocast_dtype("cpu", torch.bfloat16),
    ),
    "torch.get_deterministic_debug_mode()": (
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
    "torch.utils.deterministic.fill_uninitialized_memory": attribute(
        torch.utils.deterministic, "fill_uninitialized_memory", False
    ),
    "torch.get_float32_matmul_precision()": (
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "torch.sparse.check_sparse_tensor_invariants": (
        torch.sparse.check_sparse_tensor_invariants.enable,
        torch.sparse.check_sparse_tensor_invariants.disable,
    ),
    "torch.backends.quantized.engine": attribute(
        torch.backends.quantized, "engine", torch.backends.quantized.supported_engines[1]
    ),
    "torch.backends.mkldnn.enabled": (
        lambda: torch._C._set_mkldnn_enabled(False),
        lambda: torch._C._set_mkldnn_enabled(True),
    ),
    "torch.backends.cudnn": attribute(torch.backends.cudnn, "benchmark", True),
    "torch.backends.cuda.sdp": (
        lambda: torch.backends.cuda.enable_math_sdp(False),
        lambda: torch.backends.cuda.enable_math_sdp(True),
    ),
    "torch.backends.mha.get_fastpath_enabled()": (
        lambda: torch.backends.mha.set_fastpath_enabled(False),
        lambda: torch.backends.mha.set_fastpath_enabled(True),
    ),
    "torch.set_flush_denormal()": (
        lambda: torch.set_flush_denormal(True),
        lambda: torch.set_flush_denormal(False),
    ),
    "torch.utils._pytree.SUPPORTED_NODES": (
        lambda: _pytree.register_pytree_node(Pair, lambda pair: ([], None), lambda parts, _: Pair()),
        lambda: _pytree._deregister_pytree_node(Pair),
    ),
    "torch.serialization.get_safe_globals()": (
        lambda: torch.serialization.add_safe_globals([Pair]),
        torch.serialization.clear_safe_globals,
    ),
    "torch.overrides": enter(lambda: Mode()),
    "torch.utils._python_dispatch": enter(lambda: DispatchMode()),
    "pandas.get_option('display.precision')": enter(lambda: pd.option_context("display.precision", 2)),
    "sklearn.get_config()['transform_output']": enter(lambda: sklearn.config_context(transform_output="pandas")),
    "csv.get_dialect('mine')": (
        lambda: csv.register_dialect("mine", delimiter=";"),
        lambda: csv.unregister_dialect("mine"),
    ),
    "socket.getdefaulttimeout()": (lambda: socket.setdefaulttimeout(3.0), lambda: socket.setdefaulttimeout(None)),
    "sys.excepthook": attribute(sys, "excepthook", mine),
    "threading.excepthook": attribute(threading, "excepthook", mine),
    f"signal.getsignal({int(signal.SIGUSR1)})": (
        lambda: signal.signal(signal.SIGUSR1, mine),
        lambda: signal.signal(signal.SIGUSR1, signal.SIG_DFL),
    ),
    "csv.field_size_limit()": (lambda: csv.field_size_limit(10), lambda: csv.field_size_limit(131072)),
    "numpy.geterrcall()": (lambda: np.seterrcall(mine), lambda: np.seterrcall(None)),
    "torch.get_printoptions()": (
        lambda: torch.set_printoptions(precision=2),
        lambda: torch.set_printoptions(precision=4),
    ),
    "numpy.geterr()": enter(lambda: np.errstate(all="raise")),
    "numpy.get_printoptions()": enter(lambda: np.printoptions(precision=2)),
    "torch.hub.set_dir()": attribute(torch.hub, "_hub_dir", "/models"),
    "locale": (
        lambda: locale.setlocale(locale.LC_NUMERIC, "C.UTF-8"),
        lambda: locale.setlocale(locale.LC_NUMERIC, "C"),
    ),
    "time.tzname": (tokyo, here),
    "sys.getrecursionlimit()": (lambda: sys.setrecursionlimit(LIMIT + 1), lambda: sys.setrecursionlimit(LIMIT)),
    "sys.get_int_max_str_digits()": (lambda: sys.set_int_max_str_digits(0), lambda: sys.set_int_max_str_digits(DIGITS)),
    "warnings.filters": enter(errors),
    "os.getcwd()": (lambda: os.chdir("/"), lambda: os.chdir(FOLDER)),
    "torch.nn.modules.module._global_forward_hooks": hook("register_module_forward_hook"),
    "torch.nn.modules.module._global_forward_pre_hooks": hook("register_module_forward_pre_hook"),
    "torch.nn.modules.module._global_backward_hooks": hook("register_module_full_backward_hook"),
    "torch.nn.modules.module._global_backward_pre_hooks": hook("register_module_full_backward_pre_hook"),
    "torch.nn.modules.module._global_module_registration_hooks": hook("register_module_module_registration_hook"),
    "torch.nn.modules.module._global_parameter_registration_hooks": hook("register_module_parameter_registration_hook"),
    "torch.nn.modules.module._global_buffer_registration_hooks": hook("register_module_buffer_registration_hook"),
    "torch.optim.optimizer._global_optimizer_pre_hooks": hook("register_optimizer_step_pre_hook", OPTIMIZER),
    "torch.optim.optimizer._global_optimizer_post_hooks": hook("register_optimizer_step_post_hook", OPTIMIZER),
    "torch.nn.functional.softsign": attribute(torch.nn.functional, "softsign", mine),
    "torch.sigmoid": attribute(torch, "sigmoid", mine),
    "torch.Tensor.tolist": attribute(torch.Tensor, "tolist", mine),
    "numpy.clip": attribute(np, "clip", mine),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_is_seen_and_nothing_else(name):
    before = described()
    change, back = CHANGES[name]
    change()
    try:
        after = described()
    finally:
        back()
    paths = [one.path.removeprefix("model.<process>.") for one in compare(before, after)]
    assert paths, "not seen"
    if name == "torch.is_inference_mode_enabled()":  # which records no gradients either
        paths.remove("torch.is_grad_enabled()")
    assert all(path.startswith(name) for path in paths), paths
    assert compare(before, described()) == []


def test_precision_in_the_newer_words():
    """After these torch refuses to tell it in the older ones."""
    before = described()
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        after = described()
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"
    paths = [one.path.removeprefix("model.<process>.") for one in compare(before, after)]
    assert "torch.get_float32_matmul_precision()[2]" in paths
    assert all(path.startswith("torch.get_float32_matmul_precision()") for path in paths), paths
    assert compare(before, described()) == []


def formats(text: str):
    """As in a process in which tables and arrays are printed by a method of a text, an object of its own."""
    with pd.option_context("display.float_format", text.format), np.printoptions(formatter={"float": text.format}):
        return described()


def test_what_formats_numbers_goes_by_what_it_does():
    assert compare(formats("{:.1f}"), formats("{:.1f}")) == []
    paths = {one.path.removeprefix("model.<process>.") for one in compare(formats("{:.1f}"), formats("{:.2f}"))}
    assert paths == {
        "pandas.get_option('display.float_format').__self__",
        "numpy.get_printoptions()['formatter']['float'].__self__",
    }


def test_every_setting_is_tried():
    assert set(describe_process.settings()) <= set(CHANGES)


def test_a_category_of_warnings_that_is_silenced():
    before = described()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="a_library")
        warnings.filterwarnings("ignore", message="a text", category=FutureWarning)
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        assert compare(before, described()) == []
        warnings.simplefilter("ignore", FutureWarning)
        (one,) = compare(before, described())
    assert one.path.startswith("model.<process>.warnings.filters")


def test_an_operator_that_code_names():
    before = described()
    library = torch.library.Library("made_in_a_test", "DEF")
    try:
        library.define("twice(Tensor x) -> Tensor")
        (one,) = compare(before, described())
        assert one.path == "model.__class__.rarely.__globals__.torch.ops.made_in_a_test::twice"
    finally:
        library._destroy()


def test_a_value_has_no_process():
    assert all("<process>" not in str(node) for node in snapshot_value([1])["nodes"])


def test_a_dialect_by_how_it_is_read():
    csv.register_dialect("mine", delimiter=";")
    before = described()
    csv.register_dialect("mine", delimiter=",")
    kinds = [(one.path, one.kind) for one in compare(before, described())]
    csv.unregister_dialect("mine")
    assert kinds == [("model.<process>.csv.get_dialect('mine')['delimiter']", "value")]
