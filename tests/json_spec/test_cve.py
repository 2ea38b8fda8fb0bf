"""The ways in which readers of models were led to other formats, files and settings, each tried here with an inert
payload; `test_cve_names.py` has the names that a file may use, `test_cve_values.py` tensors and other values.

The numbers are of the CVEs whose pattern a test repeats.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import zipfile

import pytest
import torch
import tripwires
from crafting import forge, holding, replace_text, sign
from hostile import FILES, TRUST, attempt, refused, watch  # noqa: F401

from backends.json_spec import ArtifactError, UntrustedName, load, save
from backends.json_spec.errors import SourceDrift


class Exploit:
    """A pickle of it calls the payload."""

    def __reduce__(self):
        return tripwires.payload, ()


def pickles():
    """The same payload as torch.load and others would take it: pickle, torch's zip, an old tar-like one."""
    buffer = io.BytesIO()
    torch.save(Exploit(), buffer)
    legacy = io.BytesIO()
    torch.save(Exploit(), legacy, _use_new_zipfile_serialization=False)
    return {"pickle": pickle.dumps(Exploit()), "zip": buffer.getvalue(), "legacy": legacy.getvalue()}


@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("name", FILES)
def test_cve_2025_32434_and_54886_no_other_format_is_tried(tmp_path, name, kind):
    """torch.load(weights_only=True) ran a pickle; skops took what is no zip for a joblib file."""
    path = holding(tmp_path / "a", {"$tensor": "float32", "shape": [1], "entry": "w"}, {"w": ("F32", [1], bytes(4))})
    (path / name).write_bytes(pickles()[kind])
    with pytest.raises(ArtifactError):
        attempt(path)
    if name in FILES[:2]:
        sign(path)
        refused(path)


def test_cve_2025_12058_a_path_in_a_file_is_never_opened(tmp_path):
    """Keras read the vocabulary from a path that the file gave."""
    secret = tmp_path / "elsewhere.txt"
    secret.write_text("secret")
    loaded = attempt(holding(tmp_path / "a", {"vocabulary": {"$path": str(secret)}, "name": str(secret)}))
    assert str(loaded.evil["vocabulary"]) == loaded.evil["name"] == str(secret)
    for state in ({"model": str(secret)}, {"model_file": str(secret)}, {"model": {"$bytes": ""}, "model_file": "x"}):
        refused(holding(tmp_path / "b", {"$codec": "sentencepiece:SentencePieceProcessor", "state": state}))


def test_cve_2026_1669_nothing_lies_outside_the_four_files(tmp_path):
    """Keras followed external storage."""
    path = holding(tmp_path / "a", 1)
    for field in ("external", "location", "weights", "file", "sums"):
        replace_text(path, r'"version": 1,', f'"version": 1, "{field}": "../elsewhere",')
        refused(path, "exactly the members")
        replace_text(path, rf' "{field}": "../elsewhere",', "")
    refused(holding(tmp_path / "b", {"$tensor": "float32", "shape": [0], "location": "../elsewhere"}), "unknown field")
    sums = (path / "SHA256SUMS").read_text()
    (path / "SHA256SUMS").write_text(f"{'0' * 64}  ../elsewhere\n{sums}")
    with pytest.raises(ArtifactError):
        attempt(path)


def test_the_list_of_definitions_does_not_choose_what_is_read(tmp_path):
    """Source is looked at to see whether it changed: the project's and the caller's, not any file that has a name."""
    path = holding(tmp_path / "a", 1)
    was = {"file": "0" * 64, "definitions": {"x": "0" * 64}}
    names = [
        "os",
        "torch.hub",
        "subprocess",
        "../../etc/passwd",
        "/etc/passwd",
        "a..b",
        "",
        "tripwire_package.__main__",
    ]
    modules = {name: was for name in names}
    (path / "definitions.json").write_text(
        json.dumps({"format": "json-spec-definitions", "version": 1, "modules": modules})
    )
    with pytest.raises(SourceDrift, match="tripwire_package"):
        attempt(sign(path))
    loaded = load(path, trust=TRUST, on_drift="ignore")
    assert loaded.evil == 1 and "tripwire_package.__main__" not in sys.modules


@pytest.mark.parametrize("trust", [None, True, 1, "json_spec_things", b"json_spec_things", [None], [b"x"], [1]])
def test_an_unset_or_mistaken_flag_does_not_fail_open(tmp_path, trust):
    """Keras took an unset safe_mode for consent."""
    path = holding(tmp_path / "a", 1)
    with pytest.raises(TypeError):
        attempt(path, trust)
    with pytest.raises(ValueError):
        attempt(path, TRUST, None)
    refused(path, "not trusted", (), UntrustedName)


@pytest.mark.parametrize("member", ["trust", "verify", "safe_mode", "trust_remote_code", "on_drift", "check"])
def test_cve_2026_5241_a_file_cannot_widen_what_the_caller_allowed(tmp_path, member):
    """A nested config overrode the caller's flag."""
    path = holding(tmp_path / "a", {"$class": "os:system"})
    forge(path, lambda spec: spec["objects"]["model"].update({member: ["os"]}))
    refused(path)
    path = holding(tmp_path / "b", {member: ["os"], "x": {"$function": "os:system"}})
    refused(path, "not trusted", kind=UntrustedName)


def test_two_readers_cannot_see_two_names(tmp_path):
    path = holding(tmp_path / "a", {"$class": "builtins:int"})
    replace_text(path, r'"\$class": "builtins:int"', '"$class": "builtins:int", "$class": "os:system"')
    refused(path, "twice")
    path = holding(tmp_path / "b", {"$class": "builtins:int"})
    replace_text(path, r'"\$class": "builtins:int"', '"$class": "builtins:int", "$function": "os:system"')
    refused(path)
    path = holding(tmp_path / "c", {"a": 1})
    replace_text(path, r'"a": 1', '"a": 1, "$function": "os:system"')
    refused(path)


def test_cve_2026_9856_keys_are_never_file_names(tmp_path):
    """transformers wrote to paths that were keys of a config."""
    entries = {"../../x": ("F32", [1], bytes(4)), "/etc/passwd": ("F32", [1], bytes(4))}
    tensors = [{"$tensor": "float32", "shape": [1], "entry": name} for name in entries]
    (tmp_path / "in").mkdir()
    path = holding(tmp_path / "in" / "a", tensors, entries, **{"../../y": [1], "C:\\x": {"b": 1}})
    loaded = attempt(path)
    assert [float(t) for t in loaded.evil] == [0, 0]
    save(loaded, tmp_path / "in" / "b")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in"]
    assert sorted(entry.name for entry in (tmp_path / "in").iterdir()) == ["a", "b"]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["symlink", "hardlink", "pipe", "directory", "device"])
def test_onnx_2022_25882_to_2026_34446_no_link_pipe_or_device_is_followed(tmp_path, name, kind):
    """ONNX was led to other files by path, by symbolic link, by hard link."""
    path = holding(tmp_path / "a", 1)
    other = tmp_path / "other"
    (path / name).rename(other)
    if kind == "symlink":
        (path / name).symlink_to(other)
    elif kind == "hardlink":
        (path / name).hardlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path / name)
    elif kind == "directory":
        (path / name).mkdir()
    else:
        (path / name).symlink_to("/dev/zero")
    with pytest.raises(ArtifactError, match=name):
        attempt(path)


def test_a_zip_beside_or_instead_of_the_directory_is_not_looked_at(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("spec.json", "{}")
    with pytest.raises(ArtifactError):
        attempt(tmp_path / "a")
    with pytest.raises(ArtifactError):
        attempt(tmp_path / "absent")
