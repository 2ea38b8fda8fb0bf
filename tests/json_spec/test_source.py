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
    with pytest.raises(SourceDrift, match=r"shop.helpers: .*FACTOR and UNUSED were removed"):
        load(artifact, trust=["shop"])


def test_drift_of_a_module_is_told_once(artifact, shop):
    shop("helpers", "    return x * FACTOR", "    return FACTOR * x")
    shop("helpers", "FACTOR = 2", "FACTOR = 3")
    with pytest.raises(
        SourceDrift, match=r"shop\.helpers: (FACTOR and scale|scale and FACTOR) were edited \([^;]*\)\. Ways"
    ):
        load(artifact, trust=["shop"])
    shop("model", MODEL, "")
    with pytest.raises(
        SourceDrift, match=r"shop\.model: [^;(]*?(\w+, ){5}\w+ and [0-9]+ more were removed \([^;]*\)\. W"
    ):
        load(artifact, trust=["shop"])


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
