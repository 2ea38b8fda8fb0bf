"""What goes wrong: at save a refusal, at load a damaged, foreign, untrusted or changed artifact.

UnsupportedModel (backends.base)
  Unsupported        save: the format cannot express the model
ArtifactError        load: damaged, incomplete, or not of this format
  UntrustedName      load: a name that the caller does not trust
"""

from __future__ import annotations

from typing import NoReturn

from backends.base import UnsupportedModel


class Unsupported(UnsupportedModel):
    """`save` met something that the format cannot express; the message has its path and the way out."""


class ArtifactError(Exception):
    """`load` met an artifact that is damaged, incomplete or not of this format."""


class UntrustedName(ArtifactError):
    """The artifact names a class or function that is neither on the allow-list nor in a trusted module."""


class SourceDrift(ArtifactError):
    """The source of a class or function has changed since the save; the message names it, its file and ways out."""


class ExampleMismatch(ArtifactError):
    """An example gives something else than at save; the message names the example, the stage and the place in it."""


class SourceDriftWarning(UserWarning):
    """The source of a class or function has changed since the save, and `on_drift="warn"` lets it run."""


def refuse(path: str, what: str, way_out: str) -> NoReturn:
    """Raise Unsupported for the object at `path`, e.g. `model.head.act is a lambda: give it a module-level name`."""
    raise Unsupported(f"{path} is {what}: {way_out}")
