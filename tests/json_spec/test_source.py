"""Source that changed since the save is reported, and source that travels runs untouched by what is importable."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from backends.base import UnsupportedModel
from backends.json_spec import ArtifactError, SourceDrift, SourceDriftWarning, UntrustedName, load, save
from backends.json_spec.sources import Source

MODEL = '''\
"""A model of two files."""

from __future__ import annotations

import dataclasses
import enum

import torch
from torch import nn

from shop import helpers
from shop.helpers import FACTOR, scale


class Kind(enum.Enum):
    PLAIN = 1


@dataclasses.dataclass
class Answer:
    value: float
    kind: Kind


class Shop(nn.Module):
    """Doubles."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.kind = Kind.PLAIN

    def preprocess(self, x):
        return torch.tensor([float(x), 1.0])

    def forward(self, batch):
        return scale(batch * self.weight)

    def postprocess(self, output):
        from . import late  # imported when it is needed

        return Answer(round(float(output[0]), 3), self.kind), late.word(), helpers.twice(1)


def unrelated():
    return 1
'''
HELPERS = """\
FACTOR = 2
UNUSED = 1


def scale(x):
    return x * FACTOR


def twice(x):
    return 2 * x
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A project of one package, importable; `shop(file, old, new)` edits it. Forgotten in the end."""
    folder = tmp_path / "project" / "shop"
    folder.mkdir(parents=True)
    for name, text in {"model": MODEL, "helpers": HELPERS, "late": "def word():\n    return 'late'\n"}.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "__init__.py").write_text("")
    (folder / "other.py").write_text("raise SystemExit('nobody imports this')\n")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def edit(file, old, new):
        path = folder / f"{file}.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        forget()

    def forget():
        for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
            del sys.modules[name]
        importlib.invalidate_caches()

    yield edit
    forget()


@pytest.fixture
def artifact(shop, tmp_path):
    from shop.model import Shop

    save(Shop(), tmp_path / "artifact", examples=[3, 4], bundle_source=True)
    return tmp_path / "artifact"


def answer(model, x=3):
    with torch.no_grad():
        output = model(model.preprocess(x)[None])[0]
    found, word, two = model.postprocess(output)
    return found.value, found.kind.name, word, two


DRIFT = {
    "a method": ("model", "float(x), 1.0", "float(x), 2.0", "shop.model: Shop was edited"),
    "a function that it calls": ("helpers", "x * FACTOR", "x * FACTOR + 1", "shop.helpers: scale was edited"),
    "a constant that the function uses": ("helpers", "FACTOR = 2", "FACTOR = 3", "shop.helpers: FACTOR was edited"),
    "a class of its attributes": ("model", "PLAIN = 1", "PLAIN = 2", "shop.model: Kind was edited"),
    "a patch at import": ("helpers", "UNUSED = 1", "UNUSED = 1\nprint('x')", r"shop.helpers: what it does at import"),
    "a block's end": ("helpers", "    return x * FACTOR", "    if x is None:\n        x = 1\n    return x", "scale"),
}
NO_DRIFT = {
    "a comment": ("model", "return scale(batch", "# a remark\n        return scale(batch"),
    "a docstring": ("model", "Doubles.", "Doubles the input."),
    "line breaks": ("model", "scale(batch * self.weight)", "scale(\n            batch * self.weight\n        )"),
    "a definition out of reach": ("model", "return 1\n", "return 2\n"),
    "a new function at the end": ("model", "def unrelated", "def more():\n    return 0\n\n\ndef unrelated"),
    "line endings": ("model", "\n", "\r\n"),
}


@pytest.mark.parametrize("what", DRIFT)
def test_edited_source_is_reported_before_it_runs(artifact, shop, what):
    file, old, new, message = DRIFT[what]
    shop(file, old, new)
    with pytest.raises(SourceDrift, match=rf"{message}.*shop.*\.py.*on_drift=\"warn\".*bundled"):
        load(artifact, trust=["shop"])
    assert "shop.model" not in sys.modules
    with pytest.warns(SourceDriftWarning, match=message):
        load(artifact, trust=["shop"], on_drift="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(artifact, trust=["shop"], on_drift="ignore")
    with pytest.raises(ValueError, match="on_drift"):
        load(artifact, on_drift="perhaps")


@pytest.mark.parametrize("what", NO_DRIFT)
def test_changes_without_meaning_are_no_drift(artifact, shop, what):
    shop(*NO_DRIFT[what])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer(load(artifact, trust=["shop"])) == (6.0, "PLAIN", "late", 2)


def test_a_removed_definition_is_drift(artifact, shop):
    shop("helpers", "UNUSED", "FACTORS")
    shop("helpers", "FACTOR = 2", "from math import pi as FACTOR2; globals()['FACTOR'] = 2")
    with pytest.raises(SourceDrift, match=r"shop.helpers: FACTOR was removed"):
        load(artifact, trust=["shop"])


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


def private():
    """The names under which carried source runs."""
    return {name.partition(".")[0] for name in sys.modules if name.startswith("<json_spec")}


def test_carried_source_runs_as_it_was(artifact, shop):
    shop("helpers", "FACTOR = 2", "FACTOR = 3")
    from shop.model import Shop

    edited = answer(Shop())
    before = {name: module for name, module in sys.modules.items() if name.startswith("shop")}
    earlier = private()
    model = load(artifact, trust="bundled", check=True)
    assert answer(model) == (6.0, "PLAIN", "late", 2) and edited[0] == 9.0
    assert not isinstance(model, Shop) and type(model.kind) is not type(Shop().kind)
    assert {name: module for name, module in sys.modules.items() if name.startswith("shop")} == before
    assert type(load(artifact, trust="bundled")) is type(model)
    assert len(private() - earlier) == 1, "none of save's"
    assert "Doubles" in inspect.getsource(type(model))


def test_carried_source_needs_to_be_trusted(artifact):
    with pytest.raises(UntrustedName, match=r"shop\.model:"):
        load(artifact)
    with pytest.raises(UntrustedName):
        load(artifact, trust=["elsewhere"])


def test_only_what_the_model_imports_is_carried(artifact):
    carried = sorted(str(path.relative_to(artifact)) for path in (artifact / "source").rglob("*.py"))
    assert carried == [f"source/shop/{name}.py" for name in ("__init__", "helpers", "late", "model")]


def test_carried_source_is_checked_before_it_runs(artifact):
    path = artifact / "source" / "shop" / "helpers.py"
    path.write_text("raise SystemExit('it ran')\n")
    for verify in (True, False):
        with pytest.raises(ArtifactError, match=r"source/shop/helpers\.py is damaged or was edited"):
            load(artifact, trust="bundled", verify=verify)


def test_without_carried_source_bundled_says_so(shop, tmp_path):
    from shop.model import Shop

    save(Shop(), tmp_path / "plain")
    with pytest.raises(UntrustedName, match="carries no source: save with bundle_source=True"):
        load(tmp_path / "plain", trust="bundled")
    save(torch.nn.Linear(1, 1), tmp_path / "linear", bundle_source=True)
    assert type(load(tmp_path / "linear", trust="bundled")) is torch.nn.Linear


def test_a_model_on_carried_source_can_be_saved_again(artifact, shop, tmp_path):
    shop("helpers", "FACTOR = 2", "FACTOR = 3")
    model = load(artifact, trust="bundled")
    with pytest.raises(UnsupportedModel, match="bundle_source=True"):
        save(model, tmp_path / "again")
    save(model, tmp_path / "again", bundle_source=True, examples=[3, 4])
    assert answer(load(tmp_path / "again", trust="bundled", check=True))[0] == 6.0
    files = sorted(str(path.relative_to(artifact)) for path in artifact.rglob("*") if path.is_file())
    assert all((tmp_path / "again" / name).read_bytes() == (artifact / name).read_bytes() for name in files)


def test_digests_do_not_depend_on_the_python_version(tmp_path):
    """Tokens of strings with replacement fields, of blocks and of their ends came to be others in Python 3.12."""
    text = 'def f(x):\n    if x:\n        return f"{x!r:>{3}} # {x}" + rf"\\d{x}" f\'{x}\'\n\n'
    text += '    # a remark\n    return """a\n b"""\n'
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import importlib.util as u\n"
        "spec = u.spec_from_file_location('sources', sys.argv[2]); m = u.module_from_spec(spec)\n"
        "sys.modules['sources'] = m; spec.loader.exec_module(m)\n"
        "print(m.Source('m', m.Path('m.py'), bytes.fromhex(sys.argv[3]), False).digest('f'))\n"
    )
    here = Source("m", Path("m.py"), text.encode(), False).digest("f")
    package = Path(inspect.getfile(Source))
    tried = 0
    for python in other_pythons():
        command = [python, "-I", "-c", script, str(package.parents[2]), str(package), text.encode().hex()]
        assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip() == here
        tried += 1
    if not tried:
        pytest.skip("no other Python of version 3.11 or newer is installed")


def other_pythons():
    """Interpreters of other versions than this one, 3.11 and newer."""
    import glob
    import shutil

    candidates = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    candidates += glob.glob(os.path.expanduser("~/.pyenv/versions/3.1[1-9]*/bin/python3"))
    seen = {sys.version_info[:2]}
    for python in filter(None, candidates):
        probe = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, timeout=60
        )
        version = tuple(map(int, probe.stdout.split() or [0]))
        if probe.returncode == 0 and version >= (3, 11) and version not in seen:
            seen.add(version)
            yield python
