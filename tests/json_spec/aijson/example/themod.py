"""The module of AI-JSONable's README, with our decorator in place of its own."""

import torch

from backends.json_spec import spec


@spec
class MyPyTorchModel(torch.nn.Module):
    def __init__(self, n_layers, n_hidden, n_input):
        super().__init__()
        self.rnn = torch.nn.GRU(n_hidden, n_hidden, n_layers)
        self.embed = torch.nn.Embedding(n_input, n_hidden)


@spec
class MyCompose:
    def __init__(self, functions):
        self.functions = functions


class Undecorated(MyCompose):
    """AI-JSONable would record it as a MyCompose."""

    def __init__(self, n=2):
        super().__init__([n] * n)
