"""Each guard of definitions.json alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import json

import pytest

from backends.json_spec import drift
from backends.json_spec.errors import ArtifactError


@pytest.mark.parametrize("version", [True, 1.0, 2])
def test_definitions_of_another_version(version, tmp_path):
    held = {"format": "json-spec-definitions", "version": version, "modules": {}}
    (tmp_path / "definitions.json").write_text(json.dumps(held))
    with pytest.raises(ArtifactError, match="is not a json-spec-definitions file"):
        drift.check(tmp_path, None, "error", ())
