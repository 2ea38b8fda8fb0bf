"""Traits of tensors as objects: where a module keeps them, and what hangs on them beside their numbers."""

from __future__ import annotations

import torch
from torch import nn


class Readings(nn.Module):
    """Four readings in, three scores out; subclasses keep a further tensor somewhere and shift the readings by it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x)

    def shift(self):
        return torch.zeros(4)

    def forward(self, batch):
        return self.net(batch + self.shift())

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls, *args):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(12)
        return cls(*args).eval()


def offsets():
    return torch.tensor([0.5, -0.5, 1.0, 2.0])


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- where it is kept ---


class PlainAttribute(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.offset = offsets()

    def shift(self):
        return self.offset


def plain_tensor_attribute() -> nn.Module:
    return made(PlainAttribute)


class Buffered(Readings):
    def __init__(self, persistent) -> None:
        super().__init__()
        self.register_buffer("offset", offsets(), persistent=persistent)

    def shift(self):
        return self.offset


def persistent_buffer() -> nn.Module:
    return made(Buffered, True)


def non_persistent_buffer() -> nn.Module:
    return made(Buffered, False)


def buffer_changed_after_construction() -> nn.Module:
    model = made(Buffered, False)
    model.offset.mul_(3)
    return model


class InContainers(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.tables = {"offset": [offsets(), (offsets() * 2,)], 3: offsets() - 1}

    def shift(self):
        first, (second,) = self.tables["offset"]
        return first + second + self.tables[3]


def tensors_in_containers() -> nn.Module:
    return made(InContainers)


class Unregistered(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.offsets = [nn.Parameter(offsets()), nn.Parameter(offsets() * 2)]

    def shift(self):
        return self.offsets[0] - self.offsets[1]


def parameters_in_a_plain_list() -> nn.Module:
    return made(Unregistered)


class Vacant(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("gain", None)
        self.register_buffer("offset", None)
        self.net = nn.Linear(4, 3, bias=False)

    def shift(self):
        return offsets() if self.gain is None and self.offset is None else 0.0


def none_parameter_and_buffer() -> nn.Module:
    return made(Vacant)


class ClassTensor(Readings):
    table = torch.tensor([1.0, 0.5, 0.25, 0.125])

    def shift(self):
        return self.table


def tensor_as_a_class_attribute() -> nn.Module:
    return made(ClassTensor)


class Lazy(Readings):
    def shift(self):
        if not hasattr(self, "offset"):
            self.register_buffer("offset", offsets(), persistent=False)
        return self.offset


def buffer_made_at_first_call() -> nn.Module:
    model = made(Lazy)
    model.shift()
    return model


class Deleted(Buffered):
    def shift(self):
        return offsets() if "offset" not in self._buffers else self.offset


def deleted_buffer() -> nn.Module:
    model = made(Deleted, True)
    del model.offset
    return model


class StorageHeld(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.storage = offsets().untyped_storage()

    def shift(self):
        return torch.empty(0).set_(self.storage, 0, (4,))


def storage_as_an_attribute() -> nn.Module:
    return made(StorageHeld)


# --- what a parameter says of itself ---


def requires_grad_mixed() -> nn.Module:
    model = made(Readings)
    model.net.bias.requires_grad_(False)
    return model


class Shifted(Readings):
    def __init__(self, parameter) -> None:
        super().__init__()
        self.offset = parameter

    def shift(self):
        return self.offset


def integer_parameter() -> nn.Module:
    return made(Shifted, nn.Parameter(torch.tensor([1, 2, -3, 4]), requires_grad=False))


def buffer_that_requires_grad() -> nn.Module:
    model = made(Buffered, True)
    model.offset.requires_grad_(True)
    return model


class TaughtByGrad(Readings):
    def shift(self):
        return 0.0 if self.net.weight.grad is None else self.net.weight.grad[0]


def gradient_kept() -> nn.Module:
    """A step was half done: the gradients are there, and the optimiser has not taken them yet."""
    model = made(TaughtByGrad)
    model.net(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).sum().backward()
    return model


class Watched(Readings):
    """What a hook of the parameter does to a gradient is seen by taking one."""

    def postprocess(self, output):
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.net(torch.ones(1, 4)).sum(), self.net.bias)
        return {"scores": output.tolist(), "gradient": gradient.tolist()}


def doubled_gradient(gradient):
    return 2 * gradient


def tensor_hook() -> nn.Module:
    model = made(Watched)
    model.net.bias.register_hook(doubled_gradient)
    return model


class Tagged(Readings):
    def shift(self):
        return getattr(self.net.weight, "gain", 0.0)


def attribute_on_a_parameter() -> nn.Module:
    model = made(Tagged)
    model.net.weight.gain = 1.5
    return model


class WithHistory(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.offset = self.net.weight[0] * 2

    def shift(self):
        return self.offset if self.offset.grad_fn is not None else 0.0


def tensor_with_a_graph() -> nn.Module:
    return made(WithHistory)


def inference_tensor() -> nn.Module:
    with torch.inference_mode():
        return made(InferenceOffset)


class InferenceOffset(PlainAttribute):
    def shift(self):
        return self.offset if self.offset.is_inference() else torch.zeros(4)


# --- subclasses ---


class Celsius(torch.Tensor):
    """A tensor with a type of its own, which survives arithmetic."""

    def kelvin(self):
        return self.as_subclass(torch.Tensor) + 273.15


class Warm(Readings):
    def __init__(self, offset) -> None:
        super().__init__()
        self.register_buffer("offset", offset)

    def shift(self):
        return self.offset.kelvin() / 100


def tensor_subclass() -> nn.Module:
    return made(Warm, offsets().as_subclass(Celsius))


class Unit(torch.Tensor):
    @staticmethod
    def __new__(cls, data, unit):
        self = torch.as_tensor(data).as_subclass(cls)
        self.unit = unit
        return self

    def kelvin(self):
        return self.as_subclass(torch.Tensor) * self.unit


def tensor_subclass_with_attributes() -> nn.Module:
    return made(Warm, Unit(offsets(), 50.0))


class Bounded(nn.Parameter):
    """A parameter with a type of its own."""

    def bounded(self):
        return self.clamp(-0.75, 0.75)


class UsesBounded(Shifted):
    def shift(self):
        return self.offset.bounded()


def parameter_subclass() -> nn.Module:
    return made(UsesBounded, Bounded(offsets()))


class Doubled(torch.Tensor):
    """Computes through `__torch_dispatch__` on the tensor inside it: the way of quantised and distributed tensors."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)

    def __init__(self, inner) -> None:
        self.inner = inner

    def __repr__(self):
        return f"Doubled({self.inner})"

    def __tensor_flatten__(self):
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner, context, size, stride):
        return Doubled(inner["inner"])

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        def unwrap(value):
            return value.inner * 2 if isinstance(value, cls) else value

        if function is torch.ops.aten.detach.default:
            return Doubled(args[0].inner)
        return function(*map(unwrap, args), **{name: unwrap(value) for name, value in (kwargs or {}).items()})


class UsesDoubled(Readings):
    def __init__(self) -> None:
        super().__init__()
        self.offset = Doubled(offsets())

    def shift(self):
        return torch.add(torch.ones(4), self.offset)


def wrapper_tensor_subclass() -> nn.Module:
    return made(UsesDoubled)
