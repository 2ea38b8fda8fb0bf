"""Whether an artifact's network answers in a program without Python: tried with two runtimes, on every file of it.

    C++          libtorch, which comes with torch, and `languages/run_torchscript.cpp`
    JavaScript   onnxruntime's build for Node.js, and `languages/run_onnx.cjs`

`make languages` compiles and installs them into FOLDER. The runtime gets the first example as `forward` takes it, and
its answer is compared with the original's. What comes before and after `forward` is Python's, and is not asked here.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.processes.process import Worker, WorkerFailed
from harness.registry import ROOT
from harness.wording import everywhere

FOLDER = ROOT / ".languages"
SCRIPTS = Path(__file__).parent / "languages"
TIMEOUT_S = 120
HINT = "make languages"


@dataclass(frozen=True)
class Runtime:
    """A program that takes a model's file, a file of inputs and one for the outputs."""

    name: str
    command: tuple[str, ...]
    kind: str
    """In which form inputs and outputs are: `torch` or `json`."""


def runtimes() -> tuple[list[Runtime], list[str]]:
    """Those that are there, and a sentence for each that is not."""
    found, missing = [], []
    program = FOLDER / "run_torchscript"
    if program.is_file():
        found.append(Runtime("C++ (libtorch)", (str(program),), "torch"))
    else:
        missing.append(f"C++ (libtorch) was not tried: {HINT}, which needs g++")
    node = shutil.which("node")
    if node and (FOLDER / "node_modules" / "onnxruntime-node").is_dir():
        command = (node, str(SCRIPTS / "run_onnx.cjs"), str(FOLDER))
        found.append(Runtime("JavaScript (onnxruntime)", command, "json"))
    else:
        missing.append(f"JavaScript (onnxruntime) was not tried: {HINT}, which needs node and npm")
    return found, missing


def tried(worker: Worker, artifact: Path, folder: Path) -> dict[str, Any]:
    """The probe's facts: every file of the artifact in every runtime that is there.

    `worker`: a saving process, which has the original.
    """
    found, missing = runtimes()
    if not found:
        return {"answer": "unavailable", "evidence": "; ".join(missing), "tried": 0}
    folder.mkdir()
    try:
        worker.call("forward_case", folder=str(folder))
    except WorkerFailed as error:
        return {"answer": "unavailable", "evidence": f"no input for another language: {error}", "tried": 0}
    files = sorted(path for path in artifact.rglob("*") if path.is_file())
    said = []
    for runtime in found:
        for path in files:
            answer = _run(runtime, path, folder, worker)
            said.append(f"{runtime.name}, {path.relative_to(artifact)}: {answer}")
            if answer.startswith("equal"):
                return _facts("runs", [said[-1]], len(said), True)
    wrong = [text for text in said if ": different" in text]
    if missing and not wrong:
        return {"answer": "unavailable", "evidence": "; ".join([*missing, *said]), "tried": len(said)}
    return _facts("differs" if wrong else "does not run", wrong or said, len(said), False)


def _facts(answer: str, said: list[str], count: int, proved: bool) -> dict[str, Any]:
    return {"answer": answer, "evidence": "; ".join(said), "tried": count, "proves": {"other_language": proved}}


def _run(runtime: Runtime, path: Path, folder: Path, worker: Worker) -> str:
    """`equal` with the largest difference, `different` with it, or the runtime's own message."""
    output = folder / "output"
    output.unlink(missing_ok=True)
    command = [*runtime.command, str(path), str(folder / f"input.{runtime.kind}"), str(output)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, errors="replace")
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT_S} s"
    if done.returncode or not output.is_file():
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return everywhere(lines[0])[:160] if lines else f"exit code {done.returncode}"
    try:
        return worker.call("forward_answer", folder=str(folder), kind=runtime.kind)
    except WorkerFailed as error:
        return f"different: {error}"
