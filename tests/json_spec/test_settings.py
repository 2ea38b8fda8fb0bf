"""What a program set for the whole process is not in the artifact: an example that needs it is refused."""

from __future__ import annotations

import builtins
import decimal
import gettext
import importlib
import re
import sys

import numpy as np
import pytest
import torch

from backends.base import UnsupportedModel
from backends.json_spec import load, save, settings
from tests.json_spec.kernels import NET, SAVE

OTHERWISE = {
    "torch.get_default_dtype()": torch.float64,
    "torch.get_default_device()": torch.device("meta"),
    "torch.get_float32_matmul_precision()": "high",
    "numpy.geterr()": {"divide": "raise", "over": "ignore", "under": "warn", "invalid": "call"},
    "numpy.get_printoptions()": settings.SETTINGS["numpy.get_printoptions()"].at_start | {"precision": 2},
    "decimal.getcontext().prec": 2,
    "decimal.getcontext().rounding": decimal.ROUND_UP,
    "names added to builtins": {"_": str.upper, "DEBUG": True},
}

NEEDS = {
    "torch.get_default_dtype()": "torch.tensor(x)",
    "torch.get_float32_matmul_precision()": "torch.tensor(x * len(torch.get_float32_matmul_precision()))",
    "numpy.geterr()": "torch.tensor(x * len(np.geterr()['divide']))",
    "numpy.get_printoptions()": "torch.tensor(x * len(str(np.float64(1) / np.array([3.0]))))",
    "decimal.getcontext().prec": "torch.tensor(x * float(decimal.Decimal(1) / 3))",
    "decimal.getcontext().rounding": "torch.tensor(x * float(decimal.Decimal('2.5').quantize(decimal.Decimal(1))))",
}
"""Setting -> what `preprocess` does, another thing where it is another."""

SOURCE = """
import decimal
import numpy as np
import torch

{first}

class Reads(torch.nn.Module):
    def preprocess(self, x):
        return {expression}

    def forward(self, batch):
        return batch + 1
"""


@pytest.fixture(autouse=True)
def nothing_stays_set():
    with settings.as_at_start(()) as changed:
        assert not changed
        yield
        settings.reset(settings.changed())


@pytest.fixture
def reads(tmp_path, monkeypatch):
    """`reads(expression, first)`: a model of a module that begins with `first`, and what its `preprocess` gives."""
    monkeypatch.syspath_prepend(tmp_path / "project")
    (tmp_path / "project").mkdir()

    def model(expression, first=""):
        (tmp_path / "project" / "reads_settings.py").write_text(SOURCE.format(first=first, expression=expression))
        return importlib.import_module("reads_settings").Reads()

    yield model
    sys.modules.pop("reads_settings", None)


@pytest.mark.parametrize("name", OTHERWISE)
def test_each_is_put_back(name):
    one = settings.SETTINGS[name]
    one.set(OTHERWISE[name])
    with settings.as_at_start(()) as changed:
        assert changed == {name: OTHERWISE[name]} and one.get() == one.at_start
    assert one.get() == OTHERWISE[name]
    with settings.as_at_start([name]) as changed:
        assert not changed and one.get() == OTHERWISE[name]


def test_none_is_left_out():
    assert OTHERWISE.keys() == settings.SETTINGS.keys()


@pytest.mark.parametrize("bundle_source", [False, True])
@pytest.mark.parametrize("name", NEEDS)
def test_an_example_that_needs_it_is_refused(tmp_path, reads, name, bundle_source):
    model = reads(NEEDS[name])
    settings.SETTINGS[name].set(OTHERWISE[name])
    with pytest.raises(UnsupportedModel, match=re.escape(f"an example needs {name} as this program has set it")):
        save(model, tmp_path / "artifact", examples=[0.5], bundle_source=bundle_source)
    assert settings.changed() == {name: OTHERWISE[name]}
    save(model, tmp_path / "artifact", bundle_source=bundle_source)


@pytest.mark.parametrize("bundle_source", [False, True])
def test_what_the_model_does_not_need_may_be_set(tmp_path, reads, bundle_source):
    torch.set_default_dtype(torch.float64)
    np.seterr(divide="raise")
    save(reads("torch.tensor(x, dtype=torch.float32)"), tmp_path / "a", examples=[0.5], bundle_source=bundle_source)
    assert torch.get_default_dtype() is torch.float64


@pytest.mark.parametrize("bundle_source", [False, True])
def test_what_its_module_sets_comes_again(tmp_path, reads, bundle_source):
    model = reads("torch.tensor(x)", first="torch.set_default_dtype(torch.float64)")
    save(model, tmp_path / "artifact", examples=[0.5], bundle_source=bundle_source)
    settings.reset(settings.changed())
    del sys.modules["reads_settings"]
    load(tmp_path / "artifact", trust="bundled" if bundle_source else ["reads_settings"], check=True)


def test_what_a_cell_set_is_in_no_artifact(kernel):
    kernel(NET.format("x + torch.tensor([0.1])"), "torch.set_default_dtype(torch.float64)")
    with pytest.raises(UnsupportedModel, match=re.escape("an example needs torch.get_default_dtype()")):
        kernel(SAVE.replace("torch.ones(1, 2)", "1"))


def test_a_name_added_to_builtins_is_refused_though_no_example_reads_it(tmp_path, reads):
    model = reads("torch.tensor(x if x < 100 else len(_('odd')))")
    gettext.install("reads")
    with pytest.raises(
        UnsupportedModel, match=r"^builtins:_ was changed while the program ran: .* an import gives nothing"
    ):
        save(model, tmp_path / "artifact")
    save(model, tmp_path / "artifact", unchecked=["builtins:_"])


def test_a_name_that_its_module_adds_to_builtins_comes_again(tmp_path, reads):
    model = reads("torch.tensor(float(len(_('odd'))))", first="import gettext; gettext.install('reads')")
    save(model, tmp_path / "artifact", examples=[0.5])
    del sys.modules["reads_settings"], builtins._
    load(tmp_path / "artifact", trust=["reads_settings"], check=True)


def test_a_name_that_shadows_one_of_python(tmp_path, reads, monkeypatch):
    model = reads("torch.tensor(float(len(ascii(x))))")
    assert settings.changed() == {}
    monkeypatch.setattr(builtins, "ascii", lambda value: "2")
    with pytest.raises(UnsupportedModel, match=r"^builtins:ascii was changed"):
        save(model, tmp_path / "artifact")
