"""Backends that save and load as one that brings everything back, and then change one part: none of them is exact."""

from __future__ import annotations

import torch

from backends.cloudpickle_ import CloudPickleByValue


class Changed(CloudPickleByValue):
    """Nothing is changed: the others are told apart from this one."""

    def load(self, *arguments, **named):
        model = super().load(*arguments, **named)
        self.change(model)
        return model

    def change(self, model):
        """Change one part of a `nested_fruit.NestedFruit`."""


class AnEntry(Changed):
    def change(self, model):
        model.names[3] = "fig"


class TheOrderOfEntries(Changed):
    def change(self, model):
        model.names = dict(reversed(model.names.items()))


class AnAttributeMore(Changed):
    def change(self, model):
        model.extra = 1


class TrainingMode(Changed):
    def change(self, model):
        model.train(not model.training)


class AFrozenWeight(Changed):
    def change(self, model):
        model.mix.weight.requires_grad_(False)


class TheStride(Changed):
    def change(self, model):
        model.mix.weight.data = model.mix.weight.data.t().contiguous().t()


class AHook(Changed):
    def change(self, model):
        model.mix.register_forward_hook(lambda module, inputs, output: None)


class TheNextFloat(Changed):
    """The smallest change there is: close, and not exact."""

    def change(self, model):
        with torch.no_grad():
            model.mix.bias[0] = torch.nextafter(model.mix.bias[0], torch.tensor(torch.inf))


class AnAttributeOfTheClass(Changed):
    def change(self, model):
        type(model).limit = 3


class ADefaultArgument(Changed):
    def change(self, model):
        type(model).__init__.__defaults__ = (9,)


class AMethod(Changed):
    def change(self, model):
        answer = type(model).postprocess
        type(model).postprocess = lambda self, output: answer(self, output)


class AGlobal(Changed):
    def change(self, model):
        names = type(model).__init__.__globals__
        names["FRUIT"] = names["FRUIT"][::-1]
