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


CATALOG: dict[str, ModelEntry] = {}
