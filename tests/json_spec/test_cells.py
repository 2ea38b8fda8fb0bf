"""A notebook's model, saved with the text of its cells: the module that is made of them, and what is refused."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import linecache
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from torch import nn

from backends.base import UnsupportedModel
from backends.json_spec import ArtifactError, load, save

ROOT = Path(__file__).parents[2]
IMPORTS = "import torch\nfrom torch import nn\nfrom backends.json_spec import load, save"
NET = "class Net(nn.Module):\n    def forward(self, x):\n        return {}"
SAVE = "save(Net(), 'artifact', examples=[torch.ones(1, 2)], bundle_source=True)"


class Kernel:
    """A `__main__` without a file, whose cells run as IPython runs them: statement by statement, the lines where
    tracebacks look for them, under a name that is the cell's."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.main = types.ModuleType("__main__")
        self.other = sys.modules["__main__"]
        self.patch = monkeypatch
        self(IMPORTS)

    def __call__(self, *cells):
        with self.patch.context() as here:
            here.setitem(sys.modules, "__main__", self.main)
            for cell in cells:
                name = f"/tmp/ipykernel_1/{hashlib.sha256(cell.encode()).hexdigest()[:9]}.py"
                linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
                for statement in ast.parse(cell).body:
                    exec(compile(ast.Module([statement], []), name, "exec", dont_inherit=True), vars(self.main))

    def loaded(self):
        """The model, where the notebook is not."""
        return load(self.folder / "artifact", trust="bundled", check=True)

    @property
    def source(self):
        return (self.folder / "artifact" / "source" / "notebook_cells.py").read_text("utf-8")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    cells = [name for name in linecache.cache if name.startswith("/tmp/ipykernel_1/")]
    for name in cells:
        del linecache.cache[name]
    return Kernel(tmp_path, monkeypatch)


def test_it_loads_where_there_is_no_notebook(kernel):
    kernel("SCALE = [2.0, 3.0]", NET.format("x * torch.tensor(SCALE)"), SAVE)
    program = (
        "from backends.json_spec import load; import torch, sys\n"
        "model = load('artifact', trust='bundled', check=True)\n"
        "print(model(torch.ones(1, 2)).tolist(), sorted(set(sys.modules) & {'notebook_cells'}))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    told = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert told == "[[2.0, 3.0]] []\n"
    assert kernel.source == (
        '"""What a model needs of the cells of a notebook, taken from them when it was saved."""\n\n'
        "from torch import nn\nimport torch\n\nSCALE = [2.0, 3.0]\n\n\n"
        "class Net(nn.Module):\n    def forward(self, x):\n        return x * torch.tensor(SCALE)\n"
    )


def test_its_code_is_compiled_as_it_was_in_the_notebook(kernel):
    kernel(NET.format("torch.tensor(x)"), SAVE.replace("torch.ones(1, 2)", "1"))
    codes = [cls.forward.__code__ for cls in (kernel.main.Net, type(kernel.loaded()))]
    assert codes[0].co_code == codes[1].co_code


def test_the_readmes_lines_run_in_a_notebook(kernel, capsys):
    text = (ROOT / "README.md").read_text("utf-8").partition("## Saving with JSON-spec")[2]
    lines = text.partition("```python\n")[2].partition("```")[0]
    kernel(NET.format("x * 2"), "model, x = Net(), torch.ones(2)", lines)
    assert kernel.main.model(3) == 6 and type(kernel.main.model) is not kernel.main.Net
    assert "model: notebook_cells:Net" in capsys.readouterr().out


def test_without_the_text_it_is_refused_with_the_way_out(kernel):
    with pytest.raises(UnsupportedModel, match=r"model is the class Net of __main__: it was typed.*bundle_source=True"):
        kernel(NET.format("x"), "save(Net(), 'artifact')")


def test_nothing_that_the_model_does_not_reach_is_carried_or_run(kernel, capsys):
    beside = "print('ran')\nDATA = [1, 2]\ndef train():\n    return DATA\nclass Other:\n    pass\nimport decimal"
    kernel(beside, NET.format("x"), SAVE)
    kernel.loaded()
    assert capsys.readouterr().out == "ran\n"
    assert not {"DATA", "train", "Other", "decimal", "ran"} & set(re.findall(r"\w+", kernel.source))


def test_a_constant_is_carried_as_it_is_now(kernel):
    labels = "LABELS = ['cat']\nLIMIT = 1"
    kernel(labels, NET.format("x, LABELS, LIMIT"), "LABELS.append('dog')\nLIMIT = 2", SAVE)
    assert kernel.loaded()(1) == (1, ["cat", "dog"], 2)


def test_a_name_of_an_attribute_is_no_name_of_the_notebook(kernel):
    kernel("model = lambda: 0\nweight = nn.Linear", NET.format("x.model, self.__dict__.get('weight')"))
    kernel("save(Net(), 'artifact', bundle_source=True)")
    assert "weight =" not in kernel.source and "lambda" not in kernel.source


def test_names_that_are_found_by_a_text_are_carried(kernel):
    body = "globals()['SCALE'] * x, sys.modules[__name__].SHIFT"
    kernel("import sys\nSCALE, SHIFT, OTHER = 2, 3, 4", NET.format(body), SAVE.replace("torch.ones(1, 2)", "1"))
    assert kernel.loaded()(2) == (4, 3) and "OTHER" not in kernel.source


def test_a_global_that_a_function_sets_is_carried_as_it_is(kernel):
    kernel("COUNT = 0\nclass Net(nn.Module):\n    def forward(self, x):\n        global COUNT\n        COUNT = x")
    kernel("model = Net()\nmodel(3)", "save(model, 'artifact', bundle_source=True)")
    assert "COUNT = 3" in kernel.source


def test_a_variable_of_the_environment_that_a_cell_set_is_refused(kernel, monkeypatch):
    kernel("import os", NET.format("x * float(os.environ.get('CELLS_SCALE', '1'))"))
    monkeypatch.setenv("CELLS_SCALE", "2")
    with pytest.raises(UnsupportedModel, match=r"forward.<environment>\['CELLS_SCALE'\] is '2'.* gives nothing"):
        kernel(SAVE)


def test_what_a_definition_needs_at_once_comes_before_it(kernel):
    net = "class Net(Base, size=SIZE):\n    @noted\n    def forward(self, x):\n        return later(x)"
    base = "class Base(nn.Module):\n    def __init_subclass__(cls, size):\n        cls.size = grown(size)"
    parts = (
        "def grown(size):\n    return size + 1\ndef noted(f):\n    return f\nSIZE = 3\n"
        "def later(x):\n    return x, Net.size"
    )
    kernel(parts, base, net, f"{parts}  # edited, and run after what needs it", SAVE)
    assert kernel.loaded()(1) == (1, 4)
    assert kernel.source.index("def grown") < kernel.source.index("class Net")


IMPORTED = """\
import torch.nn.functional as F, collections.abc
import xml.dom, xml.sax
from math import *
from os import path as where
try:
    import json
except ImportError:
    json = None
def used():
    return F.relu.__name__, collections.abc.__name__, xml.dom.Node.ELEMENT_NODE, xml.sax.__name__
def more():
    return sqrt(4.0), where.sep, json.dumps(1), dumps(2), alias
from json import dumps
alias = torch.float32
"""


def test_imports_are_carried_as_far_as_they_are_needed(kernel):
    kernel(IMPORTED, NET.format("used(), more()"), SAVE)
    wanted = """
        from json import dumps;from math import sqrt;from os import path as where;from torch import nn;
        import collections.abc;import json;import torch;import torch.nn.functional as F;import xml.dom;import xml.sax"""
    found = [line for line in kernel.source.splitlines() if line.startswith(("import ", "from "))]
    assert found == [line.strip() for line in wanted.split(";")]
    assert kernel.loaded()(1)[1] == (2.0, "/", "1", "2", kernel.main.torch.float32)


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


AFTER = [
    ("Net.scale = 3", r"notebook_cells:Net.scale is 3, but the text of its cell gives nothing"),
    ("Net.forward = lambda self, x: x", r"notebook_cells:Net.forward is <lambda> \w+, but the text of its cell gives"),
    ("helper.__defaults__ = (5,)", r"notebook_cells:helper.__defaults__\[0\] is 5, but the text of its cell gives 1"),
    ("TABLE['x'] = [1]\nSAME = TABLE['x']", r"notebook_cells:TABLE\[.x.\] is the same as notebook_cells:SAME"),
    ("class Net(nn.Module):\n    pass", "its cell has run again, so make anew what is of it"),
    ("Net.__module__ = 'elsewhere'", "which cannot be found under that name"),
]


@pytest.mark.parametrize(("after", "message"), AFTER)
def test_what_is_no_longer_as_its_cell_says_is_refused(kernel, after, message):
    kernel("TABLE, SAME = {}, []\ndef helper(x, n=1):\n    return x, TABLE, SAME", NET.format("helper(x)"))
    with pytest.raises(UnsupportedModel, match=message):
        kernel("net = Net()", after, SAVE.replace("Net()", "net"))
    assert not Path("artifact").exists()


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


def test_a_class_whose_text_is_nowhere_is_refused(kernel):
    with pytest.raises(UnsupportedModel, match="the model needs Net of __main__, which no cell defines in sight"):
        kernel("exec('class Net(nn.Module): pass')", SAVE)


def test_the_cell_that_ran_last_counts_and_not_the_one_that_was_new_last(kernel):
    first, second = NET.format("x + 1"), NET.format("x + 2")
    kernel(first, second, first, SAVE)
    assert kernel.loaded()(1) == 2


def test_modules_of_the_project_travel_too_and_what_was_changed_in_them_is_refused(kernel, monkeypatch):
    Path("cells_helpers.py").write_text("SCALE = 2\ndef scaled(x):\n    return x * SCALE\n")
    kernel("from cells_helpers import scaled\nimport cells_helpers", NET.format("scaled(x)"), SAVE)
    assert Path("artifact/source/cells_helpers.py").exists()
    with pytest.raises(UnsupportedModel, match="cells_helpers:SCALE is 3"):
        kernel("cells_helpers.SCALE = 3", SAVE)
    Path("cells_helpers.py").unlink()
    monkeypatch.delitem(sys.modules, "cells_helpers")
    assert kernel.loaded()(3) == 6


def test_annotations_that_were_texts_are_texts_again(kernel):
    cell = "class Net(nn.Module):\n    at: Nowhere = 1\n    def forward(self, x):\n        return x"
    name = "/tmp/ipykernel_1/future.py"
    linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
    exec(compile(cell, name, "exec"), vars(kernel.main))  # this file's own `from __future__ import annotations` holds
    kernel(SAVE)
    assert kernel.source.split("\n\n")[1] == "from __future__ import annotations"
    assert type(kernel.loaded()).__annotations__ == {"at": "Nowhere"}


def test_two_saves_are_the_same_bytes(kernel):
    kernel(VALUES, "STOP = {'the', 'a', 'of'}", NET.format("ROWS, table, TABLES, STOP"), SAVE)
    first = {path: path.read_bytes() for path in Path("artifact").rglob("*") if path.is_file()}
    kernel(SAVE)
    assert first == {path: path.read_bytes() for path in Path("artifact").rglob("*") if path.is_file()}
