"""`save(..., digest="blake3")`: the same promises, by a faster digest; without its package, a way out."""

from __future__ import annotations

import json
from pathlib import Path

import json_spec_things as things
import pytest
import torch
from forging import vouch
from test_whole import TRUST, damage_weights

from backends.json_spec import ArtifactError, load, save
from tests import programs

blake3 = pytest.importorskip("blake3", reason="pip install blake3")
OFFICIAL = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
"""Of no bytes: https://github.com/BLAKE3-team/BLAKE3, test_vectors.json."""


@pytest.fixture
def artifact(tmp_path):
    save(things.fixed_model(), tmp_path / "artifact", digest="blake3", examples=[torch.tensor([1])])
    return tmp_path / "artifact"


def entries(artifact):
    return json.loads((artifact / "digests.json").read_text("utf-8"))["tensors"]


def test_all_digests_of_tensors_are_blake3(artifact, tmp_path):
    from backends.json_spec.digests import digest_named

    assert digest_named("blake3")(b"") == OFFICIAL
    assert all(list(one) == ["digest", "header", "entries"] and one["digest"] == "blake3"
               for one in entries(artifact).values())  # fmt: skip
    assert set(entries(artifact)) == {"weights.safetensors", "examples.safetensors"}
    data = (artifact / "weights.safetensors").read_bytes()
    length = 8 + int.from_bytes(data[:8], "little")
    found = entries(artifact)["weights.safetensors"]
    assert found["header"] == blake3.blake3(data[:length]).hexdigest()
    for name, place in json.loads(data[8:length]).items():
        if name in found["entries"]:
            start, end = place["data_offsets"]
            assert found["entries"][name] == blake3.blake3(data[length + start : length + end]).hexdigest()
    save(things.fixed_model(), tmp_path / "plain", examples=[torch.tensor([1])])
    for name in ("spec.json", "weights.safetensors", "definitions.json", "examples.json"):
        assert (artifact / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name


@pytest.mark.parametrize("verify", [True, "lazy", False])
def test_what_was_saved_is_loaded(artifact, verify):
    model = load(artifact, trust=TRUST, verify=verify, check=bool(verify))
    assert torch.equal(model.head.weight, things.fixed_model().head.weight)


def test_damage_is_found(artifact):
    name = damage_weights(artifact)
    with pytest.raises(ArtifactError, match=rf"weights\.safetensors is damaged: the BLAKE3 of '{name}'"):
        load(artifact, trust=TRUST)
    model = load(artifact, trust=TRUST, verify="lazy")
    with pytest.raises(ArtifactError, match="is damaged"):
        model(torch.tensor([1]))


def test_damage_of_the_header_is_found(artifact):
    found = json.loads((artifact / "digests.json").read_text("utf-8"))
    found["tensors"]["weights.safetensors"]["header"] = OFFICIAL
    (artifact / "digests.json").write_text(json.dumps(found), "utf-8")
    vouch(artifact)
    with pytest.raises(ArtifactError, match=r"the header of weights\.safetensors is damaged: its BLAKE3"):
        load(artifact, trust=TRUST)


@pytest.mark.parametrize("name", ["sha256", "md5", "BLAKE3", 3, None, ["blake3"]])
def test_a_file_names_no_other_digest(artifact, name):
    """SHA-256 is not named: there is one way to write it."""
    found = json.loads((artifact / "digests.json").read_text("utf-8"))
    found["tensors"]["weights.safetensors"]["digest"] = name
    (artifact / "digests.json").write_text(json.dumps(found), "utf-8")
    vouch(artifact)
    with pytest.raises(ArtifactError, match="names a digest that is none of this format's"):
        load(artifact, trust=TRUST)


def test_a_digest_of_one_kind_does_not_pass_for_another(artifact):
    found = json.loads((artifact / "digests.json").read_text("utf-8"))
    del found["tensors"]["weights.safetensors"]["digest"]
    (artifact / "digests.json").write_text(json.dumps(found), "utf-8")
    vouch(artifact)
    with pytest.raises(ArtifactError, match=r"the header of weights\.safetensors is damaged: its SHA-256"):
        load(artifact, trust=TRUST)


def test_a_saver_asks_for_a_digest_that_there_is(tmp_path):
    with pytest.raises(ValueError, match="a digest is 'sha256' or 'blake3', not 'md5'"):
        save(things.fixed_model(), tmp_path / "artifact", digest="md5")
    assert not (tmp_path / "artifact").exists()
    with pytest.raises(ValueError, match="a digest is"):  # at once, not when the model has been described
        save(things.Holder(a=lambda: 0), tmp_path / "artifact", digest="md5")


WITHOUT = """
import sys
sys.modules["blake3"] = None
from json_spec_things import fixed_model
from backends.json_spec import ArtifactError, load, save
try:
    load(sys.argv[1], trust=["json_spec_things"])
except ArtifactError as error:
    print(error)
load(sys.argv[1], trust=["json_spec_things"], verify=False)
try:
    save(fixed_model(), sys.argv[1] + ".other", digest="blake3")
except ImportError as error:
    print(error)
save(fixed_model(), sys.argv[1] + ".plain")
load(sys.argv[1] + ".plain", trust=["json_spec_things"])
"""


def test_without_its_package_the_way_out_is_said(artifact):
    told = programs.run(WITHOUT, str(artifact), folder=artifact.parent, path=[Path(__file__).parent])
    first, second = told.splitlines()
    assert first == ("BLAKE3 digests need the package blake3: pip install blake3, or load with verify=False, which "
                     "compares nothing")  # fmt: skip
    assert second == "BLAKE3 digests need the package blake3: pip install blake3"
    assert not Path(f"{artifact}.other").exists()
