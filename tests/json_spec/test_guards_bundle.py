"""Each guard of carried source alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import os

import pytest

from backends.json_spec.bundle import Bundle, read_bundle
from backends.json_spec.digests import sha256
from backends.json_spec.errors import ArtifactError

D = "0" * 64


def test_names_of_carried_files(tmp_path):
    for name in ("source/a-b.py", "source/.a.txt", "source/a/.py", "source/1.py", "source/a.so"):
        with pytest.raises(ArtifactError, match="neither the one file of a module nor"):
            read_bundle(tmp_path, {name: D})
    (tmp_path / "source" / "a").mkdir(parents=True)
    for name in ("a.py", "a/__init__.py"):
        (tmp_path / "source" / name).write_bytes(b"")
    with pytest.raises(ArtifactError, match="neither the one file of a module nor"):
        read_bundle(tmp_path, {f"source/{name}": sha256(b"") for name in ("a.py", "a/__init__.py")})
    with pytest.raises(ArtifactError, match="damaged or was edited"):
        read_bundle(tmp_path, {"source/a.py": D})
    (tmp_path / "source" / "a.txt").write_bytes(b"")
    with pytest.raises(ArtifactError, match="damaged or was edited"):
        read_bundle(tmp_path, {"source/a.txt": D})


@pytest.mark.skipif(os.name != "posix", reason="links as POSIX has them")
def test_a_folder_of_carried_files_that_lies_elsewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.py").write_bytes(b"")
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "source").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="source is a symbolic link"):
        read_bundle(tmp_path / "artifact", {"source/a.py": sha256(b"")})


def test_imports_of_carried_source(tmp_path):
    lines = {"a": b"import a.b", "c": b"from ... import x", "d": b"import a"}
    bundle = Bundle({name: (f"source/{name}.py", data) for name, data in lines.items()}, tmp_path, salt="guards")
    try:
        with pytest.raises(ModuleNotFoundError, match="in the source that the artifact carries"):
            bundle.import_module("a")
        with pytest.raises(ImportError, match="beyond top-level"):
            bundle.import_module("c")
    finally:
        bundle.forget()
