"""Ways to save a model: a table of names, nothing imported until it is asked for.

The table names a class and what must be installed for it. It says nothing of what a backend can do: that is measured.
Other packages add rows through the entry point group `roundtrip.backends`; see CONTRIBUTING.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.base import Backend, UnsupportedModel


@dataclass(frozen=True)
class BackendEntry:
    """One row of the table: where the class is, and what it needs."""

    target: str
    """`module:Class`, imported on first use."""
    requires: tuple[str, ...] = ()
    """Top-level import names that must be installed."""
    extra: str | None = None
    """The extra of `roundtrip-bench` that installs them; None when the base install does."""


BUILT_IN: dict[str, BackendEntry] = {
    "pickle": BackendEntry("backends.pickle_:Pickle"),
    "dill": BackendEntry("backends.dill_:Dill", ("dill",)),
    "dill_recurse": BackendEntry("backends.dill_:DillRecurse", ("dill",)),
    "cloudpickle": BackendEntry("backends.cloudpickle_:CloudPickle", ("cloudpickle",)),
    "cloudpickle_by_value": BackendEntry("backends.cloudpickle_:CloudPickleByValue", ("cloudpickle",)),
    "json_spec": BackendEntry("backends.json_spec.backend:JsonSpec", ("safetensors",)),
    "json_spec_source": BackendEntry("backends.json_spec.backend:JsonSpecSource", ("safetensors",)),
}

__all__ = ["BUILT_IN", "Backend", "BackendEntry", "UnsupportedModel"]
