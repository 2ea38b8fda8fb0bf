"""Each condition does what its name says: seen by honest backends, and by some that cheat."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from harness import conditions, registry, round_trip
from harness.cell import saving
from harness.conditions import CONDITIONS
from harness.processes.templates import Original
from harness.project.staging import stage
from tests.programs import project

FAKES = Path(__file__).with_name("fakes.py")


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


@pytest.mark.parametrize(
    ("backend", "outcome", "told"),
    [
        (
            "state_dict",
            "unavailable",
            "does not run after its classes moved: AttributeError: module 'parts.layers' has no",
        ),
        ("pickle", "failed", "Can't get attribute 'NestedFruit'"),
        ("json_spec_source", "exact", ""),
    ],
)
def test_code_that_moved_classes_break_says_nothing_of_the_backend(run_cell, tmp_path, backend, outcome, told):
    text = registry.model_source("nested_fruit").path.read_text()
    project(
        tmp_path / "p",
        fruit=text.replace("nn.Linear(", "parts.layers.Dense(").replace(
            "from torch import nn", "from torch import nn\nimport parts.layers"
        ),
        parts__in____init__="",
        parts__in__layers="import torch\n\nclass Dense(torch.nn.Linear):\n    pass\n",
    )
    record = run_cell(backend, f"{tmp_path / 'p' / 'fruit.py'}:build", "class_moved")
    assert record.outcome == outcome, record.message
    assert told in (record.message or "")


@pytest.mark.parametrize(
    ("backend", "told"),
    [("state_dict", "has no attribute 'NestedFruit'"), ("pickle", "Can't get attribute 'NestedFruit'")],
)
def test_a_model_that_is_built_by_calling_its_class_runs_where_that_moved(run_cell, tmp_path, backend, told):
    """A method that stored the class's old name cannot be excused by it."""
    source = registry.model_source("nested_fruit").path
    record = run_cell(backend, f"{source}:NestedFruit", "class_moved")
    assert record.outcome == "failed" and told in record.message, (record.outcome, record.message)


@pytest.mark.parametrize("backend", ["pickle", "hf_mixin"])
def test_what_the_originals_answers_leave_in_a_module_is_not_the_copys(run_cell, tmp_path, backend):
    text = registry.model_source("nested_fruit").path.read_text()
    counting = text.replace("from torch import nn", "from torch import nn\n\nCALLS = []\n")
    counting = counting.replace("        return ", "        CALLS.append(1)\n        return ")
    project(tmp_path / "p", fruit=f"{counting}\nanswer = NestedFruit.postprocess\n"
            "NestedFruit.postprocess = lambda self, output: [answer(self, output), len(CALLS)]\n")  # fmt: skip
    record = run_cell(backend, f"{tmp_path / 'p' / 'fruit.py'}:build", "same_process")
    assert record.outcome == "exact", record.message


def test_code_that_no_script_runs_says_nothing_of_the_backend(run_cell, tmp_path):
    """A register that a module fills which imports the script by its name: that is another module than `__main__`."""
    text = registry.model_source("nested_fruit").path.read_text()
    project(
        tmp_path / "p",
        fruit=text.replace("from torch import nn", "from torch import nn\n\nPLUGINS = {}\n\nimport plugins").replace(
            "def build() -> nn.Module:", "def build() -> nn.Module:\n    PLUGINS['one']"
        ),
        plugins="import fruit\n\nfruit.PLUGINS['one'] = 1\n",
    )
    assert "PLUGINS['one']" in (tmp_path / "p" / "fruit.py").read_text()
    record = run_cell("pickle", f"{tmp_path / 'p' / 'fruit.py'}:build", "main_script")
    assert (record.outcome, record.stage) == ("unavailable", "build")
    assert record.message == "this model's code does not run as a script: KeyError: 'one'"


def test_what_a_moved_class_looks_up_in_all_modules_is_what_it_was(run_cell, tmp_path):
    """The module that is left where the classes were is none beside the new one, which has all that it had."""
    text = registry.model_source("nested_fruit").path.read_text()
    project(
        tmp_path / "p",
        fruit=text.replace(
            "super().__init__()", "super().__init__()\n        import_module('sizes').SIZE, SIZE"
        ).replace(
            "from torch import nn", "from importlib import import_module\n\nfrom torch import nn\n\nSIZE = [1]\n"
        ),
        sizes="SIZE = [3]\n\nclass Other:\n    pass\n",
    )
    record = run_cell("state_dict", f"{tmp_path / 'p' / 'fruit.py'}:build", "class_moved")
    assert record.outcome == "exact", record.message


@pytest.mark.parametrize(
    ("statement", "read"), [("import parts", "parts.SIZE"), ("from parts import layers", "layers.LIMIT")]
)
def test_a_moved_class_is_found_where_the_packages_attributes_led(run_cell, tmp_path, statement, read):
    """Code that reads another attribute, and uses the names of the module and its class for something else."""
    text = registry.model_source("nested_fruit").path.read_text()
    assert "super().__init__()" in text
    project(
        tmp_path / "p",
        fruit=text.replace("nn.Linear(", "Dense(")
        .replace("super().__init__()", f"super().__init__()\n        self.layers = {read}")
        .replace("from torch import nn", f"from torch import nn\n{statement}\nfrom parts.layers import Dense"),
        parts__in____init__="from .layers import Dense\n\nSIZE = 3\n",
        parts__in__layers="import torch\n\nLIMIT = 3\n\nclass Dense(torch.nn.Linear):\n    pass\n",
    )
    record = run_cell("state_dict", f"{tmp_path / 'p' / 'fruit.py'}:build", "class_moved")
    assert record.outcome == "exact", record.message


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
    saved = saving.save("cloudpickle", "build", stage(source, tmp_path / "s"), tmp_path / "c", "main")
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
    saved = saving.save("pickle", "build", staged, tmp_path / "cell")
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
    saved = saving.save("pickle", "build", staged, tmp_path / "cell", "cuda", original)
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
    saved = saving.save("torch_save", "build", staged, tmp_path / "cell", "cuda")
    saved.worker.call("save", backend="torch_save", directory=str(tmp_path / "again"))
    saved.close()
    files = (saved.artifact / "model.pt", tmp_path / "again" / "model.pt")
    tagged, plain = (zipfile.ZipFile(file).read("model/data.pkl") for file in files)
    assert tagged.count(b"cuda:0") >= 1
    assert b"cuda" not in plain
