"""Each guard of the mapped file of weights alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import crafting
import numpy as np
import pytest

from backends.json_spec import tensors
from backends.json_spec.errors import ArtifactError
from backends.json_spec.tensors import Weights

ENTRIES = {"pair": ("F32", [2], np.float32([1, 2]).tobytes())}


@pytest.fixture
def file(tmp_path):
    """The path of a file of ENTRIES."""
    (tmp_path / "weights.safetensors").write_bytes(crafting.weights(ENTRIES))
    return tmp_path / "weights.safetensors"


def test_a_file_without_a_length(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(bytes(7))
    with pytest.raises(ArtifactError, match="is truncated: 7 bytes"):
        Weights(tmp_path / "weights.safetensors")


def test_a_file_that_cannot_be_mapped(file, monkeypatch):
    def fails(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(tensors.mmap, "mmap", fails)
    with pytest.raises(ArtifactError, match="cannot be mapped: Cannot allocate memory"):
        Weights(file)


def test_a_header_that_is_not_that_of_its_digest(file):
    with pytest.raises(ArtifactError, match=r"the header of weights\.safetensors is damaged"):
        Weights(file).checking({"header": "0" * 64, "entries": {}})
