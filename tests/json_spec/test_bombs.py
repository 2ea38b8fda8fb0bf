"""Small files that ask for much memory or time get neither: see bombs.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MAY_LOAD = {
    "an empty array of huge texts",
    "truth values, all of them one byte",
    "truth values in windows that overlap",
    "letters, all of them one",
    "a size of a million",
    "texts of none",
}
"""What describes something large without asking for its memory."""


REASONS = {
    "a picture larger than its bytes": "does not fit its bytes",
    "one byte string for a thousand pictures": "copied again and again",
    "one array copied by thousands of indexes": "copied again and again",
    "one byte string copied a thousand times": "two byte strings",
    "character sets": "regular expressions",
    "numbers with one hash": "same hash",
    "keys with one hash": "same hash",
    "references within references": "references within each other",
    "a fraction from text": "which is not one",
    "a fraction named often": "which is not one",
    "an expression behind a reference": "which is not one",
    "tuples within tuples, hashed": "stands in more than",
    "tuples within tuples in the order of their making, hashed": "nested more than 200 levels",
    "a level of a trillion": "copied again and again",
}
"""Why some are refused: a bomb that went stale would be refused for another reason."""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_bombs_do_not_go_off(tmp_path):
    """In one process whose address space may grow by a gibibyte; a bomb that does time fails the test's timeout."""
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "bombs.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, timeout=600, capture_output=True, text=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(results) >= 2 * 30
    for result in results:
        expected = "loaded" if result["bomb"] in MAY_LOAD else "refused: "
        assert result["outcome"].startswith(expected), result
        assert REASONS.get(result["bomb"], "") in result["outcome"] and result["bytes"] < 1 << 28, result
