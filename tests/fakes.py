"""Backends that are wrong, each in one way. The harness must catch every one; `test_fakes.py` says how.

They pickle, and then do one thing that real formats have been seen to do.
"""

from __future__ import annotations

import copyreg
import inspect
import json
import os
import pickle
import shutil
import sys
import time
from collections import OrderedDict
from multiprocessing.reduction import ForkingPickler

import torch

from backends import Backend, UnsupportedModel


class Honest(Backend):
    """Right: the fakes differ from it in one method."""

    def save(self, model, directory):
        (directory / "model.pkl").write_bytes(pickle.dumps(model))

    def load(self, directory):
        model = pickle.loads((directory / "model.pkl").read_bytes())
        return self.spoil(model) or model

    def spoil(self, model):
        return None


class RoundsAWeight(Honest):
    def spoil(self, model):
        with torch.no_grad():
            model.norm.weight[0] = torch.nextafter(model.norm.weight[0], torch.tensor(9.0))


class DropsABuffer(Honest):
    def spoil(self, model):
        del model.blocks[0].mask
        model.blocks[0].mask = torch.ones(32, 32, dtype=torch.bool).tril()


class UntiesAWeight(Honest):
    def spoil(self, model):
        model.head.weight = torch.nn.Parameter(model.head.weight.detach().clone())


class ChangesADtype(Honest):
    def spoil(self, model):
        model.norm.double()
        model.norm.forward = lambda x: torch.nn.LayerNorm.forward(model.norm, x.double()).float()


class LosesAWord(Honest):
    def spoil(self, model):
        model.symbols[max(model.symbols)] = ""


class StringKeys(Honest):
    """What JSON does to `{0: "a"}`."""

    def spoil(self, model):
        model.symbols = {str(number): symbol for number, symbol in model.symbols.items()}


class WrongInTheSecondExample(Honest):
    def spoil(self, model):
        original = model.postprocess
        calls = []

        def postprocess(output):
            calls.append(output)
            answer = original(output)
            return answer | {"translation": answer["translation"] + "s"} if len(calls) % 3 == 2 else answer

        return Wrapped(model, postprocess)


class Wrapped:
    """Not the model, but something that answers like it."""

    def __init__(self, model, postprocess):
        self.preprocess, self.forward, self.postprocess = model.preprocess, model.forward, postprocess


class TrainsAgain(Honest):
    def spoil(self, model):
        model.blocks[1].train()


class Freezes(Honest):
    def spoil(self, model):
        model.position.weight.requires_grad_(False)


class DictForDataclass(Honest):
    def spoil(self, model):
        class Attributes(dict):
            __getattr__ = dict.__getitem__

        model.beam = Attributes(vars(model.beam))


class PersistsABuffer(Honest):
    def spoil(self, model):
        model.blocks[0]._non_persistent_buffers_set.clear()


class ChangesTheOriginal(Honest):
    def save(self, model, directory):
        super().save(model, directory)
        model.symbols = OrderedDict(model.symbols)


class ForgetsPostprocess(Honest):
    def spoil(self, model):
        return Forward(model)


class Forward:
    def __init__(self, model):
        self.forward = model.forward


class ReturnsAState(Honest):
    def spoil(self, model):
        return dict(model.state_dict())


class PostprocessDies(Honest):
    def spoil(self, model):
        def postprocess(output):
            raise NameError("name 'torch' is not defined")

        model.postprocess = postprocess


class Declines(Honest):
    def save(self, model, directory):
        raise UnsupportedModel("model.beam is a dataclass: use a dict")


class Crashes(Honest):
    def load(self, directory):
        os.abort()


class Leaves(Honest):
    def load(self, directory):
        os._exit(3)


class Hangs(Honest):
    def load(self, directory):
        time.sleep(600)


class KeepsThePath(Honest):
    """Right, and the source is found again by the path that it had: elsewhere there is none."""

    def save(self, model, directory):
        super().save(model, directory)
        (directory / "path").write_text(sys.path[0])

    def load(self, directory):
        sys.path.insert(0, (directory / "path").read_text())
        return super().load(directory)


class CarriesTheSource(Honest):
    """Right wherever it is loaded: the source travels in the artifact and comes first."""

    def save(self, model, directory):
        super().save(model, directory)
        shutil.copytree(sys.path[0], directory / "source")

    def load(self, directory):
        sys.path.insert(0, str(directory / "source"))
        return super().load(directory)


class NoticesAnEdit(Honest):
    """Remembers the text of the model's module, and refuses another."""

    def save(self, model, directory):
        super().save(model, directory)
        (directory / "source").write_text(inspect.getsource(sys.modules[type(model).__module__]))

    def load(self, directory):
        model = super().load(directory)
        if inspect.getsource(sys.modules[type(model).__module__]) != (directory / "source").read_text():
            raise ValueError("the source has changed since")
        return model


class OtherWorlds(Honest):
    """Refuses all that is not the process that saved."""

    def load(self, directory):
        raise ValueError("not here")


class LoadsOnTheCpu(Honest):
    """Right: maps every storage to where this machine has memory."""

    def save(self, model, directory):
        torch.save(model, directory / "model.pt")

    def load(self, directory):
        return torch.load(directory / "model.pt", map_location="cpu", weights_only=False)


class MovesToMeta(LoadsOnTheCpu):
    """Finds no GPU, and leaves a layer nowhere."""

    def load(self, directory):
        model = super().load(directory)
        model.mix.to("meta")
        return model


class WritesNoStorage(Honest):
    """Saves tensors by another way than torch.serialization, as files of plain bytes do."""

    def save(self, model, directory):
        state = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
        (directory / "model.json").write_text(json.dumps(state))


class Unpicklable(Honest):
    """What it loads works where it is, and does not pickle: it holds a lambda."""

    def spoil(self, model):
        postprocess = model.postprocess
        return Wrapped(model, lambda output: postprocess(output))


class WrongInWorkers(Honest):
    """Right in the process that loaded; its copy in a process that this one starts is not."""

    def spoil(self, model):
        def reduced(model):
            numbers = dict.fromkeys(model.numbers, 0)
            return copyreg.__newobj__, (type(model),), {**vars(model), "numbers": numbers}

        ForkingPickler.register(type(model), reduced)


class OtherExtraState(Honest):
    """What `state_dict` has beside tensors is not what it was."""

    def spoil(self, model):
        model.get_extra_state = lambda: {"words": {"a"}}


class DetachesALayer(Honest):
    """Right in every answer; no gradient reaches the embedding."""

    def spoil(self, model):
        model.embedding.register_forward_hook(lambda module, inputs, output: output.detach())


class ScalesGradients(Honest):
    def spoil(self, model):
        model.mix.weight.register_hook(lambda gradient: gradient * 2)


class RefusesCopies(Honest):
    def spoil(self, model):
        def refuse(memo):
            raise TypeError("cannot be copied")

        model.__deepcopy__ = refuse


class CopiesWrongly(Honest):
    def spoil(self, model):
        other = pickle.loads(pickle.dumps(model))
        other.names[0] = "fig"
        model.__deepcopy__ = lambda memo: other


class AnswersAlone(Honest):
    """Right for one and for two data points, wrong for a batch of three."""

    def spoil(self, model):
        model.mix.register_forward_hook(lambda module, inputs, output: output + (len(output) == 3))


class RenamesInStateDict(Honest):
    def spoil(self, model):
        def rename(module, state, prefix, metadata):
            state["table.weight"] = state.pop("embedding.weight")

        model.register_state_dict_post_hook(rename)


class DiesWhenTrained(Honest):
    def spoil(self, model):
        model.mix.weight.register_hook(lambda gradient: os.abort())


class AnswersOtherwiseCompiled(Honest):
    def spoil(self, model):
        model.mix.register_forward_hook(
            lambda module, inputs, output: output + int(torch.compiler.is_dynamo_compiling())
        )


class RefusesExport(Honest):
    def spoil(self, model):
        def refuse(module, inputs, output):
            if torch.compiler.is_exporting():
                raise ValueError("not to be exported")

        model.mix.register_forward_hook(refuse)


class SavesOnce(Honest):
    """What it loaded cannot be saved."""

    def save(self, model, directory):
        if hasattr(self, "loads"):
            raise ValueError("not twice")
        super().save(model, directory)

    def spoil(self, model):
        self.loads = getattr(self, "loads", 0) + 1


class WearsOff(Honest):
    """Right the first time."""

    def save(self, model, directory):
        if hasattr(self, "loads"):
            model.names[0] = "fig"
        super().save(model, directory)

    def spoil(self, model):
        self.loads = getattr(self, "loads", 0) + 1


class StopsHalfWay(Honest):
    """Leaves autocast on where it does not bring a model back."""

    def spoil(self, model):
        if type(model).__name__ == "Autocast":
            torch.set_autocast_enabled("cpu", True)
            raise ValueError("half-way")
