"""A saving process's call for probes: what a person would want to read in the artifact. See `worker` and `probes`."""

from __future__ import annotations

from harness.session import Session


def hyperparameters(session: Session) -> list[tuple[str, str]]:
    """Name and value, as text, of what configures the model's modules: numbers and texts among their attributes.

    Distinct pairs, sorted; flags and what begins with an underscore are left out.
    """
    found = set()
    for module in session.model.modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and type(value) in (int, float, str) and value != "":
                found.add((name, str(value)))
    return sorted(found)
