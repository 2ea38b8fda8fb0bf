"""Life after load: what else a model must bear than answering. Compared with what the original bears.

Each check leaves a *finding*: plain words and digests by name. `describe_life` takes those of the original, in the
process that saved it; `life` those of the loaded model, and says of each check one of

    equal                     as the original's, or a copy as its source
    different: ...            where, and how
    failed: ...               it raised, the original does not
    not applicable: ...       the original raises too

    check        what is done
    forward_batch   `forward` of all examples in one batch answers as one by one (within the model's tolerance)
    batch        the same of all three stages
    deepcopy     `copy.deepcopy`, whose state is compared with its source's
    state_dict   names, shapes, dtypes and values are those that the original's `load_state_dict` takes
    train_step   one step of SGD with momentum on two examples, with the training flags that the model has: the loss,
                 all gradients, parameters, buffers and the optimizer's state, to the bit
    saves_again  (full) saved by the same backend and loaded again, it has the same outcome: see `life`
    compile      (full) `torch.compile` with the eager backend: captured by torch's compiler, it answers as before
    export       (full) `torch.export.export`: the exported program answers as the model
"""

from __future__ import annotations

import copy
import hashlib
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from harness import compare, inference
from harness.calls.save import save
from harness.calls.session import Session, batches_of, read_reference, seed
from harness.snapshot.builder import snapshot_model, snapshot_value
from harness.snapshot.graph import Graph
from harness.system import aside, proc

Finding = dict[str, Any]

COPY_TIMEOUT_S = 60.0

AS_ITS_SOURCE = {"copy": "as its source"}
"""What `copy.deepcopy` should make; a loaded model may do so that the original does not: it lost what is not copied."""


@dataclass(frozen=True)
class _Subject:
    """A model, the raw examples, and what they become."""

    model: Any
    examples: list
    batches: list
    tolerance: compare.Tolerance
    own_modules: tuple[str, ...]

    def batch(self) -> Any:
        """The first two data points as forward takes them; new tensors each time."""
        return inference.collate(copy.deepcopy(self.batches[:2]))

    def forward(self, model: Any) -> Any:
        seed()
        return model(self.batch()) if isinstance(model, torch.nn.Module) else model.forward(self.batch())

    def snapshot(self, value: Any) -> dict:
        return snapshot_value(value, own_modules=self.own_modules)


def describe_life(session: Session, *, reference: str, full: bool) -> None:
    """Write down what the original, in copies, bears, beside the reference."""
    session.stage = "compare"
    subject = _subject(session, session.model, reference)
    findings = {}
    for name, check in _checks(full):
        # a step of training changes the model, and this one is saved again in the timed rounds
        finding = _in_a_copy(check, subject) if _is_alone() else None
        if finding is None:
            finding = _tried(check, _of_copy(subject) if check is _train_step else subject)
        findings[name] = finding
    Path(f"{reference}.life").write_bytes(pickle.dumps(findings))


def life(session: Session, *, reference: str, full: bool) -> dict[str, str]:
    """Do the checks on the loaded model, which is a trained one afterwards."""
    session.stage = "compare"
    subject = _subject(session, session.loaded, reference)
    originals = pickle.loads(Path(f"{reference}.life").read_bytes())
    found = {}
    for name, check in _checks(full):
        finding = None
        # what a library computes with threads of its own (onnxruntime) would wait for them for ever in a copy
        if check is not _train_step and _is_alone() and proc.threads() in (1, None):
            finding = _in_a_copy(check, subject)
        found[name] = _judged(originals[name], _tried(check, subject) if finding is None else finding)
    return found


def save_again(session: Session, *, backend: str, directory: str, reference: str, constructor: str) -> None:
    """Save the loaded model as the original was saved."""
    written = read_reference(reference)
    examples, session.preprocessed = written["examples"], batches_of(written)
    session.model, session.constructor = session.loaded, constructor
    session.user_module = SimpleNamespace(examples=lambda: pickle.loads(examples))
    save(session, backend=backend, directory=directory)


# --- checks


def _checks(full: bool) -> Iterator[tuple[str, Callable[[_Subject], Finding]]]:
    yield "forward_batch", _forward_batch  # before what a part does not do, for models that count their calls
    yield "batch", _batch
    yield "deepcopy", _deepcopy
    yield "state_dict", _state_dict
    if full:
        yield "compile", _compile
        yield "export", _export
    yield "train_step", _train_step  # last: it changes the model


def _batch(subject: _Subject) -> Finding:
    examples = pickle.dumps(subject.examples)
    seed()
    together = inference.predict_many(subject.model, pickle.loads(examples), batch_size=len(subject.examples))
    seed()
    alone = [inference.predict(subject.model, x) for x in pickle.loads(examples)]
    return _one_by_one(subject, alone, together, "predict_many()")


def _forward_batch(subject: _Subject) -> Finding:
    """Of sizes that no example has: a trace may have kept that of the batch which it was recorded from."""
    if any(item is inference.ABSENT for item in subject.batches):
        raise ValueError("what preprocess gives cannot be pickled")
    seed()
    together = inference.forward_many(subject.model, copy.deepcopy(subject.batches))
    seed()
    alone = [part for item in copy.deepcopy(subject.batches) for part in inference.forward_many(subject.model, [item])]
    return _one_by_one(subject, alone, together, "forward()")


def _one_by_one(subject: _Subject, alone: list, together: list, root: str) -> Finding:
    differences = compare.compare(subject.snapshot(alone), subject.snapshot(together), subject.tolerance, root)
    wrong = [difference for difference in differences if not difference.close]
    return {"batch": f"{wrong[0].path}: {wrong[0].message}" if wrong else "as one by one"}


def _deepcopy(subject: _Subject) -> Finding:
    before, after = (
        snapshot_model(model, own_modules=subject.own_modules)
        for model in (subject.model, copy.deepcopy(subject.model))
    )
    differences = compare.compare(before, after)
    return {"copy": f"{differences[0].path}: {differences[0].message}"} if differences else AS_ITS_SOURCE


def _state_dict(subject: _Subject) -> Finding:
    if not isinstance(subject.model, torch.nn.Module):
        raise TypeError(f"a {type(subject.model).__name__} has no state_dict")
    return {name: _digest(value) for name, value in subject.model.state_dict().items()}


def _train_step(subject: _Subject) -> Finding:
    model = subject.model
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"a {type(model).__name__} has no parameters")
    parameters = {name: part for name, part in model.named_parameters() if part.requires_grad}
    if not parameters:
        raise ValueError("no parameter requires a gradient")
    model.zero_grad()
    optimizer = torch.optim.SGD(parameters.values(), lr=0.01, momentum=0.9)
    loss = sum(leaf.float().square().mean() for leaf in _differentiable(subject.forward(model)))
    if not isinstance(loss, torch.Tensor):
        raise ValueError("no output can be differentiated")
    loss.backward()
    finding = {"loss": repr(float(loss))}  # as a text: NaN is what it was
    finding |= {f"{name}.grad": _digest(part.grad) for name, part in parameters.items()}
    optimizer.step()
    after = [*model.named_parameters(), *model.named_buffers()]
    finding |= {f"{name} after the step": _digest(part) for name, part in after}
    for place, state in optimizer.state_dict()["state"].items():
        finding |= {f"optimizer.state[{place}][{key!r}]": _digest(value) for key, value in state.items()}
    return finding


def _compile(subject: _Subject) -> Finding:
    with torch.no_grad():
        compiled = torch.compile(_forward_of(subject.model), backend="eager")
        try:
            return _answers(subject, compiled)
        finally:
            torch._dynamo.reset()


def _export(subject: _Subject) -> Finding:
    with torch.no_grad():
        program = torch.export.export(_module_of(subject.model), (subject.batch(),), strict=False)
        return _answers(subject, program.module())


def _answers(subject: _Subject, made: Callable[[Any], Any]) -> Finding:
    """Whether what was made of a model answers as the model, within the tolerance."""
    before = subject.snapshot(subject.forward(subject.model))
    seed()
    after = subject.snapshot(made(subject.batch()))
    wrong = [one for one in compare.compare(before, after, subject.tolerance, "output") if not one.close]
    return {"output": f"{wrong[0].path}: {wrong[0].message}" if wrong else "as the model's"}


def _forward_of(model: Any) -> Any:
    return model if isinstance(model, torch.nn.Module) else model.forward


def _module_of(model: Any) -> torch.nn.Module:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"a {type(model).__name__} is no nn.Module")
    return model


# --- findings


def _subject(session: Session, model: Any, reference: str) -> _Subject:
    written = read_reference(reference)
    return _Subject(
        model,
        pickle.loads(written["examples"]),
        batches_of(written),
        compare.Tolerance(**written["tolerance"]),
        session.own_modules,
    )


def _is_alone() -> bool:
    """Whether a copy of this process has all that this one has: its threads and its GPU it lacks."""
    return threading.active_count() == 1 and not torch.cuda.is_initialized()


def _in_a_copy(check: Callable[[_Subject], Finding], subject: _Subject) -> Finding | str | None:
    """The check in a copy of this process, so that the next one finds the model as this one did: a model may count its
    calls, and what is a part of one is called less often. None where the copy died.

    A step of training of the original too: what `copy.deepcopy` makes of a model may train otherwise, or train the
    original too, as a copy does whose function knows the model that it was defined in.
    """

    def found() -> bytes:
        torch.set_num_threads(torch.get_num_threads())  # before autograd asks for its pool: see `worker`
        return pickle.dumps(_tried(check, subject))

    told = aside.in_a_copy(found, COPY_TIMEOUT_S)
    return pickle.loads(told) if told else None


def _of_copy(subject: _Subject) -> _Subject:
    return _Subject(
        copy.deepcopy(subject.model), subject.examples, subject.batches, subject.tolerance, subject.own_modules
    )


def _tried(check: Callable[[_Subject], Finding], subject: _Subject) -> Finding | str:
    """A check's finding, or in a text why there is none."""
    try:
        return check(subject)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, inference.InferenceError) and error.__cause__ else error
        lines = str(cause).strip().splitlines() or [repr(cause)]
        return f"{type(cause).__name__}: {lines[0][:200]}"


def _judged(original: Finding | str, loaded: Finding | str) -> str:
    if isinstance(original, str):
        return f"not applicable: the original raises {original}"
    if isinstance(loaded, str):
        return f"failed: {loaded}"
    if loaded == AS_ITS_SOURCE:
        return "equal"
    for name in original | loaded:
        if name not in loaded or name not in original:
            return f"different: {name} is {'gone' if name in original else 'new'}"
        if original[name] != loaded[name]:
            return f"different: {name}: was {original[name]}, is now {loaded[name]}"
    return "equal"


def _differentiable(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        if output.requires_grad:
            yield output
    elif isinstance(output, Mapping):
        for part in output.values():
            yield from _differentiable(part)
    elif isinstance(output, list | tuple):
        for part in output:
            yield from _differentiable(part)


def _digest(value: Any) -> str:
    """Shape, dtype and a digest of the bytes; of what is no plain tensor, what its snapshot says."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    value = value.detach() if isinstance(value, torch.Tensor) else value
    if (not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_quantized
            or value.device.type == "meta" or value.is_nested):  # fmt: skip
        graph = Graph(snapshot_value(value))
        return graph.digest(graph.root)[:12]
    flat = value.resolve_conj().resolve_neg().contiguous().reshape(-1).cpu()
    data = flat.view(torch.uint8).numpy() if flat.numel() else b""
    return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')} {hashlib.sha256(data).hexdigest()[:12]}"
