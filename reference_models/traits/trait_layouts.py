"""Traits of layouts: tensors that share memory, are strided oddly, or have no strides at all."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import nn


class Weighed(nn.Module):
    """Four readings in, scores out; subclasses say how their tensors make the matrix."""

    def __init__(self, **tensors) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)

    def preprocess(self, x):
        return torch.tensor(x)

    def matrix(self):
        return self.weight

    def forward(self, batch):
        return batch @ self.matrix().T

    def postprocess(self, output):
        return {"scores": output.tolist()}


def numbers(*shape, seed=11):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- one memory, several tensors ---


class Tied(nn.Module):
    """Encodes and decodes with one matrix: two layers whose weight is one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.encoder.weight = nn.Parameter(numbers(4, 4))
        self.decoder.weight = self.encoder.weight

    preprocess, postprocess = Weighed.preprocess, Weighed.postprocess

    def forward(self, batch):
        return self.decoder(torch.tanh(self.encoder(batch)))


def _quiet(cls):
    """`nn.Linear` draws its first weights, which are then replaced: the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        return cls().eval()


def tied_weights() -> nn.Module:
    return _quiet(Tied)


class SharedLayer(Tied):
    def __init__(self) -> None:
        super().__init__()
        self.decoder = self.encoder


def one_layer_under_two_names() -> nn.Module:
    return _quiet(SharedLayer)


class TiedByTable(Tied):
    """The same matrix as an attribute too, in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.tracked = [self.encoder.weight]

    def forward(self, batch):
        return super().forward(batch) + batch @ self.tracked[0]


def parameter_in_a_plain_list_too() -> nn.Module:
    return _quiet(TiedByTable)


class Writes(Weighed):
    """Writes into one tensor at each call and reads the other."""

    def forward(self, batch):
        self.source.copy_(torch.arange(self.source.numel()).view_as(self.source) - 1.0)
        return batch @ self.matrix().reshape(3, 4).T


def views_sharing_storage() -> nn.Module:
    base = numbers(12)
    return Writes(source=base, weight=base.view(3, 4)).eval()


def partially_overlapping_views() -> nn.Module:
    base = numbers(18)
    return Writes(source=base[:12], weight=base[6:]).eval()


def buffer_is_a_view_of_a_parameter() -> nn.Module:
    weight = nn.Parameter(numbers(3, 4))
    return Writes(weight=weight, source=weight.detach()[1]).eval()


def parameters_in_one_flat_storage() -> nn.Module:
    flat = numbers(24)
    return Pieces(first=nn.Parameter(flat[:12].view(3, 4)), second=nn.Parameter(flat[12:].view(3, 4))).eval()


class Pieces(Weighed):
    def matrix(self):
        return self.first * self.second


def same_bits_two_dtypes() -> nn.Module:
    base = numbers(3, 4)
    return Bits(weight=base, bits=base.view(torch.int32)).eval()


class Bits(Weighed):
    def forward(self, batch):
        self.bits.bitwise_and_(-65536)
        return super().forward(batch)


def real_part_of_a_complex_buffer() -> nn.Module:
    whole = torch.view_as_complex(numbers(3, 4, 2))
    return Phases(whole=whole, weight=whole.real).eval()


class Phases(Weighed):
    def forward(self, batch):
        self.whole.fill_(2 + 1j)
        return super().forward(batch)


def small_view_of_a_large_storage() -> nn.Module:
    return Weighed(weight=numbers(50_000)[12:24].view(3, 4)).eval()


# --- strides ---


def transposed_parameter() -> nn.Module:
    return Weighed(weight=nn.Parameter(numbers(4, 3).T)).eval()


def expanded_parameter() -> nn.Module:
    return Weighed(weight=nn.Parameter(numbers(1, 4).expand(3, 4))).eval()


def every_second_column() -> nn.Module:
    return Weighed(weight=nn.Parameter(numbers(3, 8)[:, ::2])).eval()


def self_overlapping_strides() -> nn.Module:
    return Weighed(weight=numbers(6).as_strided((3, 4), (1, 1))).eval()


class Images(Weighed):
    def forward(self, batch):
        image = batch.view(-1, 1, 2, 2).expand(-1, 2, 2, 2)
        return F.conv2d(image, self.weight).flatten(1)


def channels_last_parameter() -> nn.Module:
    return Images(weight=nn.Parameter(numbers(3, 2, 2, 2).to(memory_format=torch.channels_last))).eval()


class Turned(Weighed):
    def forward(self, batch):
        return torch.view_as_real(batch.to(torch.complex64) @ self.matrix().T).flatten(1)


def conjugate_view() -> nn.Module:
    return Turned(weight=torch.view_as_complex(numbers(3, 4, 2)).conj()).eval()


def negative_view() -> nn.Module:
    return Weighed(weight=torch.view_as_complex(numbers(3, 4, 2)).conj().imag).eval()


# --- sizes ---


class Odd(Weighed):
    def forward(self, batch):
        return batch * self.scalar + self.empty.sum() + self.cube.sum((1, 2, 3, 4, 5))


def scalar_and_empty_tensors() -> nn.Module:
    parts = {"scalar": nn.Parameter(torch.tensor(2.5)), "empty": nn.Parameter(torch.empty(0, 4))}
    return Odd(**parts, cube=numbers(4, 1, 1, 2, 1, 1)).eval()


# --- no strides ---


class Sparse(Weighed):
    def forward(self, batch):
        return (self.weight @ batch.T).T


def _holes():
    weight = numbers(3, 4)
    return weight * (weight > 0)


def sparse_coo_buffer() -> nn.Module:
    return Sparse(weight=_holes().to_sparse_coo()).eval()


def uncoalesced_sparse_buffer() -> nn.Module:
    weight = torch.sparse_coo_tensor([[0, 0, 2], [1, 1, 3]], [1.5, 2.0, -1.0], (3, 4), check_invariants=True)
    return Sparse(weight=weight).eval()


def sparse_coo_parameter() -> nn.Module:
    return Sparse(weight=nn.Parameter(_holes().to_sparse_coo())).eval()


def _quietly(make):
    with warnings.catch_warnings():  # torch says once a process that these layouts are in beta
        warnings.simplefilter("ignore")
        return Sparse(weight=make()).eval()


def sparse_csr_buffer() -> nn.Module:
    return _quietly(lambda: _holes().to_sparse_csr())


class Blocks(Weighed):
    def matrix(self):
        return self.weight.to_dense()[:3]


def sparse_bsr_buffer() -> nn.Module:
    return Blocks(weight=torch.cat([_holes(), torch.zeros(1, 4)]).to_sparse_bsr((2, 2))).eval()


class Ragged(Weighed):
    def matrix(self):
        return torch.stack([row.sum() * torch.ones(4) + len(row) for row in self.weight.unbind()])


def nested_buffer() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Ragged(weight=torch.nested.nested_tensor([numbers(2), numbers(3), numbers(1)])).eval()


class Placeholder(Weighed):
    """A tensor without data: its shape is all that there is."""

    def matrix(self):
        return torch.full(self.weight.shape, 0.5)


def meta_buffer() -> nn.Module:
    return Placeholder(weight=torch.empty(3, 4, device="meta")).eval()


def meta_parameter() -> nn.Module:
    return Placeholder(weight=nn.Parameter(torch.empty(3, 4, device="meta"))).eval()


class Opaque(Weighed):
    def matrix(self):
        return self.weight.to_dense()


def mkldnn_buffer() -> nn.Module:
    return Opaque(weight=numbers(3, 4).to_mkldnn()).eval()


def shared_memory_buffer() -> nn.Module:
    return Weighed(weight=numbers(3, 4).share_memory_()).eval()
