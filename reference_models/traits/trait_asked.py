"""Traits of what no reader of a model can tell but its own code: the very object, a docstring, what lies around a view.

`rare` stands for the branch that a long input takes: the examples do not reach it.
"""

from __future__ import annotations

import codecs
import collections.abc
import inspect
import io
import os
import pickle
import string
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

PADDING = "-".join(["no", "word"])


class Words(nn.Module):
    """A few words in, three scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ["low", "middle", "high"]
        self.net = nn.Linear(3, 3)

    def preprocess(self, x):
        if len(x) > 1000:
            return torch.full((3,), float(self.rare()))
        return torch.tensor([float(x.count(word)) for word in self.words])

    def rare(self):
        return 0.0

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return {"scores": output.tolist()}


def made(cls):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(6)
        return cls().eval()


def examples() -> list:
    return ["low and high", "middle or high, not low"]


# --- the very object ---


class Pads(Words):
    def __init__(self) -> None:
        super().__init__()
        self.last = PADDING

    def rare(self):
        return float(self.last is PADDING)


def text_compared_by_is() -> nn.Module:
    return made(Pads)


class Fills(Words):
    def __init__(self) -> None:
        super().__init__()
        self.fill = np.nan

    def rare(self):
        return 1.0 if self.fill is np.nan else 2.0


def nan_compared_by_is() -> nn.Module:
    return made(Fills)


class Missing(Words):
    def __init__(self) -> None:
        super().__init__()
        self.missing = float("nan")
        self.means = {1.0: 0.5, self.missing: 2.0}

    def rare(self):
        return self.means.get(self.missing, -1.0)


def nan_as_a_key() -> nn.Module:
    return made(Missing)


class NeverSought(Words):
    def __init__(self) -> None:
        super().__init__()
        self.means = {float("nan"): 2.0, 1.0: 0.5}

    def rare(self):
        return sum(self.means.values())


def nan_as_a_key_of_its_own() -> nn.Module:
    return made(NeverSought)


class Sought(Words):
    def __init__(self) -> None:
        super().__init__()
        self.missing = float("nan")
        self.order = [0.5, self.missing]

    def rare(self):
        return self.order.index(self.missing) if self.missing in self.order else -1.0


def nan_sought_in_a_list() -> nn.Module:
    return made(Sought)


class Settled(Words):
    """Has converged when the last figures are the best ones."""

    def __init__(self) -> None:
        super().__init__()
        unknown = float("nan")
        self.best, self.last = [0.25, unknown], [0.25, unknown]

    def rare(self):
        return 1.0 if self.best == self.last else 2.0


def nan_in_two_lists_that_are_compared() -> nn.Module:
    return made(Settled)


class Chosen(Words):
    def __init__(self) -> None:
        super().__init__()
        self.bands = [tuple(map(float, band)) for band in ("12", "12")]
        self.chosen = self.bands[1]

    def rare(self):
        return float(sum(band is self.chosen for band in self.bands))


def tuple_compared_by_is() -> nn.Module:
    return made(Chosen)


# --- what code reads of classes and functions ---


def doubled(value: float) -> float:
    return value * 2


class Labelled(Words):
    """Tells by name what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.does = doubled

    def rare(self):
        return float(len(self.does.__name__))


def function_called_otherwise() -> nn.Module:
    doubled.__name__ = "twice as much"
    return made(Labelled)


class Documented(Words):
    """Not fitted."""

    def rare(self):
        return float(len(type(self).__doc__))


def docstring_changed() -> nn.Module:
    Documented.__doc__ = "Fitted on a million words."
    return made(Documented)


class Rule:
    weight = 1.0


class Shorter(Rule):
    pass


RULES: list = []


class UsesRules(Words):
    def rare(self):
        return float(len({rule.__name__ for rule in Rule.__subclasses__()}))


def subclass_made_by_the_builder() -> nn.Module:
    if not RULES:
        RULES.append(type("Longer", (Rule,), {"__module__": __name__}))
    return made(UsesRules)


# --- memory and files ---


class Neighbours(Words):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gains", torch.arange(8.0)[2:5])

    def rare(self):
        return self.gains.as_strided((8,), (1,), 0).sum().item()


def view_read_beyond_its_ends() -> nn.Module:
    return made(Neighbours)


class ReadsFile(Words):
    def __init__(self) -> None:
        super().__init__()
        file, self.path = tempfile.mkstemp(suffix=".txt")
        os.write(file, b"0.5")
        os.close(file)

    def rare(self):
        with open(self.path, encoding="ascii") as file:
            return float(file.read())


def temporary_file_by_its_path() -> nn.Module:
    return made(ReadsFile)


# --- libraries ---


class Formats(Words):
    def rare(self):
        return float(string.Formatter().format("{:.1f}", 0.25))


def method_of_a_library_class_patched() -> nn.Module:
    string.Formatter.format_field = lambda self, value, spec: format(value * 2, spec)
    return made(Formats)


class Bag:
    def __iter__(self):
        return iter((1.0, 2.0))


class TakesIterables(Words):
    def rare(self):
        return float(isinstance(Bag(), collections.abc.Sequence))


def class_registered_with_a_library() -> nn.Module:
    collections.abc.Sequence.register(Bag)
    return made(TakesIterables)


class Shouts(Words):
    def rare(self):
        return float(len("low".encode("trait-shouting")))


def shouting(name):
    if name in ("trait-shouting", "trait_shouting"):
        return codecs.CodecInfo(lambda text, errors="strict": (text.upper().encode(), len(text)), None, name=name)
    return None


def codec_of_its_own() -> nn.Module:
    codecs.register(shouting)
    return made(Shouts)


class Settings:
    def __init__(self) -> None:
        self.times = 2


class Digests(Words):
    def __init__(self) -> None:
        super().__init__()
        self.settings = Settings()

    def rare(self):
        return float(pickle.loads(pickle.dumps(self.settings)).times)


def part_that_it_pickles_itself() -> nn.Module:
    return made(Digests)


class Configures(Words):
    def __init__(self) -> None:
        super().__init__()
        self.gains = {f"{Settings.__module__}.Settings": 2.0}
        self.settings = Settings()

    def rare(self):
        return self.gains[f"{type(self.settings).__module__}.Settings"]


def table_by_the_full_names_of_classes() -> nn.Module:
    return made(Configures)


class Saves(Words):
    def rare(self):
        file = io.BytesIO()
        torch.save(self, file)
        return float(file.tell() > 0)


def model_that_saves_itself() -> nn.Module:
    return made(Saves)


class TellsItsVersion(Words):
    def rare(self):
        return float(len(inspect.getsource(type(self))))


def source_of_its_class() -> nn.Module:
    return made(TellsItsVersion)


class ReadsWords(Words):
    def rare(self):
        return float(len(Path(inspect.getfile(type(self))).with_name("trait_words.txt").read_text()))


def file_beside_its_code() -> nn.Module:
    Path(__file__).with_name("trait_words.txt").write_text("very")
    return made(ReadsWords)
