"""Processes end without a word of what was killed in them."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAK = "from multiprocessing import resource_tracker; resource_tracker.register('/roundtrip-leaked', 'semaphore')"
WORKER = "from harness.process import Worker\nwith Worker() as worker: worker.call('about')\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource tracker")
@pytest.mark.parametrize(("first", "warns"), [("", True), (WORKER, False)])
def test_what_a_killed_worker_leaves_is_removed_without_a_warning(first, warns):
    done = subprocess.run([sys.executable, "-c", first + LEAK], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert ("leaked" in done.stderr) is warns, done.stderr
