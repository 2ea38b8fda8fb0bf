"""Code of another Python is told from this one's, whatever it would do here; this one's is never taken for it."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from harness.conditions import OTHER_INTERPRETER
from harness.processes import interpreters
from harness.source import bytecode, bytecode_check

BUILT = [interpreters.describe(path) for path in interpreters.found()]
NEXT = [other for other in BUILT if other.python.rpartition(".")[0] != "%d.%d" % sys.version_info[:2]]  # noqa: UP031
FORMS = """
import abc, contextlib

def counts(values, *, limit=3, **more):
    total = 0
    for value in values:
        if value is None or not limit < value <= 9:
            continue
        total += value
    else:
        total -= 1
    while total > 7:
        total //= 2
    return total

def raises(texts):
    try:
        with contextlib.suppress(KeyError), open(texts[0]) as file:
            return [line.strip() for line in file if (size := len(line))]
    except* OSError as error:
        raise ValueError(f"{error!r:>10}") from error
    finally:
        del texts[:]

def matches(value):
    match value:
        case {"a": [first, *rest], **others} if rest:
            return first, others
        case str() | bytes():
            return {**value, "b": {*value}}
    return lambda x, /, y=value: (yield x[y:1])

async def later(source):
    async with source as opened:
        async for part in opened:
            yield await part, [one async for one in part]

def delegates(source):
    answer = yield from source
    return answer

class Made(abc.ABC):
    kept: int = 1

    def __init__(self):
        super().__init__()
        self.rest = (self.kept, *sorted(self.__dict__, key=lambda name: name.lower(), reverse=True))
"""


def compiled(file: Path) -> types.CodeType:
    return compile(file.read_bytes(), str(file), "exec", dont_inherit=True)


def test_what_this_python_compiles_it_runs():
    assert bytecode_check.runs_here(compile(FORMS, "<test>", "exec"))
    for module in (bytecode, *(sys.modules[name] for name in ("contextlib", "typing", "ast", "inspect"))):
        parts = list(bytecode.with_inner(compiled(Path(module.__file__))))
        assert [part.co_qualname for part in parts if not bytecode_check.runs_here(part)] == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-2],
        lambda raw: raw[:2] + b"\x00\x00" + raw[2:],
        lambda raw: raw.replace(bytes([bytecode.dis.opmap["FOR_ITER"]]), bytes([bytecode.dis.opmap["NOP"]])),
        lambda raw: raw.replace(bytes([bytecode.dis.opmap["LOAD_FAST"]]), b"\xfe"),
    ],
    ids=["no end", "room that nothing takes", "a higher stack", "no instruction"],
)
def test_what_no_python_compiled_it_does_not_run(spoil):
    space: dict = {}
    exec("def f(values):\n    for value in values:\n        print(value)", space)
    code = space["f"].__code__
    assert bytecode_check.runs_here(code)
    assert not bytecode_check.runs_here(code.replace(co_code=spoil(code.co_code)))


RARE = """
import torch

class Rare(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)
        self.rare = {rare}

    def preprocess(self, x):
        return torch.tensor([self.rare(x, 1) if x < 0 else x])

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        return output.tolist()

def build():
    torch.manual_seed(0)
    return Rare().eval()

def examples():
    return [1.0, 2.0]
"""


@pytest.mark.parametrize("rare", ["lambda x, k: x > k", "lambda x, k: -x * k", "lambda x, k: k.real.imag"])
@pytest.mark.parametrize("backend", ["cloudpickle", "dill"])
def test_a_function_by_value_that_no_example_reaches(run_cell, tmp_path, backend, rare):
    """Under the next Python: what it does there is asked of it, in a process that may end by it."""
    if not NEXT:
        pytest.skip("make interpreters")
    path = tmp_path / "rare.py"
    path.write_text(RARE.format(rare=rare))
    call = f"import pickle, sys; f = pickle.loads({by_value(rare)!r}); print(f(-2.0, 1))"
    done = subprocess.run([str(NEXT[0].path), "-c", call], capture_output=True, text=True)
    is_right = done.stdout.strip() == str(eval(rare)(-2.0, 1))
    record = run_cell(backend, f"{path}:build", OTHER_INTERPRETER, NEXT[0])
    assert record.outcome == ("exact" if is_right else "mismatch"), record.message
    assert is_right or record.message.endswith(
        "model.rare: its bytecode is of another Python, which this one cannot run"
    )


def by_value(text: str) -> bytes:
    cloudpickle = pytest.importorskip("cloudpickle")
    return cloudpickle.dumps(eval(text))
