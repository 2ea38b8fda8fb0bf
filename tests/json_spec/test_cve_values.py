"""Values that do not fit their memory, their form or a library's expectations, each tried here with an inert payload.

The numbers are of the CVEs whose pattern a test repeats.
"""

from __future__ import annotations

import json

import crafting
import json_spec_things as things
import pytest
import torch
import torch.nn.utils.weight_norm
import tripwires
from crafting import HOLDER, craft, forge, holding, sign, weights
from hostile import TRUST, attempt, refused, watch  # noqa: F401
from torch import nn

from backends.json_spec import ArtifactError, save


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


FOUR = {"$ndarray": "<u8", "shape": [4], "entry": "k"}
GENERATORS = {
    "MT19937": ({"key": {"$ndarray": "<u4", "shape": [624], "entry": "k"}, "pos": 0}, {}),
    "Philox": (
        {"counter": FOUR, "key": {**FOUR, "shape": [2]}},
        {"buffer": FOUR, "buffer_pos": 0, "has_uint32": 0, "uinteger": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GENERATORS)
def test_numpys_generators_cannot_point_outside_their_tables(tmp_path, name):
    """NumPy takes any place. One before the table was let pass where `gauss`, which may be negative, was as low."""
    inner, outer = GENERATORS[name]
    entries = {"k": ("U32", [624], bytes(2496))}
    kinds = ["numpy.random._generator:Generator"] + ["numpy.random.mtrand:RandomState"] * (name == "MT19937")
    for kind, place in [(kind, place) for kind in kinds for place in (-1, -100_000, 625, 1.0, True, None)]:
        state = {"bit_generator": name, "state": dict(inner), "has_gauss": 0, "gauss": 0.0, **outer}
        node = {"$codec": kind, "state": {"bits": state, "seeds": None} if "Generator" in kind else {"state": state}}
        attempt(holding(tmp_path / "a", node, entries))
        (state if "buffer_pos" in state else state["state"])["buffer_pos" if "buffer_pos" in state else "pos"] = place
        for gauss in (0.0, place, {"$tuple": []}):
            refused(holding(tmp_path / "b", {**node, "state": {**node["state"]}}, entries), "or unfit")
            state["gauss"] = gauss


SEEDS = {"entropy": 3, "spawn_key": {"$tuple": []}, "pool_size": 4, "n_children_spawned": 0}


@pytest.mark.parametrize(
    "odd",
    [{"pool_size": 1 << 40}, {"pool_size": 0}, {"entropy": -1}, {"entropy": "3"}, {"spawn_key": {"$tuple": [-1]}},
     {"spawn_key": [1]}, {"n_children_spawned": -1}, {"n_children_spawned": True}, {"entropy": None}, {"more": 1}],
)  # fmt: skip
def test_a_seed_sequence_takes_no_memory_of_the_files_choosing(tmp_path, odd):
    state = {"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}
    kind = "numpy.random._generator:Generator"
    attempt(holding(tmp_path / "a", {"$codec": kind, "state": {"bits": state, "seeds": SEEDS}}))
    refused(holding(tmp_path / "b", {"$codec": kind, "state": {"bits": state, "seeds": {**SEEDS, **odd}}}), "or unfit")


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
        {"$codec": "random:Random", "state": {"state": {"$tuple": [2, {"$tuple": [{"$ref": "trip"}] * 625}, None]}}},
        {"$codec": "random:Random", "state": {"state": {"$tuple": [3, {"$tuple": [1] * 625}, {"$ref": "trip"}]}}},
        {"$codec": "pandas:DataFrame", "state": {"index": {"$ref": "trip"}, "columns": {"$ref": "trip"}, "values": [],
        "attrs": {}}},
    ]:  # fmt: skip
        refused(holding(tmp_path / "a", node, None, trip={"$object": "tripwires:Tripwire"}))
    refused(holding(tmp_path / "b", 1, None, **{"\x1b[2J": [1]}), "no terminal")
    state = {
        "values": {"kind": "numpy", "data": {"$ndarray": "<M8[ns]", "shape": [0]}},
        "name": None,
        "freq": "\x1b[2J",
    }
    reads = {"$npscalar": "<f8", "bytes": "AAAAAAAAAAA=", "reads": "\x1b[2J" * 100_000}
    for node in ({"$codec": "pandas:DatetimeIndex", "state": state}, reads):  # of which the error tells
        with pytest.raises(ArtifactError) as caught:
            attempt(holding(tmp_path / "b", node))
        assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 2000
    hidden = {"$object": "json_spec_things:Node", "attributes": {"\x1b[2J": 1}}
    refused(holding(tmp_path / "c", {"$ref": "o"}, None, o=hidden), "attributes")


def test_the_weights_of_the_tests_are_laid_out_as_the_writer_does_it(tmp_path):
    save(things.Holder(a=torch.ones(3), b=torch.ones(2)), tmp_path / "a")
    made = weights({"model.a": ("F32", [3], b"\0\0\x80\x3f" * 3), "model.b": ("F32", [2], b"\0\0\x80\x3f" * 2)})
    (tmp_path / "a" / "weights.safetensors").write_bytes(made)
    assert attempt(sign(tmp_path / "a")).b.tolist() == [1, 1]
    assert crafting.TRUST == ["json_spec_things"]
