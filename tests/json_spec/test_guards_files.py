"""Each guard of what opens files alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import os

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
