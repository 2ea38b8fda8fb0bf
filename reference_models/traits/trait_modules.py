"""Traits of torch's own modules: containers, recurrent and lazy layers, surgery after construction."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Readings(nn.Module):
    """Four readings in, some scores out; subclasses build `net` from torch's parts."""

    def __init__(self, net=None) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3) if net is None else net

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.flatten().tolist()}


def made(make):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(13)
        return make().eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- containers ---


def one_linear_layer() -> nn.Module:
    return made(Readings)


def sequential() -> nn.Module:
    return made(lambda: Readings(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))))


class Listed(Readings):
    def __init__(self) -> None:
        super().__init__(nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]))

    def forward(self, batch):
        for layer in self.net:
            batch = torch.tanh(layer(batch))
        return batch


def module_list() -> nn.Module:
    return made(Listed)


class Named(Readings):
    def __init__(self) -> None:
        super().__init__(nn.ModuleDict({name: nn.Linear(4, 2) for name in ("a b", "é/$x", "0", "__reduce__x")}))

    def forward(self, batch):
        return torch.cat([place * self.net[name](batch) for place, name in enumerate(self.net, 1)], -1)


def module_dict_odd_keys() -> nn.Module:
    return made(Named)


class Parameters(Readings):
    def __init__(self) -> None:
        super().__init__(nn.ParameterList([torch.randn(4), torch.randn(4, 3)]))
        self.net.append(2.5)  # lists of parameters take plain values too

    def forward(self, batch):
        return (batch + self.net[0]) @ self.net[1] * self.net[2]


def parameter_list() -> nn.Module:
    return made(Parameters)


class ParametersByName(Readings):
    def __init__(self) -> None:
        super().__init__(nn.ParameterDict({"shift": torch.randn(4), "keys()": torch.randn(4, 3), "plain": 0.5}))

    def forward(self, batch):
        return (batch + self.net["shift"]) @ self.net["keys()"] * self.net["plain"]


def parameter_dict() -> nn.Module:
    return made(ParametersByName)


class Empty(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.nothing = nn.Sequential(), None
        self.register_module("vacant", None)

    def forward(self, batch):
        return self.head(self.net(batch)) + (0 if self.vacant is None else 1)


def empty_and_absent_modules() -> nn.Module:
    return made(Empty)


class Hidden(Readings):
    """Layers in a plain list: torch does not see them, and pickle does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(4, 4), nn.Linear(4, 4)]

    def forward(self, batch):
        for layer in self.layers:
            batch = layer(batch)
        return self.net(batch)


def modules_in_a_plain_list() -> nn.Module:
    return made(Hidden)


class Child(nn.Module):
    def __init__(self, parent) -> None:
        super().__init__()
        object.__setattr__(self, "parent", parent)  # no submodule, or the tree would be circular

    def forward(self, batch):
        return batch * self.parent.gain


class Parent(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.gain, self.child = 1.5, Child(self)

    def forward(self, batch):
        return self.net(self.child(batch))


def child_knows_its_parent() -> nn.Module:
    return made(Parent)


# --- layers with more than weights ---


class Recurrent(Readings):
    def forward(self, batch):
        output, _ = self.net(batch.unsqueeze(-1))
        return output[:, -1]


def lstm() -> nn.Module:
    return made(lambda: Recurrent(nn.LSTM(1, 3, num_layers=2, batch_first=True, bidirectional=True)))


class Tabled(Readings):
    def __init__(self) -> None:
        super().__init__(nn.Embedding(10, 3, padding_idx=0, max_norm=0.5))

    def forward(self, batch):
        return self.net((batch.abs() * 3).long()).sum(1)


def embedding_that_renormalises() -> nn.Module:
    return made(Tabled)


def batch_statistics() -> nn.Module:
    def make():
        model = Readings(nn.BatchNorm1d(4, momentum=None))
        for _ in range(3):
            model(2 * torch.randn(8, 4) + 1)
        return model

    return made(make)


def attention() -> nn.Module:
    return made(Attending)


class Attending(Readings):
    def __init__(self) -> None:
        super().__init__(nn.TransformerEncoderLayer(4, 2, dim_feedforward=5, batch_first=True))

    def forward(self, batch):
        return self.net(batch.unsqueeze(1) * torch.ones(3, 1))


def convolution_with_text_padding() -> nn.Module:
    return made(lambda: Wave(nn.Conv1d(1, 2, 2, padding="same", padding_mode="circular")))


class Wave(Readings):
    def forward(self, batch):
        return self.net(batch.unsqueeze(1)).flatten(1)


def dropout_between_layers() -> nn.Module:
    return made(lambda: Readings(nn.Sequential(nn.Dropout(0.25), nn.Linear(4, 3))))


# --- lazy ---


def lazy_module_filled() -> nn.Module:
    def make():
        model = Readings(nn.LazyLinear(3))
        model(torch.ones(1, 4))
        return model

    return made(make)


def lazy_module_unfilled() -> nn.Module:
    """Its weights are drawn at the first call, from whatever random state there is then."""
    return made(lambda: Readings(nn.LazyLinear(3)))


# --- not what the constructor made ---


def head_replaced() -> nn.Module:
    def make():
        model = Readings(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 10)))
        model.net[1] = nn.Linear(4, 2, bias=False)
        return model

    return made(make)


def layer_added_and_layer_removed() -> nn.Module:
    def make():
        model = Readings(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)))
        del model.net[1]
        model.net.add_module("last", nn.Tanh())
        return model

    return made(make)


def dtype_changed_after_construction() -> nn.Module:
    return made(lambda: Wide().double())


class Wide(Readings):
    def forward(self, batch):
        return self.net(batch.to(self.net.weight.dtype))


def hyperparameters_changed() -> nn.Module:
    def make():
        model = Readings(nn.Sequential(nn.LeakyReLU(0.1), nn.Linear(4, 3), nn.LayerNorm(3)))
        model.net[0].negative_slope, model.net[2].eps = 0.7, 0.5
        return model

    return made(make)


def order_of_registration_changed() -> nn.Module:
    def make():
        model = Readings(nn.Sequential(nn.Linear(4, 4), nn.Tanh()))
        model.net._modules["0"] = model.net._modules.pop("0")
        return model

    return made(make)


class Trained(Readings):
    """Its constructor trains; nothing that it was called with gives these weights."""

    def __init__(self) -> None:
        super().__init__()
        for _ in range(3):
            gradients = torch.autograd.grad(self.net(torch.ones(2, 4)).square().sum(), list(self.net.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(self.net.parameters(), gradients, strict=True):
                    parameter -= 0.1 * gradient


def trained_in_the_constructor() -> nn.Module:
    return made(Trained)


# --- flags ---


def training_flags_mixed() -> nn.Module:
    def make():
        return Readings(nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)))

    model = made(make)
    model.net[1].train()
    return model


def left_in_training_mode() -> nn.Module:
    return made(lambda: Readings(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)))).train()


class AlwaysTraining(Readings):
    def train(self, mode=True):
        return super().train(True)

    def forward(self, batch):
        return super().forward(batch) * 2


def train_method_overridden() -> nn.Module:
    return made(AlwaysTraining)


class Frozen(Readings):
    """Its weights learn in training mode alone."""

    def train(self, mode=True):
        return super().train(mode).requires_grad_(mode)


def train_method_that_freezes() -> nn.Module:
    return made(Frozen).train()


# --- outputs ---


class Optional(Readings):
    def forward(self, batch):
        return {"loss": None, "scores": self.net(batch), "hidden": (None, batch)}

    def postprocess(self, output):
        return {name: str(value) for name, value in output.items()}


def output_that_is_none() -> nn.Module:
    return made(Optional)


# --- a second copy ---


class Averaged(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.teacher = copy.deepcopy(self.net).requires_grad_(False)
        self.teacher.weight.data.lerp_(torch.ones(3, 4), 0.25)

    def forward(self, batch):
        return self.net(batch) + self.teacher(batch)


def teacher_copy() -> nn.Module:
    return made(Averaged)
