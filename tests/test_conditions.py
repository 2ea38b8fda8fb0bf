"""Each condition does what its name says: seen by honest backends, and by some that cheat."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from harness import conditions, project_edits, registry, round_trip
from harness.conditions import CONDITIONS
from harness.staging import stage
from harness.templates import Original

FAKES = Path(__file__).with_name("fakes.py")


def project(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- edits of a project


def test_a_rename_follows_every_form_of_import(tmp_path):
    project(
        tmp_path,
        net="A = 1\n",
        pkg__in____init__="",
        pkg__in__parts="B = 2\nfrom . import more\n",
        pkg__in__more="C = 3\n",
        user="# kept\nimport net, math; import pkg.parts\nimport net as n\nfrom net import A as a\n"
        "from pkg.parts import (\n    B,\n)\nimport pkg.more as m\n"
        "ü = 'ü'; import net\ndef f():\n    from net import A\n"
        "    return [net.A, n.A, a, B, pkg.parts.B, m.C, A, math.pi > 3]\n",
    )
    assert set(project_edits.rename(tmp_path, ("net", "pkg"))) == {"net_renamed", "pkg_renamed"}
    assert run(tmp_path, "import user; print(user.f())") == "[1, 1, 1, 2, 2, 3, 1, True]"
    assert "# kept" in (tmp_path / "user.py").read_text()
    assert not (tmp_path / "net.py").exists()
    assert not (tmp_path / "pkg").exists()


def test_an_edit_marks_every_function_and_changes_no_answer(tmp_path):
    text = '''"""Doc."""
from __future__ import annotations
twice = lambda x, *rest: x * 2
def f(x):
    """Doc of f."""
    def g():
        yield from [twice(x), (lambda: 3)()]
    return list(g())
class C:
    square = lambda self, x: x * x
    @property
    def p(self): return [y for y in f(1)]
    @staticmethod
    def s(x: int = (lambda: 4)()) -> int: return x
'''
    project(tmp_path, m=text)
    call = "import m; print(m.f(5), m.C().square(3), m.C().p, m.C.s(), m.f.__doc__, m.__doc__)"
    before = run(tmp_path, call)
    names = project_edits.edit(tmp_path)
    assert run(tmp_path, call) == before == "[10, 3] 9 [2, 3] 4 Doc of f. Doc."
    assert set(names) == {
        "<lambda>", "f", "f.<locals>.g", "f.<locals>.g.<locals>.<lambda>", "C.<lambda>", "C.p", "C.s"
    }  # fmt: skip


def test_other_values_are_those_that_an_import_gives(tmp_path):
    text = """import enum, re
from collections import namedtuple
SCALE: float = 2.0
LABELS = ["cat", ("dog", 3)]
TABLE = {"a": {"b": True}, 1: None}
WORD = re.compile("w+")
Pair = namedtuple("Pair", "a b", defaults=[1])
__all__ = ["f"]
if SCALE:
    INSIDE = -1
class Mode(enum.Enum):
    FAST = "fast"
class C:
    __slots__ = ("kept",)
    first = "cat"
    def f(self, x=1, *, y="y", z): return x + 1
def f(x, rest=(1, 2)):
    local = 5
    return local
"""
    project(tmp_path, m=text)
    (tmp_path / "labels.json").write_text('["cat", "dog"]\n')
    (tmp_path / "empty.txt").write_text("")
    project_edits.change_values(tmp_path)
    call = (
        "import m; print(m.SCALE, m.LABELS, m.TABLE, m.WORD.pattern, m.Pair(0), m.__all__, m.INSIDE, m.Mode.FAST.value)"
    )
    assert run(tmp_path, call) == (
        "3.0 ['cat_', ('dog_', 4)] {'a': {'b': False}, 1: None} w+ Pair(a=0, b=2) ['f'] -2 fast"
    )
    call = (
        "import m; print(m.C.__slots__, m.C.first, m.C.f.__defaults__, m.C.f.__kwdefaults__, m.f.__defaults__, m.f(0))"
    )
    assert run(tmp_path, call) == "('kept',) cat_ (2,) {'y': 'y_'} ((2, 3),) 5"
    assert (tmp_path / "labels.json").read_text() == '["cat", "do0"]\n'
    assert (tmp_path / "empty.txt").read_text() == ""
    project_edits.change_values(tmp_path, texts=False)
    assert run(tmp_path, "import m; print(m.SCALE, m.LABELS)") == "4.0 ['cat_', ('dog_', 5)]"


def test_classes_move_and_the_rest_stays(tmp_path):
    project(
        tmp_path,
        m="import math\nLIMIT = 3\nclass A: pass\nclass B(A): pass\ndef build(): return B()\n",
        user="from m import A, build, LIMIT\n"
        "def f(): return [type(build()).__module__, isinstance(build(), A), LIMIT]\n",
    )
    assert project_edits.move_classes(tmp_path) == (("m", "A"), ("m", "B"))
    assert run(tmp_path, "import user; print(user.f())") == "['m_moved', True, 3]"
    assert (
        run(tmp_path, "import m; print(hasattr(m, 'A'), hasattr(m, 'build'), hasattr(m, 'math'))") == "False True True"
    )


def test_relative_and_star_imports_follow_moved_classes(tmp_path):
    """As packages import their own parts."""
    for folder in ("p", "p/inner"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "p" / "__init__.py").write_text("from .m import A, LIMIT\nfrom .m import *\n")
    (tmp_path / "p" / "m.py").write_text("LIMIT = 3\nclass A: pass\nclass B(A): pass\n")
    (tmp_path / "p" / "inner" / "n.py").write_text("from ..m import B, LIMIT\nfrom .. import m\nclass C(B): pass\n")
    project_edits.move_classes(tmp_path)
    code = (
        "import p; from p.inner.n_moved import C; print(p.A.__module__, p.B in C.__mro__, p.LIMIT, hasattr(p.m, 'A'))"
    )
    assert run(tmp_path, code) == "p.m_moved True 3 False"


def test_attributes_of_modules_follow_moved_classes(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "__init__.py").write_text("")
    (tmp_path / "p" / "m.py").write_text("LIMIT = 3\nclass A: pass\nclass B(A): pass\n")
    (tmp_path / "p" / "k.py").write_text("from . import m\ndef h(): return m.A\n")
    (tmp_path / "n.py").write_text("class C: pass\ndef g(): return C()\n")
    (tmp_path / "user.py").write_text(
        "import n, math\nimport p.m as q\nfrom p import m as r, m, k\nclass D(q.A, n.C): pass\n"
        "def f(): return [q.B, r.B, m.B, k.h(), n.C, type(n.g()), q.LIMIT, D.__mro__[1]]\n"
    )
    project_edits.move_classes(tmp_path)
    found = "[getattr(one, '__module__', one) for one in user.f()]"
    assert run(tmp_path, f"import n, user; print({found}, user.math.pi > 3, hasattr(n, 'C'))") == (
        f"{['p.m_moved'] * 4 + ['n_moved'] * 2 + [3, 'p.m_moved']} True False"
    )


def test_a_model_whose_parts_are_attributes_of_a_module_is_built_after_they_moved(run_cell, tmp_path):
    text = registry.model_source("nested_fruit").path.read_text()
    assert text.count("nn.Linear(") >= 1
    project(
        tmp_path / "p",
        fruit=text.replace("nn.Linear(", "layers.Dense(").replace(
            "from torch import nn", "from torch import nn\nimport layers"
        ),
        layers="import torch\n\nclass Dense(torch.nn.Linear):\n    pass\n",
    )
    record = run_cell("state_dict", f"{tmp_path / 'p' / 'fruit.py'}:build", "class_moved")
    assert record.outcome == "exact", record.message


# --- cells


def test_an_artifact_of_a_script_names_main(run_cell):
    record = run_cell("pickle", "nested_fruit", "main_script")
    assert (record.outcome, record.error_type) == ("failed", "AttributeError")
    assert "on <module '__main__'>" in record.message


@pytest.mark.parametrize("backend", ["torch_package", "json_spec_source", "mlflow_pyfunc_from_code"])
def test_what_carries_the_source_knows_a_file_called_model_from_its_own(run_cell, tmp_path, backend):
    """It is the commonest name, and not the artifact's to take."""
    shutil.copyfile(registry.model_source("nested_fruit").path, tmp_path / "model.py")
    assert run_cell(backend, f"{tmp_path / 'model.py'}:build").outcome == "exact"


def test_a_scripts_own_block_does_not_run(tmp_path):
    text = registry.model_source("nested_fruit").path.read_text()
    file = tmp_path / "train.py"
    file.write_text(text + "\nif __name__ == '__main__':\n    raise SystemExit('trains for an hour')\n")
    source = registry.model_source(f"{file}:build")
    saved = round_trip.save("cloudpickle", "build", stage(source, tmp_path / "s"), tmp_path / "c", "main")
    saved.close()
    assert saved.stopped is None
    assert b"__main__" in next(saved.artifact.iterdir()).read_bytes()


def test_dill_knows_a_scripts_main_module(run_cell):
    """Its default leaves globals behind, which shows only when the model is used."""
    record = run_cell("dill", "nested_fruit", "main_script")
    assert (record.outcome, record.stage, record.error_type) == ("failed", "preprocess", "NameError")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("source_absent", "No module named 'nested_fruit'"),
        ("source_renamed", "No module named 'nested_fruit'"),
        ("class_moved", "Can't get attribute 'NestedFruit'"),
    ],
)
@pytest.mark.parametrize("backend", ["Honest", "KeepsThePath"])
def test_the_old_source_is_out_of_reach(run_cell, backend, condition, message):
    record = run_cell(f"{FAKES}:{backend}", "nested_fruit", condition)
    assert record.outcome == "failed"
    assert message in record.message
    assert "roundtrip-" not in record.message


@pytest.mark.parametrize("condition", ["source_absent", "source_renamed", "class_moved"])
def test_what_travels_in_the_artifact_counts(run_cell, condition):
    assert run_cell(f"{FAKES}:CarriesTheSource", "nested_fruit", condition).outcome == "exact"


@pytest.mark.parametrize(
    ("backend", "code_ran", "outcome"),
    [
        (f"{FAKES}:Honest", "edited", "mismatch"),
        (f"{FAKES}:KeepsThePath", "edited", "mismatch"),
        (f"{FAKES}:CarriesTheSource", "saved", "exact"),
        (f"{FAKES}:NoticesAnEdit", "refused", "failed"),
        (f"{FAKES}:OtherWorlds", None, "failed"),
        (f"{FAKES}:ForgetsPostprocess", "edited", "mismatch"),
        ("cloudpickle_by_value", "saved", "exact"),
    ],
)
def test_which_code_ran(run_cell, backend, code_ran, outcome):
    record = run_cell(backend, "nested_fruit", "source_edited")
    assert (record.code_ran, record.outcome) == (code_ran, outcome)


def test_edited_code_is_named(run_cell):
    record = run_cell("pickle", "nested_fruit", "source_edited")
    assert record.message.startswith("edited code ran: NestedFruit.preprocess")


COUNTS = """
import torch

class Counts(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.calls, self.net = 0, torch.nn.Linear(1, 1)
        torch.nn.init.ones_(self.net.weight)
        torch.nn.init.ones_(self.net.bias)

    def preprocess(self, x):
        self.calls += 1
        return torch.tensor([x])

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return self.calls

def build():
    return Counts().eval()

def examples():
    return [1.0, 2.0]
"""


@pytest.mark.parametrize("backend", ["cloudpickle_by_value", "json_spec_source"])
def test_what_asks_which_code_ran_leaves_no_trace_in_the_model(backend, run_cell, tmp_path):
    path = tmp_path / "counts.py"
    path.write_text(COUNTS)
    record = run_cell(backend, f"{path}:build", "source_edited")
    assert (record.outcome, record.code_ran) == ("exact", "saved"), record.message


@pytest.mark.parametrize("backend", ["cloudpickle_by_value", "torch_package", "mlflow_pyfunc_from_code"])
def test_what_asks_which_code_ran_leaves_no_trace_in_a_module(backend, run_cell, tmp_path):
    """Of the saved source, which an artifact brings along under the project's names."""
    text = COUNTS.replace("import torch\n", "import torch\n\nCALLS = 0\n", 1)
    text = text.replace("self.calls += 1", "global CALLS; CALLS += 1").replace("return self.calls", "return CALLS")
    (tmp_path / "counts.py").write_text(text)
    record = run_cell(backend, f"{tmp_path / 'counts.py'}:build", "source_edited")
    assert (record.outcome, record.code_ran) == ("exact", "saved"), record.message


LATE = """
import torch

class Late(torch.nn.Module):
    def preprocess(self, x):
        {preprocess}

    def forward(self, batch):
        return batch + 1

    def postprocess(self, output):
        return output.tolist()

def build():
    return Late().eval()

def examples():
    return [[1.0, 2.0], [3.0]]
"""


@pytest.mark.parametrize(
    ("backend", "preprocess", "condition", "told"),
    [
        # read of a module that the code imports itself
        ("cloudpickle_by_value", "import ours; return torch.tensor(x) * ours.SCALE", "source_edited", "preprocess("),
        ("torch_package", "import ours; return torch.tensor(x) * ours.SCALE", "source_edited", "preprocess("),
        ("cloudpickle_by_value", "from ours import Sizes; return torch.tensor(x) * Sizes.most", "source_edited",
         "preprocess("),
        # the same where no example comes by, and the program had imported it
        ("cloudpickle_by_value", "if not x:\n            import ours; x = [ours.SCALE]\n        return torch.tensor(x)",
         "source_edited", "model.__class__.preprocess.__globals__['ours'].SCALE"),
        # a file of a package
        ("cloudpickle_by_value", "from importlib.resources import files\n        import ours\n        "
         "return torch.tensor([*x, float(files(ours.__name__).joinpath('extra.txt').read_text())])",
         "source_edited", "preprocess("),
        # read of a module that the script imports
        ("cloudpickle", "return torch.tensor(x) * ours.SCALE", "main_script_edited",
         "model.__class__.preprocess.__globals__['ours'].SCALE"),
        ("dill_recurse", "return torch.tensor(x) * ours.Sizes.most", "main_script_edited",
         "model.__class__.preprocess.__globals__['ours'].Sizes.most"),
    ],
)  # fmt: skip
def test_constants_and_data_that_were_edited_count(run_cell, tmp_path, backend, preprocess, condition, told):
    imports = "import ours\n" if "__globals__" in told else ""
    project(
        tmp_path / "p",
        late=imports + LATE.format(preprocess=preprocess),
        ours__in____init__="SCALE = 2.0\nclass Sizes:\n    most = 2\n",
    )
    (tmp_path / "p" / "ours" / "extra.txt").write_text("4.0\n")
    record = run_cell(backend, f"{tmp_path / 'p' / 'late.py'}:build", condition)
    assert (record.outcome, record.code_ran) == ("mismatch", "edited"), record.message
    assert told in record.message and "constants or data of the edited project count" in record.message


def test_constants_that_the_artifact_carries_do_not_count(run_cell, tmp_path):
    text = LATE.format(preprocess="import ours; return torch.tensor(x) * ours.SCALE")
    project(tmp_path / "p", late=text, ours="SCALE = 2.0\n")
    record = run_cell("json_spec_source", f"{tmp_path / 'p' / 'late.py'}:build", "source_edited")
    assert (record.outcome, record.code_ran) == ("exact", "saved"), record.message


def test_edited_code_that_no_example_reaches_counts(run_cell, tmp_path):
    text = LATE.format(preprocess="return torch.tensor(x) if x else rare(x)")
    project(tmp_path / "p", late=f"from ours import rare\n{text}", ours="def rare(x):\n    return x\n")
    record = run_cell("cloudpickle", f"{tmp_path / 'p' / 'late.py'}:build", "main_script_edited")
    assert (record.outcome, record.code_ran) == ("mismatch", "edited")
    assert record.message.startswith("edited code is in the model: ")


IN_THREADS = """
import torch
from concurrent.futures import ThreadPoolExecutor

class Threads(torch.nn.Module):
    def preprocess(self, x):
        def doubled(value):
            import numbers_of_ours
            return numbers_of_ours.double(value)

        with ThreadPoolExecutor(2) as pool:
            return torch.tensor(list(pool.map(doubled, x)))

    def forward(self, batch):
        return batch + 1

    def postprocess(self, output):
        return output.tolist()

def build():
    return Threads().eval()

def examples():
    return [[1.0, 2.0], [3.0]]
"""


def test_edited_code_that_threads_run_is_seen(run_cell, tmp_path):
    project(tmp_path / "p", threads=IN_THREADS, numbers_of_ours="def double(value):\n    return 2 * value\n")
    record = run_cell("cloudpickle_by_value", f"{tmp_path / 'p' / 'threads.py'}:build", "source_edited")
    assert (record.outcome, record.code_ran) == ("mismatch", "edited")
    assert record.message.startswith("edited code ran: double; beside it the saved Threads.preprocess")


@pytest.mark.parametrize(
    ("name", "spoilt", "told"),
    [
        ("source_absent", {"absent": ("nested_fruit",)}, "module 'nested_fruit' should be absent"),
        ("class_moved", {"gone": (("nested_fruit", "NestedFruit"),)}, "'NestedFruit' should have moved"),
    ],
)
def test_the_loading_process_asserts_its_world(tmp_path, name, spoilt, told):
    """A condition that fails to take something away is noticed, in the loading process."""
    staged = stage(registry.model_source("nested_fruit"), tmp_path / "stage")
    saved = round_trip.save("pickle", "build", staged, tmp_path / "cell")
    there = CONDITIONS["fresh_process"].prepare
    broken = replace(conditions.condition(name), prepare=lambda stage: replace(there(stage), **spoilt))
    loaded = round_trip.load(saved, broken)
    loaded.close()
    saved.close()
    assert (loaded.result["outcome"], loaded.result["stage"]) == ("failed", "condition")
    assert told in loaded.result["message"]


# --- when asked


@pytest.mark.parametrize(
    ("backend", "outcome", "told"),
    [
        ("pickle", "failed", "Attempting to deserialize object on a CUDA device"),
        ("dill", "failed", "Attempting to deserialize object on a CUDA device"),
        (f"{FAKES}:LoadsOnTheCpu", "exact", ""),
        (f"{FAKES}:MovesToMeta", "failed|mismatch", "meta"),
        (f"{FAKES}:WritesNoStorage", "unavailable", "can only be tried with one"),
    ],
)
def test_saved_on_cuda(run_cell, backend, outcome, told):
    record = run_cell(backend, "nested_fruit", "saved_on_cuda")
    assert record.outcome in outcome.split("|"), record.message
    assert told in " ".join([record.message or "", *(item["message"] for item in record.state)])


@pytest.mark.parametrize("kept", ["self.table = {}", "self.register_buffer('table', {})"])
def test_a_model_without_weights_has_nothing_on_a_gpu(run_cell, tmp_path, kept):
    kept = kept.format("torch.arange(4.0)")
    init = f"    def __init__(self):\n        super().__init__()\n        {kept}\n\n    def preprocess"
    text = LATE.format(preprocess="return torch.tensor(x) * self.table[1]").replace("    def preprocess", init, 1)
    project(tmp_path / "p", late=text)
    record = run_cell("torch_save", f"{tmp_path / 'p' / 'late.py'}:build", "saved_on_cuda")
    assert record.outcome == ("failed" if "buffer" in kept else "exact"), record.message


ON_A_GPU = """
import torch
from torch import nn

torch.cuda.is_available = lambda: True


class Moves(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scales", torch.arange(4.0))
        self.register_buffer("first", self.scales[:2])

    def to(self, where):
        {to}
        return self

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return batch * self.first

    def postprocess(self, output):
        return output.tolist()


def build() -> nn.Module:
    return Moves()


def examples():
    return [[1.0, 2.0]]
"""


@pytest.mark.parametrize("shared", [False, True], ids=["built by itself", "a fork of the original"])
@pytest.mark.parametrize("way", ["parts", "raises"])
def test_what_a_move_to_a_gpu_does_is_not_the_methods_doing(tmp_path, shared, way):
    to = {"parts": "self.first = self.first.clone()", "raises": "raise NotImplementedError('no data!')"}[way]
    project(tmp_path / "project", moves=ON_A_GPU.format(to=to))
    staged = stage(registry.model_source(f"{tmp_path / 'project' / 'moves.py'}:build"), tmp_path / "stage")
    original = Original("build", staged, tmp_path / "original", "cuda") if shared else None
    saved = round_trip.save("pickle", "build", staged, tmp_path / "cell", "cuda", original)
    if way == "parts":
        assert saved.stopped is None and saved.facts["changed_original"] == []
        result = round_trip.load(saved, CONDITIONS["saved_on_cuda"]).result
        assert result["outcome"] == "exact", result
    else:
        told = "this model cannot be moved to a GPU and back: NotImplementedError: no data!"
        assert (saved.stopped["outcome"], saved.stopped["message"]) == ("unavailable", told)
    saved.close()
    if original is not None:
        assert not original.forkable
        original.close()


def test_the_tag_is_taken_off_again(tmp_path):
    """The next save of the same process is an ordinary one."""
    staged = stage(registry.model_source("nested_fruit"), tmp_path / "stage")
    saved = round_trip.save("torch_save", "build", staged, tmp_path / "cell", "cuda")
    saved.worker.call("save", backend="torch_save", directory=str(tmp_path / "again"))
    saved.close()
    files = (saved.artifact / "model.pt", tmp_path / "again" / "model.pt")
    tagged, plain = (zipfile.ZipFile(file).read("model/data.pkl") for file in files)
    assert tagged.count(b"cuda:0") >= 1
    assert b"cuda" not in plain


@pytest.mark.parametrize(
    ("backend", "outcome", "told"),
    [
        (f"{FAKES}:Honest", "exact", ""),
        (f"{FAKES}:Unpicklable", "failed", "does not pickle"),
        (f"{FAKES}:WrongInWorkers", "mismatch", "in a spawned worker: postprocess(examples[0])"),
    ],
)
def test_spawned_workers(run_cell, backend, outcome, told):
    record = run_cell(backend, "nested_fruit", "spawned_workers")
    assert record.outcome == outcome, record.message
    assert told in (record.message or "")


DRAWS = """
import torch

class Draws(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.calls, self.numbers = 0, {{"one": 1}}

    def preprocess(self, x):
        return torch.tensor(x) + self.numbers["one"]

    def forward(self, batch):
        self.calls += 1
        return batch + {added}

    def postprocess(self, output):
        return [self.calls, *output.tolist()]

def build():
    return Draws().eval()

def examples():
    return [[1.0], [2.0], [3.0]]
"""


@pytest.mark.parametrize(
    ("backend", "added", "counts_in", "outcome"),
    [
        ("Honest", "0", "a global", "exact"),
        ("Honest", "torch.rand(1)", "the model", "exact"),
        ("Honest", "torch.rand(1) + self.calls", "the model", "exact"),
        ("WrongInWorkers", "torch.rand(1)", "the model", "mismatch"),
    ],
)
def test_a_model_that_counts_or_draws_in_spawned_workers(run_cell, tmp_path, backend, added, counts_in, outcome):
    """Its answers depend on how often it was asked, and on what else drew; whoever preprocesses has no part in it."""
    text = DRAWS.format(added=added)
    if counts_in == "a global":
        text = text.replace("self.calls += 1", "global CALLS; CALLS += 1").replace("[self.calls", "[CALLS")
    project(tmp_path / "p", draws=f"CALLS = 0\n{text}")
    record = run_cell(f"{FAKES}:{backend}", f"{tmp_path / 'p' / 'draws.py'}:build", "spawned_workers")
    assert record.outcome == outcome, record.message
