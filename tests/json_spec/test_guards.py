"""Each guard alone: what it refuses reaches it by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import json_spec_things as things
import pytest
import torch
from torch import nn

from backends.json_spec import drift, files, text, trust
from backends.json_spec.audit import audit
from backends.json_spec.bundle import Bundle, read_bundle
from backends.json_spec.digests import Checking, check_file, read_digests, sha256, tensor_digests
from backends.json_spec.errors import ArtifactError
from backends.json_spec.forms import TEXT_LIMIT, numpy_dtype, short_text
from backends.json_spec.header import read_header
from backends.json_spec.sums import read_sums, sums_text
from backends.json_spec.tensors import SIZES

TEXTS = {
    "not UTF-8": (b'"\xff"', "not valid JSON"),
    "no JSON": (b"[1,]", "not valid JSON"),
    "equal keys": (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
    "NaN": (b"[NaN]", "the literal NaN"),
    "infinity": (b"[-Infinity]", "the literal -Infinity"),
    "a large number": (b"[1e400]", "beyond the range of a double"),
    "many digits": (b"[" + b"9" * 4500 + b"]", "digits|not valid JSON"),
    "beyond 64 bits": (b"[9223372036854775808]", "beyond 64 bits"),
    "a lone surrogate": (b'["\\ud800"]', "lone surrogate"),
    "a lone surrogate as a key": (b'{"\\udc00": 1}', "lone surrogate"),
    "deep": (b"[" * 201 + b"]" * 201, "nested"),
    "deep beside escapes": (b'["\\u0041", ' + b"[" * 201 + b"]" * 201 + b"]", "nested"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_text(what):
    data, message = TEXTS[what]
    with pytest.raises(ArtifactError, match=message):
        text.parse(data, "it")


def test_text_as_deep_as_may_be():
    assert text.parse(b"[" * 200 + b"]" * 200, "it") and text.parse(b"[" * 199 + b'"\\u0041"' + b"]" * 199, "it")


def test_text_that_holds_too_many_values(monkeypatch):
    monkeypatch.setattr(text, "NODE_LIMIT", 5)
    with pytest.raises(ArtifactError, match="more than 5 values"):
        text.parse(b"[1, 2, 3, [], [], {}]", "it")


@pytest.mark.parametrize("limit", [1000, 10_000])
def test_deep_text_however_far_the_interpreter_would_go(limit):
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(limit)
        with pytest.raises(ArtifactError, match="nested" if limit == 1000 else "more than 200 levels"):
            text.parse(b"[" * 60_000 + b"]" * 60_000, "it")
    finally:
        sys.setrecursionlimit(before)


def test_many_digits_where_the_interpreter_takes_any_number():
    before = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(0)
        with pytest.raises(ArtifactError, match="of 4500 digits"):
            text.parse(b"[" + b"9" * 4500 + b"]", "it")
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("shift", range(8))
def test_a_number_beyond_64_bits_wherever_it_stands(shift):
    """The digits are first looked for eight bytes at a time."""
    for end in (b"]", b"]" + b" " * 8):
        for digits in (b"9223372036854775808", b"-9223372036854775809"):
            with pytest.raises(ArtifactError, match="beyond 64 bits"):
                text.parse(b" " * shift + b"[" + digits + end, "it", flat=True)
        assert text.parse(b" " * shift + b"[9223372036854775807" + end, "it", flat=True) == [2**63 - 1]
        assert text.parse(b" " * shift + b"[-9223372036854775808" + end, "it", flat=True) == [-(2**63)]


def test_escapes_beside_values_of_every_kind():
    held = [True, None, 1.5, 1, [], {}, "é", {"é": False}]
    assert text.parse(json.dumps(held).encode(), "it") == held


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


HEADERS = {
    "no object": ([entry()], 8, "not an object"),
    "an entry that is none": ({"a": [1]}, 8, "other fields"),
    "another field": ({"a": entry(name="b")}, 8, "other fields"),
    "an unknown dtype": ({"a": entry(dtype="F33")}, 8, "unknown dtype"),
    "a dtype that is no text": ({"a": entry(dtype=["F32"])}, 8, "unknown dtype"),
    "a negative size": ({"a": entry(shape=(-1, -2))}, 8, "a shape that is none"),
    "a size that is no number": ({"a": entry(shape=(2.0,))}, 8, "a shape that is none"),
    "a gap": ({"a": entry(offsets=(64, 72))}, 72, "overlap, leave a gap"),
    "an empty entry": ({"a": entry(shape=(0,), offsets=(0, 0))}, 0, "overlap, leave a gap"),
    "offsets that run back": ({"a": entry(shape=(-1,), offsets=(0, -4))}, 0, "a shape that is none|run back"),
    "another count of offsets": ({"a": entry(offsets=(0, 8, 8))}, 8, "overlap, leave a gap"),
    "overlap": ({"a": entry(offsets=(0, 8)), "b": entry(offsets=(4, 12))}, 12, "overlap, leave a gap"),
    "a shape too large": ({"a": entry(shape=(0, 2**62))}, 8, "does not fit|is none"),
    "a shape too small": ({"a": entry(shape=(1,))}, 8, "does not fit its bytes"),
    "no alignment": (
        {"a": entry("U8", (3,), (0, 3)), "b": entry("U8", (3,), (3, 6))}, 6, "not start at a multiple"
    ),
    "trailing bytes": ({"a": entry()}, 9, "has .* bytes where its header describes"),
    "missing bytes": ({"a": entry()}, 7, "has .* bytes where its header describes"),
}  # fmt: skip


@pytest.mark.parametrize("what", HEADERS)
def test_header(what):
    header, held, message = HEADERS[what]
    data = json.dumps(header).encode()
    data += b" " * (-(8 + len(data)) % 64)
    data = len(data).to_bytes(8, "little") + data
    with pytest.raises(ArtifactError, match=message):
        read_header(data, len(data) + held, "it", SIZES)


@pytest.mark.parametrize("size", [8, 2**40])
def test_header_that_claims_more_than_there_is_or_than_may_be(size):
    with pytest.raises(ArtifactError, match="its header claims"):
        read_header((2**39).to_bytes(8, "little"), size, "it", SIZES)


def test_header_with_two_entries_of_one_name():
    one = json.dumps(entry())
    data = f'{{"a": {one}, "a": {one}}}'.encode()
    data += b" " * (-(8 + len(data)) % 64)
    with pytest.raises(ArtifactError, match="'a' twice"):
        read_header(len(data).to_bytes(8, "little") + data, 8 + len(data) + 8, "it", {"F32": 4})


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
    os.link(plain, tmp_path / "second")
    with pytest.raises(ArtifactError, match="2 names"):
        files.open_file(plain)


D = "0" * 64
SUMS = {
    "not UTF-8": (f"{D}  \xff\n".encode("latin-1"), "not UTF-8"),
    "not sorted": (f"{D}  spec.json\n{D}  digests.json\n".encode(), "sorted lines"),
    "a name twice": (f"{D}  digests.json\n{D}  digests.json\n{D}  spec.json\n".encode(), "sorted lines"),
    "no digest": (f"{D}  digests.json\nspec.json\n".encode(), "sorted lines"),
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
}  # fmt: skip


@pytest.mark.parametrize("what", DIGESTS)
def test_digests(what, tmp_path):
    value, message = DIGESTS[what]
    (tmp_path / "digests.json").write_text(json.dumps(value))
    with pytest.raises(ArtifactError, match=message):
        read_digests(tmp_path, None)


@pytest.mark.parametrize("version", [True, 1.0, 2])
def test_definitions_of_another_version(version, tmp_path):
    held = {"format": "json-spec-definitions", "version": version, "modules": {}}
    (tmp_path / "definitions.json").write_text(json.dumps(held))
    with pytest.raises(ArtifactError, match="is not a json-spec-definitions file"):
        drift.check(tmp_path, None, "error", ())


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
    checking = Checking("it", memoryview(b"ab"), {"a": (0, 1)}, {"a": sha256(b"b")})
    with pytest.raises(ArtifactError, match="the SHA-256 of 'a'"):
        checking.check("a")
    with pytest.raises(ArtifactError, match="the SHA-256 of 'a'"):
        checking.finish()


FORMS = {
    "a reference to nothing": ({"$ref": "b"}, "refers to 'b'"),
    "a reference with a field": ({"$ref": "a", "more": 1}, "unknown field"),
    "a reference that is no text": ({"$ref": ["a"]}, "which is not one"),
    "an unknown tag": ({"$new": 1}, "unknown kind"),
    "two tags": ({"$tuple": [], "$list": []}, "unknown field"),
    "a payload of another type": ({"$tuple": {}}, "which is not one"),
    "more than a deque keeps": ({"$deque": [1, [1, 2]]}, "of a list of 2, which is not one"),
    "a missing field": ({"$blob": 3}, "without 'entry'"),
    "an unknown field": ({"$tensor": "int8", "shape": [], "entry": "a", "stored": 1}, "unknown field 'stored'"),
    "a field of another type": ({"$tensor": "float32", "shape": [-1], "entry": "a"}, "whose 'shape'"),
    "a module's field of another type": ({"$module": "a:B", "training": 1}, "whose 'training'"),
    "a module without a field": ({"$module": "a:B"}, "without 'training'"),
    "an unknown codec": ({"$codec": "a:B", "state": {}}, "is not registered"),
    "a key for the terminal": ({"$object": "a:B", "attributes": {"\x1b[2J": 1}}, "whose 'attributes'"),
    "a module's": ({"$module": "a:B", "training": True, "attributes": {"\x1b[2J": 1}}, "whose 'attributes'"),
    "too deep": (None, "levels deep"),
    "long expressions": ([{"$regex": ["a" * 150_000, 0]}] * 2, "regular expressions are longer"),
    "expressions of many sets": ([{"$regex": ["[a]" * 3000, 0]}] * 2, "regular expressions are longer"),
}  # fmt: skip


APART = {
    "a member and members": {"$enum": "a:B", "member": "A", "members": ["A"]},
    "no member": {"$enum": "a:B"},
    "a gone hook's place": {"$handle": None, "on": "forward", "place": 0},
    "a hook without its place": {"$handle": {"$ref": "a"}, "on": "forward"},
    "indices of another layout": {"$sparse": "sparse_coo", "shape": [1], "values": 1, "indices": 1, "row_indices": 1},
    "no indices": {"$sparse": "sparse_csc", "shape": [1], "values": 1, "ccol_indices": 1},
    "compressed and coalesced": {
        "$sparse": "sparse_csr", "shape": [1], "values": 1, "crow_indices": 1, "col_indices": 1, "coalesced": True
    },
    "a scale and scales": {"$quantized": "qint8", "values": 1, "scale": 1, "zero_point": 0, "scales": 1},
    "no scale": {"$quantized": "qint8", "values": 1},
    "half a scale": {"$quantized": "qint8", "values": 1, "scale": 1},
    "an entry of nothing": {"$tensor": "float32", "shape": [2, 0], "entry": "a"},
    "a Parameter of nothing with an entry": {"$tensor": "float32", "shape": [0], "parameter": True, "entry": "a"},
    "an entry on meta": {"$tensor": "float32", "shape": [2], "entry": "a", "device": "meta"},
    "an offset of nothing": {"$tensor": "float32", "shape": [0], "offset": 4},
    "strides of nothing": {"$ndarray": "<f4", "shape": [0], "strides": [400]},
}  # fmt: skip


@pytest.mark.parametrize("what", APART)
def test_fields_that_do_not_belong_together(what):
    for root, objects in [([APART[what]], {"a": 1}), ({"$ref": "b"}, {"a": 1, "b": APART[what]})]:
        with pytest.raises(ArtifactError, match="do not belong together"):
            audit(root, objects, None)


def test_fields_that_belong_together():
    """The forms above are refused for what is wrong with them, not for all that they share."""
    for node in (
        {"$enum": "a:B", "members": []}, {"$handle": None}, {"$handle": {"$ref": "a"}, "on": "forward", "place": 0},
        {"$sparse": "sparse_coo", "shape": [1], "values": 1, "indices": 1, "coalesced": True},
        {"$sparse": "sparse_bsc", "shape": [1], "values": 1, "ccol_indices": 1, "row_indices": 1},
        {"$quantized": "qint8", "values": 1, "scales": 1, "zero_points": 1, "axis": 0},
        {"$tensor": "float32", "shape": [2, 0], "stride": [1, 1]}, {"$ndarray": "<f4", "shape": [0], "read_only": True},
        {"$deque": [2, [1, 2]]}, {"$deque": [None, [1]]}, {"$npdtype": "|O"},
    ):  # fmt: skip
        audit([node], {"a": 1}, None)


def nested(levels, tag):
    """A node of so many levels of lists and objects."""
    node = [] if levels % 2 or not tag else {tag: []}
    for _ in range((levels - 1) // 2 if tag else levels - 1):
        node = {tag: [node]} if tag else [node]
    return node


@pytest.mark.parametrize("tag", [None, "$tuple", "$list"])
def test_the_audit_counts_levels_as_the_text_has_them(tag):
    """200 in all: one lies around the root, two around an object."""
    audit(nested(199, tag), {"a": nested(198, tag)}, None)
    for root, objects in [(nested(200, tag), {}), (None, {"a": nested(199, tag)})]:
        with pytest.raises(ArtifactError, match="more than 200 levels deep"):
            audit(root, objects, None)


@pytest.mark.parametrize("what", FORMS)
def test_forms(what):
    node, message = FORMS[what]
    if what == "too deep":
        node = []
        for _ in range(text.DEPTH_LIMIT + 1):
            node = [node]
    with pytest.raises(ArtifactError, match=message):
        audit([node], {"a": 1}, None)


def test_names_of_objects_for_the_terminal():
    with pytest.raises(ArtifactError, match="no terminal"):
        audit(None, {"a\x1b[2J": []}, None)


MORE = {"$module": {"training": True}, "$namedtuple": {"items": []}, "$enum": {"member": "A"}}


@pytest.mark.parametrize("tag", ["$module", "$object", "$enum", "$namedtuple", "$class", "$function"])
def test_every_kind_of_name_is_looked_at(tag):
    node = {tag: "os:system", **MORE.get(tag, {})}
    audit([node], {}, None)
    with pytest.raises(trust.UntrustedName, match="os:system"):
        audit([node], {}, ())


def test_trust():
    for value in ("a", b"a", 5):
        with pytest.raises(TypeError, match="trust is a list"):
            trust.trusted_names(value)
    with pytest.raises(TypeError, match="is not a text"):
        trust.trusted_names([b"a"])
    for name in ("a.*", "", "a:", "a b", "a:b:c"):
        with pytest.raises(ValueError, match="not the name of one"):
            trust.trusted_names([name])


def test_what_a_listed_name_may_stand_for():
    function, builder = "torch:relu", "torchvision.models.alexnet:alexnet"
    cls = "torch.nn.modules.linear:Linear"
    for name, kind in [(function, "function"), (builder, "function"), (cls, "class"), (cls, "module")]:
        trust.check_name(name, kind, ())
    for name, kind in [(function, "class"), (function, "module"), (cls, "function"), (cls, "object"), (cls, "enum")]:
        with pytest.raises(trust.UntrustedName, match="not trusted"):
            trust.check_name(name, kind, ())


def test_what_a_caller_trusts():
    """A module is all that lies in it and below it; a single name is that alone."""
    for name, one, trusted in [
        ("a:C", "a", True), ("a.b:C", "a", True), ("a.b:C.D", "a.b", True), ("ab:C", "a", False), ("a:C", "a.b", False),
        ("a.b:C", "a.b:C", True), ("a.b:D", "a.b:C", False), ("a.b:C.D", "a.b:C", False), ("a.b.c:C", "a.b:C", False),
    ]:  # fmt: skip
        assert trust.is_trusted(name, ["other", one]) is trusted, (name, one)


@pytest.mark.parametrize("name", ["a", "a:", "a:b:c", ":b", "a.__main__:b", "a:b" + "c" * 1000, 5])
def test_names_that_are_none(name):
    with pytest.raises(ArtifactError, match="not a name of the form"):
        trust.check_name(name, "class", ("a",))
    with pytest.raises(ArtifactError, match="not a name of the form"):
        trust.check_call(name, (), ("a",))


def test_calls():
    trust.check_call("torch.nn.modules.linear:Linear", ["in_features"], ())
    with pytest.raises(trust.UntrustedName, match="calls"):
        trust.check_call("os:system", ["command"], ())
    with pytest.raises(trust.UntrustedName, match="'factory', which files may not give"):
        trust.check_call("torch.nn.modules.linear:Linear", ["in_features", "factory"], ())


RESOLVED = {
    "a module that is not there": ("json_spec_gone:X", "class", "cannot be imported: ModuleNotFoundError"),
    "nothing of that name": ("json_spec_things:Gone", "class", "has no Gone"),
    "a function as a class": ("json_spec_things:double", "class", "is not a class defined there"),
    "a class as a function": ("json_spec_things:Point", "function", "is not a function defined there"),
    "what it imported": ("json_spec_things:deque", "class", "is not a class defined there"),
    "a function that it imported": ("json_spec_things:spec", "function", "is not a function defined there"),
    "through a module": ("json_spec_things:torch.nn.Linear", "class", "has no torch.nn.Linear"),
}


@pytest.mark.parametrize("what", RESOLVED)
def test_what_a_name_finds(what):
    name, kind, message = RESOLVED[what]
    with pytest.raises(ArtifactError, match=message):
        trust.resolve(name, kind, ["json_spec_things", "json_spec_gone"])


def test_methods():
    assert trust.method(things.Node, "method", ["json_spec_things"]) is things.Node.method
    assert trust.method(nn.Linear, "forward", []) is nn.Linear.forward
    for cls, name in [(things.Node, "method"), (nn.Linear, "reset_parameters"), (Path, "unlink")]:
        with pytest.raises(trust.UntrustedName, match="which files may not"):
            trust.method(cls, name, [])
    for name in ("gone", "__class__", 5):
        with pytest.raises(ArtifactError, match="defines no method"):
            trust.method(things.Node, name, ["json_spec_things"])
    assert trust.class_method(things.Maker, "scaled", ["json_spec_things"]) == things.Maker.scaled
    for name, names in [("scaled", []), ("halved", ["json_spec_things"]), ("gone", ["json_spec_things"])]:
        with pytest.raises(ArtifactError, match="that a file may bind"):
            trust.class_method(things.Maker, name, names)


def test_names_of_carried_files(tmp_path):
    for name in ("source/a-b.py", "source/a.txt", "source/a/.py", "source/1.py"):
        with pytest.raises(ArtifactError, match="not the one file of a module"):
            read_bundle(tmp_path, {name: D})
    (tmp_path / "source" / "a").mkdir(parents=True)
    for name in ("a.py", "a/__init__.py"):
        (tmp_path / "source" / name).write_bytes(b"")
    with pytest.raises(ArtifactError, match="not the one file of a module"):
        read_bundle(tmp_path, {f"source/{name}": sha256(b"") for name in ("a.py", "a/__init__.py")})
    with pytest.raises(ArtifactError, match="damaged or was edited"):
        read_bundle(tmp_path, {"source/a.py": D})


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


def test_sums_as_they_are_written(tmp_path):
    """The forms above are refused for what is wrong with them, not for all that they share."""
    (tmp_path / "SHA256SUMS").write_bytes(sums_text({"spec.json": D, "digests.json": D, "source/a/b.py": D}))
    assert len(read_sums(tmp_path)) == 3
    data = json.dumps({"a": entry()}).encode()
    data += b" " * (-(8 + len(data)) % 64)
    assert read_header(len(data).to_bytes(8, "little") + data, 8 + len(data) + 8, "it", SIZES)["a"][1] == 8
    assert torch.float32.itemsize == SIZES["F32"]


def test_forms_at_their_limits():
    assert short_text("x" * TEXT_LIMIT) and not short_text("x" * (TEXT_LIMIT + 1))
    assert numpy_dtype([["a", "<f4"]] * 1000) and not numpy_dtype([["a", "<f4"]] * 1001) and not numpy_dtype([])
    for field in ("ab", ["a"], ["a", "<f4", 1], [1, "<f4"], ["a", "|b1"], ["a", 4], {"a": 1, "<f4": 2}):
        assert not numpy_dtype([field]), field


def test_a_module_with_short_lists_is_audited():
    """What is not in the short way's form takes the long one, and its names and keys count there."""
    node = {"$module": "torch.nn.modules.linear:Identity", "training": True}
    assert audit({"$ref": "m"}, {"m": {**node, "attributes": {"a": [1], "b": ["$ref"]}}}, ()) == 1 + 1 + 3 + 2
    with pytest.raises(ArtifactError, match="not trusted"):
        audit({"$ref": "m"}, {"m": {**node, "attributes": {"a": [{"$class": "os:system"}]}}}, ())
