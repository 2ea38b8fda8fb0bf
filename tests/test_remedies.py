"""Remedies: what is said of a cell that is not exact, by what happened in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.findings.remedies import RULES, remedy
from harness.records import Record, read_records
from harness.wording import everywhere

PUBLISHED = Path(__file__).parent.parent / "reports" / "published"


def cell(outcome, stage=None, message="", condition="fresh_process", **more):
    return Record("run", "pickle", "m", condition, outcome=outcome, stage=stage, message=message, **more)


def failed(stage, message, **more):
    return cell("failed", stage, message, **more)


def wrong(message, **more):
    return cell("mismatch", None, message, **more)


MOVED = {"condition": "class_moved"}
ELSEWHERE = {"interpreter": "Python 3.12"}
CASES = [
    (failed("save", "Can't pickle <function <lambda>>"), "module-level name"),
    (failed("save", "cannot pickle '_thread.lock' object"), "__getstate__"),
    (failed("save", "Serialization of parametrized modules is only supported"), "Take the parametrization off"),
    (failed("save", "Cannot directly construct TensorBase; subclass it"), "stores tensors"),
    (failed("save", "maximum recursion depth exceeded", error_type="RecursionError"), "Break the circle"),
    (failed("save", "it wants X", **ELSEWHERE), "Change what the message"),
    (failed("load", "module 'm' has no attribute 'f.<locals>.M'"), "module-level name"),
    (failed("load", "maximum recursion depth exceeded", error_type="RecursionError"), "__getattr__"),
    (failed("load", "No module named 'm'", error_type="ModuleNotFoundError"), "Ship the source"),
    (failed("load", "the source has changed since the save: m: f was edited"), "is meant"),
    (failed("load", "Can't get attribute 'M' on <module 'm'>", **MOVED), "under its old name"),
    (failed("preprocess", "cannot import name 'M' from 'm'", **MOVED), "under its old name"),
    (failed("load", "Can't get attribute 'M' on <module '__main__'>"), "in the script"),
    (failed("load", "Attempting to deserialize object on a CUDA device"), "map_location"),
    (failed("load", "M.__init__() missing 1 required argument"), "by name"),
    (failed("load", 'Error(s) in loading state_dict for M: Missing key(s): "w"'), "same modules"),
    (failed("load", "Error(s) in loading state_dict for M: While copying"), "Change what the message"),
    (failed("load", "Weights only load failed. This file can still"), "add_safe_globals"),
    (failed("load", "Unknown builtin op: mine::bent"), "registers the operator"),
    (failed("load", "Untrusted types found in the file: ['m.M']"), "Name your own module"),
    (failed("load", "the first argument must be callable"), "loading it again"),
    (failed("load", "it wants X", **ELSEWHERE), "one version of Python"),
    (failed("load", "'NoneType' object has no attribute 'x'", **MOVED), "loading it again"),
    (failed("build", "No such file 'p/at.csv'", error_type="FileNotFoundError"), "Name the file"),
    (failed("build", "'clip'", error_type="KeyError"), "could not be built"),
    (failed("preprocess", "num_workers > 0 sends the model to spawned processes; num_workers=0"), "in each worker"),
    (failed("preprocess", "No module named 'helpers'"), "Ship the modules"),
    (failed("preprocess", "M has no preprocess and no postprocess"), "missing stages"),
    (failed("preprocess", "[Errno 2]", error_type="FileNotFoundError"), "Read the file"),
    (failed("preprocess", "'x'", error_type="KeyError", **ELSEWHERE), "Run the model once"),
    (failed("forward", "g()", error_type="TypeError", **ELSEWHERE), "one version of Python"),
    (failed("forward", "name 'x' is not defined", error_type="NameError"), "recurse"),
    (failed("forward", "'M' object has no attribute 'x'"), "Run the model once"),
    (cell("crashed", message="killed by SIGSEGV", **ELSEWHERE), "bytecode"),
    (cell("crashed", message="killed by SIGSEGV"), "timeout"),
    (cell("unavailable", "save", "no GPU here, and this method does not write"), "with a GPU"),
    (cell("unavailable", "build", "this model's code does not run in a notebook"), "not suit"),
    (cell("unavailable", "build", "this model does not work in spawned workers: ValueError: x"), "in each worker"),
    (cell("unavailable", "build", "this model is another in a spawned worker: model.x: 1 is gone"), "in each worker"),
    (cell("unavailable", "save", "it needs java"), "Install"),
    (cell("unsupported", "save", "model.f is a lambda"), "Change the named part"),
    (cell("partial", message="not in the artifact: preprocess"), "missing stages"),
    (cell("close"), "tolerance"),
    (cell("exact", code_ran="edited"), "Tag the source"),
    (cell("failed", "load", "drift", code_ran="refused"), "is meant"),
    (wrong("model.a: shared one storage, no longer so: model.a, model.b"), "Share again"),
    (wrong("model.C.__globals__['x']: was the same object as model.x, is now another"), "in one way"),
    (wrong("model.__class__.count: was 1, is now 2"), "in attributes"),
    (wrong("model.w.grad: torch.Tensor [2] is gone"), "Set it again"),
    (wrong("output: was 1, is now 2"), "Do not use"),
    (wrong("where texts hash otherwise, as in each new process: forward: x"), "Sort what"),
    (wrong("outputs equal, state differs: model.x: is gone"), "Outputs are right"),
    (wrong("model.f.beside['w.txt']: True (bool) is gone"), "Read the file when"),
    (wrong("outputs equal, state differs: f.__globals__.beside['w.txt']"), "a function that builds"),
    (wrong("outputs equal, state differs: f.__globals__['HERE'].exists(): gone"), "a function that builds"),
    (
        wrong("model.net: _forward_hooks that the next ones replace was None, is now [0]"),
        "Register that hook again",
    ),
    (
        wrong("state differs: model.f: its bytecode is of another Python", **ELSEWHERE),
        "keep both on one",
    ),
    (wrong("outputs equal, state differs: model.<process>.x: was 1"), "before the load"),
    (wrong("in a spawned worker: outputs equal, state differs: model.<process>.locale: was 'C'"), "worker_init_fn"),
]


@pytest.mark.parametrize(("record", "words"), CASES, ids=[words for _, words in CASES])
def test_a_remedy_fits(record, words):
    assert words in remedy(record)


def test_every_rule_has_a_case():
    """One that none reaches stands behind another that fits whatever it does."""
    first = [next(rule for rule in RULES if rule.fits(record)) for record, _ in CASES]
    assert [rule.advice for rule in RULES if rule not in first] == []


def test_every_published_failure_has_a_remedy():
    for record in read_records(PUBLISHED).records:
        if record.kind == "cell":
            assert bool(remedy(record)) == (record.outcome != "exact"), record


def test_a_terminals_colours_are_no_part_of_a_message():
    assert everywhere("do \x1b[1mthose steps\x1b[0m, \x1b[96m[1/2]\x1b[39;49m") == "do those steps, [1/2]"
