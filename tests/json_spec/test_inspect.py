"""What people see of an artifact, and what differs between two; nothing is imported for it."""

from __future__ import annotations

import sys

import crafting
import json_spec_things as things
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from backends.json_spec import ArtifactError, differences, inspect, inspecting, save
from tests import programs
from tests.json_spec.forging import forge


def model(n_hidden=5, **attributes):
    torch.manual_seed(0)
    layer = things.Layer(3, n_hidden, 2, activation=torch.tanh, mode="fast")
    made = things.Compound(things.Tokenizer("b a", 7), layer.eval(), things.Decoder(["good", "bad"]))
    made.tied, made.mixed = layer.layers[0].weight, [torch.ones(2), {"a": nn.ReLU()}]
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def saved(tmp_path):
    """`saved(name, ...)` -> the folder of a model's artifact."""

    def write(name, made):
        save(made, tmp_path / name)
        return tmp_path / name

    return write


def test_the_tree_shows_calls_values_and_where_tensors_live(saved):
    folder = saved("a", model())
    lines = [line.strip() for line in str(inspect(folder)).splitlines()]
    assert "layer: json_spec_things:Layer(n_in=3, n_hidden=5, 2, activation=torch:tanh, mode='fast')  [eval]" in lines
    assert "tokenizer: json_spec_things:Tokenizer(corpus='b a', size=7)" in lines
    assert "in_features = 3" in lines and "words = ['a', 'b']" in lines
    assert "weight: is model.tied" in lines or "tied: is model.layer.layers.0.weight" in lines
    tensor = next(part for part in inspect(folder).walk() if part.kind == "tensor" and part.size_bytes == 60)
    assert tensor.what == "float32 [5, 3] parameter"
    first, last = map(int, tensor.where.partition("[")[2].rstrip("]").split(":"))
    data = (folder / "weights.safetensors").read_bytes()[first:last]
    assert data == model().layer.layers[0].weight.detach().numpy().tobytes()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: None, []),
        (lambda m: setattr(m.decoder, "threshold", 0.9), ["model.decoder.threshold: 0.5 → 0.9"]),
        (lambda m: m.decoder.labels.append("ugly"),
         ["model.decoder.labels: ['good', 'bad'] → ['good', 'bad', 'ugly']"]),
        (lambda m: setattr(m, "extra", {"a": 1}), ["model.extra: added {'a': 1}"]),
        (lambda m: delattr(m, "mixed"), ["model.mixed: removed [→ model.mixed[0], {'a': → model.mixed[1]['a']}]"]),
        (lambda m: m.layer.train(), ["model.layer: training: False → True",
                                     "model.layer.layers: training: False → True",
                                     "model.layer.layers.0: training: False → True",
                                     "model.layer.layers.1: training: False → True"]),
        (lambda m: m.mixed[0].mul_(3),
         ["model.mixed[0]: float32 [2] → 2 of 2 values differ by up to 2"]),
        (lambda m: m.mixed.__setitem__(0, torch.ones(2).double()),
         ["model.mixed[0]: float32 [2] → float64 [2]"]),
        (lambda m: setattr(m.layer, "activation", torch.relu), ["model.layer.activation: torch:tanh → torch:relu"]),
        (lambda m: setattr(m, "decoder", things.Node()),
         ["model.decoder: json_spec_things:Decoder → json_spec_things:Node"]),
        (lambda m: setattr(m, "tied", nn.Parameter(m.tied.detach().clone())),
         ["model.layer.layers.0.weight: the same object as model.tied → an object of its own"]),
    ],
)  # fmt: skip
def test_each_change_is_one_difference(saved, change, expected):
    other = model()
    change(other)
    found = [str(one) for one in differences(saved("a", model()), saved("b", other))]
    assert found[: len(expected)] == expected
    assert len(found) == len(expected) or "Node" in expected[0]  # another class: its attributes are told too


def test_a_hyperparameter_shows_as_the_argument_and_what_follows_from_it(saved):
    found = {one.path: one for one in differences(saved("a", model(5)), saved("b", model(6)))}
    argument = found["model.layer(n_hidden)"]
    assert (argument.kind, argument.before, argument.after) == ("argument", "5", "6")
    assert found["model.tied"].kind == "tensor" and "[5, 3]" in found["model.tied"].before


def test_names_and_places_in_files_do_not_count(saved):
    one, other = things.Holder(a=[torch.ones(3)], b=nn.ReLU()), things.Holder(b=nn.ReLU(), a=[torch.ones(3)])
    assert differences(saved("a", one), saved("b", other)) == []


def test_nothing_is_imported(saved, tmp_path, monkeypatch):
    (tmp_path / "payload_of_inspect.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    folder = saved("a", model())
    forge(folder, lambda spec: spec["objects"]["model"].update({"$module": "payload_of_inspect:Net\u00e9"}))
    assert str(inspect(folder)).startswith("model: payload_of_inspect:Net\u00e9")
    assert differences(folder, saved("b", model()))[0].kind == "class"
    assert "payload_of_inspect" not in sys.modules


def test_no_text_steers_the_terminal(saved):
    folder = saved("a", things.Holder(value="\x1b]0;title\x07", other=b"\x1b", table={"evil\x1b[2J": 1}))
    assert "\x1b" not in str(inspect(folder)) and "\x07" not in str(inspect(folder))


def test_hooks_show_their_flags_and_methods_their_objects(saved):
    made = things.Watching()
    made.register_forward_hook(things.count_keywords, with_kwargs=True)
    made.handle = made.register_forward_pre_hook(things.double_input)
    lines = [line.strip() for line in str(inspect(saved("a", made))).splitlines()]
    assert "forward hook 2, with_kwargs = json_spec_things:count_keywords" in lines
    assert "forward_pre hook 0 = json_spec_things:double_input" in lines
    assert lines[lines.index("handle: handle of forward_pre hook 0") + 1] == ".module: is model"
    hook = next(number for number, line in enumerate(lines) if line.startswith("forward hook 1: "))
    assert lines[hook + 1] == ".__self__: is model"


def test_flags_show_their_members(saved):
    shown = str(inspect(saved("a", things.Holder(some=things.Mode.A | things.Mode.C, none=things.Mode(0)))))
    assert "some = json_spec_things:Mode.A|C\n" in shown and "none = json_spec_things:Mode.\n" in shown + "\n"


def test_elements_that_overlap_are_compared_without_making_them(tmp_path):
    """Of one number a shape can make any number of bytes."""
    wide = [{"$tensor": "float32", "shape": [1 << 20] * 2, "stride": [0, 0], "entry": "w"},
            {"$ndarray": "<f4", "shape": [1 << 20] * 2, "strides": [0, 0], "entry": "w"}]  # fmt: skip
    folders = [
        crafting.holding(tmp_path / str(n), wide, {"w": ("F32", [len(data) // 4], data)})
        for n, data in enumerate((bytes(4), b"\0\0\0\1", bytes(8)))
    ]
    assert differences(folders[0], folders[0]) == []
    for other in folders[1:]:
        found = [str(one) for one in differences(folders[0], other)]
        assert [line.partition(":")[0] for line in found] == ["model.evil[0]", "model.evil[1]"]


def test_parts_deep_within_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(inspecting, "PATHS_LIMIT", 1000)
    chain = {f"m{n}": {"$tuple": [{"$ref": f"m{n + 1}"}]} for n in range(30)} | {"m30": {"$tuple": [[]]}}
    folder = crafting.holding(tmp_path / "a", {"$ref": "m0"}, **chain)
    with pytest.raises(ArtifactError, match="more than 1000 characters"):
        inspect(folder)
    monkeypatch.setattr(inspecting, "PATHS_LIMIT", 10_000)
    assert len(list(inspect(folder).walk())) > 30


def test_a_single_element_is_compared_whatever_its_stride(tmp_path):
    node = {"$tensor": "float32", "shape": [1], "stride": [3], "entry": "w"}
    one, other = (crafting.holding(tmp_path / str(n), node, {"w": ("F32", [1], bytes([0, 0, 0, n]))}) for n in (0, 1))
    assert [str(found) for found in differences(one, other)] == [
        "model.evil: float32 [1] stride [3] → 1 of 1 values differ by up to 2.4e-38"
    ]


def test_conjugates_of_what_torch_cannot_negate_are_compared(tmp_path):
    node = {"$tensor": "bits8", "shape": [1], "entry": "w", "conj": True, "neg": True}
    one, other = (crafting.holding(tmp_path / str(n), node, {"w": ("U8", [1], bytes([n]))}) for n in (0, 1))
    assert differences(one, one) == []
    assert [str(found) for found in differences(one, other)] == [
        "model.evil: bits8 [1] conj neg → 1 of 1 values differ"
    ]


def test_damage_is_told(saved):
    folder = saved("a", model())
    (folder / "spec.json").write_bytes((folder / "spec.json").read_bytes().replace(b"0.5", b"0.6"))
    with pytest.raises(ArtifactError, match="edited"):
        inspect(folder)


def test_the_command(saved):
    from harness.cli import main

    a, b = saved("a", model()), saved("b", model(threshold=1))
    shown = CliRunner().invoke(main, ["inspect", str(a)])
    assert shown.exit_code == 0 and "n_hidden=5" in shown.output and "[eval]" in shown.output
    assert shown.output.splitlines()[-1].endswith("bytes")
    assert CliRunner().invoke(main, ["inspect", str(a), str(a)]).exit_code == 0
    differ = CliRunner().invoke(main, ["inspect", str(a), str(b)])
    assert differ.exit_code == 1 and differ.output == "model.threshold: added 1\n"
    assert CliRunner().invoke(main, ["inspect", str(a / "spec.json")]).exit_code == 2


def test_looking_needs_no_project(saved, tmp_path):
    folder = saved("a", model())
    code = f"from backends.json_spec import inspect; print(inspect({str(folder)!r}).line())"
    told = programs.run(f"{code}; import sys; assert 'json_spec_things' not in sys.modules", folder=tmp_path)
    assert told.startswith("model: json_spec_things:Compound(tokenizer=")
