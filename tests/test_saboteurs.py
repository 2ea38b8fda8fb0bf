"""What is changed after a load is seen under every condition, whatever names and code that forgives."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.conditions import default_names
from harness.matrix import Run, Settings
from tests import saboteurs

FILE = Path(saboteurs.__file__)
CONDITIONS = (*default_names(), "main_script_edited")
CHANGES = [cls.__name__ for cls in saboteurs.Changed.__subclasses__()]


@pytest.mark.nightly
def test_every_change_is_seen_under_every_condition(tmp_path):
    backends = tuple(f"{FILE}:{name}" for name in ("Changed", *CHANGES))
    run = Run(Settings(backends, ("nested_fruit",), CONDITIONS, rounds=0, life="none"), tmp_path / "run")
    try:
        found = {(cell.backend.partition(":")[2], cell.condition): cell.outcome
                 for cell in run.model("nested_fruit") if cell.kind == "cell"}  # fmt: skip
    finally:
        run.close()
    assert len(CHANGES) == 12
    assert {found["Changed", condition] for condition in CONDITIONS} == {"exact"}
    for name in CHANGES:
        expected = "close" if name == "TheNextFloat" else "mismatch"
        assert {found[name, condition] for condition in CONDITIONS} == {expected}, name
