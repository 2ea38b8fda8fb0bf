"""What a model reaches in its project through no name of its own: an edit there is told too, others are not."""

from __future__ import annotations

import importlib
import os
import sys
import warnings

import pytest
import torch

from backends.base import UnsupportedModel
from backends.json_spec import SourceDrift, load, save

NET = """
import torch
from torch import nn
{top}

class Net(nn.Module):
    def forward(self, x):
        return {gives}


def unrelated():
    return 1
"""
UNSEEN = {
    "what a package does when it is imported": (
        {"__init__": "from . import model\n\nmodel.SCALE = 3\n",
         "model": NET.format(top="SCALE = 2", gives="x * SCALE")},
        "__init__", "= 3", "= 4", "pkg: what it does at import"),
    "a patch of a module that is imported for it": (
        {"__init__": "", "model": NET.format(top="from . import ops, patches", gives="ops.double(x)"),
         "ops": "def double(x):\n    return x\n", "patches": "from . import ops\n\nops.double = lambda x: 2 * x\n"},
        "patches", "2 * x", "3 * x", "pkg.patches: what it does at import"),
    "a function in a register": (
        {"__init__": "", "model": NET.format(top="from . import ops, registry", gives="registry.OPS['double'](x)"),
         "registry": "OPS = {}\n\n\ndef register(one):\n    OPS[one.__name__] = one\n    return one\n",
         "ops": "from . import registry\n\n\n@registry.register\ndef double(x):\n    return 2 * x\n"},
        "ops", "2 * x", "3 * x", "pkg.ops: double"),
    "a class that its base notes": (
        {"__init__": "", "model": NET.format(
            top="KINDS = []\n\n\nclass Kind:\n    def __init_subclass__(cls):\n        KINDS.append(cls)\n\n\n"
            "class Double(Kind):\n    by = 2\n", gives="x * KINDS[0].by")},
        "model", "by = 2", "by = 3", "pkg.model: Double"),
    "a loop that fills a table": (
        {"__init__": "", "model": NET.format(
            top="TABLE = {}\nfor number in range(3):\n    TABLE[number] = 2 * number", gives="TABLE[x]")},
        "model", "2 * number", "3 * number", "pkg.model: what it does at import"),
    "a block that calls": (
        {"__init__": "", "model": NET.format(
            top="TABLE = []\ntry:\n    import json\n\n    TABLE.extend([0, 2, 4])\nexcept ImportError:\n    pass",
            gives="TABLE[x]")},
        "model", "[0, 2, 4]", "[0, 3, 6]", "pkg.model: what it does at import"),
    "a module that is imported by a text": (
        {"__init__": "", "model": NET.format(top="", gives="__import__('pkg.ops').ops.double(x)"),
         "ops": "def double(x):\n    return 2 * x\n"},
        "ops", "2 * x", "3 * x", "pkg.ops: double"),
    "what is so unless it is the script": (
        {"__init__": "", "model": NET.format(
            top="if __name__ == '__main__':\n    SCALE = 0\nelse:\n    SCALE = 2", gives="x * SCALE")},
        "model", "SCALE = 2", "SCALE = 3", "pkg.model: SCALE"),
    "what is so where it is not the script": (
        {"__init__": "", "model": NET.format(
            top="SCALE = 0\nif __name__ != '__main__':\n    SCALE = 2", gives="x * SCALE")},
        "model", "SCALE = 2", "SCALE = 3", "pkg.model: SCALE"),
}  # fmt: skip


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`package(files)` -> the folder of the package `pkg`, importable. Forgotten in the end."""
    folder = tmp_path / "pkg"
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(files):
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        return folder

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "pkg"]:
        del sys.modules[name]


@pytest.mark.parametrize("what", UNSEEN)
def test_what_is_reached_through_no_name_is_drift_too(what, package, tmp_path):
    files, file, old, new, message = UNSEEN[what]
    folder = package(files)
    save(importlib.import_module("pkg.model").Net(), tmp_path / "a")
    path = folder / f"{file}.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SourceDrift, match=message):
        load(tmp_path / "a", trust=["pkg"])
    path.write_text(path.read_text().replace(new, old).replace("return 1", "return 5"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path / "a", trust=["pkg"])


def test_names_that_a_package_gives_away_are_no_drift(package, tmp_path):
    files = {"__init__": "from .model import *\nfrom .train import main\n", "train": "def main():\n    return 1\n"}
    folder = package(files | {"model": NET.format(top="", gives="x")})
    save(importlib.import_module("pkg.model").Net(), tmp_path / "a")
    for name in ("train", "model"):
        (folder / f"{name}.py").write_text((folder / f"{name}.py").read_text().replace("return 1", "return 2"))
    load(tmp_path / "a", trust=["pkg"])


def test_what_an_import_reads_is_as_at_the_start(package, tmp_path, monkeypatch):
    """A variable, the default dtype: another process has them as this one had them when it began."""
    top = "import os\n\nSCALE = os.environ.get('SCALE_OF_PKG', '1')\nONE = torch.tensor([1.0])"
    package({"__init__": "", "model": NET.format(top=top, gives="x * int(SCALE) * ONE")})
    monkeypatch.setenv("SCALE_OF_PKG", "3")
    model = importlib.import_module("pkg.model")
    with pytest.raises(UnsupportedModel, match=r"pkg\.model:SCALE was changed .* it is '3', an import gives '1'"):
        save(model.Net(), tmp_path / "a")
    model.SCALE = "1"
    save(model.Net(), tmp_path / "a")
    torch.set_default_dtype(torch.float64)
    try:
        model.ONE = torch.tensor([1.0])
        with pytest.raises(UnsupportedModel, match=r"pkg\.model:ONE was changed .* it is tensor torch\.float64"):
            save(model.Net(), tmp_path / "a")
        assert torch.get_default_dtype() == torch.float64 and os.environ["SCALE_OF_PKG"] == "3"
    finally:
        torch.set_default_dtype(torch.float32)


NAMED = {
    "in another module": ("from . import policy", "policy.NAME", ""),
    "in another module that the function imports": ("", "__import__('pkg.policy').policy.NAME", ""),
    "in a module that a statement in the function imports": ("", "NAME", "from pkg.policy import NAME"),
    "as an attribute of the class": ("", "self.NAME", ""),
    "as an attribute of the model": ("", "self.name", ""),
    "as a default": ("def text(name='NAME_OF_PKG'):\n    return name", "text()", ""),
    "in a dict": ("NAMES = {'a': 'NAME_OF_PKG'}", "NAMES['a']", ""),
    "as a key": ("NAMES = {'NAME_OF_PKG': 1}", "next(iter(NAMES))", ""),
}
READS = """
import os

from torch import nn
{top}

class Net(nn.Module):
    {attribute}

    def forward(self, x):
        {imports}
        return x * int(os.environ.get({name}, "1"))
"""


@pytest.mark.parametrize("where", NAMED)
def test_the_name_of_a_variable_may_stand_elsewhere(where, package, tmp_path, monkeypatch):
    top, name, statement = NAMED[where]
    attribute = "NAME = 'NAME_OF_PKG'" if name == "self.NAME" else "pass"
    text = READS.format(top=top, name=name, imports=statement or "pass", attribute=attribute)
    package({"__init__": "", "policy": "NAME = 'NAME_OF_PKG'\n", "model": text})
    made = importlib.import_module("pkg.model").Net()
    made.name = "NAME_OF_PKG" if name == "self.name" else "OTHER"
    save(made, tmp_path / "a")
    monkeypatch.setenv("NAME_OF_PKG", "3")
    with pytest.raises(UnsupportedModel, match=r"<environment>\['NAME_OF_PKG'\] was changed while the program ran"):
        save(made, tmp_path / "a")


BY_TEXT = {
    "a global": ("NAME = 'pkg.one'", "NAME"),
    "a global of another module": ("from . import policy", "policy.NAME"),
    "a global by name": ("from .policy import NAME", "NAME"),
}


@pytest.mark.parametrize("where", BY_TEXT)
def test_a_module_whose_name_stands_elsewhere(where, package, tmp_path):
    top, name = BY_TEXT[where]
    text = NET.format(top=f"import importlib\n{top}", gives=f"importlib.import_module({name}).SCALE * x")
    folder = package({"__init__": "", "policy": "NAME = 'pkg.one'\n", "one": "SCALE = 1\n", "model": text})
    made, one = importlib.import_module("pkg.model").Net(), importlib.import_module("pkg.one")
    save(made, tmp_path / "a")
    with pytest.raises(UnsupportedModel, match=r"model\.py finds the module pkg\.one by a text \(import_module\)"):
        save(made, tmp_path / "b", bundle_source=True)
    one.SCALE = 2
    with pytest.raises(UnsupportedModel, match=r"pkg\.one:SCALE was changed .* it is 2, an import gives 1"):
        save(made, tmp_path / "b")
    (folder / "one.py").write_text("SCALE = 3\n")
    with pytest.raises(SourceDrift, match=r"pkg\.one: SCALE was edited"):
        load(tmp_path / "a", trust=["pkg"])


LISTS = {
    "its own": ("", "import importlib, pkgutil\nfor one in pkgutil.iter_modules(__path__):\n"
                "    importlib.import_module(f'{__name__}.{one.name}')\n"),
    "another": ("from . import plugins\nimport importlib, pkgutil\nfor one in pkgutil.iter_modules(plugins.__path__, "
                "plugins.__name__ + '.'):\n    importlib.import_module(one.name)\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("where", LISTS)
def test_modules_that_are_found_by_a_list(where, package, tmp_path):
    """Plugins that register themselves: an edit in one is told, and carried source cannot list modules."""
    here, there = LISTS[where]
    text = NET.format(top=f"from .registry import STEPS\n{here}from . import plugins", gives="STEPS['one'](x)")
    (tmp_path / "pkg" / "plugins").mkdir()
    one = "from ..registry import STEPS\ndef double(x): return x * 2\nSTEPS['one'] = double\n"
    files = {"__init__": "", "registry": "STEPS = {}\n", "model": text, "plugins/__init__": there, "plugins/one": one}
    folder = package(files)
    made = importlib.import_module("pkg.model").Net()
    with pytest.raises(UnsupportedModel, match=r"finds the module pkg\.plugins\.one by a text \(iter_modules\)"):
        save(made, tmp_path / "b", bundle_source=True)
    save(made, tmp_path / "a")
    load(tmp_path / "a", trust=["pkg"])
    (folder / "plugins" / "one.py").write_text(one.replace("* 2", "* 3"))
    with pytest.raises(SourceDrift, match=r"pkg\.plugins\.one: double was edited"):
        load(tmp_path / "a", trust=["pkg"])
