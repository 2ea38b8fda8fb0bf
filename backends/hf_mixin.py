"""`hf_mixin`: the directory of `huggingface_hub.PyTorchModelHubMixin`, saved and loaded locally, without a network.

Writes `model.safetensors`, `config.json` with the constructor's arguments, a model card in `README.md`, and, since a
user of the mixin knows the class and a file must tell, `class.txt`. The mixin has to be among the bases of the class
when the model is made: it notes the arguments of the constructor then. This row does what the owner of an existing
class does, for each module class of the user's file, before the model is built and again before it is loaded:

    class Net(Net, PyTorchModelHubMixin): ...

Arguments that JSON cannot hold are left out without a word, or altered: keys of dictionaries become strings, a
dataclass becomes a dictionary. What is set after the constructor and is not a tensor is lost, non-persistent buffers
too. `from_pretrained` loads with `strict=False`, so that weights which are missing stay random; it calls `eval()`.

Use it when the constructor takes plain values and the model goes to the Hub.

Not when the constructor takes objects, tokenizers or other modules.

Source: https://huggingface.co/docs/huggingface_hub/guides/integrations
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager

import torch

from backends.base import Backend, UnsupportedModel
from backends.constructors import import_name, importable, own_classes


class HfMixin(Backend):
    """`save_pretrained` and `from_pretrained`."""

    @contextmanager
    def recording(self, module):
        mix_in(module)
        yield

    def save(self, model, directory):
        cls = type(model)
        if not hasattr(model, "save_pretrained"):
            raise UnsupportedModel(f"{cls.__name__} was made without the mixin among its class's bases")
        (directory / "class.txt").write_text(importable(f"{cls.__module__}:{cls.__qualname__}"), encoding="utf-8")
        model.save_pretrained(directory)

    def load(self, directory, trusted_modules=()):
        name = (directory / "class.txt").read_text(encoding="utf-8")
        import_name(name, trusted_modules)
        mix_in(importlib.import_module(name.partition(":")[0]))
        return import_name(name, trusted_modules).from_pretrained(directory)


def mix_in(module):
    """Put a class with the mixin in place of each module class that `module` defines; once."""
    from huggingface_hub import PyTorchModelHubMixin

    for name, cls in own_classes(module, torch.nn.Module).items():
        if not issubclass(cls, PyTorchModelHubMixin):
            body = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
            setattr(module, name, type(name, (cls, PyTorchModelHubMixin), body))
