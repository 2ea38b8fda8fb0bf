"""A key that stands twice in one object is found wherever it is, though `load` finds it by counting keys alone."""

from __future__ import annotations

import json

import json_spec_things as things
import pytest
import torch

from backends.json_spec import ArtifactError, load, save
from backends.json_spec.audit import audit
from backends.json_spec.text import parse_uncounted

TRUST = ["json_spec_things"]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    model[0].register_forward_hook(things.double)
    held = things.Holder(model=model, table={"a": {"b": [{"c": (1, {"d": 2})}]}}, sparse=torch.eye(2).to_sparse())
    directory = tmp_path_factory.mktemp("counting") / "artifact"
    save(held, directory)
    return directory


def doubled(value, colon):
    """The JSON texts of `value` in which one object has its last key twice, with the same value."""

    def text(node, left):
        if isinstance(node, dict) and node:
            left[0] -= 1
            mine = left[0] == 0
            parts = [f"{json.dumps(key)}: {text(item, left)}" for key, item in node.items()]
            if mine:
                parts.append(f"{json.dumps(key := list(node)[-1])}{colon}{json.dumps(node[key])}")
            return "{" + ", ".join(parts) + "}"
        if isinstance(node, list):
            return "[" + ", ".join(text(item, left) for item in node) + "]"
        return json.dumps(node)

    number = 1
    while (left := [number]) and (made := text(value, left)) and left[0] <= 0:
        yield made
        number += 1


@pytest.mark.parametrize("colon", [": ", " : ", "\n:"])
def test_equal_keys_are_refused_in_every_object_of_a_graph(artifact, tmp_path, colon):
    graph = json.loads((artifact / "spec.json").read_text("utf-8"))
    (tmp_path / "weights.safetensors").write_bytes((artifact / "weights.safetensors").read_bytes())
    for count, text in enumerate(doubled(graph, colon)):  # noqa: B007
        (tmp_path / "spec.json").write_text(text, "utf-8")
        with pytest.raises(ArtifactError, match="twice in one object"):
            load(tmp_path, trust=TRUST, verify=False)
    assert count > 40


@pytest.mark.parametrize("text", [": ", ' "x":', '\\":', " :", "\\", '"'])
def test_texts_that_look_like_keys_are_no_keys(tmp_path, text):
    save(things.Holder(text=text, table={text: [text]}), tmp_path / "a")
    assert load(tmp_path / "a", trust=TRUST).table == {text: [text]}
    graph = json.loads((tmp_path / "a" / "spec.json").read_text("utf-8"))
    for twice in doubled(graph, ":"):
        (tmp_path / "a" / "spec.json").write_text(twice, "utf-8")
        with pytest.raises(ArtifactError, match="twice in one object"):
            load(tmp_path / "a", trust=TRUST, verify=False)
    (tmp_path / "a" / "spec.json").write_text(json.dumps(graph, separators=(", ", " : ")), "utf-8")
    assert load(tmp_path / "a", trust=TRUST, verify=False).table == {text: [text]}


def test_equal_keys_are_refused_in_every_object_of_a_header(artifact, tmp_path):
    data = (artifact / "weights.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    (tmp_path / "spec.json").write_bytes((artifact / "spec.json").read_bytes())
    for count, text in enumerate(doubled(json.loads(data[8:start]), ":")):  # noqa: B007
        header = text.encode() + b" " * (-(8 + len(text)) % 64)
        (tmp_path / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data[start:])
        with pytest.raises(ArtifactError, match="twice in one object"):
            load(tmp_path, trust=TRUST, verify=False)
    assert count > 5


def test_the_short_way_is_taken(artifact):
    """What `save` writes is counted once: the audit sees as many keys as the text has."""
    graph, keys = parse_uncounted((artifact / "spec.json").read_bytes(), "it")
    assert audit(graph["root"], graph["objects"], TRUST) + len(graph) == keys
