"""Processes end without a word of what was killed in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.processes.process import Worker, WorkerDied

LEAK = "from multiprocessing import resource_tracker; resource_tracker.register('/roundtrip-leaked', 'semaphore')"
WORKER = "from harness.processes.process import Worker\nwith Worker() as worker: worker.call('about')\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource tracker")
@pytest.mark.parametrize(("first", "warns"), [("", True), (WORKER, False)])
def test_what_a_killed_worker_leaves_is_removed_without_a_warning(first, warns):
    done = subprocess.run([sys.executable, "-c", first + LEAK], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert ("leaked" in done.stderr) is warns, done.stderr


def test_what_cpp_says_of_an_abort_is_told():
    with Worker() as worker:
        worker.call("about")
        Path(worker._log.name).write_text(
            "terminate called after throwing an instance of 'c10::Error'\n"
            "  what():  no pool\nFatal Python error: Aborted\n"
        )
        os.kill(worker._process.pid, signal.SIGABRT)
        with pytest.raises(WorkerDied, match=r"killed by SIGABRT; what\(\):  no pool; File"):
            worker.call("about")


BUSY = """
import threading
from harness.processes import interpreters
from harness.processes.process import Worker

template = Worker()
workers = [Worker(), Worker(template=template), Worker(interpreters.ours())]
for worker in workers:
    threading.Thread(target=worker.call, args=("preload",), kwargs={"modules": ["signal:pause"]}).start()
print(*(worker._process.pid for worker in workers), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does it, and only Linux does")
def test_no_worker_outlives_a_run_that_is_killed_in_the_middle_of_a_call():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as run:
        workers = [int(word) for word in run.stdout.readline().split()]
        time.sleep(0.5)  # the calls have begun
        assert len(workers) == 3 and all(map(lives, workers))
        run.kill()
    until = time.monotonic() + 60
    while any(map(lives, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(lives, workers))


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
