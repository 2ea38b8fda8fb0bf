"""Noted calls: what is noted, how it reads in the file, and what is made anew from it."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import json
import pickle
import sys
from collections import OrderedDict, defaultdict, deque

import json_spec_things as things
import numpy as np
import pytest
import torch
from torch import nn

from backends.json_spec import ArtifactError, FreshWeights, UntrustedName, load, rebuild, save, spec
from backends.json_spec.calls import noted
from tests.json_spec.forging import forge

TRUST = ["json_spec_things"]


def compound(**options):
    tokenizer = things.Tokenizer("c b a b", 7)
    layer = things.Layer(tokenizer.n_symbols, 5, 6, activation=torch.tanh, **options)
    return things.Compound(tokenizer, layer, decoder=things.Decoder(["good", "bad"]))


@pytest.fixture
def artifact(tmp_path):
    save(compound(mode="fast"), tmp_path / "artifact")
    return tmp_path / "artifact"


def read(artifact):
    return json.loads((artifact / "spec.json").read_text("utf-8"))


# --- what is noted


def test_positionals_defaults_and_the_rest_are_noted_under_their_names():
    made = things.Layer(1, 2, 3, activation=len, a=4)
    expected = {"n_in": 1, "n_hidden": 2, "*more": (3,), "activation": len, "**options": {"a": 4}}
    assert noted(made) == {"of": "json_spec_things:Layer", "arguments": expected}
    assert noted(things.Layer(1))["arguments"]["n_hidden"] == 4
    assert noted(things.Tokenizer("a b"))["arguments"] == {"corpus": "a b", "size": 10}


def test_a_subclass_is_noted_as_itself_with_its_own_arguments():
    assert noted(things.Deeper(2)) == {"of": "json_spec_things:Deeper", "arguments": {"depth": 2}}


def test_dataclasses_are_noted():
    assert noted(things.Decoder(["a"]))["arguments"] == {"labels": ["a"], "threshold": 0.5}


def test_a_class_of_a_library_is_not_changed():
    before = dict(vars(nn.Linear))
    layer = spec(nn.Linear)(2, 3)
    assert vars(nn.Linear) == before and type(layer) is nn.Linear and noted(nn.Linear(2, 3)) is None
    assert noted(layer)["arguments"] == {
        "in_features": 2, "out_features": 3, "bias": True, "device": None, "dtype": None
    }  # fmt: skip


def test_functions_are_noted_and_the_outermost_call_counts():
    model = things.build_compound(n_hidden=9)
    assert noted(model) == {"of": "json_spec_things:build_compound", "arguments": {"n_hidden": 9}}
    assert noted(model.layer)["of"] == "json_spec_things:Layer"


def test_arguments_are_noted_as_they_were():
    labels = ["good"]
    made = things.Decoder(labels)
    labels.append("bad")
    assert noted(made)["arguments"]["labels"] == ["good"] and made.labels == ["good", "bad"]


def test_copies_keep_their_note_and_classes_their_signature():
    made = things.Deeper(2)
    for other in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert noted(other) == noted(made)
    assert str(inspect.signature(things.Deeper)) == "(depth)"
    assert list(inspect.signature(things.Layer).parameters) == ["n_in", "n_hidden", "more", "activation", "options"]


def test_a_default_that_stands_for_no_argument_is_not_noted(tmp_path):
    made = things.Compound(things.Settings(0.2), things.Named(1), things.Settings(tags=["a"]))
    assert noted(made.tokenizer)["arguments"] == {"rate": 0.2}
    assert noted(made.layer)["arguments"] == {"of": 1, "cls": 1}
    assert noted(things.Named(1, given := object()))["arguments"] == {"of": 1, "thing": given, "cls": 1}
    assert noted(made.decoder)["arguments"] == {"rate": 0.1, "tags": ["a"]}
    save(made, tmp_path / "a")
    again = rebuild(tmp_path / "a", {"tokenizer.rate": 0.3}, trust=TRUST)
    assert (again.tokenizer.tags, again.tokenizer.rate, again.layer.given) == ([], 0.3, [1, True, 1])


def test_arguments_may_have_any_name():
    made = things.Named(of=1, thing=2, cls=3)
    assert made.given == [1, False, 3] and noted(made)["arguments"] == {"of": 1, "thing": 2, "cls": 3}
    assert spec(things.Named)(of=1, thing=2).given == [1, False, 1]


def test_a_failing_call_fails_as_it_would():
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'n_in'"):
        things.Layer()
    with pytest.raises(TypeError, match="no __dict__"):
        spec(things.Slotted)
    for thing in (3, functools.partial(things.Layer, 2)):
        with pytest.raises(TypeError, match=r"of classes and functions, not of (3|functools)"):
            spec(thing)


# --- how it reads, loads and saves


def test_arguments_read_well_in_the_file(artifact):
    objects = read(artifact)["objects"]
    assert list(objects["model.layer"])[:2] == ["$module", "call"]
    assert objects["model.layer"]["call"] == {
        "n_in": 3, "n_hidden": 5, "*more": {"$tuple": [6]},
        "activation": {"$function": "torch:tanh"}, "**options": {"mode": "fast"},
    }  # fmt: skip
    assert objects["model"]["call"]["layer"] == {"$ref": "model.layer"}
    assert list(objects)[-1] == "model"


def test_loading_calls_no_constructor_and_keeps_the_notes(artifact, monkeypatch):
    def never(*_):
        raise AssertionError("a constructor was called")

    for cls in (things.Layer, things.Tokenizer, things.Compound, things.Decoder):
        monkeypatch.setattr(cls, "__init__", never)
    loaded = load(artifact, trust=TRUST)
    assert noted(loaded.layer)["arguments"]["*more"] == (6,) and noted(loaded)["arguments"]["layer"] is loaded.layer


# --- rebuild


def test_rebuild_makes_the_same_model_with_fresh_weights(artifact):
    torch.manual_seed(0)
    made = rebuild(artifact, trust=TRUST)
    assert type(made) is things.Compound and made.layer.sizes == [3, 5, 6] and made.layer.activation is torch.tanh
    assert made.layer.options == {"mode": "fast"} and made.decoder.threshold == 0.5
    assert noted(made.layer) == noted(load(artifact, trust=TRUST).layer)
    assert not torch.equal(made.layer.layers[0].weight, load(artifact, trust=TRUST).layer.layers[0].weight)


@pytest.mark.parametrize(
    ("path", "value", "look", "expected"),
    [
        ("layer.n_hidden", 512, lambda m: m.layer.sizes, [3, 512, 6]),
        ("layer.more", (8, 9), lambda m: m.layer.sizes, [3, 5, 8, 9]),
        ("layer.more.0", 8, lambda m: m.layer.sizes, [3, 5, 8]),
        ("layer.mode", "slow", lambda m: m.layer.options, {"mode": "slow"}),
        ("decoder.labels", ["ugly"], lambda m: m.decoder.labels, ["ugly"]),
        ("decoder.labels.1", "ugly", lambda m: m.decoder.labels, ["good", "ugly"]),
        ("tokenizer.size", 2, lambda m: m.tokenizer.words, ["a", "b"]),
        ("layer.activation", torch.relu, lambda m: m.layer.activation, torch.relu),
        ("decoder", None, lambda m: m.decoder, None),
    ],
)
def test_overrides(artifact, path, value, look, expected):
    assert look(rebuild(artifact, {path: value}, trust=TRUST)) == expected


LAYERS = {1: things.Layer(1), "1": things.Layer(2), "b": (things.Layer(3), 4)}


@pytest.mark.parametrize(
    ("held", "path", "look", "value"),
    [
        (LAYERS, "layer.1.n_in", lambda held: held["1"].sizes[0], 9),
        ({1: things.Layer(1), None: 2}, "layer.1.n_in", lambda held: held[1].sizes[0], 9),
        (LAYERS, "layer.b.0.n_in", lambda held: held["b"][0].sizes[0], 9),
        (LAYERS, "layer.b.1", lambda held: held["b"][1], 9),
        (defaultdict(list, a=1), "layer.a", lambda held: held["a"], 9),
        (OrderedDict(a=[1]), "layer.a.0", lambda held: held["a"][0], 9),
        (deque([1, 2], 2), "layer.1", lambda held: (held[1], held.maxlen), (9, 2)),
        (things.Pair(1, 2), "layer.1", lambda held: held.right, 9),
        (functools.partial(things.Layer, 2, mode=things.Layer(1)), "layer.mode.n_in",
         lambda held: held.keywords["mode"].sizes[0], 9),
        (functools.partial(things.Layer, 2), "layer.0", lambda held: held.args[0], 9),
    ],
)  # fmt: skip
def test_overrides_of_what_an_argument_holds(held, path, look, value, tmp_path):
    save(things.Compound(1, held, 3), tmp_path / "a")
    given = value[0] if isinstance(value, tuple) else value
    made = rebuild(tmp_path / "a", {path: given}, trust=TRUST)
    assert look(made.layer) == value and (made.tokenizer, made.decoder) == (1, 3)
    same = rebuild(tmp_path / "a", trust=TRUST)
    assert type(same.layer) is type(held) and look(same.layer) == look(held)


def test_the_name_of_an_argument_counts_before_what_further_ones_hold(tmp_path):
    save(things.Layer(1, 2, 3, more=4, options=5), tmp_path / "a")
    assert rebuild(tmp_path / "a", {"more": (6,)}, trust=TRUST).sizes == [1, 2, 6]
    assert rebuild(tmp_path / "a", {"options": {"x": 1}}, trust=TRUST).options == {"x": 1}
    assert rebuild(tmp_path / "a", {"options.options": 6}, trust=TRUST).options == {"more": 4, "options": 6}


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (lambda: spec(things.plain_compound)(5), "plain_compound", [3, 7]),
        (lambda: things.build_compound(5), "build_compound", [3, 7]),
        (lambda: spec(things.Named.twice)(5), "Named.twice", [14, True, 1]),
        (lambda: spec(things.Heir.twice)(5), "Heir.twice", [14, True, 1]),
        (lambda: spec(things.Named.thrice)(5), "Named.thrice", [21, True, 1]),
    ],
)
def test_another_way_to_make_an_object_is_called_again_and_noted_again(make, name, expected, tmp_path):
    made = make()
    for round_ in "ab":
        assert noted(made)["of"] == f"json_spec_things:{name}"
        save(made, tmp_path / round_)
        argument = next(iter(noted(made)["arguments"]))
        again = rebuild(tmp_path / round_, {argument: 7}, trust=TRUST)
        assert type(again) is type(made)
        assert (again.layer.sizes if isinstance(again, things.Compound) else again.given) == expected
        made = again


def test_what_is_noted_again_is_as_it_was_given(tmp_path):
    made = spec(things.ends_list)(["a"])
    assert made.words == ["a", "end"] and noted(made)["arguments"] == {"words": ["a"]}
    save(made, tmp_path / "a")
    again = rebuild(tmp_path / "a", trust=TRUST)
    assert again.words == ["a", "end"] and noted(again) == noted(made)


def test_a_key_that_is_neither_a_text_nor_a_number_is_no_name(tmp_path):
    save(things.Compound(1, {True: 2, None: 3}, 4), tmp_path / "a")
    for name in ("True", "None"):
        with pytest.raises(KeyError, match=rf"layer has no argument '{name}', only \[\]"):
            rebuild(tmp_path / "a", {f"layer.{name}": 1}, trust=TRUST)


def test_a_tensor_or_an_array_is_an_argument_as_any_other(tmp_path):
    save(things.Compound(torch.arange(3), np.ones(2), things.Layer(1, 2, 3)), tmp_path / "a")
    made = rebuild(tmp_path / "a", {"decoder.n_in": 4}, trust=TRUST)
    assert made.tokenizer.tolist() == [0, 1, 2] and made.layer.tolist() == [1, 1] and made.decoder.sizes == [4, 2, 3]


def test_carried_source_makes_the_model_anew(tmp_path, monkeypatch):
    text = "from torch import nn\nfrom backends.json_spec import spec\n\n\n@spec\nclass Net(nn.Linear):\n    pass\n"
    (tmp_path / "carried_calls.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module("carried_calls").Net(2, out_features=3)
    save(made, tmp_path / "a", bundle_source=True)
    monkeypatch.delitem(sys.modules, "carried_calls")
    (tmp_path / "carried_calls.py").write_text("raise SystemExit('imported')")
    again = rebuild(tmp_path / "a", trust="bundled", weights="saved")
    assert torch.equal(again.weight, made.weight) and type(again) is not type(made)
    save(again, tmp_path / "b", bundle_source=True)
    assert rebuild(tmp_path / "b", {"out_features": 5}, trust=["bundled"]).out_features == 5
    with pytest.raises(UntrustedName):
        rebuild(tmp_path / "a")
    with pytest.raises(ValueError, match="carried source is in the artifact's directory"):
        rebuild(tmp_path / "a" / "spec.json", trust="bundled")


def test_an_edited_spec_can_be_rebuilt(artifact):
    content = read(artifact)
    content["objects"]["model.layer"]["call"]["n_hidden"] = 11
    before = json.dumps(content)
    assert rebuild(content, trust=TRUST).layer.sizes == [3, 11, 6]
    assert rebuild(content, {"layer.n_hidden": 12}, trust=TRUST).layer.sizes == [3, 12, 6]
    assert json.dumps(content) == before


def test_saved_weights_go_where_they_fit(artifact):
    saved = load(artifact, trust=TRUST)
    same = rebuild(artifact, trust=TRUST, weights="saved")
    assert all(torch.equal(a, b) for a, b in zip(saved.parameters(), same.parameters(), strict=True))
    with pytest.warns(FreshWeights, match=r"2 tensors are fresh: layer\.layers\.1\.weight \[9, 5\] \(saved \[6, 5\]\)"):
        wider = rebuild(artifact, {"layer.more.0": 9}, trust=TRUST, weights="saved")
    assert torch.equal(wider.layer.layers[0].weight, saved.layer.layers[0].weight)


def test_functions_and_unnoted_objects_are_rebuilt(tmp_path):
    save(things.Holder(made=things.build_compound(), plain=nn.Linear(1, 1), n=3), tmp_path / "a")
    made = rebuild(tmp_path / "a", {"made.n_hidden": 6}, trust=TRUST)
    assert made.made.layer.sizes == [3, 6] and made.n == 3
    assert torch.equal(made.plain.weight, load(tmp_path / "a", trust=TRUST).plain.weight)


def test_an_unnoted_argument_is_complete_when_the_constructor_gets_it(tmp_path):
    given = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    save(things.Compound({1, (2, 3)}, nn.GRU(2, 2), things.Holder(given=given)), tmp_path / "a")
    made = rebuild(tmp_path / "a", trust=TRUST)
    assert made.tokenizer == {1, (2, 3)} and made.layer(torch.ones(1, 2))[0].shape == (1, 2)
    assert made.decoder.given(torch.ones(2)).shape == (2,)


def test_shared_arguments_are_made_once(tmp_path):
    layer = spec(nn.Linear)(2, 2)
    save(things.Compound(layer, layer, None), tmp_path / "a")
    made = rebuild(tmp_path / "a", trust=TRUST)
    assert made.tokenizer is made.layer


def test_wrong_paths_and_overrides_without_effect_are_told(artifact, tmp_path):
    with pytest.raises(KeyError, match=r"layer has no argument 'n_hiden', only .*'n_hidden'"):
        rebuild(artifact, {"layer.n_hiden": 1}, trust=TRUST)
    with pytest.raises(KeyError, match=r"the model has no 'head', only"):
        rebuild(artifact, {"head.n": 1}, trust=TRUST)
    save(things.Closed(3), tmp_path / "closed")
    save(things.Compound(None, things.Holder(a=things.Layer(1)), None), tmp_path / "unnoted")
    with pytest.raises(KeyError, match=r"layer comes back as it was saved, as no call was noted"):
        rebuild(tmp_path / "unnoted", {"layer.b": 1}, trust=TRUST)
    with pytest.raises(KeyError, match=r"layer was overridden as well, by layer"):
        rebuild(artifact, {"layer": None, "layer.n_in": 1}, trust=TRUST)
    with pytest.raises(ValueError, match=r"layer\.n_in has no effect: .* or is overridden as well"):
        rebuild(artifact, {"layer.n_in": 1, "layer": None}, trust=TRUST)
    made = things.Compound(None, None, things.Holder())
    made.decoder.back = made
    save(made, tmp_path / "back")
    with pytest.raises(ArtifactError, match=r"by an argument of its own constructor: decorate the argument's class"):
        rebuild(tmp_path / "back", trust=TRUST)
    with pytest.raises(ValueError, match=r"layer\.n_hidden has no effect: .* made inside another constructor"):
        rebuild(tmp_path / "closed", {"layer.n_hidden": 9}, trust=TRUST)
    save(things.Holder(a=1), tmp_path / "plain")
    with pytest.raises(ValueError, match="no call was noted"):
        rebuild(tmp_path / "plain", trust=TRUST)
    with pytest.raises(ValueError, match="directory"):
        rebuild(read(artifact), trust=TRUST, weights="saved")
    with pytest.raises(ValueError, match="'fresh' or 'saved', not 'old'"):
        rebuild(artifact, trust=TRUST, weights="old")
    with pytest.raises(ArtifactError, match="the source is not a json-spec file of version 1"):
        rebuild({"objects": {}}, trust=TRUST)


def test_what_is_rebuilt_is_not_damaged(tmp_path):
    """Objects without a noted call come back as they were saved."""
    save(things.Holder(made=things.build_compound(), plain=nn.Linear(1, 1)), tmp_path / "a")
    path = tmp_path / "a" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="is damaged"):
        rebuild(tmp_path / "a", trust=TRUST)
    with pytest.raises(ArtifactError, match="give the artifact's directory as the source"):
        rebuild(tmp_path / "a" / "spec.json", trust=TRUST)


def test_what_is_rebuilt_was_not_edited_unless_the_text_is_given_alone(artifact):
    path = artifact / "spec.json"
    path.write_text(path.read_text("utf-8").replace('"good"', '"great"'), "utf-8")
    with pytest.raises(ArtifactError, match=r"spec\.json is damaged or was edited"):
        rebuild(artifact, trust=TRUST)
    assert rebuild(path, trust=TRUST).decoder.labels == ["great", "bad"]


SPEC = {"format": "json-spec", "version": 1, "root": 1, "objects": {}}


@pytest.mark.parametrize(
    "content",
    [[], {}, SPEC | {"format": "x"}, SPEC | {"version": 2}, SPEC | {"objects": []},
     {"format": "json-spec", "version": 1, "objects": {}}, SPEC | {"more": 1}, SPEC | {"version": True},
     {"root": 1, **SPEC}],
)  # fmt: skip
def test_a_file_that_is_no_spec(content, tmp_path):
    (tmp_path / "file.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"the source (is not a json-spec file|does not have exactly)"):
        rebuild(tmp_path / "file.json", trust=TRUST)


def test_nothing_is_made_of_a_content_that_is_not_of_the_format(artifact):
    for more in ({"$tuple": [6], "more": 1}, {"$function": "os:system"}, {"$ref": "gone"}):
        content = read(artifact)
        content["objects"]["model"]["attributes"] = {"unused": more}
        with pytest.raises(ArtifactError):
            rebuild(content, trust=TRUST)
    content = read(artifact)
    content["objects"] = {"number": 1, **content["objects"]}
    assert rebuild(content, trust=TRUST).layer.sizes == [3, 5, 6]


EVIL = {"$object": "json_spec_things:Decoder", "caller": "os:system", "call": {"labels": []}}


@pytest.mark.parametrize(
    "place",
    [lambda objects: objects["model.layer"].update(caller="os:system"),
     lambda objects: objects["model.decoder"].update(caller="os:system"),
     lambda objects: objects["model.layer"]["call"].update({"**options": {"mode": [1, EVIL]}})],
)  # fmt: skip
def test_all_callers_are_looked_at_before_the_first_is_called(artifact, monkeypatch, place):
    made = []
    monkeypatch.setattr(things.Tokenizer, "__init__", lambda self, *_: made.append(self))
    content = read(artifact)
    place(content["objects"])
    with pytest.raises(UntrustedName, match="os:system"):
        rebuild(content, trust=TRUST)
    assert not made


def test_rebuild_calls_only_what_is_trusted(artifact):
    with pytest.raises(UntrustedName):
        rebuild(artifact)
    for caller in ("os:system", "builtins:eval", "torch.hub:load", "json_spec_things:nn.Linear"):
        forge(artifact, lambda s, c=caller: s["objects"]["model.layer"].update(caller=c, call={"command": "true"}))
        with pytest.raises(ArtifactError):
            rebuild(artifact, trust=TRUST)
    assert load(artifact, trust=TRUST).layer.sizes == [3, 5, 6]  # which calls nothing


def test_a_library_class_takes_only_the_arguments_that_files_may_give(tmp_path):
    save(things.Holder(layer=spec(nn.Linear)(2, 3)), tmp_path / "a")
    assert rebuild(tmp_path / "a", {"layer.out_features": 5}, trust=TRUST).layer.out_features == 5
    for more in ({"process_group": 1}, {"**more": {"process_group": 1}}, {"*more": [1]}):
        forge(tmp_path / "a", lambda s, more=more: s["objects"]["model.layer"].update(call=more))
        with pytest.raises(UntrustedName, match=r"process_group|'\*'"):
            rebuild(tmp_path / "a", trust=TRUST)
    for more in ({"**more": [1]}, {"*more": 3}):
        forge(tmp_path / "a", lambda s, more=more: s["objects"]["model.layer"].update(call=more))
        with pytest.raises(ArtifactError, match="of a call are not"):
            rebuild(tmp_path / "a", trust=TRUST)


def test_library_classes_without_a_signature_of_their_own(tmp_path):
    made = spec(nn.Sequential)(spec(nn.GRU)(2, hidden_size=3), spec(nn.Tanh)())
    save(made, tmp_path / "a")
    again = rebuild(tmp_path / "a", {"0.hidden_size": 4})
    assert again[0].hidden_size == 4 and type(again[1]) is nn.Tanh
