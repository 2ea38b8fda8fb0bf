"""A notebook's model, saved with the text of its cells: the module that is made of them, and what is refused."""

from __future__ import annotations

import linecache
import re
import sys
from pathlib import Path

import pytest

from backends.base import UnsupportedModel
from tests import programs
from tests.json_spec.kernels import NET, SAVE

ROOT = Path(__file__).parents[2]


def test_it_loads_where_there_is_no_notebook(kernel):
    kernel("SCALE = [2.0, 3.0]", NET.format("x * torch.tensor(SCALE)"), SAVE)
    program = (
        "from backends.json_spec import load; import torch, sys\n"
        "model = load('artifact', trust='bundled', check=True)\n"
        "print(model(torch.ones(1, 2)).tolist(), sorted(set(sys.modules) & {'notebook_cells'}))"
    )
    told = programs.run(program, folder=Path.cwd())
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


def test_what_the_model_holds_and_a_cell_writes_into_is_refused(kernel):
    kernel("KNOWN = []\nMEANS = []", NET.format("KNOWN.append(x) or (len(KNOWN), MEANS)"))
    kernel("net = Net()\nnet.means = MEANS", SAVE.replace("Net()", "net"))  # which nothing writes
    kernel("net.known = KNOWN")
    message = r"^model\.known is notebook_cells:KNOWN too, and forward writes into KNOWN: a load makes two of it"
    with pytest.raises(UnsupportedModel, match=message):
        kernel(SAVE.replace("Net()", "net"))
    kernel("net.known = []", SAVE.replace("Net()", "net"))
    assert kernel.loaded().known == []


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


def test_a_module_of_the_project_that_asks_for_its_name_is_as_it_was(kernel, monkeypatch):
    Path("named.py").write_text("def own():\n    return __name__.rpartition('.')[2]\n")
    monkeypatch.syspath_prepend(".")
    kernel("import named", NET.format("x, named.own()"), SAVE)
    assert kernel.loaded()(1)[1] == "named"


def test_annotations_that_were_texts_are_texts_again(kernel):
    cell = "class Net(nn.Module):\n    at: Nowhere = 1\n    def forward(self, x):\n        return x"
    name = "ipykernel_1/future.py"
    linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
    exec(compile(cell, name, "exec"), vars(kernel.main))  # this file's own `from __future__ import annotations` holds
    kernel(SAVE)
    assert kernel.source.split("\n\n")[1] == "from __future__ import annotations"
    assert type(kernel.loaded()).__annotations__ == {"at": "Nowhere"}
