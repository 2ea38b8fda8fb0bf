"""Data never chooses code, damage is detected, and the same model gives the same bytes."""

from __future__ import annotations

import json
import sys

import json_spec_things as things
import pytest
from forging import vouch

from backends.json_spec import ArtifactError, UntrustedName, load, save
from backends.json_spec.digests import digests_text, sha256
from backends.json_spec.saving import spec_text
from backends.json_spec.text import parse
from tests import programs

TRUST = ["json_spec_things"]


@pytest.fixture
def artifact(tmp_path):
    save(things.fixed_model(), tmp_path / "artifact")
    return tmp_path / "artifact"


def forge(artifact, change):
    """Change the graph and give it a valid digest, as an attacker would."""
    spec = json.loads((artifact / "spec.json").read_text("utf-8"))
    change(spec)
    sign(artifact, {"spec.json": spec_text(spec)})


def sign(artifact, texts):
    """Write texts and the digests of all."""
    for name, text in texts.items():
        (artifact / name).write_bytes(text)
    vouch(artifact)


def set_attribute(node):
    return lambda spec: spec["objects"]["model"]["attributes"].update(evil=node)


def test_own_modules_must_be_trusted(artifact):
    with pytest.raises(UntrustedName, match=r"json_spec_things:TiedCharacters.*trust=\['json_spec_things'\]"):
        load(artifact)
    with pytest.raises(UntrustedName):
        load(artifact, trust=["json_spec"])
    with pytest.raises(TypeError):
        load(artifact, trust="json_spec_things")


@pytest.mark.parametrize(
    "node",
    [
        {"$function": "os:system"}, {"$function": "posix:system"},
        {"$partial": {"$function": "os:system"}, "args": ["true"], "keywords": {}},
        {"$function": "builtins:eval"}, {"$class": "subprocess:Popen"}, {"$object": "subprocess:Popen"},
        {"$function": "torch.hub:load"}, {"$function": "torch.serialization:pickle.loads"},
        {"$class": "torch.nn.functional:importlib"},
        {"$object": "torch.nn.parameter:Parameter"}, {"$function": "json_spec_things:os.system"},
        {"$object": "json_spec_things:nn.Linear"}, {"$function": "json_spec_things:Node"},
        {"$class": "json_spec_things:double"},
        {"$method": {"$ref": "model"}, "name": "__class__"}, {"$reduce": "os:system"}, {"$ref": "nowhere"},
        {"$codec": "os:system", "state": {}},
        {"$object": "json_spec_things:Node", "call": "x"}, {"$tensor": "float32", "shape": [2**61, 2**61]},
        {"$tensor": "float32", "shape": [100], "entry": "model.embedding.weight"}, {"$tensor": "load", "shape": [0]},
        {"$tensor": "float32", "shape": [1], "entry": "model.embedding.weight", "offset": -4},
        {"$ndarray": "|O", "shape": [1], "entry": "model.embedding.weight"},
        {"$enum": "json_spec_things:Colour", "member": "mro"},
        {"$object": "json_spec_things:Node", "slots": {"method": 1}}, {"$float": "1.0"},
    ],
    ids=lambda node: json.dumps(node)[:60],
)  # fmt: skip
def test_forged_nodes_are_refused(artifact, node):
    forge(artifact, set_attribute(node))
    with pytest.raises(ArtifactError):
        load(artifact, trust=TRUST)


def test_names_are_audited_before_anything_is_imported(artifact, tmp_path, monkeypatch):
    (tmp_path / "payload_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    forge(artifact, set_attribute({"$class": "payload_module:Thing"}))
    with pytest.raises(UntrustedName, match="payload_module"):
        load(artifact, trust=TRUST)
    assert "payload_module" not in sys.modules


def test_every_flipped_bit_is_detected(artifact):
    for name in ("spec.json", "weights.safetensors", "digests.json", "SHA256SUMS"):
        whole = (artifact / name).read_bytes()
        for position in range(0, len(whole), max(1, len(whole) // 60)):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << position % 8
            (artifact / name).write_bytes(damaged)
            with pytest.raises(ArtifactError):
                load(artifact, trust=TRUST)
        (artifact / name).write_bytes(whole)
    load(artifact, trust=TRUST)


@pytest.mark.parametrize("name", ["spec.json", "weights.safetensors", "digests.json", "SHA256SUMS"])
def test_truncated_lengthened_missing_or_linked_files_are_refused(artifact, tmp_path, name):
    path = artifact / name
    whole = path.read_bytes()
    for data in (b"", whole[:7], whole[: len(whole) // 2], whole[:-1], whole + b"\0"):
        path.write_bytes(data)
        with pytest.raises(ArtifactError):
            load(artifact, trust=TRUST)
    path.unlink()
    with pytest.raises(ArtifactError, match="cannot be opened"):
        load(artifact, trust=TRUST)
    (tmp_path / "elsewhere").write_bytes(whole)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="cannot be opened"):
        load(artifact, trust=TRUST)


@pytest.mark.parametrize("header", [
    '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
    '{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}', '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,4]}}',
    '{"a":{"dtype":"U8","shape":[0,4611686018427387904],"data_offsets":[0,4]}}',
    '{"a":{"dtype":"U8","shape":[4]}}', "[]",
])  # fmt: skip
def test_hostile_tensor_headers_are_refused(artifact, header):
    data = len(header).to_bytes(8, "little") + header.encode() + b"1234"
    (artifact / "weights.safetensors").write_bytes(data)
    digests = {"header": sha256(data[:-4]), "entries": {"a": sha256(b"1234")}}
    sign(artifact, {"digests.json": digests_text({"weights.safetensors": digests})})
    with pytest.raises(ArtifactError, match=r"weights\.safetensors"):
        load(artifact, trust=TRUST)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 1}}', "[NaN]", "[Infinity]", "[-Infinity]", "[1e999]", '["\\ud800"]',
        '{"\\udc00": 1}', "[" * 5000, "[" * 203 + "]" * 203, '{"a":' * 203 + "1" + "}" * 203, "{", "\xff", "", "[1,]",
        "[9223372036854775808]", "[-9223372036854775809]", '{"a": [1e2, 99999999999999999999]}',
        "[1] [2]", "[01]", "['a']",
        "\xef\xbb\xbf[1]", "[1" + "0" * 5000 + "]", '["\x00"]', "// a\n[1]",
    ],
)  # fmt: skip
def test_strict_parser(text):
    with pytest.raises(ArtifactError):
        parse(text.encode("latin-1"), "it")


def test_the_parser_takes_what_json_is():
    text = '{"a": [1, -0.5, true, null, "\\ud83d\\ude00 []{}"], "": {"deep": ' + "[" * 150 + "]" * 150 + "}}"
    assert parse(text.encode(), "it") == json.loads(text)
    assert parse(b"[9223372036854775807, -9223372036854775808]", "it") == [2**63 - 1, -(2**63)]


def test_nesting_does_not_overflow_the_stack_where_recursion_is_not_limited(tmp_path):
    """Programs raise the limit of recursion; the parser of CPython would follow to the end of the stack."""
    script = (
        "import sys; sys.setrecursionlimit(10**7); sys.set_int_max_str_digits(0)\n"
        "from backends.json_spec.text import parse; from backends.json_spec import ArtifactError\n"
        "for text in (b'[' * 10**6, b'{\"a\":' * 10**6, b'[' * 10**6 + b']' * 10**6, b'[1' + b'0' * 10**6 + b']'):\n"
        "    try: parse(text, 'it')\n"
        "    except ArtifactError: continue\n"
        "    raise SystemExit('accepted')\n"
        "print('refused')\n"
    )
    assert programs.run(script, folder=tmp_path) == "refused\n"
