"""What can go wrong with the *request*: errors that the command line prints and answers with exit code 2.

    RoundtripError
    |-- UnknownName        no backend, model or condition of that name
    |-- DuplicateName      two packages offer the same name
    |-- ModelFileError     a model's file is missing, fails to import, or lacks what it should have
    |-- InterpreterError   another Python cannot serve as the one that loads
    |-- OutputExists       the folder to write to is there already
    |-- NoRoom             the disk or the memory would not hold what is to be measured
    |-- MissingPackage     an optional package that the command needs is not installed
    |-- ShadowedPackage    somebody else's `backends` or `reference_models` would be imported
    `-- RecordsError       records that cannot be read

What goes wrong with a *backend* is no error here: it is a result, and lives in a record.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RoundtripError(Exception):
    """Base: `message` says what and where, `hint` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.message = message
        self.hint = hint


class UnknownName(RoundtripError):
    """No such backend, model or condition. The hint holds the near misses and, unless it is of hundreds, the list."""

    LISTED = 60

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        listed = f"Known: {', '.join(known)}" if len(known) <= self.LISTED else "`roundtrip list --traits` lists all."
        super().__init__(f"unknown {kind} {name!r}", f"{meant}{listed}")


class DuplicateName(RoundtripError):
    """Two distributions offer the same name."""


class ModelFileError(RoundtripError):
    """A model's file cannot be used: it is missing, fails to import, or has no such builder."""


class InterpreterError(RoundtripError):
    """Another Python cannot load artifacts: none was named, it does not run, is too old, or has no torch."""


class OutputExists(RoundtripError):
    """The output folder exists; runs are never overwritten and never mixed."""


class Incomplete(RoundtripError):
    """Parts of a run could not be tried, by a fault of the harness or of this machine; the others are in its folder."""


class NoRoom(RoundtripError):
    """The disk or the memory would not hold what is to be measured; nothing was written yet."""


class MissingPackage(RoundtripError):
    """An optional package that a command needs is not installed; the hint says how to install it."""


class ShadowedPackage(RoundtripError):
    """Another top-level package of ours' name comes first on `sys.path`."""


class RecordsError(RoundtripError):
    """Records that cannot be read: missing, or written by a newer version."""
