"""Each guard of digests.json, and of what is compared with it, alone, by a direct call."""

from __future__ import annotations

import json
import threading

import pytest

from backends.json_spec import digests
from backends.json_spec.digests import Checking, check_file, read_digests, sha256, tensor_digests
from backends.json_spec.errors import ArtifactError
from backends.json_spec.text import render

D = "0" * 64


def of_weights(**members):
    return {"format": "json-spec-digests", "version": 1, "tensors": {"w": members}}


DIGESTS = {
    "a truth value as its version": (
        {"format": "json-spec-digests", "version": True, "tensors": {}}, "exactly the members"
    ),
    "a list": ([], "is not a"),
    "another format": ({"format": "x", "version": 1, "tensors": {}}, "is not a"),
    "another version": ({"format": "json-spec-digests", "version": 2, "tensors": {}}, "is not a"),
    "another member": ({"format": "json-spec-digests", "version": 1, "tensors": {}, "more": 1}, "exactly the members"),
    "no table": ({"format": "json-spec-digests", "version": 1, "tensors": []}, "exactly the members"),
    "no digests": ({"format": "json-spec-digests", "version": 1, "tensors": {"w": {"header": D}}}, "something else"),
    "a digest that is no text": (
        {"format": "json-spec-digests", "version": 1, "tensors": {"w": {"header": D, "entries": {"a": 1}}}},
        "something else",
    ),
    "a header's digest that is no text": (of_weights(header=1, entries={}), "something else"),
    "another member of a file's": (of_weights(header=D, entries={}, more=D), "something else"),
    "members in another order": (of_weights(entries={}, header=D), "something else"),
    "SHA-256 by its name": (of_weights(digest="sha256", header=D, entries={}), "names a digest that is none"),
}  # fmt: skip


@pytest.mark.parametrize("what", DIGESTS)
def test_digests(what, tmp_path):
    value, message = DIGESTS[what]
    (tmp_path / "digests.json").write_text(json.dumps(value))
    with pytest.raises(ArtifactError, match=message):
        read_digests(tmp_path, None)


@pytest.mark.parametrize("one", [["header", "entries"], {"header": "0", "entries": ["a"]}])
def test_digests_that_are_none(one, tmp_path):
    told = {"format": "json-spec-digests", "version": 1, "tensors": {"weights.safetensors": one}}
    (tmp_path / "digests.json").write_text(render(told))
    with pytest.raises(ArtifactError, match="something else than digests"):
        read_digests(tmp_path, None)


def test_what_is_compared_with_digests(tmp_path):
    (tmp_path / "digests.json").write_text('{"format": "json-spec-digests", "version": 1, "tensors": {}}')
    with pytest.raises(ArtifactError, match=r"digests\.json is damaged or was edited"):
        read_digests(tmp_path, {"digests.json": D})
    check_file("it", b"data", {"it": sha256(b"data")})
    with pytest.raises(ArtifactError, match="damaged or was edited"):
        check_file("it", b"date", {"it": sha256(b"data")})
    with pytest.raises(ArtifactError, match="damaged or was edited"):
        check_file("it", b"data", {})
    with pytest.raises(ArtifactError, match="no digests of"):
        tensor_digests({"tensors": {}}, "weights.safetensors")
    with pytest.raises(ArtifactError, match="do not agree on whether there is an entry 'b'"):
        Checking("it", memoryview(b"ab"), {"a": (0, 1)}, {"a": sha256(b"a"), "b": sha256(b"b")})
    with pytest.raises(ArtifactError, match="do not agree on whether there is an entry 'b'"):
        Checking("it", memoryview(b"ab"), {"a": (0, 1), "b": (1, 1)}, {"a": sha256(b"a")})
    checking = Checking("it", memoryview(b"ab"), {"a": (0, 1)}, {"a": sha256(b"b")})
    with pytest.raises(ArtifactError, match="the SHA-256 of 'a'"):
        checking.check("a")
    with pytest.raises(ArtifactError, match="the SHA-256 of 'a'"):
        checking.finish()


def test_digests_are_no_longer_than_they_may_be(tmp_path, monkeypatch):
    data = render(of_weights(header=D, entries={})).encode()
    (tmp_path / "digests.json").write_bytes(data)
    monkeypatch.setattr(digests, "LIMIT", len(data))
    assert read_digests(tmp_path, None)
    monkeypatch.setattr(digests, "LIMIT", len(data) - 1)
    with pytest.raises(ArtifactError, match="more than"):
        read_digests(tmp_path, None)


def test_the_end_is_waited_for_where_another_thread_compares_the_last_piece(monkeypatch):
    begun, goes_on = threading.Event(), threading.Event()

    def slow(data):
        begun.set()
        goes_on.wait(60)
        return sha256(data)

    monkeypatch.setattr(digests, "reading", lambda name: slow)
    monkeypatch.setattr(digests, "INLINE_BYTES", 0)
    checking = Checking("it", memoryview(b"a"), {"a": (0, 1)}, {"a": sha256(b"b")})
    assert begun.wait(60)
    threading.Timer(0.3, goes_on.set).start()
    with pytest.raises(ArtifactError, match="the SHA-256 of 'a'"):
        checking.finish()
