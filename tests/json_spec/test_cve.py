"""The ways in which readers of models were made to run code or read files, each tried here with an inert payload.

The numbers are of the CVEs whose pattern a test repeats. Whatever comes of it, no payload may run: an audit hook of the
interpreter sees imports, opened files, compiled code, processes and connections during every load here.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Iterable

import crafting
import fuzzing
import json_spec_things as things
import pandas  # noqa: F401  (imported before the hook is on: that a codec imports it is no finding)
import PIL.Image  # noqa: F401
import pytest
import torch
import torch.nn.utils.weight_norm
import tripwires
from crafting import HOLDER, craft, forge, holding, replace_text, sign, weights
from torch import nn

from backends.json_spec import ArtifactError, UntrustedName, load, rebuild, save
from backends.json_spec.errors import SourceDrift
from backends.json_spec.trust import METHODS, allowed, canonical_names, check_call, check_name, trusted_names

TRUST = ["json_spec_things", "tripwires", "tripwire_package"]
FILES = ["spec.json", "weights.safetensors", "digests.json", "SHA256SUMS"]
_watches: dict[str, fuzzing.Watch] = {}


@pytest.fixture(autouse=True)
def watch(tmp_path):
    """The audit hook; every test here ends with nothing seen and nothing fired."""
    if not _watches:
        load(holding(tmp_path / "first", {"$function": "torch:relu"}), trust=TRUST)  # reads the lists, once
        assert canonical_names()
        _watches["all"] = fuzzing.Watch(tmp_path)  # a hook stays for good
    seen = _watches["all"]
    seen.watch_only(tmp_path)
    tripwires.FIRED.clear()
    yield seen
    assert seen.seen == [] and tripwires.FIRED == []


def attempt(directory, trust: Iterable[str] = TRUST, verify=True):
    """`load` while the hook is on."""
    seen = _watches["all"]
    seen.on = True
    try:
        return load(directory, trust=trust, verify=verify)
    finally:
        seen.on = False


def refused(directory, match=None, trust: Iterable[str] = TRUST, kind=ArtifactError):
    """Both with digests and without, the artifact is refused by a documented error."""
    for verify in (True, False, "lazy"):
        with pytest.raises(kind, match=match):
            attempt(directory, trust, verify)


class Exploit:
    """A pickle of it calls the payload."""

    def __reduce__(self):
        return tripwires.payload, ()


def pickles():
    """The same payload as torch.load and others would take it: pickle, torch's zip, an old tar-like one."""
    buffer = io.BytesIO()
    torch.save(Exploit(), buffer)
    legacy = io.BytesIO()
    torch.save(Exploit(), legacy, _use_new_zipfile_serialization=False)
    return {"pickle": pickle.dumps(Exploit()), "zip": buffer.getvalue(), "legacy": legacy.getvalue()}


@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("name", FILES)
def test_cve_2025_32434_and_54886_no_other_format_is_tried(tmp_path, name, kind):
    """torch.load(weights_only=True) ran a pickle; skops took what is no zip for a joblib file."""
    path = holding(tmp_path / "a", {"$tensor": "float32", "shape": [1], "entry": "w"}, {"w": ("F32", [1], bytes(4))})
    (path / name).write_bytes(pickles()[kind])
    with pytest.raises(ArtifactError):
        attempt(path)
    if name in FILES[:2]:
        sign(path)
        refused(path)


@pytest.mark.parametrize(
    "node",
    [
        {"$tensor": "float32", "shape": [5], "entry": "w"},
        {"$tensor": "float64", "shape": [4], "entry": "w"},
        {"$tensor": "float32", "shape": [2, 2], "stride": [4, 1], "entry": "w"},
        {"$tensor": "float32", "shape": [4], "entry": "w", "offset": 4},
        {"$tensor": "float32", "shape": [1], "entry": "w", "offset": 2},
        {"$tensor": "float32", "shape": [4], "stride": [-1], "entry": "w"},
        {"$tensor": "float32", "shape": [4], "stride": [1, 1], "entry": "w"},
        {"$tensor": "float32", "shape": [4], "entry": "w", "offset": -4},
        {"$tensor": "float32", "shape": [2**31, 2**31], "stride": [2**33, 2**2], "entry": "w"},
        {"$tensor": "qint8", "shape": [4], "entry": "w"},
        {"$tensor": "float32", "shape": [4]},
        {"$tensor": "float32", "shape": [4], "entry": "~fill.1"},
        {"$tensor": "load", "shape": [4], "entry": "w"},
        {"$ndarray": "<f4", "shape": [4], "strides": [-4], "entry": "w"},
        {"$ndarray": "<f4", "shape": [5], "entry": "w"},
        {"$ndarray": "|O", "shape": [2], "entry": "w"},
        {"$ndarray": "<f4", "shape": [4], "strides": [4, 4], "entry": "w"},
        {"$ndarray": "<U1", "shape": [1], "entry": "w"},
        {"$tensor": "bool", "shape": [16], "entry": "w"},
        {"$ndarray": "|b1", "shape": [16], "entry": "w"},
        {"$npscalar": "|b1", "bytes": "Bw=="},
        {"$npscalar": "<U1", "bytes": "/////w=="},
        {"$npscalar": "<f4", "bytes": "AAAAAA==", "reads": "1.0"},
        {
            "$sparse": "sparse_coo",
            "shape": [2, 2],
            "indices": {"$tensor": "int64", "shape": [2, 1], "entry": "i"},
            "values": {"$tensor": "float32", "shape": [1], "entry": "w"},
        },
        {
            "$sparse": "sparse_csr",
            "shape": [1, 1],
            "crow_indices": {"$tensor": "int64", "shape": [2], "entry": "i"},
            "col_indices": {"$tensor": "int64", "shape": [1], "entry": "i"},
            "values": {"$tensor": "float32", "shape": [1], "entry": "w"},
        },
        {
            "$sparse": "sparse_coo",
            "shape": [2, 2],
            "indices": {"$tensor": "int64", "shape": [2, 2**33], "stride": [0, 0], "entry": "i"},
            "values": {"$tensor": "float32", "shape": [2**33], "stride": [0], "entry": "w"},
        },
        {
            "$quantized": "qint8",
            "values": {"$tensor": "int8", "shape": [2**36], "stride": [0], "entry": "w"},
            "scale": 1.0,
            "zero_point": 0,
        },
        {
            "$quantized": "qint8",
            "values": {"$tensor": "int8", "shape": [4], "entry": "w"},
            "scales": {"$tensor": "float64", "shape": [1], "entry": "i"},
            "zero_points": {"$tensor": "int64", "shape": [1], "entry": "i"},
            "axis": 0,
        },
        {"$codec": "torch._C:Generator", "state": {"device": "cpu", "state": {"$bytes": ""}}},
    ],
    ids=lambda node: json.dumps(node)[:70],
)
def test_cve_2026_24747_tensors_stay_inside_their_memory(tmp_path, node):
    """A description that does not fit its bytes; torch's unpickler corrupted memory."""
    entries = {"w": ("F32", [4], b"\x07\xff\xff\xff" * 4), "i": ("I64", [2], (99).to_bytes(8, "little") * 2)}
    refused(holding(tmp_path / "a", node, entries))


def test_a_generators_state_cannot_point_outside_its_table(tmp_path):
    """torch checks the two numbers apart, and reads beyond its table: found here, reported nowhere."""
    state = bytearray(torch.Generator().manual_seed(1).get_state().numpy().tobytes())
    state[8:12], state[16:24] = (624).to_bytes(4, "little"), (600).to_bytes(8, "little")
    assert torch.Generator().set_state(torch.frombuffer(state, dtype=torch.uint8))
    node = {"$codec": "torch._C:Generator", "state": {"device": "cpu", "state": {"$blob": len(state), "entry": "s"}}}
    refused(holding(tmp_path / "a", node, {"s": ("U8", [len(state)], bytes(state))}), "outside its own table")


@pytest.mark.parametrize(
    "node",
    [{"$lambda": "4wEAAAAA"}, {"$code": {"$bytes": "4wEAAAAA"}}, {"$pickle": "gASVAAAA"}, {"$eval": "1+1"}],
    ids=str,
)
def test_cve_2024_3660_no_kind_of_value_is_code(tmp_path, node):
    """Keras ran marshalled bytecode of a Lambda layer."""
    refused(holding(tmp_path / "a", node), "unknown kind")
    with pytest.raises(Exception, match="lambda"):
        save(things.Holder(act=lambda x: x), tmp_path / "b")


NAMES = [
    "os:system", "posix:system", "subprocess:Popen", "subprocess:run", "builtins:eval", "builtins:exec",
    "builtins:open",
    "builtins:getattr", "builtins:__import__", "importlib:import_module", "pickle:loads", "_pickle:loads",
    "shutil:rmtree", "operator:methodcaller", "_operator:methodcaller", "operator:attrgetter",
    "functools:reduce", "ctypes:CDLL",
    "torch:load", "torch:save", "torch:compile", "torch.hub:load", "torch.hub:download_url_to_file", "torch:from_file",
    "torch.serialization:load", "torch.serialization:add_safe_globals", "torch.jit:load", "torch._C:_nn",
    "torch.utils.cpp_extension:load_inline", "torch.utils.data.datapipes.utils.decoder:decoder",
    "torch.storage:_load_from_bytes", "torch.nn.modules.module:Module.load_state_dict", "torch.ops:load_library",
    "torchvision.io:read_file", "torchvision.models._api:get_model", "torchvision.datasets.utils:download_url",
    "torchvision.models.detection.faster_rcnn:fasterrcnn_resnet50_fpn", "torchvision.models.resnet:ResNet50_Weights",
    "numpy:load", "numpy:fromfile", "numpy:save", "numpy.lib._npyio_impl:load", "pandas:read_pickle", "PIL.Image:open",
    "sentencepiece:SentencePieceProcessor", "backends.json_spec:load", "backends.json_spec.loading:load",
    "backends.json_spec.trust:resolve", "backends.json_spec.codecs:CODECS",
]  # fmt: skip


def everywhere(name: str) -> list:
    """Each place of the format in which a name may stand."""
    tensor = {"$tensor": "float32", "shape": [0]}
    return [
        {"$function": name}, {"$class": name}, {"$object": name}, {"$module": name, "training": True},
        {"$enum": name, "member": "A"}, {"$namedtuple": name, "items": []}, {**tensor, "class": {"$class": name}},
        {"$partial": {"$function": name}, "args": [], "keywords": {}}, {"$defaultdict": [{"$class": name}, []]},
        {"$method": {"$class": name}, "name": "x"}, {"$codec": name, "state": {}},
        {"$module": HOLDER, "training": True, "hooks": [{"on": "forward", "call": {"$function": name}}]},
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_cve_2025_1550_and_8747_and_9906_names_are_exact_identities(tmp_path, name):
    """Keras took module and function from the config; then its own functions were chained."""
    imported = set(sys.modules)
    for place, node in enumerate(everywhere(name)):
        if node.get("$codec") == "sentencepiece:SentencePieceProcessor":
            continue
        refused(holding(tmp_path / str(place), node))
    with pytest.raises(UntrustedName):
        check_call(name, [], ())
    assert set(sys.modules) - imported <= {m for m in sys.modules if m.startswith(("torch", "pandas", "sentencepiece"))}


def test_names_of_the_list_are_refused_for_another_use(tmp_path):
    """A function is not a class, a class that may be named may not be made."""
    for kind, name in [
        ("object", "numpy:ndarray"), ("object", "pathlib:Path"), ("object", "torch.nn.parameter:Parameter"),
        ("function", "torch.nn.modules.linear:Linear"), ("class", "torch:relu"), ("enum", "builtins:int"),
        ("module", "torchvision.transforms.transforms:Compose"), ("class", "torchvision.models.resnet:resnet18"),
    ]:  # fmt: skip
        with pytest.raises(UntrustedName):
            check_name(name, kind, ())
    assert not [name for name in allowed() if name.startswith(("os:", "io:", "torch.hub", "torch.serialization"))]


def test_recorded_calls_have_permitted_arguments_only(tmp_path):
    """`weights="DEFAULT"` would fetch a file."""
    resnet = "torchvision.models.resnet:resnet18"
    check_call(resnet, ["num_classes"], ())
    for given in ("weights", "pretrained", "progress", "*", "**kwargs"):
        with pytest.raises(UntrustedName, match=r"may give it|may not give"):
            check_call(resnet, [given], ())
    for name in ("torch:relu", "builtins:len", "numpy:ndarray", "torch:Tensor"):
        with pytest.raises(UntrustedName):
            check_call(name, [], ())


OWNERS = {
    "read_text": {"$path": "/etc/passwd"}, "unlink": {"$pureposixpath": "x"}, "write_text": {"$path": "x"},
    "to_pickle": {"$codec": "pandas:RangeIndex", "state": {"range": {"$tuple": [0, 1, 1]}, "name": None}},
    "apply": {"$ref": "layer"}, "load_state_dict": {"$ref": "layer"}, "register_forward_hook": {"$ref": "layer"},
    "__setstate__": {"$ref": "layer"}, "__init__": {"$ref": "layer"}, "__reduce__": {"$ref": "trip"},
    "from_bytes": 7, "show": {"$codec": "PIL.Image:Image", "state": {"mode": "L", "size": {"$tuple": [1, 1]},
    "palette": None, "data": {"$bytes": "AA=="}}}, "backward": {"$tensor": "float32", "shape": [0]},
    "seed": {"$codec": "random:Random", "state": {"state": {"$tuple": [3, {"$tuple": [1] * 624 + [624]}, None]}}},
}  # fmt: skip


@pytest.mark.parametrize("name", OWNERS)
def test_cve_2025_9906_methods_of_values_are_not_a_way_out(tmp_path, name):
    """`Path.unlink` as a model's `preprocess` would be called with what the user feeds the model."""
    layer = {"$module": "torch.nn.modules.linear:Identity", "training": True}
    objects = {"layer": layer, "trip": {"$object": "json_spec_things:Point", "attributes": {}}}
    refused(holding(tmp_path / "a", {"$method": OWNERS[name], "name": name}, None, **objects))
    assert all(not {"open", "save", "load", "Load", "LoadFromFile"} & names for names in METHODS.values())


def test_cve_2025_12058_a_path_in_a_file_is_never_opened(tmp_path):
    """Keras read the vocabulary from a path that the file gave."""
    secret = tmp_path / "elsewhere.txt"
    secret.write_text("secret")
    loaded = attempt(holding(tmp_path / "a", {"vocabulary": {"$path": str(secret)}, "name": str(secret)}))
    assert str(loaded.evil["vocabulary"]) == loaded.evil["name"] == str(secret)
    for state in ({"model": str(secret)}, {"model_file": str(secret)}, {"model": {"$bytes": ""}, "model_file": "x"}):
        refused(holding(tmp_path / "b", {"$codec": "sentencepiece:SentencePieceProcessor", "state": state}))


def test_cve_2026_1669_nothing_lies_outside_the_four_files(tmp_path):
    """Keras followed external storage."""
    path = holding(tmp_path / "a", 1)
    for field in ("external", "location", "weights", "file", "sums"):
        replace_text(path, r'"version": 1,', f'"version": 1, "{field}": "../elsewhere",')
        refused(path, "exactly the members")
        replace_text(path, rf' "{field}": "../elsewhere",', "")
    refused(holding(tmp_path / "b", {"$tensor": "float32", "shape": [0], "location": "../elsewhere"}), "unknown field")
    sums = (path / "SHA256SUMS").read_text()
    (path / "SHA256SUMS").write_text(f"{'0' * 64}  ../elsewhere\n{sums}")
    with pytest.raises(ArtifactError):
        attempt(path)


def test_the_list_of_definitions_does_not_choose_what_is_read(tmp_path):
    """Source is looked at to see whether it changed: the project's and the caller's, not any file that has a name."""
    path = holding(tmp_path / "a", 1)
    was = {"file": "0" * 64, "definitions": {"x": "0" * 64}}
    names = [
        "os",
        "torch.hub",
        "subprocess",
        "../../etc/passwd",
        "/etc/passwd",
        "a..b",
        "",
        "tripwire_package.__main__",
    ]
    modules = {name: was for name in names}
    (path / "definitions.json").write_text(
        json.dumps({"format": "json-spec-definitions", "version": 1, "modules": modules})
    )
    with pytest.raises(SourceDrift, match="tripwire_package"):
        attempt(sign(path))
    loaded = load(path, trust=TRUST, on_drift="ignore")
    assert loaded.evil == 1 and "tripwire_package.__main__" not in sys.modules


@pytest.mark.parametrize("trust", [None, True, 1, "json_spec_things", b"json_spec_things", [None], [b"x"], [1]])
def test_an_unset_or_mistaken_flag_does_not_fail_open(tmp_path, trust):
    """Keras took an unset safe_mode for consent."""
    path = holding(tmp_path / "a", 1)
    with pytest.raises(TypeError):
        attempt(path, trust)
    with pytest.raises(ValueError):
        attempt(path, TRUST, None)
    refused(path, "not trusted", (), UntrustedName)


@pytest.mark.parametrize(
    "name", ["", "*", "json_spec_things.*", "a b", "../a", "json_spec_things:", ":x", "a..b", "a.b:c:d"]
)
def test_trust_is_names_and_not_patterns(name):
    with pytest.raises(ValueError, match="names modules"):
        trusted_names([name])


@pytest.mark.parametrize("member", ["trust", "verify", "safe_mode", "trust_remote_code", "on_drift", "check"])
def test_cve_2026_5241_a_file_cannot_widen_what_the_caller_allowed(tmp_path, member):
    """A nested config overrode the caller's flag."""
    path = holding(tmp_path / "a", {"$class": "os:system"})
    forge(path, lambda spec: spec["objects"]["model"].update({member: ["os"]}))
    refused(path)
    path = holding(tmp_path / "b", {member: ["os"], "x": {"$function": "os:system"}})
    refused(path, "not trusted", kind=UntrustedName)


def test_cve_2026_4372_an_unknown_key_is_refused_and_none_is_set_by_code(tmp_path):
    """transformers called setattr with the keys of a config."""
    for change in (
        lambda spec: spec["objects"]["model"].update(surprise=1),
        lambda spec: spec["objects"]["model"]["attributes"].update({"$surprise": 1}),
        lambda spec: spec["objects"]["model"].update(attributes={"$int": "0x8000000000000000"}),
        lambda spec: spec["objects"]["model"].update(attributes={"a": {"$ref": "model", "surprise": 1}}),
        lambda spec: spec["objects"]["model"].update(hooks=[{"on": "forward", "call": 1, "surprise": 1}]),
        lambda spec: spec["objects"]["model"]["attributes"].update(_modules={}, training=False),
        lambda spec: spec["objects"]["model"].update(parameters={"evil": None}),
        lambda spec: spec["objects"]["model"].update(parameters={"w": "text"}),
        lambda spec: spec["objects"]["model"].update(modules={"a.b": None}),
    ):
        refused(forge(holding(tmp_path / "a", 1), change))
    trip = {
        "watched": 1,
        "risky": 2,
        "__class__": {"$class": "builtins:int"},
        "__call__": {"$function": "builtins:len"},
    }
    made = {"$object": "tripwires:Tripwire", "attributes": trip}
    loaded = attempt(holding(tmp_path / "b", {"$ref": "trip"}, None, trip=made))
    assert type(loaded.evil) is tripwires.Tripwire and vars(loaded.evil)["risky"] == 2
    module = {"$module": "tripwires:TripModule", "training": True, "buffers": {"b": None}}
    loaded = attempt(holding(tmp_path / "c", {"$ref": "trip"}, None, trip=module))
    assert type(loaded.evil) is tripwires.TripModule


def test_a_trusted_module_lends_nothing_that_it_imported(tmp_path):
    """skops 2025-54412: the audited name was not the executed one. 54413: dotted getattr to `__builtins__`."""
    for name in [
        "tripwires:system", "tripwires:Popen", "tripwires:evaluate", "tripwires:operating_system.system",
        "tripwires:__builtins__.eval", "tripwires:payload.__globals__", "tripwires:payload.__globals__.system",
        "tripwires:Tripwire.file", "tripwires:Tripwire.file.unlink", "tripwires:Tripwire.__class__",
        "tripwires:nn.Module",
        "tripwires:Disguised", "tripwires:Honest", "tripwires:wrapped", "tripwires:Tripwire.risky.fget",
        "tripwires:FIRED.append", "tripwires:Tripwire.missing", "tripwires.os:system", "tripwires:Tripwire.__init__.x",
    ]:  # fmt: skip
        for node in everywhere(name):
            refused(holding(tmp_path / "a", node))


@pytest.mark.parametrize(
    "name",
    [
        "os: system", "os :system", " os:system", "os:system\n", "\u200bos:system", "ｏs:system", "os;system",
        "os.system",
        "os::system", "os:", ":system", "torch..hub:load", "..os:system", "os/:system", "OS:system",
        "TORCH:relu", "torch:RELU",
        "tripwires\0:payload", "tripwire_package.__main__:Thing", "tripwire_package.__init__:x", "__main__:x",
        "builtins:__dict__", "torch.nn.modules.linear:Linear.forward", "a" * 100_000 + ":b",
    ],
)  # fmt: skip
def test_names_that_scanners_missed(tmp_path, name):
    """Scanners of pickles were bypassed by other spellings; here a name is one spelling."""
    for node in everywhere(name):
        refused(holding(tmp_path / "a", node))
    assert "tripwire_package.__main__" not in sys.modules


def test_nothing_is_imported_before_every_name_was_looked_at(tmp_path):
    """A trusted module, and far behind it a name that is not."""
    objects = {"first": {"$object": "tripwire_package.late:Thing"}, "last": {"$tuple": [{"$class": "os:system"}]}}
    for node in ([{"$ref": "first"}, {"$ref": "last"}], [{"$object": "tripwire_package.late:Thing"}, {"$ref": "last"}]):
        refused(holding(tmp_path / "a", node, None, **objects), "not trusted", kind=UntrustedName)
    refused(holding(tmp_path / "b", {"$ref": "first"}, None, **objects), "not trusted", kind=UntrustedName)
    assert "tripwire_package.late" not in sys.modules
    load(holding(tmp_path / "c", {"$ref": "first"}, None, first=objects["first"]), trust=TRUST)
    assert "tripwire_package.late" in sys.modules


def test_two_readers_cannot_see_two_names(tmp_path):
    path = holding(tmp_path / "a", {"$class": "builtins:int"})
    replace_text(path, r'"\$class": "builtins:int"', '"$class": "builtins:int", "$class": "os:system"')
    refused(path, "twice")
    path = holding(tmp_path / "b", {"$class": "builtins:int"})
    replace_text(path, r'"\$class": "builtins:int"', '"$class": "builtins:int", "$function": "os:system"')
    refused(path)
    path = holding(tmp_path / "c", {"a": 1})
    replace_text(path, r'"a": 1', '"a": 1, "$function": "os:system"')
    refused(path)


def test_cve_2026_9856_keys_are_never_file_names(tmp_path):
    """transformers wrote to paths that were keys of a config."""
    entries = {"../../x": ("F32", [1], bytes(4)), "/etc/passwd": ("F32", [1], bytes(4))}
    tensors = [{"$tensor": "float32", "shape": [1], "entry": name} for name in entries]
    (tmp_path / "in").mkdir()
    path = holding(tmp_path / "in" / "a", tensors, entries, **{"../../y": [1], "C:\\x": {"b": 1}})
    loaded = attempt(path)
    assert [float(t) for t in loaded.evil] == [0, 0]
    save(loaded, tmp_path / "in" / "b")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in"]
    assert sorted(entry.name for entry in (tmp_path / "in").iterdir()) == ["a", "b"]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["symlink", "hardlink", "pipe", "directory", "device"])
def test_onnx_2022_25882_to_2026_34446_no_link_pipe_or_device_is_followed(tmp_path, name, kind):
    """ONNX was led to other files by path, by symbolic link, by hard link."""
    path = holding(tmp_path / "a", 1)
    other = tmp_path / "other"
    (path / name).rename(other)
    if kind == "symlink":
        (path / name).symlink_to(other)
    elif kind == "hardlink":
        (path / name).hardlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path / name)
    elif kind == "directory":
        (path / name).mkdir()
    else:
        (path / name).symlink_to("/dev/zero")
    with pytest.raises(ArtifactError, match=name):
        attempt(path)


def entry(name: str, shape: str, low: int, high: int, dtype: str = '"U8"', more: str = "") -> str:
    """An entry of a header, as text."""
    return f'"{name}":{{"dtype":{dtype},"shape":[{shape}],"data_offsets":[{low},{high}]{more}}}'


META = '"__metadata__":{"a":"b"}'
HEADERS = {
    "two entries of one name": [entry("a", "8", 0, 8), entry("a", "2", 0, 8, '"F32"')],
    "two metadata": [META, META, entry("a", "8", 0, 8)],
    "metadata": [META, entry("a", "8", 0, 8)],
    "an unknown field": [entry("a", "8", 0, 8, more=',"location":"x"')],
    "an empty shape with a huge side": [entry("a", "0,4611686018427387904", 0, 8)],
    "an empty entry": [entry("b", "0", 0, 0), entry("a", "8", 0, 8)],
    "a product that wraps": [entry("a", "4294967296,4294967296,8", 0, 8)],
    "a negative size": [entry("a", "-8", 0, 8)],
    "a size that is no number": [entry("a", '"8"', 0, 8)],
    "a true size": [entry("a", "8,true", 0, 8)],
    "offsets beyond the file": [entry("a", "9", 0, 9)],
    "bytes after the end": [entry("a", "7", 0, 7)],
    "a hole": [entry("a", "4", 0, 4), entry("~fill.1", "3", 5, 8)],
    "an overlap": [entry("a", "8", 0, 8), entry("~fill.1", "4", 4, 8)],
    "offsets that run back": [entry("a", "8", 8, 0)],
    "an unknown dtype": [entry("a", "8", 0, 8, '"F31"')],
    "a dtype that is no text": [entry("a", "8", 0, 8, '["U8"]')],
    "an entry out of line": [entry("~fill.1", "1", 0, 1), entry("a", "7", 1, 8)],
    "half a header": ['"a":{"dtype":"U8"'],
    "a name that is no text": [r'"\ud800":{}'],
    "NaN": [entry("a", "NaN", 0, 8)],
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_that_safetensors_accepts_or_refuses(tmp_path, what):
    path = holding(tmp_path / "a", {"$ndarray": "|u1", "shape": [1], "entry": "a"}, {"a": ("U8", [8], bytes(8))})
    attempt(path)
    text = ("{" + ",".join(HEADERS[what]) + "}").encode()
    write_header(path, text)
    refused(path, r"weights\.safetensors")


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{}{}", b'{"a":1}', b"\xff", b"{" * 300])
def test_headers_that_are_none(tmp_path, text):
    path = holding(tmp_path / "a", 1)
    write_header(path, text)
    refused(path, r"weights\.safetensors")


def write_header(path, text: bytes) -> None:
    """A file of tensors with this header and eight bytes."""
    text += b" " * (-(8 + len(text)) % 64)
    (path / "weights.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    sign(path)


def test_a_zip_beside_or_instead_of_the_directory_is_not_looked_at(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("spec.json", "{}")
    with pytest.raises(ArtifactError):
        attempt(tmp_path / "a")
    with pytest.raises(ArtifactError):
        attempt(tmp_path / "absent")


def test_calls_of_a_file_run_nothing_that_is_not_trusted(tmp_path):
    """AI-JSONable ran `os.system`; here neither `load` nor `rebuild` does, and first every name is looked at."""
    hostile = {"var0": {"module": "os", "caller": "system", "kwargs": {"command": "true"}}}
    with pytest.raises(UntrustedName):
        rebuild(hostile)
    good = {"module": "tripwires", "caller": "TripModule", "kwargs": {}}
    with pytest.raises(UntrustedName):
        rebuild({"var0": good, **{"var1": {**hostile["var0"], "kwargs": {"command": "$var0"}}}}, trust=TRUST)
    objects = {
        "part": {"$module": "tripwires:TripModule", "training": True, "call": {}},
        "model": {"$module": HOLDER, "training": True, "caller": "os:system", "call": {"command": {"$ref": "part"}}},
    }
    path = craft(tmp_path / "a", objects)
    with pytest.raises(UntrustedName):
        rebuild(path, trust=TRUST)
    attempt(path)


def test_layers_of_torch_do_not_run_what_a_file_names_to_look_up(tmp_path):
    """A recurrent layer asks for its weights by names that are in the file."""
    layer = {"$module": "torch.nn.modules.rnn:GRU", "training": True}
    for names in ("text", [1], None):
        refused(holding(tmp_path / "a", {**layer, "attributes": {"_flat_weights_names": names}}))
    named = {**layer, "attributes": {"_flat_weights_names": ["all_weights", "forward"]}}
    assert attempt(holding(tmp_path / "a", named)).evil._flat_weights == [None, None]
    attributes = {"modules": {"$function": "builtins:len"}, "named_modules": {"$function": "builtins:len"}}
    node = {"$module": "torch.nn.modules.container:Sequential", "training": True, "attributes": attributes}
    parent = {"$module": HOLDER, "training": True, "modules": {"evil": {"$ref": "part"}}, "attributes": attributes}
    for verify in (True, False, "lazy"):
        loaded = attempt(craft(tmp_path / "b", {"part": node, "model": parent}), TRUST, verify)
        assert type(loaded.evil) is nn.Sequential and loaded.modules is len
    listing = {
        "$module": "torch.nn.modules.container:ModuleDict",
        "training": True,
        "modules": {"__del__": {"$ref": "l"}},
    }
    part = {"$module": "torch.nn.utils.parametrize:ParametrizationList", "training": True}
    hostile = {
        "$module": HOLDER,
        "training": True,
        "parametrized": ["__del__"],
        "modules": {"parametrizations": listing},
    }
    refused(holding(tmp_path / "c", hostile, None, l=part))


def test_what_would_be_computed_is_not_larger_than_its_source(tmp_path):
    """A column and a row of a few kilobytes make a matrix of gigabytes."""
    side = 1 << 10
    entries = {name: ("F32", [side], bytes(4 * side)) for name in ("v", "g")}
    parameters = {
        "weight_v": {"$tensor": "float32", "shape": [side, 1], "entry": "v", "parameter": True},
        "weight_g": {"$tensor": "float32", "shape": [1, side], "entry": "g", "parameter": True},
    }
    hook = {"$object": "torch.nn.utils.weight_norm:WeightNorm", "attributes": {"name": "weight", "dim": 0}}
    node = {
        "$module": "torch.nn.modules.linear:Linear", "training": True, "parameters": parameters, "computed": ["weight"],
        "hooks": [{"on": "forward_pre", "call": {"$ref": "hook"}}],
    }  # fmt: skip
    refused(holding(tmp_path / "a", node, entries, hook=hook), "larger than what it is computed from")
    wide = {"$tensor": "float32", "shape": [1 << 20, 1 << 20], "stride": [0, 0], "entry": "v", "parameter": True}
    node["parameters"] = {"weight_v": wide, "weight_g": wide}
    refused(holding(tmp_path / "b", node, entries, hook=hook), "no memory for every element")


def test_values_that_a_library_would_take_amiss(tmp_path):
    """Text that prints while it is compiled, states of codecs of other types, names that a terminal would act on."""
    for node in [
        {"$regex": ["a", 128]}, {"$regex": [["a"], 0]}, {"$regex": ["(", 0]}, {"$int": "0x7"}, {"$int": "1_0"},
        {"$device": "cuda:99999999999"}, {"$dtype": "load"}, {"$uuid": "x"}, {"$float": "1.0"}, {"$float": "infinity"},
        {"$range": ["a", 1, 1]}, {"$range": [0, 1, 0]}, {"$complex": ["1", 2.0]}, {"$set": [1, True]}, {"$set": [[1]]},
        {"$dict": [[1, 2], [1.0, 3]]}, {"$dict": [[1]]}, {"$tuple": "ab"}, {"$deque": [None, "ab"]}, {"$bytes": "="},
        {"$size": ["1"]}, {"$ellipsis": False}, {"$partial": 1, "args": [], "keywords": {}}, {"$npdtype": "i4,f8"},
        {"$npdtype": "(9,)f8"}, {"$objectarray": [2], "items": []}, {"$ref": "model", "x": 1}, {"$date": "2020-02-31"},
        {"$codec": "_io:BytesIO", "state": {"data": "text", "position": 0}},
        {"$codec": "_io:BytesIO", "state": {"data": {"$bytes": ""}, "position": -1}},
        {"$codec": "pandas:Index", "state": {"values": {"$ref": "trip"}, "name": None}},
        {"$codec": "pandas:Index", "state": {"values": {"kind": "numpy", "data": {"$ref": "trip"}}, "name": None}},
        {"$codec": "pandas:MultiIndex", "state": {"levels": {"$ref": "trip"}, "codes": [], "names": []}},
        {"$codec": "pandas:DataFrame", "state": {"index": {"$ref": "trip"}, "columns": {"$ref": "trip"}, "values": [],
        "attrs": {}}},
    ]:  # fmt: skip
        refused(holding(tmp_path / "a", node, None, trip={"$object": "tripwires:Tripwire"}))
    refused(holding(tmp_path / "b", 1, None, **{"\x1b[2J": [1]}), "no terminal")
    hidden = {"$object": "json_spec_things:Node", "attributes": {"\x1b[2J": 1}}
    refused(holding(tmp_path / "c", {"$ref": "o"}, None, o=hidden), "attributes")


def test_the_weights_of_the_tests_are_laid_out_as_the_writer_does_it(tmp_path):
    save(things.Holder(a=torch.ones(3), b=torch.ones(2)), tmp_path / "a")
    made = weights({"model.a": ("F32", [3], b"\0\0\x80\x3f" * 3), "model.b": ("F32", [2], b"\0\0\x80\x3f" * 2)})
    (tmp_path / "a" / "weights.safetensors").write_bytes(made)
    assert attempt(sign(tmp_path / "a")).b.tolist() == [1, 1]
    assert crafting.TRUST == ["json_spec_things"]
