"""Traits of what is hung onto modules: hooks, parametrizations, masks, extra state, functions with own gradients."""

from __future__ import annotations

import warnings

import torch
import torch.nn.utils.parametrizations as parametrizations
import torch.nn.utils.parametrize as parametrize
import torch.nn.utils.prune as prune
from torch import nn


class Readings(nn.Module):
    """Four readings in, three scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(14)
        return cls(*args).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- hooks ---


def double_output(module, inputs, output):
    return 2 * output


def shift_input(module, inputs):
    return tuple(value + 1 for value in inputs)


def forward_hook() -> nn.Module:
    model = made(Readings)
    model.net.register_forward_hook(double_output)
    return model


def forward_pre_hook() -> nn.Module:
    model = made(Readings)
    model.net.register_forward_pre_hook(shift_input)
    return model


def forward_hook_lambda() -> nn.Module:
    model = made(Readings)
    model.net.register_forward_hook(lambda module, inputs, output: output - inputs[0].sum(-1, keepdim=True))
    return model


class Recorder(Readings):
    """Its hook is its own method, which keeps what passed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list = []
        self.net.register_forward_hook(self.record)

    def record(self, module, inputs, output):
        self.seen[:] = inputs[0].flatten().tolist()

    def postprocess(self, output):
        return {**super().postprocess(output), "seen": self.seen}


def forward_hook_bound_method() -> nn.Module:
    return made(Recorder)


def scaled_by_keyword(module, args, kwargs, output):
    return output * (1 + len(kwargs))


class ByKeyword(Readings):
    def forward(self, batch):
        return self.net(input=batch)


def forward_hook_with_keywords() -> nn.Module:
    model = made(ByKeyword)
    model.net.register_forward_hook(scaled_by_keyword, with_kwargs=True, always_call=True)
    return model


def hooks_in_order() -> nn.Module:
    model = made(Readings)
    model.net.register_forward_hook(double_output)
    model.net.register_forward_hook(plus_one)
    model.net.register_forward_hook(squared, prepend=True)
    return model


def plus_one(module, inputs, output):
    return output + 1


def squared(module, inputs, output):
    return output.square()


class Handled(Readings):
    """Keeps the handle with which it would take its hook off."""

    def __init__(self) -> None:
        super().__init__()
        self.handle = self.net.register_forward_hook(double_output)

    def forward(self, batch):
        known = self.handle.id in (self.handle.hooks_dict_ref() or {})
        return self.net(batch) + (0 if known else 100)


def hook_handle_kept() -> nn.Module:
    return made(Handled)


class TakesItselfOff:
    """A hook that keeps the handle of itself."""

    def __init__(self, module) -> None:
        self.handle = module.register_forward_hook(self)

    def __call__(self, module, inputs, output):
        return output * 2


def hook_that_keeps_its_handle() -> nn.Module:
    model = made(Readings)
    TakesItselfOff(model.net)
    return model


class Listened(Readings):
    """Listens to its layer with a hook that is there for one call, beside the one that stays."""

    def forward(self, batch):
        heard = []
        handle = self.net.register_forward_hook(lambda module, inputs, output: heard.append(output.mean(-1)))
        output = self.net(batch)
        handle.remove()
        return output - heard[0][:, None]


def hook_beside_a_passing_one() -> nn.Module:
    model = made(Listened)
    model.net.register_forward_hook(double_output)
    return model


class GradientWatched(Readings):
    def postprocess(self, output):
        with torch.enable_grad():
            x = torch.ones(1, 4, requires_grad=True)
            (gradient,) = torch.autograd.grad(self(x).sum(), x)
        return {**super().postprocess(output), "gradient": gradient.tolist()}


def reversed_gradient(module, grad_input, grad_output):
    return tuple(-gradient for gradient in grad_input)


def backward_hook() -> nn.Module:
    model = made(GradientWatched)
    model.net.register_full_backward_hook(reversed_gradient)
    return model


def note_version(module, state, prefix, metadata):
    state[prefix + "version"] = torch.tensor(2)


def drop_version(module, state, prefix, *rest):
    state.pop(prefix + "version", None)


def state_dict_hooks() -> nn.Module:
    """The state dict has one entry more than the model has tensors."""
    model = made(Readings)
    model.register_state_dict_post_hook(note_version)
    model.register_load_state_dict_pre_hook(drop_version)
    return model


class Extra(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.names = ["low", "high", "other"]

    def get_extra_state(self):
        return {"names": self.names}

    def set_extra_state(self, state):
        self.names = state["names"]

    def postprocess(self, output):
        return {"name": self.names[int(output.argmax())]}


def extra_state() -> nn.Module:
    model = made(Extra)
    model.names = ["cat", "dog", "bird"]
    return model


class Renaming(Readings):
    """Stores its state under other names than its tensors have."""

    def state_dict(self, *args, **kwargs):
        return {name.replace("net.", "layer/"): value for name, value in super().state_dict(*args, **kwargs).items()}

    def load_state_dict(self, state_dict, *args, **kwargs):
        state = {name.replace("layer/", "net."): value for name, value in state_dict.items()}
        return super().load_state_dict(state, *args, **kwargs)


def state_dict_overridden() -> nn.Module:
    return made(Renaming)


# --- parametrizations ---


def _with(change):
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the older forms are deprecated and in use
        torch.default_generator.manual_seed(14)
        model = Readings()
        change(model)
        return model.eval()


def weight_norm() -> nn.Module:
    return _with(lambda model: parametrizations.weight_norm(model.net))


def spectral_norm() -> nn.Module:
    return _with(lambda model: parametrizations.spectral_norm(model.net))


class Positive(nn.Module):
    def forward(self, raw):
        return raw.abs()

    def right_inverse(self, value):
        return value


def own_parametrization() -> nn.Module:
    return _with(lambda model: parametrize.register_parametrization(model.net, "weight", Positive()))


def two_parametrizations_on_one_weight() -> nn.Module:
    def change(model):
        parametrize.register_parametrization(model.net, "weight", Positive())
        parametrize.register_parametrization(model.net, "weight", Positive(), unsafe=True)
        parametrizations.weight_norm(model.net, "bias", dim=None)

    return _with(change)


def weight_norm_by_hook() -> nn.Module:
    return _with(lambda model: nn.utils.weight_norm(model.net))


def spectral_norm_by_hook() -> nn.Module:
    return _with(lambda model: nn.utils.spectral_norm(model.net))


def pruned_weights() -> nn.Module:
    return _with(lambda model: prune.l1_unstructured(model.net, "weight", amount=0.5))


# --- own gradients ---


class Rounded(torch.autograd.Function):
    """Rounds; its gradient pretends that it did not."""

    @staticmethod
    def forward(ctx, value):
        return value.round()

    @staticmethod
    def backward(ctx, gradient):
        return 3 * gradient


class StraightThrough(GradientWatched):
    def __init__(self) -> None:
        super().__init__()
        self.round = Rounded.apply

    def forward(self, batch):
        return self.round(self.net(batch) * 4)


class StraightThroughByClass(GradientWatched):
    def forward(self, batch):
        return Rounded.apply(self.net(batch) * 4)


def autograd_function() -> nn.Module:
    return made(StraightThroughByClass)


def autograd_function_apply_as_attribute() -> nn.Module:
    return made(StraightThrough)
