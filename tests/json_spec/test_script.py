"""Classes of a script: saved under the name by which an import finds them, where that is what the script runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import programs

ROOT = Path(__file__).parents[2]
CLASS = """\
import functools
import torch
from torch import nn
from backends.json_spec import load, save

SCALE = 2.0

@functools.lru_cache
def named(x):
    return type(x).__name__[:1]

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.stage = self.layer_of

    def layer_of(self, x):
        return self.layer(x) * SCALE * len(named(1))

    def forward(self, x):
        return self.stage(x)

    def postprocess(self, y):
        return {"sign": bool(y > 0)}

"""
GUARD = 'if __name__ == "__main__":\n'
REFUSED = "import pathlib; from backends.base import UnsupportedModel\n"
TRIES = """\
    try:
        save(Net(), "artifact")
    except UnsupportedModel as error:
        print(error)
    else:
        print("saved")
"""
MODULE = r"move it to a module that can be imported"
GUARD_IT = r"importing train would do what the script does: put that under `if __name__"


def python(folder, *arguments, stdin=None):
    """What a new interpreter prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, input=stdin, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def script(folder, code=None):
    """As `python`, of the code or of train.py, but forked."""
    return programs.run(code or folder / "train.py", folder=folder).strip()


def load_elsewhere(folder, trust, artifact):
    code = (
        f"import torch; from backends.json_spec import load; m = load({str(artifact)!r}, trust={trust!r}, check=True)\n"
        f"print(type(m).__module__, m(torch.ones(1, 2)).shape[0])"
    )
    return script(folder, code)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def test_a_scripts_class_is_that_of_its_module(folder, tmp_path):
    body = """\
    model = Net()
    save(model, "artifact", examples=[torch.ones(1, 2)])
    save(model, "carried", examples=[torch.ones(1, 2)], bundle_source=True)
    again = load("artifact", trust=["train"], check=True)
    print(type(again) is Net, "train" in __import__("sys").modules)
"""
    (folder / "train.py").write_text(CLASS + GUARD + body)
    assert python(folder, "train.py") == "True False"
    assert '"$module": "train:Net"' in (folder / "artifact" / "spec.json").read_text()
    assert load_elsewhere(folder, ["train"], folder / "artifact") == "train 1"
    assert load_elsewhere(tmp_path, "bundled", folder / "carried").endswith(".train 1")
    (folder / "train.py").write_text((folder / "train.py").read_text().replace("SCALE = 2.0", "SCALE = 3.0"))
    with pytest.raises(AssertionError, match=r"SourceDrift: .*train: SCALE was edited"):
        load_elsewhere(folder, ["train"], folder / "artifact")


def test_what_a_dataclass_says_of_a_scripts_classes_is_no_change(folder):
    """`dataclass` writes the defaults of the fields into the docstring, with the names of their classes' modules."""
    made = """\
import dataclasses, enum

class Mode(enum.Enum):
    FAST = 1

@dataclasses.dataclass
class Config:
    mode: Mode = Mode.FAST

class Made(Net):
    def __init__(self):
        super().__init__()
        self.config = Config()

"""
    (folder / "train.py").write_text(
        CLASS + made + GUARD + '    save(Made(), "artifact", examples=[torch.ones(1, 2)])\n'
    )
    script(folder)
    assert load_elsewhere(folder, ["train"], folder / "artifact") == "train 1"


@pytest.mark.nightly
def test_a_script_in_a_package_has_its_full_name(folder):
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").write_text("")
    (folder / "shop" / "train.py").write_text(
        CLASS + GUARD + '    save(Net(), "artifact", examples=[torch.ones(1, 2)])\n'
    )
    python(folder, "-m", "shop.train")
    assert load_elsewhere(folder, ["shop"], folder / "artifact") == "shop.train 1"


REFUSALS = {
    "unguarded": (REFUSED + CLASS + "if True:\n" + TRIES, GUARD_IT),
    "main()": (REFUSED + CLASS + "def main():\n" + TRIES + "main()\n", GUARD_IT),
    "trains": (REFUSED + CLASS + "for _ in range(3):\n    pass\n" + GUARD + TRIES, GUARD_IT),
    "global": (REFUSED + CLASS + GUARD + "    SCALE = 5.0\n" + TRIES, r"train:SCALE was changed while .* 5\.0.* 2\.0"),
    "edited": (
        REFUSED + CLASS + GUARD + "    path = pathlib.Path(__file__)\n"
        '    path.write_text(path.read_text().replace("bool(y > 0)", "bool(y > 1)"))\n' + TRIES,
        r"train:Net\.postprocess was changed while the program ran",
    ),
    "fails": (
        REFUSED + CLASS + 'if __name__ != "__main__":\n    raise OSError\n' + GUARD + TRIES,
        r"train:Net cannot be imported anew: move it out of the script",
    ),
}  # fmt: skip


TWICE = CLASS.replace("SCALE = 2.0\n", "import helpers\n\n\nclass Unit:\n    pass\n").replace(
    "self.layer(x) * SCALE * len(named(1))", "helpers.is_unit(Unit()) * x"
)
COPIES = {
    "at its top": "import train\n\n\ndef is_unit(x):\n    return isinstance(x, train.Unit)\n",
    "in a function": "def is_unit(x):\n    from train import Unit\n\n    return isinstance(x, Unit)\n",
}


@pytest.mark.parametrize("what", ["at its top", pytest.param("in a function", marks=pytest.mark.nightly)])
def test_a_script_that_is_imported_too_is_refused(what, folder):
    """Its classes are there twice; in another process they are one."""
    (folder / "helpers.py").write_text(COPIES[what])
    (folder / "train.py").write_text(REFUSED + TWICE + GUARD + TRIES)
    told = script(folder)
    assert re.search(r"train:Unit was changed .* and another one of that name|<import train> .* second copy", told), (
        told
    )


QUICK = ("unguarded", "global", "fails")
"""The others take a process each too, and wait for the night."""


@pytest.mark.parametrize(
    "what", [name if name in QUICK else pytest.param(name, marks=pytest.mark.nightly) for name in REFUSALS]
)
def test_a_script_that_an_import_does_not_give_is_refused(what, folder):
    text, message = REFUSALS[what]
    (folder / "train.py").write_text(text)
    told = script(folder)
    assert re.search(message, told), told
    assert told.count("\n") == 0, "the script ran again"


@pytest.mark.nightly
def test_what_no_import_finds_is_refused(folder):
    (folder / "my-train.py").write_text(REFUSED + CLASS + GUARD + TRIES)
    assert MODULE in python(folder, "my-train.py")
    assert "it was typed" in python(folder, "-", stdin=REFUSED + CLASS + GUARD + TRIES)


NOTEBOOK = """import linecache, os
def run(cell, name):  # as IPython does: a __main__ without a file, and the cell's lines where tracebacks look for them
    linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
    exec(compile(cell, name, "exec"), globals())
"""


def test_a_notebooks_class_is_refused_with_the_ways_out_that_work(folder):
    save = "save(Net(), 'artifact', examples=[torch.ones(1, 2)], bundle_source=False)"
    cells = (REFUSED + CLASS, f"try:\n    {save}\nexcept UnsupportedModel as error:\n    print(error)\n")
    ran = "".join(f"run({cell!r}, os.path.abspath('ipykernel_1/{n}.py'))\n" for n, cell in enumerate(cells))
    told = script(folder, f"{NOTEBOOK}{ran}")
    assert "model is the class Net of __main__: it was typed" in told
    assert "begin its cell with `%%writefile my_model.py`" in told and not (folder / "artifact").exists()
    (folder / "my_model.py").write_text(CLASS)  # what %%writefile does
    imports = "import torch\nfrom backends.json_spec import save\nfrom my_model import Net\n"
    assert script(folder, f"{NOTEBOOK}run({imports + save!r}, 'ipykernel_1/2.py')\n") == ""
    assert load_elsewhere(folder, ["my_model"], folder / "artifact").endswith("my_model 1")
    carried = f"import torch\nfrom backends.json_spec import save\n{save.replace('False', 'True')}"
    for cells in ([CLASS, carried], [imports, carried]):  # a cell is compiled as a whole here
        ran = "".join(f"run({cell!r}, os.path.abspath('ipykernel_1/{n}.py'))\n" for n, cell in enumerate(cells))
        assert script(folder, f"{NOTEBOOK}{ran}") == ""
        assert load_elsewhere(folder, "bundled", folder / "artifact").split()[0] != "my_model"
