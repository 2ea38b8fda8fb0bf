"""Run in a new interpreter by `cold_start`: import torch and the backend, load, predict; write the durations as JSON.

    python -P cold_start_child.py WANTED.json WHEN

WHEN is the parent's `time.monotonic()` just before it started this interpreter. Nothing is imported before it is timed
but what the interpreter itself has.
"""

import time

BEGAN = time.monotonic()

import importlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402


def main(wanted_file: str, started: str) -> None:
    with open(wanted_file, encoding="utf-8") as file:
        wanted = json.load(file)
    sys.path[:0] = [wanted["project"], wanted["root"]]
    found = {"interpreter_s": BEGAN - float(started)}

    before = time.perf_counter()
    importlib.import_module("torch")
    found["torch_import_s"] = time.perf_counter() - before

    before = time.perf_counter()
    backend = getattr(_module(wanted["module"]), wanted["class"])()
    found["backend_import_s"] = time.perf_counter() - before

    from pathlib import Path

    from harness import inference  # torch alone, and not in any of the times

    before = time.perf_counter()
    model = backend.load(Path(wanted["artifact"]), **wanted["arguments"])
    found["load_s"] = time.perf_counter() - before

    import pickle

    with open(wanted["inputs"], "rb") as file:
        x, batch = (pickle.loads(data) for data in pickle.load(file))
    before = time.perf_counter()
    inference.trace(model, x, batch)
    found["first_prediction_s"] = time.perf_counter() - before
    with open(wanted["answer"], "w", encoding="utf-8") as file:
        json.dump(found, file)


def _module(name: str):
    if not name.endswith(".py"):
        return importlib.import_module(name)
    from importlib import util

    spec = util.spec_from_file_location("_cold_start_backend", name)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(*sys.argv[1:])
