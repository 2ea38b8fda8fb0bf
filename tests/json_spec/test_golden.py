"""Artifacts that earlier versions wrote are read for good: see golden.py for how they are made."""

from __future__ import annotations

import hashlib

import json_spec_things as things
import pytest
from seeds import SEEDS

from backends.json_spec import load
from backends.json_spec.writer import VERSION
from harness.compare import compare
from harness.snapshot.builder import snapshot_model
from tests.json_spec import golden

ARTIFACTS = sorted(path for path in golden.FOLDER.glob("v*/*") if path.is_dir())


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda path: f"{path.parent.name}/{path.name}")
@pytest.mark.parametrize("verify", [True, "lazy"])
def test_golden_artifacts_are_the_models_that_were_saved(path, verify):
    """The source of their classes may have moved on; what they hold is what seeds.py builds."""
    loaded = load(path, trust=["json_spec_things"], verify=verify, on_drift="ignore")
    built = {**SEEDS, **dict.fromkeys(golden.MORE, things.fixed_model)}[path.name]()
    own = ["json_spec_things"]
    differences = compare(snapshot_model(built, own_modules=own), snapshot_model(loaded, own_modules=own))
    assert not differences, "\n".join(f"{d.path}: {d.kind}: {d.message}" for d in differences)


def test_the_carried_source_of_a_golden_artifact_runs_and_gives_what_it_gave():
    for version in {path.parent for path in ARTIFACTS}:
        model = load(version / "with_source_and_examples", trust="bundled", check=True)
        assert type(model) is not things.TiedCharacters and type(model).__qualname__ == "TiedCharacters"


def test_there_are_artifacts_of_every_model_in_the_present_version():
    """`python -m tests.json_spec.golden` makes those that are missing, and writes none again."""
    names = {path.name for path in ARTIFACTS if path.parent.name == f"v{VERSION}"}
    assert names == {*SEEDS, *golden.MORE}

    def digests():
        files = sorted(file for path in ARTIFACTS for file in path.rglob("*") if file.is_file())
        return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    before = digests()
    assert golden.main() == [] and digests() == before and len(before) >= 4 * len(ARTIFACTS)
