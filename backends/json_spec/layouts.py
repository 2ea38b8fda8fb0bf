"""How tensors of every layout are described in the spec, and made again.

A strided tensor is a view of an entry of the weights' file; a sparse or quantized one is its parts, which are tensors
themselves. What they have in common (Parameter or not, requires_grad, a class of the user's, a gradient) is told alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.parameter import UninitializedTensorMixin

from backends.json_spec.errors import ArtifactError, refuse
from backends.json_spec.forms import DIMENSIONS, is_plain_tensor
from backends.json_spec.regions import View, view_of_tensor
from backends.json_spec.tensors import DTYPES, Weights

Inside = Callable[[Any, str], Any]
"""inside(value, suffix of the path) -> node"""

COMPRESSED = {
    "sparse_csr": ("crow_indices", "col_indices"),
    "sparse_bsr": ("crow_indices", "col_indices"),
    "sparse_csc": ("ccol_indices", "row_indices"),
    "sparse_bsc": ("ccol_indices", "row_indices"),
}
"""Layout -> the names of its index tensors, in the order of `torch.sparse_compressed_tensor`."""
_CPU = torch.device("cpu")
PER_CHANNEL = (torch.per_channel_affine, torch.per_channel_symmetric)
_ORDINARY = frozenset([torch.Tensor, torch.nn.Parameter])
"""Classes of which there is nothing to be found out."""
_UNSAVED = frozenset([torch._mkldnn, torch.jagged])
COMMON = {"parameter", "requires_grad", "class", "grad", "attributes"}
"""Fields that any tensor may have."""


def tensor_node(tensor: torch.Tensor, name: str, views: list[View], inside: Inside, path: str) -> dict[str, Any]:
    """Describe a tensor, and note its memory in `views`. Raises Unsupported for what has no description."""
    with torch._C.DisableTorchFunctionSubclass():
        _check(tensor, path)
        plain = tensor.detach()
        if type(plain) is not torch.Tensor:
            plain = plain.as_subclass(torch.Tensor)
        if tensor.is_quantized:
            node = _quantized_node(plain, inside, path)
        elif tensor.layout is not torch.strided:
            node = _sparse_node(plain, inside, path)
        else:
            node = _strided_node(plain, name, views)
        parameter = isinstance(tensor, torch.nn.Parameter)
        if parameter:
            node["parameter"] = True
        if tensor.requires_grad is not parameter:
            node["requires_grad"] = tensor.requires_grad
        if type(tensor) not in _ORDINARY:
            node["class"] = inside(type(tensor), ".__class__")
        if tensor.grad is not None:
            node["grad"] = inside(tensor.grad, ".grad")
    return node


def _check(tensor: torch.Tensor, path: str) -> None:
    if type(tensor) not in _ORDINARY:
        _check_class(type(tensor), path)
    if tensor.is_nested or tensor.layout in _UNSAVED:
        refuse(path, f"a nested or {_short(tensor.layout)} tensor", "save its dense parts")
    if tensor.dim() > DIMENSIONS:
        refuse(path, f"a tensor of {tensor.dim()} dimensions", f"reshape it to at most {DIMENSIONS}")
    if tensor.device.type not in ("cpu", "cuda", "meta"):
        refuse(path, f"a tensor on {tensor.device}", "move the model to the CPU before saving")
    if tensor._is_zerotensor():
        refuse(path, "a tensor of zeros without memory", "call .clone() on it")
    if tensor.grad_fn is not None:
        refuse(path, "a tensor with a gradient function", "call .detach() on it")
    if tensor.is_inference():
        refuse(path, "a tensor made in inference mode", "call .clone() on it outside of torch.inference_mode()")
    if tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
        refuse(path, "a tensor with hooks", "remove the hooks before saving")


def _check_class(cls: type, path: str) -> None:
    if issubclass(cls, UninitializedTensorMixin):
        refuse(path, "a tensor without a shape yet", "run the model once on data before saving")
    if cls.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__ or hasattr(cls, "__tensor_flatten__"):
        refuse(path, f"a tensor of class {cls.__qualname__}, which wraps others", "save the tensors that it wraps")


def _strided_node(plain: torch.Tensor, name: str, views: list[View]) -> dict[str, Any]:
    shape, stride = list(plain.shape), list(plain.stride())
    node: dict[str, Any] = {"$tensor": _short(plain.dtype), "shape": shape}
    if stride != contiguous(shape):
        node["stride"] = stride
    if plain.is_conj():  # the memory is that of the tensor's conjugate
        node["conj"], plain = True, plain.conj()
    if plain.is_neg():
        node["neg"], plain = True, torch._neg_view(plain)
    if (place := _place(plain)) != "cpu":
        node["device"] = place
    if plain.numel() and not plain.is_meta:
        views.append(view_of_tensor(plain, name, node))
    return node


_places: tuple[Any, dict[torch.device, str]] = (None, {})
"""What told it, and what it told of each device: to ask for every tensor takes a sixth of the time of a description."""


def _place(tensor: torch.Tensor) -> str:
    """Where it lies, in the word of `torch.save`."""
    global _places
    if _places[0] is not (tell := torch.serialization.location_tag):
        _places = (tell, {})
    known, device = _places[1], tensor.device
    if device not in known:
        known[device] = tell(tensor.untyped_storage())
    return known[device]


def _sparse_node(plain: torch.Tensor, inside: Inside, path: str) -> dict[str, Any]:
    layout = _short(plain.layout)
    node: dict[str, Any] = {"$sparse": layout, "shape": list(plain.shape)}
    if layout == "sparse_coo":
        node["indices"], values = inside(plain._indices(), ".indices"), plain._values()
        if plain.is_coalesced():
            node["coalesced"] = True
    elif layout in COMPRESSED:
        for index in COMPRESSED[layout]:
            node[index] = inside(getattr(plain, index)().detach(), f".{index}")
        values = plain.values()
    else:
        refuse(path, f"a tensor of layout {layout}", "save its dense values")
    node["values"] = inside(values.detach(), ".values")
    return node


def _quantized_node(plain: torch.Tensor, inside: Inside, path: str) -> dict[str, Any]:
    if plain.dtype not in (torch.qint8, torch.quint8, torch.qint32):
        refuse(path, f"a quantized tensor of {_short(plain.dtype)}", "save its dequantized values")
    try:
        plain.qscheme()
    except RuntimeError:  # torch.empty makes such, and can do nothing with them
        refuse(path, "a quantized tensor without a scheme", "make it with torch.quantize_per_tensor")
    node: dict[str, Any] = {"$quantized": _short(plain.dtype), "values": inside(plain.int_repr(), ".int_repr")}
    if plain.qscheme() in PER_CHANNEL:
        node["scales"] = inside(plain.q_per_channel_scales(), ".scales")
        node["zero_points"] = inside(plain.q_per_channel_zero_points(), ".zero_points")
        node["axis"] = plain.q_per_channel_axis()
    elif plain.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        node["scale"], node["zero_point"] = plain.q_scale(), plain.q_zero_point()
    else:
        refuse(path, f"a tensor quantized by {plain.qscheme()}", "save its dequantized values")
    return node


_Parameter = torch.nn.Parameter


def read_plain(node: dict[str, Any], weights: Weights) -> torch.Tensor | None:
    """The Parameter or tensor that fills its entry and has nothing else to tell; None where it is not so simple."""
    if not is_plain_tensor(node):
        return None
    tensor = weights.whole(node["entry"], node["$tensor"], node["shape"])
    if tensor is None or "parameter" not in node:
        return tensor
    if node["$tensor"] not in _CONTINUOUS:
        return finish(tensor, node, None)
    tensor.requires_grad = True
    tensor.__class__ = _Parameter  # as UninitializedParameter.materialize does: it saves a second tensor
    return tensor


PLAIN_FIELDS = frozenset(["$tensor", "shape", "entry", "parameter", "requires_grad", "attributes", "grad", "class"])
"""What a tensor that fills its entry is described with: most are, and they take the short way."""
_CONTINUOUS = frozenset(
    name for name in DTYPES if getattr(torch, name).is_floating_point or getattr(torch, name).is_complex
)
"""Names of the dtypes of which a tensor may require a gradient."""


def read_strided(node: dict[str, Any], weights: Weights) -> torch.Tensor:
    """The plain tensor of a `$tensor`. Raises ArtifactError where the description makes no sense."""
    if node.keys() <= PLAIN_FIELDS and "entry" in node:
        tensor = weights.whole(node["entry"], node["$tensor"], node["shape"])
        if tensor is not None:
            return tensor
    dtype = vars(torch).get(node["$tensor"])
    shape = node["shape"]
    stride = node.get("stride", contiguous(shape) if is_sizes(shape) else None)
    offset = node.get("offset", 0)
    if (
        not isinstance(dtype, torch.dtype)
        or _short(dtype) != node["$tensor"]  # a second name of it, as `half` is
        or node["$tensor"].startswith("q")
        or not (is_sizes(shape) and is_sizes(stride) and is_sizes([offset]))
    ):
        raise ArtifactError("a tensor's description has an unknown dtype or a size that is not one")
    extent = dtype.itemsize
    for size in shape:
        extent *= max(size, 1)
    if len(shape) != len(stride) or len(shape) > 64 or extent >= 2**62 or any(step >= 2**62 for step in stride):
        raise ArtifactError("a tensor's shape and stride do not fit together")
    device = _device(node.get("device", "cpu"))
    if device.type == "cuda" and weights.on_cpu:
        device = _CPU
    if device.type == "meta":
        tensor = torch.empty_strided(shape, stride, dtype=dtype, device=device)
    elif 0 in shape:
        tensor = torch.empty(0, dtype=dtype, device=device).as_strided(shape, stride)
    elif "entry" in node:
        tensor = weights.tensor(node["entry"], dtype, shape, stride, offset, device)
    else:
        raise ArtifactError("a tensor's description names no entry of the weights")
    if node.get("neg"):
        tensor = torch._neg_view(tensor)
    return tensor.conj() if node.get("conj") else tensor


def read_sparse(node: dict[str, Any], decode: Callable[[Any], Any], spend: Callable[[int], None]) -> torch.Tensor:
    """The plain tensor of a `$sparse`. Raises ArtifactError where its indices do not fit its shape."""
    layout, shape = node["$sparse"], node["shape"]
    names = ("indices",) if layout == "sparse_coo" else COMPRESSED.get(layout, ("none",))
    parts = [decode(node.get(name)) for name in (*names, "values")]
    if not all(map(is_dense, parts)) or not is_sizes(shape):
        raise ArtifactError("a sparse tensor's parts are not plain tensors that have memory for every element")
    spend(sum(part.nbytes for part in parts))
    try:
        if layout == "sparse_coo":
            coalesced = bool(node.get("coalesced"))
            made = torch.sparse_coo_tensor(*parts, shape, check_invariants=True, is_coalesced=coalesced)
            if coalesced and not _is_sorted(parts[0], shape):
                raise ArtifactError("a sparse tensor says that it is coalesced, and is not")
            return made
        return torch.sparse_compressed_tensor(*parts, shape, layout=vars(torch)[layout], check_invariants=True)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ArtifactError(f"a sparse tensor's parts do not fit together: {error}") from error


def read_quantized(node: dict[str, Any], decode: Callable[[Any], Any], spend: Callable[[int], None]) -> torch.Tensor:
    """The plain tensor of a `$quantized`. Raises ArtifactError where its parts do not fit together."""
    values = decode(node["values"])
    parts = [values, *(decode(node[name]) for name in ("scales", "zero_points") if name in node)]
    if not all(map(is_dense, parts)):
        raise ArtifactError("a quantized tensor's parts are not plain tensors that have memory for every element")
    spend(sum(part.nbytes for part in parts))
    try:
        if "axis" in node:
            (_, scales, zeros), axis = parts, node["axis"]
            if not (
                type(axis) is int
                and 0 <= axis < values.dim()
                and scales.shape == zeros.shape == values.shape[axis : axis + 1]
            ):
                raise ArtifactError("a quantized tensor's scales do not fit its axis")
            made = torch._make_per_channel_quantized_tensor(values, scales, zeros, axis)
        else:
            made = torch._make_per_tensor_quantized_tensor(values, float(node["scale"]), int(node["zero_point"]))
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ArtifactError(f"a quantized tensor's parts do not fit together: {error}") from error
    if _short(made.dtype) != node["$quantized"]:
        raise ArtifactError("a quantized tensor's dtype is not that of its values")
    return made


def finish(tensor: torch.Tensor, node: dict[str, Any], cls: Any) -> torch.Tensor:
    """Make a plain tensor the Parameter, the leaf or the instance of `cls` (None for torch's own) that `node` tells."""
    parameter = bool(node.get("parameter"))
    gradient = node.get("requires_grad", parameter)
    if gradient and not (tensor.dtype.is_floating_point or tensor.dtype.is_complex):
        raise ArtifactError("a tensor that is not floating point cannot require a gradient")
    if cls is not None:
        if not (isinstance(cls, type) and issubclass(cls, torch.nn.Parameter if parameter else torch.Tensor)):
            raise ArtifactError(f"{cls!r} is not a class of tensors")
        if cls.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
            raise ArtifactError(f"{cls.__qualname__} wraps other tensors")
        return torch.Tensor._make_subclass(cls, tensor, bool(gradient))
    if parameter:
        return torch.Tensor._make_subclass(torch.nn.Parameter, tensor, bool(gradient))  # what Parameter() comes to
    return tensor.requires_grad_(bool(gradient))


def set_gradient(tensor: torch.Tensor, gradient: Any) -> None:
    """Give a leaf its gradient. Raises ArtifactError where it does not fit."""
    try:
        with torch._C.DisableTorchFunctionSubclass():  # a class of the user's may have a method that would run
            tensor.grad = gradient
    except (RuntimeError, TypeError) as error:
        raise ArtifactError(f"a gradient does not fit its tensor: {error}") from error


def is_dense(value: Any) -> bool:
    """Whether `value` is a plain tensor with memory for each of its elements, so that reading it costs no more."""
    return type(value) is torch.Tensor and (value.is_meta or value.nbytes <= value.untyped_storage().nbytes())


def contiguous(shape: list[int]) -> list[int]:
    """The strides, in elements, that torch gives a new tensor of this shape."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return strides[::-1]


def is_sizes(value: Any) -> bool:
    """Whether `value` is a list of whole numbers that can be sizes."""
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**62 for size in value)


def _device(name: str) -> torch.device:
    """The device of that name where this process has it, else the CPU."""
    device = torch.device(name)
    # torch keeps an index in 8 bits: of 999 it makes a negative one
    if device.type == "meta" or (device.type == "cuda" and 0 <= (device.index or 0) < torch.cuda.device_count()):
        return device
    return _CPU


def _is_sorted(indices: torch.Tensor, shape: list[int]) -> bool:
    """Whether columns of indices are in strictly rising lexicographic order, as coalesced tensors have them."""
    flat = torch.zeros(indices.shape[1], dtype=torch.int64)
    for row, size in zip(indices.cpu(), shape, strict=False):
        flat = flat * size + row
    return bool((flat[1:] > flat[:-1]).all())


def _short(value: Any) -> str:
    return str(value).removeprefix("torch.")
