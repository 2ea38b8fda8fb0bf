"""`state_dict` and `state_dict_config`: the tensors that have a name in the module, and nothing else.

Writes one file, `model.pt`: `torch.save` of the state dictionary, with the name of the code that builds the model
around it. All else of a model is lost: its preprocessing and postprocessing, labels, constants, thresholds,
non-persistent buffers, training flags and hooks are whatever the code makes of them when the file is loaded. So `exact`
says that the code is still there and still builds the same model. `torch.load(weights_only=True)` admits tensors and
plain containers; the code must be in a module that the caller trusts.

`state_dict` stores "module:function" of the function that makes the model and calls it again at load: its load time is
mostly that, and training too, where the only function there is trains. `state_dict_config` stores the model's class and
the arguments of its constructor, recorded while the model was built; an argument that JSON cannot hold is refused at
save.

Use it when the code is under version control, is deployed on its own, and outlives the file.

Not when the file should say by itself what the model is, or where learned things lie outside of tensors.

Source: https://docs.pytorch.org/tutorials/beginner/saving_loading_models.html
"""

from __future__ import annotations

import torch

from backends.base import Backend
from backends.constructors import CallRecorder, import_name, importable


class StateDict(Backend):
    """The state dictionary, and the name of the function that builds the model."""

    def save(self, model, directory, constructor=""):
        torch.save({"constructor": importable(constructor), "weights": model.state_dict()}, directory / "model.pt")

    def load(self, directory, trusted_modules=()):
        file = torch.load(directory / "model.pt", weights_only=True)
        model = import_name(file["constructor"], trusted_modules)()
        model.load_state_dict(file["weights"])
        return model


class StateDictConfig(Backend):
    """The state dictionary, and the model's class with its constructor's recorded arguments."""

    def __init__(self):
        self.recorder = CallRecorder()
        self.recording = self.recorder.recording

    def save(self, model, directory):
        name, config = self.recorder.call(model)
        torch.save({"class": name, "config": config, "weights": model.state_dict()}, directory / "model.pt")

    def load(self, directory, trusted_modules=()):
        file = torch.load(directory / "model.pt", weights_only=True)
        model = import_name(file["class"], trusted_modules)(**file["config"])
        model.load_state_dict(file["weights"])
        return model.eval()
