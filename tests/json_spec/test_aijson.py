"""AI-JSONable's files: the examples of its README and of the article, and what that package gets wrong.

`aijson/readme.ai.json` was written by ai-jsonable 0.0.1 from its own example.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import json_spec_things as things
import pytest
import torch
from torch import nn

from backends.json_spec import ArtifactError, UntrustedName, rebuild, spec
from backends.json_spec.aijson import to_aijson
from backends.json_spec.calls import noted

FOLDER = Path(__file__).parent / "aijson"
README = FOLDER / "readme.ai.json"
TRUST = ["example", "json_spec_things"]


@pytest.fixture
def themod(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import example.themod

    yield example.themod
    for name in ("example.themod", "example"):
        sys.modules.pop(name)


def test_the_readmes_example_is_written_as_there(themod):
    model = themod.MyPyTorchModel(n_layers=1, n_hidden=512, n_input=64)
    rnn = spec(nn.GRU)(input_size=2, hidden_size=5)
    compose = themod.MyCompose(functions=[model, model, 2, rnn])
    assert json.dumps(to_aijson(compose)) + "\n" == README.read_text()


def test_the_readmes_file_is_rebuilt(themod):
    made = rebuild(README, trust=TRUST)
    assert type(made) is themod.MyCompose
    model, again, two, rnn = made.functions
    assert type(model) is themod.MyPyTorchModel and model is again and two == 2
    assert model.rnn.hidden_size == 512 and type(rnn) is nn.GRU and (rnn.input_size, rnn.hidden_size) == (2, 5)
    assert noted(rnn)["arguments"] == {"input_size": 2, "hidden_size": 5}


def test_parameters_are_edited_and_rebuilt_as_often_as_wanted(themod):
    content = json.loads(README.read_text())
    before = copy.deepcopy(content)
    for n_hidden in (8, 16):
        made = rebuild(content, {"var0.n_hidden": n_hidden, "functions.3.hidden_size": 6}, trust=TRUST)
        assert made.functions[0].rnn.hidden_size == n_hidden and made.functions[3].hidden_size == 6
    content["var0"]["kwargs"]["n_hidden"] = 4
    assert rebuild(content, trust=TRUST).functions[0].rnn.hidden_size == 4
    content["var0"]["kwargs"]["n_hidden"] = 512
    assert content == before
    assert to_aijson(rebuild(content, trust=TRUST)) == content  # and notes go on


def test_the_articles_example(tmp_path):
    sentiment = pytest.importorskip("reference_models.sentiment_gru")
    sentences = [text for text, _ in sentiment.corpus()[0]]
    tokenizer = spec(sentiment.Tokenizer)(sentences, vocab_size=100)
    layer = spec(sentiment.Layer)(tokenizer.n_symbols, n_classes=3)
    model = spec(sentiment.Sentiment)(tokenizer, layer, spec(sentiment.Decoder)(["good", "bad", "ugly"]))
    content = to_aijson(model)
    assert list(content) == ["var0", "var1", "var2", "var3"]
    assert content["var3"] == {
        "module": "reference_models.sentiment_gru", "caller": "Sentiment",
        "kwargs": {"tokenizer": "$var0", "layer": "$var1", "decoder": "$var2"},
    }  # fmt: skip
    assert content["var0"]["kwargs"] | {"sentences": 0} == {"sentences": 0, "vocab_size": 100, "length": 20}
    (tmp_path / "model.ai.json").write_text(json.dumps(content))
    made = rebuild(tmp_path / "model.ai.json", trust=["reference_models"])
    batch = torch.stack([made.preprocess("a good day"), model.preprocess("a good day")])
    assert torch.equal(batch[0], batch[1]) and made.postprocess(made(batch)[0])["decision"] in ["good", "bad", "ugly"]


# --- where that package errs


def test_a_text_with_a_dollar_is_a_text():
    content = to_aijson(things.Decoder(["$5 off", "$", "$var"]))
    assert rebuild(content, trust=TRUST).labels == ["$5 off", "$", "$var"]
    with pytest.raises(Exception, match=r"model\(labels\)\[0\] is the text '\$var0'"):
        to_aijson(things.Decoder(["$var0"]))


def test_true_classes_positionals_and_defaults_are_written(themod):
    assert to_aijson(themod.Undecorated(3))["var0"] == {
        "module": "example.themod", "caller": "Undecorated", "kwargs": {"n": 3}
    }  # fmt: skip
    assert to_aijson(things.Decoder(["a"]))["var0"]["kwargs"] == {"labels": ["a"], "threshold": 0.5}
    assert to_aijson(things.build_compound(5))["var0"]["caller"] == "build_compound"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((1, 2), r"model\(labels\) is a tuple without"), ([{1: "a"}], r"model\(labels\)\[0\] is a dict"),
        ([float("nan")], r"model\(labels\)\[0\] is a float"), ([nn.ReLU()], r"\[0\] is a ReLU without"),
    ],
)  # fmt: skip
def test_what_json_would_change_is_refused(labels, message):
    with pytest.raises(Exception, match=message):
        to_aijson(things.Decoder(labels))


@pytest.mark.parametrize(
    "entry",
    [
        {"module": "os", "caller": "system", "kwargs": {"command": "true"}},
        {"module": "builtins", "caller": "eval", "kwargs": {}},
        {"module": "torch.hub", "caller": "load", "kwargs": {"repo_or_dir": "x", "model": "y"}},
        {"module": "json_spec_things", "caller": "nn.Linear", "kwargs": {"in_features": 1, "out_features": 1}},
        {"module": "torch.nn", "caller": "modules.os.system", "kwargs": {}},
        {"module": "json_spec_things", "caller": "Decoder", "kwargs": {"labels": "$var0"}},
        {"module": "json_spec_things", "caller": "Decoder"},
        {"module": "json_spec_things", "caller": "Decoder", "kwargs": {}, "then": "more"},
        {"module": "json_spec_things", "caller": "Decoder", "kwargs": {"*": []}},
        {"module": "json_spec_things", "caller": 3, "kwargs": {}},
    ],
    ids=lambda entry: json.dumps(entry)[:60],
)
def test_files_call_only_what_is_trusted(entry):
    with pytest.raises(ArtifactError):
        rebuild({"var0": entry}, trust=["json_spec_things"])


def test_every_variable_is_checked_before_anything_is_imported(tmp_path, monkeypatch):
    (tmp_path / "payload_of_var0.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    content = {
        "var0": {"module": "payload_of_var0", "caller": "x", "kwargs": {}},
        "var1": {"module": "json_spec_things", "caller": "Decoder", "kwargs": {"labels": []}},
    }
    with pytest.raises(UntrustedName, match="payload_of_var0"):
        rebuild(content, trust=["json_spec_things"])
    assert "payload_of_var0" not in sys.modules
