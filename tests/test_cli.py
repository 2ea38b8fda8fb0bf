"""The command line and `pytest benchmarks/`: help, bad input, a user's own model; the documentation agrees."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import matrix, registry, tables
from harness.cli import main
from harness.conditions import CONDITIONS
from harness.records import Record, RecordWriter, read_records
from harness.report import write_report

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PUBLISHED = ROOT / "reports" / "published"


def run(*arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, **options)


def roundtrip(*arguments):
    """The command in this process, whose workers' servers are there already."""
    return CliRunner().invoke(main, arguments)


@cache
def published():
    return read_records(PUBLISHED).records


def test_a_run_that_is_told_to_end_tidies_up_and_says_what_there_is(tmp_path, monkeypatch):
    """By SIGTERM, as a cancelled job is; by Ctrl-C it is the same."""

    def told_to_end(self, name):
        self.keep([Record(self.run_id, "pickle", name, "fresh_process", outcome="exact")])
        (tmp_path / "left").mkdir()
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            (tmp_path / "left").rmdir()

    monkeypatch.setattr(matrix.Run, "model", told_to_end)
    before = signal.getsignal(signal.SIGTERM)
    try:
        result = roundtrip("bench", "--model", "nested_fruit", "--backend", "pickle", "--output", str(tmp_path / "run"))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert result.exit_code == 1 and "Aborted!" in result.output
    assert f"1 records are in {tmp_path / 'run'}; their tables: roundtrip report" in result.output
    assert not (tmp_path / "left").exists()
    assert len(read_records(tmp_path / "run").records) == 1


def test_help_needs_neither_torch_nor_pandas():
    code = (
        "import sys; from harness.cli import main; main(['--help'], standalone_mode=False); "
        "assert not {'torch', 'pandas', 'rich'} & set(sys.modules)"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "Which way should you save" in done.stdout


def test_every_command_and_option_has_help():
    for name, command in main.commands.items():
        assert command.help, name
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, (name, parameter.name)


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench", "--backend", "clodpickle"),
        ("bench", "--model", "nested_froot"),
        ("check", "nested_froot"),
        ("bench", "--condition", "source_absnt"),
    ],
)
def test_an_unknown_name_gets_its_near_misses(arguments):
    done = roundtrip(*arguments)
    assert done.exit_code == 2
    assert "Did you mean" in done.stderr
    assert "Known: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_among_hundreds_gets_its_near_misses_alone():
    done = CliRunner().invoke(main, ["traits", "--trait", "lambda_atribute"])
    assert done.exit_code == 2 and "Did you mean trait/lambda_attribute" in done.output
    assert len(done.output) < 400 and "roundtrip list --traits" in done.output
    listed = CliRunner().invoke(main, ["list", "--traits"], env={"COLUMNS": "160"}).output
    assert all(trait.builder in listed for trait in registry.TRAITS.values())


def test_pytest_answers_an_unknown_name_alike():
    done = run(sys.executable, "-m", "pytest", "benchmarks/", "--backend", "clodpickle")
    assert done.returncode == 2
    assert "Did you mean cloudpickle" in done.stdout + done.stderr


def test_an_existing_folder_is_never_overwritten(tmp_path):
    (tmp_path / "precious").write_text("mine")
    done = roundtrip("bench", "--model", "nested_fruit", "--backend", "pickle", "--output", str(tmp_path))
    assert done.exit_code == 2
    assert "never overwritten" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


MINE = """
import torch
from helper import LABELS

class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
    def preprocess(self, x):
        return torch.tensor(x)
    def forward(self, batch):
        return self.layer(batch)
    def postprocess(self, output):
        return LABELS[int(output.argmax())]

def build():
    torch.manual_seed(0)
    return Mine().eval()

def examples():
    return [[1.0, 2.0], [2.0, -1.0]]
"""


@pytest.fixture
def faulty(monkeypatch):
    """A harness that fails at one model, one file of traits and one backend's probes."""
    from harness import corpus, matrix
    from harness.safety import probes

    def failing(function, is_meant):
        def call(*arguments):
            if is_meant(*arguments):
                raise ZeroDivisionError("planted")
            return function(*arguments)

        return call

    monkeypatch.setattr(matrix.Run, "_cells", failing(matrix.Run._cells, lambda _, one, *__: "closure" in one.name))
    monkeypatch.setattr(corpus, "run", failing(corpus.run, lambda batch, *_: batch.backend == "dill"))
    monkeypatch.setattr(probes, "probe", failing(probes.probe, lambda name, *_: name == "dill"))


def test_what_the_harness_cannot_try_does_not_end_a_run(faulty, tmp_path):
    wanted = ["--backend", "pickle", "--backend", "dill", "--condition", "fresh_process", "--rounds", "1"]
    models = ["--model", "closure_preprocess", "--model", "nested_fruit", "--probes"]
    done = CliRunner().invoke(main, ["bench", *wanted, *models, "--output", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "2 parts of the run could not be tried:\n  closure_preprocess: ZeroDivisionError: planted\n" in done.output
    assert "probes of dill: ZeroDivisionError: planted" in done.output
    assert (tmp_path / "run" / "errors.log").read_text().count("ZeroDivisionError: planted") == 2
    assert (tmp_path / "run" / "summary.md").exists()
    records = read_records(tmp_path / "run").records
    assert {(one.backend, one.model) for one in records if one.kind == "cell"} == {
        ("pickle", "nested_fruit"), ("dill", "nested_fruit"),
    }  # fmt: skip
    assert {one.backend for one in records if one.kind == "probe"} == {"pickle"}


def test_a_batch_of_traits_that_cannot_be_tried_does_not_end_the_corpus(faulty, tmp_path):
    wanted = ["--backend", "pickle", "--backend", "dill", "--trait", "lambda_attribute"]
    done = CliRunner().invoke(main, ["traits", *wanted, "--output", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "× dill: ZeroDivisionError: planted" in done.output, done.output
    assert {one.backend for one in read_records(tmp_path / "run").records} == {"pickle"}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["check", "closure_preprocess", "--backend", "pickle"], "closure_preprocess"),
        (["traits", "--backend", "dill", "--trait", "lambda_attribute", "--output"], "trait_functions × dill"),
    ],
)
def test_a_run_of_which_nothing_could_be_tried_says_why(faulty, tmp_path, arguments, what):
    arguments += [str(tmp_path / "run")] if arguments[-1] == "--output" else []
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert f"{what}: ZeroDivisionError: planted" in done.output, done.output


def test_a_users_own_model(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helper.py").write_text("LABELS = ['yes', 'no']\n")
    (tmp_path / "unrelated.py").write_text("raise SystemExit\n")
    out = tmp_path / "run"
    arguments = ("--backend", "pickle", "--backend", "cloudpickle_by_value", "--backend", "json_spec")
    command = ("check", f"{tmp_path / 'mine.py'}:build", *arguments, "--output", str(out))
    done = run(sys.executable, "-m", "harness", *command)  # as a user does
    assert done.returncode == 0, done.stderr
    outcomes = {(cell.backend, cell.condition): cell.outcome for cell in read_records(out).records}
    assert outcomes["pickle", "fresh_process"] == "exact"
    assert outcomes["json_spec", "fresh_process"] == "exact"
    assert outcomes["pickle", "source_absent"] == "failed"
    assert outcomes["cloudpickle_by_value", "source_absent"] == "exact"


def test_a_reference_model_named_by_its_file_is_the_users_as_any_other(tmp_path):
    """Its package is one that every process of the harness can import: its source would never be absent."""
    path = Path(registry.model_source("nested_fruit").path)
    out = tmp_path / "run"
    done = roundtrip("check", f"{path}:build", "--backend", "pickle", "--output", str(out))
    assert done.exit_code == 0, done.stderr
    outcomes = {
        cell.condition: (cell.outcome, cell.message) for cell in read_records(out).records if cell.kind == "cell"
    }
    assert outcomes["source_absent"] == ("failed", "No module named 'nested_fruit'")
    assert outcomes["fresh_process"][0] == "exact"


def test_a_package_called_as_one_of_the_harness_is_not_taken_for_it(tmp_path):
    package = tmp_path / "backends"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text(MINE.replace("from helper import LABELS", "LABELS = ['yes', 'no']"))
    done = roundtrip("check", f"{package / 'mine.py'}:build", "--backend", "pickle")
    assert done.exit_code == 2, done.stdout
    assert "call the model's file or package otherwise" in done.stderr


def test_a_model_file_that_cannot_be_imported(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    done = roundtrip("check", f"{tmp_path / 'broken.py'}:build", "--backend", "pickle")
    assert done.exit_code == 2
    assert "No module named 'nothing_of_this_name'" in done.stderr
    assert "broken.py" in done.stderr


def test_a_missing_package_says_how_to_install(run_cell, monkeypatch):
    from backends import BUILT_IN, BackendEntry

    monkeypatch.setitem(BUILT_IN, "absent", BackendEntry("nowhere:Nothing", ("nothing_here",), "nothing"))
    record = run_cell("absent", "nested_fruit")
    assert record.outcome == "unavailable"
    assert record.message == "nothing_here not installed: pip install 'roundtrip-bench[nothing]'"


# --- records and tables -----------------------------------------------------------------------------------------


def test_records_survive_damage_and_newer_schemas(tmp_path):
    writer = RecordWriter(tmp_path / "run")
    writer.write([Record("r", "pickle", "m", "fresh_process", outcome="exact", load_s=[0.1], floor_read_s=[0.05])])
    writer.close()
    with open(tmp_path / "run" / "records.jsonl", "a") as file:
        file.write(json.dumps({"schema_version": 99}) + "\n" + '{"schema_ver')
    read = read_records(tmp_path / "run")
    assert [record.backend for record in read.records] == ["pickle"]
    assert ["schema version 99" in problem or "cut off" in problem for problem in read.problems] == [True, True]
    write_report(tmp_path / "run")
    assert "schema version 99" in (tmp_path / "run" / "summary.md").read_text()


def test_no_records_is_a_message(tmp_path):
    done = roundtrip("report", str(tmp_path))
    assert done.exit_code == 2
    assert "no records" in done.stderr


def test_reporting_needs_no_torch(tmp_path):
    writer = RecordWriter(tmp_path / "run")
    writer.write([Record("r", "pickle", "m", "fresh_process", outcome="exact")])
    writer.close()
    code = (
        "import sys; from harness.cli import main; "
        f"main(['report', {str(tmp_path / 'run')!r}], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_ratios_are_to_the_floor_of_the_same_rounds():
    record = Record(
        "r", "b", "m", "fresh_process", outcome="exact", load_s=[4.0, 2.0, 6.0], floor_read_s=[1.0, 2.0, 3.0]
    )
    assert tables.frame([record]).iloc[0]["load_x_floor"] == 2.0


# --- documentation ----------------------------------------------------------------------------------------------


def test_the_readme_opens_with_what_it_is_two_commands_and_the_table():
    opening = README[: README.index("## Your own model")]
    assert opening.index("make bench") < opening.index("make test") < opening.index("| backend")


def test_the_readmes_commands_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for target in re.findall(r"`?make ([a-z-]+)", README + (ROOT / "CONTRIBUTING.md").read_text()):
        assert target in targets | {"it"}, target
    for command in re.findall(r"roundtrip ([a-z]+)", README):
        assert command in main.commands, command
    for option in re.findall(r"`(--(?:backend|model|condition|quick))`", README):
        assert option in (ROOT / "benchmarks" / "conftest.py").read_text()


def test_the_readme_lists_every_condition_with_its_question():
    for condition in CONDITIONS.values():
        when = "always" if condition.default else "when asked"
        assert f"| `{condition.name}` | {condition.question} | {when} |" in README


def test_the_readmes_table_is_the_published_runs():
    data = tables.frame(published())
    assert tables.markdown(tables.choice(data)) in README
    for name in dict.fromkeys(tables.cells(data)["backend"]):
        assert name in README


def test_the_published_run_agrees_with_the_expected_outcomes(expected):
    cells = [record for record in published() if record.kind == "cell"]
    found = {(cell.backend, cell.model, cell.condition): cell.outcome for cell in cells}
    assert found.keys() & expected.keys()
    assert {key: expected[key] for key in found if key in expected}.items() <= found.items()
