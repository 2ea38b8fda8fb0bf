"""The loader meets mutants of artifacts with digests that fit: see fuzzing.py for what counts as a finding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MINUTES = float(os.environ.get("FUZZ_MINUTES", "5"))


def run(folder, *options):
    """fuzzing.py's summary."""
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}", "PYTHONHASHSEED": "0"}
    command = [sys.executable, str(HERE / "fuzzing.py"), str(folder), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout, f"ended with {done.returncode}; the mutant is in {folder}/current\n{done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_mutants_give_documented_errors_or_models(tmp_path):
    summary = run(tmp_path, "--seed", "1", "--count", "400")
    assert not summary["findings"], json.dumps(summary["findings"], indent=1)
    assert summary["mutants"] == 400 and summary["refused"] > 200 and summary["loaded"] > 10 and summary["reasons"] > 30
    came = [("carried", "loaded"), ("tokenizer", "loaded"), ("staged", "ran")]
    for seed, what in came:  # that is: neither is refused before the code in question is reached
        assert summary["of_seeds"][f"{seed} refused"] > 5 and summary["of_seeds"][f"{seed} {what}"] > 1, seed


@pytest.mark.nightly
@pytest.mark.timeout(MINUTES * 60 + 900)
def test_mutants_for_minutes(tmp_path):
    """With another seed every day; FUZZ_SEED repeats one."""
    import datetime

    seed = os.environ.get("FUZZ_SEED") or datetime.date.today().isoformat()
    summary = run(tmp_path, "--seed", str(int(seed.replace("-", ""))), "--seconds", str(MINUTES * 60))
    assert not summary["findings"], json.dumps(summary["findings"], indent=1)
