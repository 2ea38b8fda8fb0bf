"""A notebook is what the condition says: cells in a `__main__` without a file, and nothing that an import finds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from harness import conditions, registry
from harness.cell import saving
from harness.project import notebook
from harness.project.staging import stage

FILE = '''\
"""What the file is."""
from __future__ import annotations
import inspect; SIZE = 2

def once(function):
    return function

@once
# kept with what it is about
def answer(x: NotDefined) -> int:
    return x * SIZE  # doubled

class Net:
    here = inspect.getsource(answer)

if __name__ == "__main__":
    raise SystemExit("trains for an hour")
'''
SEEN = """
import inspect, json, sys
from pathlib import Path
from harness.project import notebook
main = notebook.run(Path("."), "net")
print(json.dumps([
    main is sys.modules["__main__"], hasattr(main, "__file__"), main.Net.__module__, main.answer(3), main.Net.here,
    main.answer.__annotations__["x"], Path(main.answer.__code__.co_filename).parent.name[:10],
    Path(main.answer.__code__.co_filename).exists(),
]))
"""


def test_a_file_becomes_cells_that_run_as_a_kernel_runs_them(tmp_path):
    (tmp_path / "net.py").write_text(FILE)
    notebook.convert(tmp_path, "net")
    assert [path.name for path in tmp_path.iterdir()] == ["net.ipynb"]
    cells = [cell["source"] for cell in json.loads((tmp_path / "net.ipynb").read_text())["cells"]]
    assert [cell.splitlines()[0] for cell in cells] == [
        '"""What the file is."""', "from __future__ import annotations", "import inspect; SIZE = 2",
        "def once(function):", "@once", "class Net:",
    ]  # fmt: skip
    code = f"import sys; sys.path.insert(0, {str(registry.ROOT)!r})\n{SEEN}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, False, "__main__", 6, cells[4] + "\n", "NotDefined", "ipykernel_", False]


@pytest.mark.parametrize(
    ("backend", "outcome", "told"),
    [
        ("pickle", "failed", "Can't get attribute 'NestedFruit' on <module '__main__'>"),
        ("cloudpickle", "exact", ""),
        ("json_spec", "unsupported", "begin its cell with `%%writefile my_model.py`"),
        ("json_spec_source", "exact", ""),
    ],
)
def test_what_a_notebook_saved(run_cell, backend, outcome, told):
    record = run_cell(backend, "nested_fruit", "notebook")
    assert record.outcome == outcome, record.message
    assert told in (record.message or "")


def test_a_run_that_goes_to_another_directory_is_no_change_by_the_model(run_cell, tmp_path, monkeypatch):
    """The processes are forked from a server, which stays where the first run began."""
    for folder in (registry.ROOT, tmp_path):
        monkeypatch.chdir(folder)
        record = run_cell("cloudpickle", "nested_fruit", "notebook")
        assert record.outcome == "exact", record.message


def test_no_import_finds_what_the_notebook_defines(tmp_path):
    staged = stage(registry.model_source("nested_fruit"), tmp_path / "stage")
    world = conditions.prepare(conditions.condition("notebook"), staged, tmp_path / "there")
    assert world.absent == ("nested_fruit",)
    assert [path.name for path in world.project.iterdir()] == ["nested_fruit.ipynb"]
    assert (staged.folder / "nested_fruit.py").exists()


@pytest.mark.parametrize("backend", ["cloudpickle", "hf_mixin"])
@pytest.mark.parametrize("where", ["", "def build():\n    "])
def test_code_that_no_notebook_runs_says_nothing_of_the_backend(tmp_path, backend, where):
    """Nor where the backend watches how the model is built."""
    file = tmp_path / "beside.py"
    text = registry.model_source("nested_fruit").path.read_text()
    file.write_text(f"{text}\nfrom pathlib import Path\n\n{where}HERE = Path(__file__).parent\n")
    source = registry.model_source(f"{file}:build")
    saved = saving.save(backend, "build", stage(source, tmp_path / "s"), tmp_path / "c", "notebook")
    saved.close()
    assert saved.stopped["outcome"] == "unavailable"
    told = "this model's code does not run in a notebook: NameError: name '__file__' is not defined"
    assert told in saved.stopped["message"]


@pytest.mark.parametrize("how", ["main", "notebook"])
def test_a_method_that_breaks_what_it_watches_is_to_blame(tmp_path, how):
    """`aijson` leaves its mark on the class, so that the same process would raise again."""
    pytest.importorskip("aijson")
    source = registry.model_source("digits_cnn")
    saved = saving.save("aijson", source.builder, stage(source, tmp_path / "s"), tmp_path / "c", how)
    saved.close()
    assert (saved.stopped["outcome"], saved.stopped["stage"]) == ("failed", "save")
    assert "takes 1 positional argument" in saved.stopped["message"]
