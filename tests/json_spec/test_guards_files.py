"""Each guard of what opens files alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import os
import sys

import pytest

from backends.json_spec import files
from backends.json_spec.errors import ArtifactError


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
def test_files(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"12345")
    assert files.read_file(plain, 5) == b"12345"
    (tmp_path / "link").symlink_to(plain)
    os.mkfifo(tmp_path / "pipe")
    for name, message in [("link", "cannot be opened"), ("pipe", "not a plain file"), ("gone", "cannot be opened")]:
        with pytest.raises(ArtifactError, match=message):
            files.open_file(tmp_path / name)
    with pytest.raises(ArtifactError, match="more than 4 bytes"):
        files.read_file(plain, 4)
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    files.check_folders(tmp_path, "folder/inner/gone.py")
    (tmp_path / "folder" / "other").symlink_to("inner")
    files.check_folders(tmp_path, "folder/other")  # open_file looks at the file itself
    for name in ("folder/other/x.py", "folder/other/inner/x.py", "link/x.py"):
        with pytest.raises(ArtifactError, match=r"(other|link) is a symbolic link: put the folder itself"):
            files.check_folders(tmp_path, name)
    os.link(plain, tmp_path / "second")
    with pytest.raises(ArtifactError, match="2 names"):
        files.open_file(plain)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
def test_a_link_where_the_system_would_follow_it(tmp_path, monkeypatch):
    (tmp_path / "plain").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("plain")
    monkeypatch.delattr(os, "O_NOFOLLOW")  # as on Windows
    monkeypatch.setattr(files, "_FLAGS", os.O_RDONLY)
    assert files.read_file(tmp_path / "plain", 5) == b"12345"
    with pytest.raises(ArtifactError, match="link is a symbolic link: put the file itself there"):
        files.read_file(tmp_path / "link", 5)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"6"])
def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch, change):
    (tmp_path / "file").write_bytes(b"12345")
    read = os.read
    monkeypatch.setattr(files.os, "read", lambda handle, count: change(read(handle, count)))
    with pytest.raises(ArtifactError, match="file was written to while it was read"):
        files.read_file(tmp_path / "file", 10)


@pytest.mark.skipif(os.name != "posix", reason="descriptors are numbered from below as POSIX does")
def test_no_file_is_left_open(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()

    def lowest():
        handle = os.open(tmp_path / "file", os.O_RDONLY)
        os.close(handle)
        return handle

    before = lowest()
    files.read_file(tmp_path / "file", 5)
    for name, limit in [("file", 4), ("folder", 5)]:
        with pytest.raises(ArtifactError):
            files.read_file(tmp_path / name, limit)
    assert lowest() == before


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2(2) is of Linux")
def test_names_that_cannot_be_exchanged(tmp_path):
    with pytest.raises(FileNotFoundError):
        files._exchange(tmp_path / "one", tmp_path / "other")
