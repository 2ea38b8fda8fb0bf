"""Each guard of SHA256SUMS alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import time

import pytest

from backends.json_spec import sums
from backends.json_spec.errors import ArtifactError
from backends.json_spec.sums import read_sums, sums_text

D = "0" * 64
SUMS = {
    "not UTF-8": (f"{D}  \xff\n".encode("latin-1"), "not UTF-8"),
    "not sorted": (f"{D}  spec.json\n{D}  digests.json\n".encode(), "sorted lines"),
    "a name twice": (f"{D}  digests.json\n{D}  digests.json\n{D}  spec.json\n".encode(), "sorted lines"),
    "no digest": (f"{D}  digests.json\nspec.json\n".encode(), "sorted lines"),
    "a digest in capitals": (f"{'A' * 64}  digests.json\n{D}  spec.json\n".encode(), "sorted lines"),
    "a digit too few": (f"{D[1:]}  digests.json\n{D}  spec.json\n".encode(), "sorted lines"),
    "a digit too many": (f"{D}0  digests.json\n{D}  spec.json\n".encode(), "sorted lines"),
    "no end of the last line": (f"{D}  digests.json\n{D}  spec.json".encode(), "sorted lines"),
    "an absolute path": (f"{D}  /spec.py\n{D}  digests.json\n{D}  spec.json\n".encode(), "sorted lines"),
    "a folder without a name": (f"{D}  digests.json\n{D}  source//x.py\n{D}  spec.json\n".encode(), "sorted lines"),
    "a backslash": (f"{D}  digests.json\n{D}  source/a\\x.py\n{D}  spec.json\n".encode(), "sorted lines"),
    "a control character": (f"{D}  digests.json\n{D}  source/\x1b.py\n{D}  spec.json\n".encode(), "sorted lines"),
    "a folder itself": (f"{D}  digests.json\n{D}  source/./x.py\n{D}  spec.json\n".encode(), "not in the artifact"),
    "beside the source": (f"{D}  digests.json\n{D}  source.py\n{D}  spec.json\n".encode(), "are needed"),
    "no model": (f"{D}  digests.json\n".encode(), "are needed"),
    "a folder above": (f"{D}  digests.json\n{D}  source/../x.py\n{D}  spec.json\n".encode(), "not in the artifact"),
    "too few": (f"{D}  spec.json\n".encode(), "are needed"),
    "too many": (f"{D}  digests.json\n{D}  other.json\n{D}  spec.json\n".encode(), "are needed"),
    "one that is there": (f"{D}  digests.json\n{D}  spec.json\n".encode(), "does not list it"),
}


@pytest.mark.parametrize("what", SUMS)
def test_sums(what, tmp_path):
    data, message = SUMS[what]
    (tmp_path / "SHA256SUMS").write_bytes(data)
    (tmp_path / "examples.json").write_bytes(b"{}")
    with pytest.raises(ArtifactError, match=message):
        read_sums(tmp_path)


def test_sums_are_read_once(tmp_path):
    """A megabyte without an end of line was searched again from each of 15,000 places, for minutes."""
    (tmp_path / "SHA256SUMS").write_bytes(f"{D}  ".encode() * 15_800)
    before = time.process_time()
    with pytest.raises(ArtifactError, match="sorted lines"):
        read_sums(tmp_path)
    assert time.process_time() - before < 2


def test_sums_as_they_are_written(tmp_path):
    """The forms above are refused for what is wrong with them, not for all that they share."""
    (tmp_path / "SHA256SUMS").write_bytes(sums_text({"spec.json": D, "digests.json": D, "source/a/b.py": D}))
    assert len(read_sums(tmp_path)) == 3


def test_sums_are_no_longer_than_they_may_be(tmp_path, monkeypatch):
    data = sums_text({"spec.json": D, "digests.json": D})
    (tmp_path / "SHA256SUMS").write_bytes(data)
    monkeypatch.setattr(sums, "SUMS_LIMIT", len(data))
    assert len(read_sums(tmp_path)) == 2
    monkeypatch.setattr(sums, "SUMS_LIMIT", len(data) - 1)
    with pytest.raises(ArtifactError, match="more than"):
        read_sums(tmp_path)
