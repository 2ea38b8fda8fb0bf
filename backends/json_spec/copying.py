"""Saved values into a model that was made anew: by name, where they fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from backends.json_spec.regions import plain_bytes


class FreshWeights(UserWarning):
    """`rebuild(weights="saved")` found tensors that no saved ones fit; they have the constructor's values."""


def copy_weights(saved: nn.Module, rebuilt: nn.Module) -> None:
    """Give each tensor the saved values of its name. Raises ValueError where it cannot have those of all its names."""
    old, new = _tensors(saved), _tensors(rebuilt)
    given: dict[int, torch.Tensor] = {}
    with torch.no_grad():
        for name, tensor in new.items():
            if not _misfit(tensor, old.get(name)):
                given[id(tensor)] = old[name]
                _unrepeated(tensor, tensor).copy_(_unrepeated(old[name], tensor))
    filled = {name: tensor for name, tensor in new.items() if id(tensor) in given}
    lost = [name for name in filled if name in old and not _has(filled[name], old[name], given)]
    if lost:
        places = {_memory(new[name]) for name in lost}
        names = ", ".join(name for name, tensor in filled.items() if _memory(tensor) in places)
        raise ValueError(
            f"{names}: the rebuilt model holds in one place what was saved with different values; override the "
            f"argument that ties it, or take weights='fresh' and copy the values that are wanted"
        )
    fresh = [
        f"{name} {'without a shape' if is_lazy(tensor) else list(tensor.shape)} ({_misfit(tensor, old.get(name))})"
        for name, tensor in new.items()
        if name not in filled
    ]
    if fresh:
        warnings.warn(f"{len(fresh)} tensors are fresh: {', '.join(fresh)}", FreshWeights, stacklevel=3)


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters and buffers, under all their names."""
    return dict([*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)])


def _misfit(tensor: torch.Tensor, saved: torch.Tensor | None) -> str:
    """Why a tensor does not get the saved values of its name; empty where it does."""
    if saved is None:
        return "not saved"
    same_kind = saved.dtype == tensor.dtype and saved.is_meta == tensor.is_meta
    if same_kind and not is_lazy(tensor) and saved.shape == tensor.shape:
        return ""
    was = f"saved {list(saved.shape)}"
    if saved.dtype != tensor.dtype:
        was += f" as {saved.dtype}"
    return f"{was} on {saved.device}" if saved.is_meta != tensor.is_meta else was


def _unrepeated(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A view of the elements of `tensor`, without those that `expand` repeats in `like`: these cannot be written to."""
    for axis, stride in enumerate(like.stride() if like.layout is torch.strided else ()):
        if stride == 0:
            tensor = tensor.narrow(axis, 0, min(1, tensor.shape[axis]))
    return tensor


def _has(tensor: torch.Tensor, saved: torch.Tensor, given: Mapping[int, torch.Tensor]) -> bool:
    """Whether a tensor that was given values has these, bit for bit; of those without plain bytes, was given these."""
    if tensor.shape != saved.shape or tensor.dtype != saved.dtype:
        return False
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        return given[id(tensor)] is saved
    return torch.equal(plain_bytes(tensor), plain_bytes(saved))


def _memory(tensor: torch.Tensor) -> int:
    """Equal for tensors in one storage."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else id(tensor)
