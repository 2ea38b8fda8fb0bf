"""`tensorizer` and `tensorizer_verified`: the tensors of a module, laid out to be streamed.

Writes `model.tensors` with `TensorSerializer.write_module`, non-persistent buffers included, and `constructor.txt`
with the name ("module:function") of the function that makes the model, which is called again at load. All else of a
model is whatever that function makes of it. `load_into_module` registers every tensor anew: buffers of floats come
back as Parameters that want a gradient, and non-persistent ones as persistent. The file has a CRC-32 and a SHA-256 of
each tensor; they are checked where `verify_hash=True` asks for it, as `tensorizer_verified` does.

Use it when a large model must be streamed from object storage into a GPU.

Not when the model is small: importing the library takes longer than loading it.

Source: https://github.com/coreweave/tensorizer
"""

from __future__ import annotations

from backends.base import Backend
from backends.constructors import import_name, importable


class Tensorizer(Backend):
    """`write_module` and `load_into_module`."""

    verify_hash = False

    def save(self, model, directory, constructor=""):
        from tensorizer import TensorSerializer

        (directory / "constructor.txt").write_text(importable(constructor), encoding="utf-8")
        serializer = TensorSerializer(str(directory / "model.tensors"))
        try:
            serializer.write_module(model)
        finally:
            serializer.close()

    def load(self, directory, trusted_modules=()):
        from tensorizer import TensorDeserializer

        name = (directory / "constructor.txt").read_text(encoding="utf-8")
        model = import_name(name, trusted_modules)()
        with TensorDeserializer(
            str(directory / "model.tensors"), device="cpu", verify_hash=self.verify_hash
        ) as deserializer:
            deserializer.load_into_module(model)
        return model


class TensorizerVerified(Tensorizer):
    """`TensorDeserializer(..., verify_hash=True)`."""

    verify_hash = True
