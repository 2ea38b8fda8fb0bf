"""What a notebook's code looks up and no text gives again: values in a file of their own, or refused."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from pathlib import Path

import pytest
from torch import nn

from backends.base import UnsupportedModel
from backends.json_spec import ArtifactError, load, save
from tests.json_spec.kernels import NET, SAVE

VALUES = """\
import re
from dataclasses import dataclass
from collections import namedtuple
Point = namedtuple("Point", "x y")
ORIGIN = Point(0, 1)
WORD = re.compile(r"[a-z]+")
ROWS = torch.arange(3.0)
@dataclass
class Word:
    text: str
    at: Point = Point(1, 2)
class Table:
    def __init__(self, words):
        self.words = [Word(word) for word in words]
table = Table(["a", "b"])
table.words.append(table)
FAR = float("inf")
TABLES = {"one": table}
"""


def test_values_without_a_text_are_carried_in_a_file_of_their_own(kernel):
    net = NET.format("x + ROWS, [w.text for w in table.words[:2]], FAR, TABLES['one'] is table, WORD.findall('ab')")
    kernel(VALUES, net, SAVE.replace("torch.ones(1, 2)", "torch.ones(1, 3)"))
    found = json.loads(Path("artifact/globals.json").read_text("utf-8"))
    assert (found["format"], found["version"]) == ("json-spec-globals", 1)
    assert list(found["root"]) == ["FAR", "ROWS", "TABLES", "table"] and "WORD = re.compile" in kernel.source
    assert "  globals.json\n" in Path("artifact/SHA256SUMS").read_text("utf-8")
    rows, *rest = kernel.loaded()(0)
    assert rows.tolist() == [0, 1, 2] and rest == [["a", "b"], float("inf"), True, ["ab"]]


MORE = """\
try:
    import nowhere_to_be_found as missing
except ImportError:
    missing = None
if True:
    def banner():
        return '''a
  b'''
head = nn.Linear(1, 1)
import logging
log = logging.getLogger(__name__)
import attrs
@attrs.define
class Size:
    rows: int = 2
size = Size(3)
"""


def test_what_other_cells_have(kernel):
    net = NET.format("missing, banner(), head.weight, size.rows, log.debug('ran')")
    kernel(MORE, net, SAVE.replace("torch.ones(1, 2)", "1"))
    missing, banner, weight, *rest = kernel.loaded()(1)
    assert missing is None and rest == [3, None] and banner == "a\n  b" and weight.equal(kernel.main.head.weight)


def test_a_value_that_a_decorator_needs_is_refused(kernel):
    kernel("ALL = {}\ndef noted(f):\n    ALL[f.__name__] = f\n    return f", "@noted\ndef same(x):\n    return x")
    with pytest.raises(UnsupportedModel, match="'ALL' is not defined, a value that is needed while"):
        kernel(NET.format("ALL['same'](x)"), SAVE)


def test_what_stands_in_two_places_stays_one(kernel):
    kernel("A = [1]\nPAIR = [A, A]\nRING = []\nRING.append(RING)", NET.format("PAIR, RING"))
    kernel(SAVE.replace("torch.ones(1, 2)", "0"))
    pair, ring = kernel.loaded()(0)
    assert pair[0] is pair[1] and ring[0] is ring


def test_examples_may_be_of_classes_that_the_model_does_not_need(kernel):
    kernel(VALUES, NET.format("x"), "Net.preprocess = lambda self, x: x.text")  # refused: not in its cell
    with pytest.raises(UnsupportedModel, match=r"notebook_cells:Net.preprocess is"):
        kernel("save(Net(), 'artifact', examples=[Word('a')], bundle_source=True)")
    net = NET.format("x") + "\n    def preprocess(self, x):\n        return x.text"
    kernel(net, "save(Net(), 'artifact', examples=[Word('a')], bundle_source=True)")
    assert "class Word:" in kernel.source and kernel.loaded()


def with_values(kernel, rows="torch.arange(2.0)"):
    kernel(f"ROWS = {rows}", NET.format("x + ROWS"), SAVE)
    return Path("artifact")


def test_values_are_given_once_and_belong_to_the_module(kernel):
    artifact = with_values(kernel, "torch.arange(2.0) + 1")
    one, other = (load(artifact, trust="bundled") for _ in range(2))
    assert type(one) is type(other)
    vars(sys.modules[type(one).__module__])["ROWS"] += 1
    assert load(artifact, trust="bundled")(0).tolist() == [2.0, 3.0]


def test_another_artifact_with_the_same_text_and_other_values_has_its_own(kernel):
    with_values(kernel).rename("first")
    with_values(kernel, "torch.arange(2.0) + 5")
    models = [load(name, trust="bundled") for name in ("first", "artifact")]
    assert [model(0).tolist() for model in models] == [[0.0, 1.0], [5.0, 6.0]]


def test_what_was_loaded_saves_again_with_its_values(kernel):
    with_values(kernel)
    save(kernel.loaded(), "again", examples=[0], bundle_source=True)
    for name in ("spec.json", "globals.json", "globals.safetensors", "source/notebook_cells.py"):
        assert Path("again", name).read_bytes() == Path("artifact", name).read_bytes(), name
    assert load("again", trust="bundled", check=True)(0).tolist() == [0.0, 1.0]


def test_what_has_an_object_of_a_library_saves_again(kernel):
    kernel("import sklearn.preprocessing\nscaler = sklearn.preprocessing.StandardScaler().fit([[1.0], [2.0]])")
    kernel(NET.format("scaler.mean_[0] + x"), "save(Net(), 'artifact', bundle_source=True)")
    with pytest.raises(ArtifactError, match="StandardScaler, which is not trusted"):
        load("artifact", trust="bundled")
    model = load("artifact", trust=["bundled", "sklearn"])
    save(model, "again", bundle_source=True)
    assert load("again", trust=["bundled", "sklearn"])(1) == 2.5


@pytest.mark.parametrize("damaged", ["globals.json", "globals.safetensors"])
def test_damaged_values_are_noticed(kernel, damaged):
    file = with_values(kernel) / damaged
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArtifactError, match=damaged):
        load("artifact", trust="bundled")


def test_damaged_values_are_not_kept(kernel):
    file = with_values(kernel, "torch.arange(2.0) + 9") / "globals.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=r"globals.safetensors is damaged"):
        load("artifact", trust="bundled")
    file.write_bytes(whole)
    assert load("artifact", trust="bundled")(0).tolist() == [9.0, 10.0]


def test_a_module_of_that_name_is_a_module(tmp_path, monkeypatch):
    (tmp_path / "notebook_cells.py").write_text("from torch import nn\nclass Net(nn.Module):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("notebook_cells")
    try:
        save(module.Net(), tmp_path / "a")
        save(module.Net(), tmp_path / "b", bundle_source=True)
        assert type(load(tmp_path / "a", trust=["notebook_cells"])) is module.Net
        assert load(tmp_path / "b", trust="bundled")
    finally:
        del sys.modules["notebook_cells"]


def test_a_part_of_what_another_notebook_saved_is_refused(kernel):
    kernel("class Old(nn.Module):\n    def forward(self, x):\n        return x", SAVE.replace("Net", "Old"), "del Old")
    kernel(NET.format("self.old(x)"), "net = Net()\nnet.old = load('artifact', trust='bundled')")
    with pytest.raises(UnsupportedModel, match="the module notebook_cells cannot be imported anew"):
        kernel("save(net, 'b', bundle_source=True)")


def vouch(folder, *names):
    """Write SHA256SUMS for the files that it lists, and for these."""
    lines = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
    listed = {line[66:] for line in lines} | set(names)
    text = "".join(f"{hashlib.sha256((folder / one).read_bytes()).hexdigest()}  {one}\n" for one in sorted(listed))
    (folder / "SHA256SUMS").write_text(text, "utf-8")


FORGED = [
    ({"root": [1]}, "not a table of names"),
    ({"root": {"a b": 1}}, "not a table of names"),
    ({"root": {"Net": 1}}, "gives 'Net' another value"),
    ({"root": {"__name__": "x"}}, "gives '__name__' another value"),
    ({"root": {"run": {"$function": "os:system"}}}, "os:system, which is not trusted"),
    ({"version": 2}, "not a json-spec-globals file of version 1"),
]


@pytest.mark.parametrize(("change", "message"), FORGED)
def test_forged_values_are_refused(kernel, change, message):
    file = with_values(kernel) / "globals.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "objects": {}, "root": {}, **change}), "utf-8")
    vouch(file.parent)
    with pytest.raises(ArtifactError, match=message):
        load("artifact", trust="bundled", verify=False)


def test_values_without_cells_are_refused(kernel):
    save(nn.Linear(2, 2), "plain")
    Path("plain/globals.json").write_bytes((with_values(kernel) / "globals.json").read_bytes())
    with pytest.raises(ArtifactError, match=r"globals.json is there, and SHA256SUMS does not list it"):
        load("plain")
    vouch(Path("plain"), "globals.json")
    with pytest.raises(ArtifactError, match="of whose cells the artifact carries nothing"):
        load("plain", trust="bundled")


REFUSED = [
    (
        "gen = (n for n in ())",
        "x if True else gen",
        r"\['gen'\] is .* leave it out.*unchecked=\['notebook_cells:gen'\]",
    ),
    ("BIG = torch.zeros((1 << 24) + 1) + 1", "x if x is not None else BIG", "BIG is more than the 64 MiB of tensors"),
]


@pytest.mark.parametrize(("cell", "body", "message"), REFUSED)
def test_a_value_that_cannot_be_carried_is_refused_or_left_out(kernel, cell, body, message):
    kernel(cell, NET.format(body.replace("if True", "if x is not None")))
    with pytest.raises(UnsupportedModel, match=message):
        kernel(SAVE)
    kernel(f"{SAVE[:-1]}, unchecked=['notebook_cells:{cell.partition(' ')[0]}'])")
    assert kernel.loaded()(1) == 1 and not Path("artifact/globals.json").exists()


def test_a_value_that_is_needed_while_a_class_is_defined_is_refused(kernel):
    with pytest.raises(UnsupportedModel, match="Net needs ROWS, a Tensor, while it is defined"):
        kernel("ROWS = torch.ones(2)\nclass Net(nn.Module):\n    rows = ROWS * 2", SAVE)


def test_two_saves_are_the_same_bytes(kernel):
    kernel(VALUES, "STOP = {'the', 'a', 'of'}", NET.format("ROWS, table, TABLES, STOP"), SAVE)
    first = {path: path.read_bytes() for path in Path("artifact").rglob("*") if path.is_file()}
    kernel(SAVE)
    assert first == {path: path.read_bytes() for path in Path("artifact").rglob("*") if path.is_file()}
