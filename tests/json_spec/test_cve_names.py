"""The ways in which a file was let choose what runs, each tried here with an inert payload: names, methods, calls.

The numbers are of the CVEs whose pattern a test repeats.
"""

from __future__ import annotations

import math
import sys

import pytest
from crafting import HOLDER, craft, holding
from hostile import TRUST, attempt, everywhere, refused, watch  # noqa: F401

from backends.json_spec import UntrustedName, load, rebuild
from backends.json_spec.trust import METHODS, allowed, check_call, check_name, trusted_names

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


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("kind", "method"),
    [("weight_norm:WeightNorm", "compute_weight"), ("spectral_norm:SpectralNorm", "compute_weight"),
     ("spectral_norm:SpectralNorm", "reshape_weight_to_matrix"), ("prune:CustomFromMask", "apply_mask")],
)  # fmt: skip
def test_cve_2025_8747_what_torch_computes_at_load_is_not_a_way_in(tmp_path, kind, method):
    """A hook of torch's asks itself for its own method: the file put a function there, and `load` called it."""
    shapes = {"x_g": [2, 1], "x_v": [2, 2], "x_u": [2], "x_orig": [2, 2], "x_mask": [2, 2]}
    if kind.startswith("spectral"):
        shapes["x_v"] = [2]
    parameters = {name: {"$tensor": "float32", "shape": shape, "entry": name} for name, shape in shapes.items()}
    entries = {name: ("F32", shape, bytes(4 * math.prod(shape))) for name, shape in shapes.items()}
    for harmful in ({"$function": "tripwires:payload"},
                    {"$partial": {"$function": "tripwires:payload"}, "args": ["/"], "keywords": {}}):  # fmt: skip
        hook = {"$object": f"torch.nn.utils.{kind}", "attributes": {"name": "x", "_tensor_name": "x", "dim": 0}}
        node = {
            "$module": HOLDER, "training": True, "parameters": parameters, "computed": ["x"],
            "hooks": [{"on": "forward_pre", "call": {"$ref": "hook"}}],
        }  # fmt: skip
        attempt(holding(tmp_path / "a", {"$ref": "m"}, entries, hook=hook, m=node))
        hook["attributes"][method] = harmful
        refused(holding(tmp_path / "b", {"$ref": "m"}, entries, hook=hook, m=node), "an attribute where its class has")


@pytest.mark.parametrize(
    "name", ["", "*", "json_spec_things.*", "a b", "../a", "json_spec_things:", ":x", "a..b", "a.b:c:d"]
)
def test_trust_is_names_and_not_patterns(name):
    with pytest.raises(ValueError, match="names modules"):
        trusted_names([name])


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
