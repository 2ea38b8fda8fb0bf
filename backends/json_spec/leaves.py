"""How tensors, arrays and NumPy scalars are described in the spec."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch

from backends.json_spec.errors import ArtifactError, refuse
from backends.json_spec.regions import View, view_of_array, view_of_tensor
from backends.json_spec.tensors import Weights

ARRAY_KINDS = "?biufcmMSU"


def tensor_node(tensor: torch.Tensor, name: str, views: list[View], path: str) -> dict[str, Any]:
    """Describe a tensor and note its memory in `views`. Raises Unsupported for what is not plain strided memory."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        refuse(path, f"a tensor of class {type(tensor).__qualname__}", "convert it with .as_subclass(torch.Tensor)")
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        refuse(path, "a tensor that is not strided (sparse, quantized or nested)", "save its dense parts")
    if tensor.is_meta:
        refuse(path, "a tensor without data (on meta)", "give it data before saving")
    if tensor.device.type not in ("cpu", "cuda"):
        refuse(path, f"a tensor on {tensor.device}", "move the model to the CPU before saving")
    if tensor.is_conj() or tensor.is_neg():
        refuse(path, "a conjugate or negative view", "call .resolve_conj().resolve_neg() on it")
    if tensor.grad_fn is not None:
        refuse(path, "a tensor with a gradient function", "call .detach() on it")
    if tensor._backward_hooks:
        refuse(path, "a tensor with hooks", "remove the hooks before saving")
    node: dict[str, Any] = {"$tensor": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
    if list(tensor.stride()) != contiguous(list(tensor.shape)):
        node["stride"] = list(tensor.stride())
    if isinstance(tensor, torch.nn.Parameter):
        node["parameter"] = True
    if tensor.requires_grad is not isinstance(tensor, torch.nn.Parameter):
        node["requires_grad"] = tensor.requires_grad
    if tensor.device.type != "cpu":
        node["device"] = str(tensor.device)
    if tensor.numel():
        views.append(view_of_tensor(tensor, name, node))
    return node


def contiguous(shape: list[int]) -> list[int]:
    """The strides, in elements, that torch gives a new tensor of this shape."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return strides[::-1]


def read_tensor(node: dict[str, Any], weights: Weights) -> torch.Tensor:
    """The tensor of a description. Raises ArtifactError where the description makes no sense."""
    dtype = vars(torch).get(node["$tensor"])
    shape = node["shape"]
    stride = node.get("stride", contiguous(shape) if _sizes(shape) else None)
    offset = node.get("offset", 0)
    if not isinstance(dtype, torch.dtype) or not (_sizes(shape) and _sizes(stride) and _sizes([offset])):
        raise ArtifactError("a tensor's description has an unknown dtype or a size that is not one")
    extent = dtype.itemsize
    for size in shape:
        extent *= max(size, 1)
    if len(shape) != len(stride) or len(shape) > 64 or extent >= 2**62 or any(step >= 2**62 for step in stride):
        raise ArtifactError("a tensor's shape and stride do not fit together")
    device = _device(node.get("device", "cpu"))
    if 0 in shape:
        tensor = torch.empty(0, dtype=dtype, device=device).as_strided(shape, stride)
    elif "entry" in node:
        tensor = weights.tensor(node["entry"], dtype, shape, stride, offset, device)
    else:
        raise ArtifactError("a tensor's description names no entry of the weights")
    gradient = node.get("requires_grad", bool(node.get("parameter")))
    if gradient and not (dtype.is_floating_point or dtype.is_complex):
        raise ArtifactError("a tensor that is not floating point cannot require a gradient")
    if node.get("parameter"):
        return torch.nn.Parameter(tensor, requires_grad=gradient)
    return tensor.requires_grad_(gradient)


def _device(name: str) -> torch.device:
    """The device of that name where this process has it, else the CPU."""
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) < torch.cuda.device_count():
        return device
    return torch.device("cpu")


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**62 for size in value)


def array_node(array: np.ndarray, name: str, views: list[View], inside: Any, path: str) -> dict[str, Any]:
    """Describe an array and note its memory in `views`."""
    if array.dtype.kind == "O":
        items = [inside(item, f".flat[{n}]") for n, item in enumerate(array.ravel())]
        return {"$objectarray": list(array.shape), "items": items}
    if array.dtype.kind not in ARRAY_KINDS.replace("?", "b"):
        refuse(path, f"an array of dtype {array.dtype}", "save its fields as arrays of their own")
    node: dict[str, Any] = {"$ndarray": array.dtype.str, "shape": list(array.shape)}
    if array.size and array.itemsize:
        if not array.flags.c_contiguous:
            node["strides"] = list(array.strides)
        views.append(view_of_array(array, name, node))
    if not array.flags.writeable:
        node["read_only"] = True
    return node


def read_array(node: dict[str, Any], weights: Weights) -> np.ndarray:
    """The array of a description. Raises ArtifactError where the description makes no sense."""
    shape, offset = node["shape"], node.get("offset", 0)
    dtype = read_dtype(node["$ndarray"])
    if dtype.kind == "O":  # its elements would be pointers of the file's choosing
        raise ArtifactError("an array in the weights cannot hold objects")
    if not _sizes(shape) or not _sizes([offset]) or len(shape) > 64:
        raise ArtifactError("an array's description has a size that is not one")
    if "entry" in node:
        strides = node.get("strides", [step * dtype.itemsize for step in contiguous(shape)])
        array = weights.array(node["entry"], dtype, shape, strides, offset)
    elif 0 in shape or dtype.itemsize == 0:
        array = np.empty(shape, dtype)
    else:
        raise ArtifactError("an array's description names no entry of the weights")
    if node.get("read_only"):
        array.flags.writeable = False
    return array


def read_dtype(text: Any) -> np.dtype:
    """A NumPy dtype of plain elements from its short text, e.g. `<f8`."""
    try:
        dtype = np.dtype(text) if isinstance(text, str) else None
    except TypeError as error:
        raise ArtifactError(f"{text!r} is not a dtype of NumPy") from error
    if dtype is None or dtype.kind not in ARRAY_KINDS + "O" or dtype.fields:
        raise ArtifactError(f"{text!r} is not a plain dtype of NumPy")
    return dtype


def numpy_scalar(value: np.generic, inside: Any, path: str) -> dict[str, Any]:
    """A NumPy scalar as its dtype and its bytes; numbers that read well are shown beside them."""
    if value.dtype.kind not in ARRAY_KINDS.replace("?", "b"):
        refuse(path, f"a NumPy scalar of dtype {value.dtype}", "convert it to a Python value")
    node = {"$npscalar": value.dtype.str, "bytes": base64.b64encode(value.tobytes()).decode("ascii")}
    if value.dtype.kind in "biufUS" and value.itemsize <= 64:
        node["reads"] = str(value)
    return node


def read_scalar(node: dict[str, Any]) -> np.generic:
    """The scalar of a description; `reads` is for people."""
    dtype = read_dtype(node["$npscalar"])
    data = base64.b64decode(node["bytes"], validate=True)
    if dtype.kind == "O" or len(data) != dtype.itemsize:
        raise ArtifactError("a NumPy scalar's bytes do not fit its dtype")
    if dtype.itemsize == 0:
        return dtype.type()
    return np.frombuffer(data, dtype)[0]
