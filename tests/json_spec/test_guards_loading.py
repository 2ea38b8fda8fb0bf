"""Each guard of `load` and of a text with a graph in it alone, by a direct call."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from backends.json_spec import load, loading
from backends.json_spec.errors import ArtifactError

D = "0" * 64
GRAPH = {"format": "it", "version": 1, "root": 1, "objects": {}}
GRAPHS = {
    "a list": ([], "is not a it file"),
    "another format": (GRAPH | {"format": "x"}, "is not a it file"),
    "another version": (GRAPH | {"version": 2}, "is not a it file"),
    "a truth value as its version": (GRAPH | {"version": True}, "exactly the members"),
    "a broken version": (GRAPH | {"version": 1.0}, "exactly the members"),
    "another member": (GRAPH | {"more": 1}, "exactly the members"),
    "no root": ({"format": "it", "version": 1, "objects": {}}, "exactly the members"),
    "another order": ({"format": "it", "version": 1, "objects": {}, "root": 1}, "exactly the members"),
    "objects in a list": (GRAPH | {"objects": []}, "exactly the members"),
}


@pytest.mark.parametrize("what", GRAPHS)
def test_members_of_a_text(what):
    graph, message = GRAPHS[what]
    with pytest.raises(ArtifactError, match=message):
        loading.check_members(graph, "name", "it", 1)
    loading.check_members(GRAPH, "name", "it", 1)


@pytest.mark.parametrize("verify", [1, 0, 1.0, np.True_, np.False_, None, "", "true", "Lazy", ["lazy"]])
def test_a_mistaken_flag_does_not_fail_open(verify, tmp_path):
    """1 is equal to True: the texts were compared with their digests, and the tensors were not."""
    with pytest.raises(ValueError, match="verify is True, 'lazy' or False, not"):
        load(tmp_path / "gone", verify=verify)


@pytest.mark.parametrize("on_drift", [True, False, None, "", "raise", "Ignore"])
def test_a_mistaken_wish_for_drift(on_drift, tmp_path):
    with pytest.raises(ValueError, match="on_drift is 'error', 'warn' or 'ignore', not"):
        load(tmp_path / "gone", on_drift=on_drift)


def test_a_text_is_as_long_as_it_may_be_and_has_its_digest(tmp_path, monkeypatch):
    (tmp_path / "spec.json").write_bytes(b"12345")
    monkeypatch.setattr(loading, "SPEC_LIMIT", 5)
    assert loading.read_text(tmp_path, None, "spec.json") == b"12345"
    with pytest.raises(ArtifactError, match="is damaged or was edited"):
        loading.read_text(tmp_path, {"spec.json": D}, "spec.json")
    monkeypatch.setattr(loading, "SPEC_LIMIT", 4)
    with pytest.raises(ArtifactError, match="more than 4 bytes"):
        loading.read_text(tmp_path, None, "spec.json")


RAISED = {
    "what a library raises": (ValueError("\x1b[2J" + "x" * 1000), ArtifactError, "makes no sense: ValueError: "),
    "no end of the stack": (RecursionError(), ArtifactError, "nested too deeply"),
    "our own": (ArtifactError("ours"), ArtifactError, "^ours$"),
    "no memory": (MemoryError("none"), MemoryError, "^none$"),
}


@pytest.mark.parametrize("what", RAISED)
def test_what_building_raises(what, tmp_path, monkeypatch):
    raised, kind, message = RAISED[what]

    def fails(*_):
        raise raised

    monkeypatch.setattr(loading, "Reader", fails)
    with pytest.raises(kind, match=message) as told:
        loading.Artifact(tmp_path, (), None).build(GRAPH, None)
    assert len(str(told.value)) < 400 and str(told.value).isprintable()


def test_the_collector_is_left_as_it_was():
    try:
        with pytest.raises(KeyError), loading.collector_paused():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled()
        gc.disable()
        with loading.collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
