"""Damage is found when `verify` says, and a save that dies leaves what was there."""

from __future__ import annotations

import collections
import gc
import json
import os
import signal
from pathlib import Path

import json_spec_things as things
import pytest
import torch
from forging import vouch
from torch import nn
from torch.nn.modules import module as torch_module

from backends.json_spec import ArtifactError, files, load, save, saving
from backends.json_spec.digests import digests_text
from harness.processes.process import WorkerDied
from tests import programs

TRUST = ["json_spec_things"]


@pytest.fixture
def artifact(tmp_path):
    save(things.fixed_model(), tmp_path / "artifact")
    return tmp_path / "artifact"


def damage_weights(artifact):
    """Flip a bit of the last tensor; its name."""
    path = artifact / "weights.safetensors"
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(name for name, entry in header.items() if entry["dtype"] == "F32")
    data[8 + length + header[name]["data_offsets"][0]] ^= 1
    path.write_bytes(data)
    return name


def test_full_verification_names_the_damaged_tensor(artifact):
    name = damage_weights(artifact)
    with pytest.raises(ArtifactError, match=rf"weights\.safetensors is damaged: the SHA-256 of '{name}'"):
        load(artifact, trust=TRUST)


def test_lazy_verification_finds_damage_at_the_first_call(artifact):
    damage_weights(artifact)
    gc.collect()  # models of other tests take their hooks away when they go
    hooks = dict(torch_module._global_forward_pre_hooks)
    model = load(artifact, trust=TRUST, verify="lazy")
    nn.Linear(1, 1)(torch.ones(1))  # somebody else's module
    for part in (model, model.head):  # nothing is computed with damaged numbers, not even at a second try
        with pytest.raises(ArtifactError, match="is damaged"):
            part(torch.tensor([1]))
    del model, part
    gc.collect()
    assert dict(torch_module._global_forward_pre_hooks) == hooks


def test_lazy_verification_leaves_no_trace(artifact):
    gc.collect()  # models of other tests take their hooks away when they go
    hooks = dict(torch_module._global_forward_pre_hooks)
    model = load(artifact, trust=TRUST, verify="lazy")
    assert not model._forward_pre_hooks
    model(torch.tensor([1]))
    assert dict(torch_module._global_forward_pre_hooks) == hooks


def test_without_verification_an_edited_spec_loads(artifact):
    path = artifact / "spec.json"
    path.write_text(path.read_text("utf-8").replace('"a"', '"edited"'), "utf-8")
    with pytest.raises(ArtifactError, match=r"spec\.json is damaged or was edited"):
        load(artifact, trust=TRUST, verify="lazy")
    damage_weights(artifact)
    assert load(artifact, trust=TRUST, verify=False).letters[0] == "edited"
    with pytest.raises(ValueError, match="verify"):
        load(artifact, verify="no")


def test_digests_that_name_other_entries_are_refused(artifact):
    found = json.loads((artifact / "digests.json").read_text("utf-8"))["tensors"]
    found["weights.safetensors"]["entries"].popitem()
    (artifact / "digests.json").write_bytes(digests_text(found))
    vouch(artifact)
    with pytest.raises(ArtifactError, match="do not agree"):
        load(artifact, trust=TRUST)


def test_writing_to_a_loaded_tensor_changes_no_file(artifact):
    before = (artifact / "weights.safetensors").read_bytes()
    model = load(artifact, trust=TRUST)
    with torch.no_grad():
        model.head.weight.fill_(3)
    assert (artifact / "weights.safetensors").read_bytes() == before


def test_a_replaced_artifact_leaves_loaded_models_alone(artifact):
    model = load(artifact, trust=TRUST)
    before = model.head.weight.detach().clone()
    save(things.Holder(a=torch.zeros(3)), artifact)
    assert torch.equal(model.head.weight, before)


KILLED_AT = {
    "the weights are written": "tensors:ThreadPoolExecutor",
    "spec.json is about to be written": "saving:spec_text",
    "the artifact is being compared": "saving:verify_artifact",
    "files are being made durable": "files:_sync",
    "it is about to be put in place": "files:put_in_place",
    "the names are about to be exchanged": "files:_exchange",
    "the old one is about to be removed": "shutil:rmtree",
}
SCRIPT = """
import importlib, os, signal, sys
import json_spec_things as things
from backends.json_spec import save
module, name = sys.argv[2].split(":")
module = importlib.import_module(module if module == "shutil" else "backends.json_spec." + module)
setattr(module, name, lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL))
save(things.Holder(a=2), sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("when", KILLED_AT)
def test_a_killed_save_leaves_a_whole_artifact(tmp_path, when):
    save(things.Holder(a=1), tmp_path / "artifact")
    with pytest.raises(WorkerDied, match="killed by SIGKILL"):
        programs.run(SCRIPT, str(tmp_path / "artifact"), KILLED_AT[when], folder=tmp_path, path=[Path(__file__).parent])
    expected = 2 if when == "the old one is about to be removed" else 1
    assert load(tmp_path / "artifact", trust=TRUST).a == expected


@pytest.mark.skipif(os.name != "posix", reason="folders are not synchronised elsewhere")
@pytest.mark.parametrize("thread_bytes", [0, saving.THREAD_BYTES])
def test_all_is_on_the_disk_as_it_is_before_it_is_put_in_place(tmp_path, monkeypatch, thread_bytes):
    def now(path):
        return path.read_bytes() if path.is_file() else sorted(os.listdir(path))

    def sync(path):
        times[path] += 1
        on_disk[path] = now(path)

    def put(beside, directory):
        there = {path: now(path) for path in [beside, *beside.rglob("*")]}
        assert {path: on_disk[path] for path in there} == there and {path.name for path in there} >= all_names
        assert set(times.values()) == {1}  # each waits for the disk
        real(beside, directory)
        assert directory.name in on_disk[directory.parent]

    all_names = files.NAMES - {files.GLOBALS, files.GLOBAL_TENSORS}  # a notebook's
    on_disk, times, real = {}, collections.Counter(), files.put_in_place
    monkeypatch.setattr(files, "_sync", sync)
    monkeypatch.setattr(files, "put_in_place", put)
    monkeypatch.setattr(saving, "THREAD_BYTES", thread_bytes)
    save(things.Staged(), tmp_path / "artifact", bundle_source=True, examples=["abc", "ga"])
    assert on_disk


def test_where_names_cannot_be_exchanged_the_old_artifact_is_renamed_away(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    save(things.Holder(a=1), tmp_path / "artifact")
    save(things.Holder(a=2), tmp_path / "artifact")
    assert load(tmp_path / "artifact", trust=TRUST).a == 2
    real = os.rename

    def fails(source, target):
        if Path(target).name == "artifact" and Path(target).parent == tmp_path and ".old." not in str(source):
            raise OSError("the disk is gone")
        real(source, target)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(OSError, match="gone"):
        save(things.Holder(a=3), tmp_path / "artifact")
    monkeypatch.undo()
    assert load(tmp_path / "artifact", trust=TRUST).a == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["artifact"]
