"""`safetensors` and `safetensors_config`: the tensors that have a name in the module, in a file that runs no code.

Writes `model.safetensors` with `save_model`, which keeps one name of tensors that are shared, and `model.json` with the
name of the code that builds the model around them. As with a state dictionary all else is whatever the code makes of it
at load: preprocessing and postprocessing, constants, non-persistent buffers, training flags. The file has no checksum.

`safetensors` stores "module:function" of the function that makes the model and calls it again at load: its load time is
mostly that, and training too, where the only function there is trains. `safetensors_config` stores the model's class
and the arguments of its constructor, recorded while the model was built; an argument that JSON cannot hold is refused
at save.

Use it when weights travel to people who should not have to trust you, or to other languages.

Not when the file should say by itself what the model is, or for complex128 and sparse tensors.

Source: https://huggingface.co/docs/safetensors/api/torch
"""

from __future__ import annotations

import json

from backends.base import Backend
from backends.constructors import CallRecorder, import_name, importable


class Safetensors(Backend):
    """`save_model`, and the name of the function that builds the model."""

    def save(self, model, directory, constructor=""):
        write(model, directory, {"constructor": importable(constructor)})

    def load(self, directory, trusted_modules=()):
        description = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        return read_into(import_name(description["constructor"], trusted_modules)(), directory)


class SafetensorsConfig(Backend):
    """`save_model`, and the model's class with its constructor's recorded arguments."""

    def __init__(self):
        self.recorder = CallRecorder()
        self.recording = self.recorder.recording

    def save(self, model, directory):
        name, config = self.recorder.call(model)
        write(model, directory, {"class": name, "config": config})

    def load(self, directory, trusted_modules=()):
        description = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        model = import_name(description["class"], trusted_modules)(**description["config"])
        return read_into(model, directory).eval()


def write(model, directory, description):
    from safetensors.torch import save_model

    save_model(model, str(directory / "model.safetensors"))
    (directory / "model.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def read_into(model, directory):
    from safetensors.torch import load_model

    load_model(model, str(directory / "model.safetensors"))
    return model
