"""The reference models by name: which file, which builder in it, and what the model exercises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class ModelEntry:
    """One reference model: a builder in a self-contained file."""

    file: str
    """Path of the file, relative to this folder."""
    exercises: str
    """The difficulty, in one line."""
    builder: str = "build"

    @property
    def path(self) -> Path:
        return HERE / self.file


CATALOG: dict[str, ModelEntry] = {
    "imagenet_resnet": ModelEntry("imagenet_resnet.py", "photographs, torchvision transforms, constants, 1000 labels"),
    "digits_cnn": ModelEntry("digits_cnn.py", "trained; batch statistics; accuracy checked again after each load"),
    "sentiment_gru": ModelEntry("sentiment_gru.py", "a SentencePiece tokenizer (a C++ object) and plain Python parts"),
    "sentiment_gru_lambda": ModelEntry("sentiment_gru.py", "the same with a lambda as an attribute", "build_lambda"),
    "nested_fruit": ModelEntry("nested_fruit.py", "nests of dicts, lists and tuples in and out; int-keyed dict"),
    "tabular_wine": ModelEntry("tabular_wine.py", "DataFrame in; learned pandas statistics and bands; trained"),
    "tied_char_lm": ModelEntry("tied_char_lm.py", "tied weights, non-persistent buffer, beam search in postprocess"),
    "detector": ModelEntry("detector.py", "torchvision detection: lists of dicts of differing lengths, NMS, padding"),
    "closure_preprocess": ModelEntry("closure_preprocess.py", "closures that share a cell, and a partial"),
}
