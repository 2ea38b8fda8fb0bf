"""Examples that travel with the model: raw inputs, and what the three stages gave for them at save.

Running an example follows the convention of the series: `preprocess(x)` gives a tree of one data point, `forward` takes
it with a batch dimension at every leaf, `postprocess` takes one data point's part of what comes out. A stage that the
model lacks is left out; without `preprocess` the example goes into `forward` as it is. Modules are in eval mode, no
gradients are recorded, torch computes in one thread, so that sums are taken in one order however many cores there are,
and every example starts from the same random state; modes, threads and states are put back.

Two runs agree where everything but floating-point numbers is equal, and those are close: another processor's kernels
round differently, and a network carries that on. Relative and absolute tolerance are RTOL and ATOL.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
import random
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from backends.json_spec import settings
from backends.json_spec.bundle import plain_name
from backends.json_spec.errors import ArtifactError, ExampleMismatch, Unsupported
from backends.json_spec.files import EXAMPLE_TENSORS, EXAMPLES
from backends.json_spec.tensors import write
from backends.json_spec.text import canonical
from backends.json_spec.writer import Writer

if TYPE_CHECKING:
    from backends.json_spec.loading import Artifact
    from backends.json_spec.saving import Written

FORMAT, VERSION = "json-spec-examples", 1
STAGES = ("preprocess", "forward", "postprocess")
RTOL, ATOL = 1e-4, 1e-5
"""For numbers of 32 bits and more; for shorter ones HALF_RTOL."""
HALF_RTOL = 2e-2
BRANCHES = (Mapping, list, tuple, torch.Tensor)


# --- running ----------------------------------------------------------------------------------------------------


def run(model: Any, x: Any) -> dict[str, Any]:
    """Stage -> what it gave, for the stages that the model has. Raises whatever the model raises, with the stage."""
    taps: dict[str, Any] = {}
    with _modes(model), _wrappers(model), _same_conditions():
        batch = x
        if has := _has(model, "preprocess"):
            taps["preprocess"] = _stage("preprocess", model.preprocess, x)
            batch = _stage("making a batch of what preprocess gave", batch_of_one, taps["preprocess"])
        if _has(model, "forward"):
            output = _stage("forward", model if isinstance(model, nn.Module) else model.forward, batch)
            taps["forward"] = _stage("taking the first of forward's batch", first_of_batch, output) if has else output
            if _has(model, "postprocess"):
                taps["postprocess"] = _stage("postprocess", model.postprocess, taps["forward"])
    return taps


class StageFailed(Exception):
    """A stage raised; `__cause__` is what."""


def _stage(name: str, function: Any, value: Any) -> Any:
    try:
        return function(value)
    except Exception as error:
        raise StageFailed(f"{name} raises {type(error).__name__}: {error}") from error


def _has(model: Any, stage: str) -> bool:
    if stage == "forward" and getattr(type(model), "forward", None) is nn.Module.forward:
        return "forward" in vars(model)
    return callable(getattr(model, stage, None))


def batch_of_one(item: Any) -> Any:
    """One data point's tree as a batch: tensors get a first dimension, numbers become tensors, other leaves lists."""
    if isinstance(item, Mapping):
        return _like(item, {key: batch_of_one(leaf) for key, leaf in item.items()})
    if isinstance(item, list | tuple):
        return _like(item, [batch_of_one(leaf) for leaf in item])
    if isinstance(item, bool | int | float) and not hasattr(item, "dtype"):
        return torch.tensor([item])
    tensor = _tensor(item)
    return [item] if tensor is None else torch.stack([tensor])


def first_of_batch(output: Any) -> Any:
    """The first data point's part of a batch's tree."""
    if isinstance(output, Mapping):
        return _like(output, {key: first_of_batch(leaf) for key, leaf in output.items()})
    if isinstance(output, list) and len(output) == 1 and not isinstance(output[0], BRANCHES):
        return output[0]
    if isinstance(output, list | tuple):
        return _like(output, [first_of_batch(leaf) for leaf in output])
    tensor = _tensor(output)
    return output if tensor is None else tensor[0]


def _tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value
    if hasattr(value, "__array__") and hasattr(value, "dtype") and value.dtype.kind in "biufc":
        return torch.as_tensor(value)
    return None


def _like(template: Any, values: Any) -> Any:
    if hasattr(template, "_fields"):  # a namedtuple
        return type(template)(*values)
    if isinstance(template, Mapping):
        with contextlib.suppress(TypeError):  # a defaultdict's first argument is something else
            return type(template)(values)
        return values
    return tuple(values) if isinstance(template, tuple) else values


@contextlib.contextmanager
def _modes(model: Any) -> Iterator[None]:
    modules = _modules(model) if isinstance(model, nn.Module) else []
    flags = [(module, module.training) for module in modules]
    for module in modules:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in flags:
            module.training = training


def _modules(model: nn.Module) -> list[nn.Module]:
    """A module and all below it, each once, without its own `modules`: an attribute may have that name."""
    found, left = {}, [model]
    while left:
        module = left.pop()
        if module is not None and id(module) not in found:
            found[id(module)] = module
            left += vars(module)["_modules"].values()
    return list(found.values())


@contextlib.contextmanager
def _wrappers(model: Any) -> Iterator[None]:
    """Put back what objects that wrap methods keep, as `torch.autocast` does where it decorates `forward`.

    They belong to the class, which the copy that runs shares with the model that is being saved.
    """
    parts = _modules(model) if isinstance(model, nn.Module) else [model]
    classes = {cls for part in parts for cls in type(part).__mro__}
    methods = [item for cls in classes for item in vars(cls).values() if isinstance(item, types.FunctionType)]
    held = []
    for cell in (cell for method in methods for cell in method.__closure__ or ()):
        with contextlib.suppress(ValueError):  # not yet filled
            content = cell.cell_contents
            if isinstance(getattr(content, "__dict__", None), dict) and not isinstance(content, types.FunctionType):
                held.append((content, dict(vars(content))))
    try:
        yield
    finally:
        for content, state in held:
            if vars(content) != state:
                vars(content).clear()
                vars(content).update(state)


@contextlib.contextmanager
def _same_conditions() -> Iterator[None]:
    numpy_state, python_state, threads = np.random.get_state(), random.getstate(), torch.get_num_threads()
    if torch.accelerator.is_available():
        forked, seed = torch.random.fork_rng(), torch.manual_seed
    else:  # to seed devices that are not there takes longer than a tiny model does, and is noted for each time
        forked, seed = torch.random.fork_rng(devices=()), torch.default_generator.manual_seed
    try:
        with forked:
            seed(0)
            torch.set_num_threads(1)
            np.random.seed(0)
            random.seed(0)
            yield
    finally:
        torch.set_num_threads(threads)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


# --- in the artifact --------------------------------------------------------------------------------------------


def write_examples(written: Written, directory: Path, copies: list[Any], inputs: list[Any]) -> None:
    """Run the inputs on a copy, write them with what it gave, and see that the second copy gives the same.

    The copies, which are on the CPU, get inputs of their own, read back from the artifact. Where they cannot run there,
    and there is a GPU, others that are where the model is do it. Raises Unsupported where an input or an output cannot
    be expressed, an example fails, or two runs differ.
    """
    try:
        try:
            _run_and_write(written, directory, copies, inputs, on_cpu=True)
        except (StageFailed, ExampleMismatch):
            if not torch.cuda.is_available():
                raise
            ways = [
                written.artifact(directory, carried, on_cpu=False) for carried in (False, written.carried is not None)
            ]
            copies = [way.model(verify=False) for way in ways]
            _run_and_write(written, directory, copies, inputs, on_cpu=False)
    except StageFailed as error:
        raise Unsupported(f"an example cannot be run: {error}") from error
    except ExampleMismatch as error:
        raise Unsupported(f"two copies of the model do not agree: {error}") from error


def _run_and_write(written: Written, directory: Path, copies: list[Any], inputs: list[Any], on_cpu: bool) -> None:
    """The second copy runs with the settings of a new process. Raises StageFailed, ExampleMismatch, Unsupported."""

    def read() -> list[dict[str, Any]]:
        return _read(written.artifact(directory, on_cpu=on_cpu))

    _write(written, directory, [{"input": x} for x in inputs])
    for example in (examples := read()):
        example |= run(copies[0], example["input"])
    _write(written, directory, [{**ran, "input": one["input"]} for ran, one in zip(examples, read(), strict=True)])
    kept = written.check.settings if written.check is not None else settings.SETTINGS
    with settings.as_at_start(kept) as changed:
        try:
            compare_examples(copies[-1], read())
        except ExampleMismatch as error:
            if not changed:
                raise
            name, value = next(iter(changed.items()))
            raise Unsupported(
                f"an example needs {name} as this program has set it, {value}, which a new process has not: {error}. "
                "Let the model's code say what it needs (dtype=..., device=...), or set that in the model's module"
            ) from error


def check_examples(artifact: Artifact) -> None:
    """Run the artifact's examples on a copy of the model made for it. Raises ExampleMismatch, ArtifactError."""
    on_cpu = dataclasses.replace(artifact, on_cpu=True)
    try:
        compare_examples(on_cpu.model(verify=False), _read(on_cpu))
    except ExampleMismatch:
        if not torch.cuda.is_available():
            raise
        compare_examples(artifact.model(verify=False), _read(artifact))


def compare_examples(model: Any, examples: list[dict[str, Any]]) -> None:
    """Raise ExampleMismatch for the first place where the model does not give what the examples say."""
    for number, example in enumerate(examples):
        where = f"examples[{number}]"
        try:
            taps = run(model, example["input"])
        except StageFailed as error:
            raise ExampleMismatch(f"{where}: {error}") from error
        for stage in STAGES:
            if (stage in taps) is not (stage in example):
                raise ExampleMismatch(f"{where}: the model {'has' if stage in taps else 'lacks'} {stage}")
            if stage in taps and (found := difference(example[stage], taps[stage], f"{where}.{stage}")):
                raise ExampleMismatch(f"{found}; this is not the model that was saved, or it runs on something else")


def _write(written: Written, directory: Path, examples: list[dict[str, Any]]) -> None:
    graph, regions = Writer().graph(examples, "examples")
    graph |= {"format": FORMAT, "version": VERSION}
    from backends.json_spec.saving import spec_text

    (directory / EXAMPLE_TENSORS).unlink(missing_ok=True)
    written.tensors[EXAMPLE_TENSORS] = write(regions, directory / EXAMPLE_TENSORS, written.digest)
    written.add(directory, {EXAMPLES: spec_text(graph)})
    written.seal(directory)


def _read(artifact: Artifact) -> list[dict[str, Any]]:
    """The examples, everything compared with its digest. Raises ArtifactError where there are none."""
    if not (artifact.directory / EXAMPLES).exists():
        raise ArtifactError("the artifact has no examples to check: save with examples=[...]")
    graph = artifact.graph(EXAMPLES, FORMAT, VERSION)
    weights = artifact.tensors(EXAMPLE_TENSORS, verify=artifact.sums is not None)
    try:
        examples = artifact.build(graph, weights)
        weights.finish()
    finally:
        weights.stop()
    whole = isinstance(examples, list) and all(isinstance(one, dict) and "input" in one for one in examples)
    if not whole or any(one.keys() - {"input", *STAGES} for one in examples):
        raise ArtifactError(f"{EXAMPLES} is not a list of examples with input, {', '.join(STAGES)}")
    return examples


# --- comparing --------------------------------------------------------------------------------------------------


def difference(expected: Any, found: Any, path: str) -> str | None:
    """The first difference of two values, as `path: what`; None where they agree."""
    left = [(expected, found, path)]
    seen: set[tuple[int, int]] = set()
    while left:
        a, b, path = left.pop()
        if a is b or (id(a), id(b)) in seen:
            continue
        seen.add((id(a), id(b)))
        if type(a) is not type(b) and not _same_class(type(a), type(b)):
            return f"{path}: a {type(b).__name__} where there was a {type(a).__name__}"
        if isinstance(a, torch.Tensor | np.ndarray | np.generic):
            what = _numbers(a, b)
        elif isinstance(a, Mapping):
            what = None if list(a) == list(b) else f"keys {str(list(b))[:80]} where there were {str(list(a))[:80]}"
            if what is None:
                left += [(a[key], b[key], f"{path}[{key!r}]") for key in reversed(list(a))]
        elif isinstance(a, list | tuple):
            what = None if len(a) == len(b) else f"{len(b)} entries where there were {len(a)}"
            if what is None:
                left += [(a[n], b[n], f"{path}[{n}]") for n in reversed(range(len(a)))]
        elif isinstance(a, enum.Enum):
            what = None if a.name == b.name else f"{b} where there was {a}"
        elif isinstance(a, float | complex):
            what = None if _close(a, b) else f"{b!r} where there was {a!r}"
        elif type(a).__eq__ is object.__eq__ or hasattr(a, "__dataclass_fields__"):
            what = None
            for name in dict.fromkeys([*_state(a), *_state(b)]):
                left.append((_state(a).get(name), _state(b).get(name), f"{path}.{name}"))
        else:
            what = None if _described(a) == _described(b) else f"{str(b)[:80]!r} where there was {str(a)[:80]!r}"
        if what is not None:
            return f"{path}: {what}"
    return None


def _described(value: Any) -> tuple[str, list[bytes]]:
    """A value as the artifact would describe it: equal for equal values of any kind that can be expressed."""
    graph, regions = Writer().graph(value)
    return canonical(graph), [bytes(region.read()) for region in regions]


def _same_class(one: type, other: type) -> bool:
    """Whether two classes are one, run under different names of the module."""
    return one.__qualname__ == other.__qualname__ and plain_name(one.__module__) == plain_name(other.__module__)


def _state(value: Any) -> dict[str, Any]:
    return getattr(value, "__dict__", None) or {
        name: getattr(value, name, None) for base in type(value).__mro__ for name in vars(base).get("__slots__", ())
    }


def _close(a: complex, b: complex) -> bool:
    if a == b or (a != a and b != b):
        return True
    return abs(a - b) <= ATOL + RTOL * abs(a) and math.isfinite(abs(a)) and math.isfinite(abs(b))


def _numbers(a: Any, b: Any) -> str | None:
    """The difference of two tensors or arrays."""
    if a.dtype != b.dtype or tuple(a.shape) != tuple(b.shape):
        return f"{b.dtype} {list(b.shape)} where there was {a.dtype} {list(a.shape)}"
    if isinstance(a, np.ndarray | np.generic):
        if a.dtype.kind not in "fc":
            return None if np.array_equal(a, b) else "other values"
        a, b = torch.as_tensor(np.array(a)), torch.as_tensor(np.array(b))
    if not (a.dtype.is_floating_point or a.dtype.is_complex):
        return None if torch.equal(a, b) else f"{int((a != b).sum())} of {a.numel()} values differ"
    rtol = RTOL if a.dtype.itemsize >= 4 else HALF_RTOL
    wide = torch.complex128 if a.dtype.is_complex else torch.float64
    a, b = a.to("cpu", wide), b.to("cpu", wide)
    if torch.allclose(b, a, rtol=rtol, atol=ATOL, equal_nan=True):
        return None
    gap = (a - b).abs()
    return f"largest difference {gap[gap.isfinite()].max().item() if gap.isfinite().any() else math.nan:.3g}"
