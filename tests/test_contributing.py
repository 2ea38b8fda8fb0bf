"""CONTRIBUTING's four steps, done as they are written: in a copy of the repository that holds one reference model."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

import backends
from backends import BUILT_IN
from harness.findings.backend_docs import backend_doc
from reference_models.catalog import CATALOG

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
STEPS = TEXT[TEXT.index("## Add a backend in four steps") : TEXT.index("## Add a reference model")]
FILE, ROW, COMMANDS = (textwrap.dedent(block) for block in re.findall(r"```(?:python)?\n(.*?)```", STEPS, re.S))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

NEVER_SUCCEEDS = {"skops": "its readers and writers know scikit-learn's and NumPy's types, and no tensor"}
"""Rows that are kept though no reference model comes back, and why."""


@pytest.fixture
def copy(tmp_path):
    """The repository's code, with `nested_fruit` as the only model."""
    for name in ("harness", "backends", "reference_models"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests" / "expected").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "expected_from.py", tmp_path / "tests")
    catalog = tmp_path / "reference_models" / "catalog.py"
    lines = catalog.read_text().splitlines(keepends=True)
    models = [line for line in lines if ": ModelEntry(" in line]
    assert len(models) == len(CATALOG)
    catalog.write_text(
        "".join(line for line in lines if line not in models or line.lstrip().startswith('"nested_fruit"'))
    )
    return tmp_path


def test_the_four_steps(copy):
    table = copy / "backends" / "__init__.py"
    (copy / "backends" / "pickle_lzma.py").write_text(FILE)
    opening = "BUILT_IN: dict[str, BackendEntry] = {\n"
    assert opening in table.read_text()
    table.write_text(table.read_text().replace(opening, opening + textwrap.indent(ROW, "    ")))
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    for line in COMMANDS.splitlines():
        program, *arguments = shlex.split(line)
        command = {"roundtrip": [sys.executable, "-m", "harness"], "python": [sys.executable]}[program]
        done = subprocess.run([*command, *arguments], cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
    outcomes = (copy / "tests" / "expected" / "pickle_lzma.csv").read_text().splitlines()
    found = dict(zip(outcomes[0].split(","), outcomes[1].split(","), strict=True))
    assert len(outcomes) == 2
    assert {name: found[name] for name in ("model", "same_process", "fresh_process", "source_absent")} == {
        "model": "nested_fruit", "same_process": "exact", "fresh_process": "exact", "source_absent": "failed",
    }  # fmt: skip


def test_the_example_is_short():
    assert len([line for line in FILE.partition('"""\n\nimport')[2].splitlines() if line]) <= 20


distributions_of = cache(metadata.packages_distributions)
"""Half a second's look at all that is installed."""


def named(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def all_of(extra: str) -> set[str]:
    """Names of the extras that `roundtrip-bench[extra]` brings along."""
    found = set()
    for requirement in PROJECT["optional-dependencies"][extra]:
        if requirement.startswith("roundtrip-bench["):
            found |= {name.strip() for name in requirement.partition("[")[2].rstrip("]").split(",")}
    return found


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_row_has_done_the_four_steps(name):
    entry = BUILT_IN[name]
    path = Path(backends.__file__).parent.parent / f"{entry.target.partition(':')[0].replace('.', '/')}.py"
    assert path.is_file()
    told = backend_doc(name)
    assert told.title and told.text and told.variant
    assert told.use_when and told.not_when and "https://" in told.source
    assert (ROOT / "tests" / "expected" / f"{name}.csv").is_file()
    extra = PROJECT["optional-dependencies"].get(entry.extra, [])
    assert entry.extra is None or (entry.extra in all_of("all") and extra)
    pinned = {named(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] not in ("", "#")}
    offered = {named(requirement) for requirement in [*PROJECT["dependencies"], *extra]}
    for library in entry.requires:
        distributions = {named(found) for found in distributions_of().get(library, [library])}
        assert distributions & offered, f"{library} is in no extra that the row names"
        assert distributions & pinned, f"{library} is not pinned"
    outcomes = (ROOT / "tests" / "expected" / f"{name}.csv").read_text()
    succeeds = bool({"exact", "close", "partial"} & set(re.split(r"[,\n]", outcomes)))
    assert succeeds is (name not in NEVER_SUCCEEDS)


def test_all_holds_every_extra_of_the_running_program():
    assert all_of("all") == PROJECT["optional-dependencies"].keys() - {"all", "dev"}
