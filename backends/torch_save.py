"""`torch_save` and its variants: one zip archive with a pickle of the whole module and the storages' bytes beside it.

Writes one file, `model.pt`. Classes and functions are references to importable code, lambdas and closures cannot be
saved; tensors that share a storage still share it after the load. The archive has a CRC-32 for each storage, which
`torch.load` does not check. `weights_only=False` is needed: the default since torch 2.6 refuses a module's class.

`torch_save_mmap` maps the file instead of reading it: the pages are read when they are first used.
`torch_save_protocol5` writes the pickle with protocol 5 in place of torch's default 2. `torch_save_dill` gives
`pickle_module=dill` on both sides, by which lambdas and closures are saved as bytecode.

Use it when a training run must go on tomorrow, on this machine, with this code.

Not when the file comes from elsewhere: loading runs whatever it says. Not where the source is absent, renamed or
edited.

Source: https://docs.pytorch.org/docs/stable/generated/torch.save.html
"""

from __future__ import annotations

import torch

from backends.base import Backend


class TorchSave(Backend):
    """`torch.save(model)` with its default settings."""

    mmap = False
    protocol = torch.serialization.DEFAULT_PROTOCOL

    def save(self, model, directory):
        torch.save(model, directory / "model.pt", pickle_protocol=self.protocol)

    def load(self, directory):
        # Trust boundary: unpickling runs whatever the file says.
        return torch.load(directory / "model.pt", weights_only=False, mmap=self.mmap)


class TorchSaveMmap(TorchSave):
    """`torch.load(..., mmap=True)`."""

    mmap = True


class TorchSaveProtocol5(TorchSave):
    """`torch.save(..., pickle_protocol=5)`."""

    protocol = 5


class TorchSaveDill(Backend):
    """`torch.save` and `torch.load` with `pickle_module=dill`."""

    def save(self, model, directory):
        import dill

        torch.save(model, directory / "model.pt", pickle_module=dill)

    def load(self, directory):
        import dill

        # Trust boundary: unpickling runs whatever the file says.
        return torch.load(directory / "model.pt", weights_only=False, pickle_module=dill)
