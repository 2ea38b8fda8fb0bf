"""Makes `json_spec_things` importable, as a user's module would be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def again(tmp_path):
    """`again(attribute=value, ...)` -> the module that holds them, saved and loaded."""
    import json_spec_things

    from backends.json_spec import load, save

    def round_trip(**attributes):
        save(json_spec_things.Holder(**attributes), tmp_path / "artifact")
        return load(tmp_path / "artifact", trust=["json_spec_things"])

    return round_trip
