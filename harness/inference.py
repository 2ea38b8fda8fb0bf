"""Running a model that carries its preprocessing and postprocessing: one data point, many, or a stream.

    predict(model, x)                          one
    predict_many(model, datapoints)            many: a Dataset and a DataLoader, with workers if asked for
    predict_stream(model, iterable)            as they come, in order, without a length

The convention: `preprocess(x)` gives a *tree* of one data point (nested list, tuple, namedtuple, dict of tensors and
numbers), `forward` takes that tree with a batch dimension added at every leaf and returns a tree whose every leaf has
that dimension first, `postprocess` takes one data point's part of it.

Leaves: tensors are stacked on a new first dimension; numpy arrays and scalars become tensors; Python bools, ints and
floats become a 1-D tensor (bool, int64, float32), also in a batch of one, so that one and many agree; anything else
(strings, None) becomes a list with one entry a data point. After `forward`, tensors are split along their first
dimension (so a number comes back as a 0-d tensor) and lists of the batch's length that came from such leaves likewise.

The model is in eval mode and without gradients during a call; afterwards every module's own training flag is what it
was. The order of a stream is kept. Source of the convention: "Conventions for packaging deep learning models" (2022).
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

STAGES = ("preprocess", "forward", "postprocess")


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
"""What a tap holds when the loaded object does not have that stage."""


class MissingStage(TypeError):
    """The model lacks `preprocess`, `forward` or `postprocess`."""


class InferenceError(Exception):
    """A stage failed: `stage` is preprocess, collate, forward, split or postprocess, `index` the data point's place.

    `index` counts from 0 in the whole input; it is None where a whole batch is concerned. `__cause__` is the original.
    """

    def __init__(self, stage: str, index: int | None, message: str) -> None:
        where = f" of data point {index}" if index is not None else ""
        super().__init__(f"{stage}{where}: {message}")
        self.stage, self.index, self.reason = stage, index, message

    def __reduce__(self):  # it crosses process boundaries, from DataLoader workers
        return InferenceError, (self.stage, self.index, self.reason)


@dataclass
class Taps:
    """What came out of the three stages for one data point, without the batch dimension; ABSENT for a missing one."""

    preprocessed: Any = ABSENT
    forward: Any = ABSENT
    postprocessed: Any = ABSENT


# --- the three ways in ------------------------------------------------------------------------------------------


def predict(model, x: Any) -> Any:
    """The postprocessed output for one data point. Raises MissingStage, InferenceError."""
    _require_stages(model)
    return trace(model, x).postprocessed


def predict_many(
    model, datapoints: Sequence, *, batch_size: int = 8, num_workers: int = 0, progress: bool = False
) -> list:
    """The postprocessed outputs for a sequence of data points, in its order.

    `num_workers` > 0 preprocesses in that many processes under spawn; the model must then pickle. `progress` draws
    a bar on stderr. Raises MissingStage, InferenceError with the data point's index, ValueError for bad arguments,
    RuntimeError where a process that was spawned ends.
    """
    _require_stages(model)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if num_workers:
        require_picklable(model)
    with _modes(model):  # before the workers get their copies
        loader = DataLoader(
            DatasetWrapper(model, datapoints),
            batch_size=batch_size,
            num_workers=num_workers,
            collate_fn=_Plain(),
            multiprocessing_context="spawn" if num_workers else None,
        )
        outputs: list = []
        with _bar(len(datapoints), progress) as advance:
            for items in from_workers(loader) if num_workers else loader:
                for item in items:
                    if isinstance(item, InferenceError):
                        raise item
                outputs += _finish_batch(model, items, first=len(outputs))
                advance(len(items))
    return outputs


def predict_stream(model, iterable: Iterable, *, batch_size: int = 8) -> Iterator:
    """Yield the postprocessed outputs of an iterable, which may have no length and no end.

    At most one batch is read ahead. The model's modes are what the caller set whenever the caller has control.
    """
    _require_stages(model)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    return _stream(model, iter(iterable), batch_size)


def _stream(model, source: Iterator, batch_size: int) -> Iterator:
    done = 0
    while datapoints := list(islice(source, batch_size)):
        with _modes(model):
            items = [_preprocess(model, x, done + place) for place, x in enumerate(datapoints)]
            outputs = _finish_batch(model, items, first=done)
        done += len(outputs)
        yield from outputs


def trace(model, x: Any, batch: Any = ABSENT, into: Taps | None = None) -> Taps:
    """The three taps of one data point.

    A stage that the object does not have gives ABSENT; where `preprocess` is the one, `batch`, a data point that was
    preprocessed elsewhere, goes into `forward`. Raises InferenceError; `into` then holds the taps before it.
    """
    taps = Taps() if into is None else into
    with _modes(model):
        if has_stage(model, "preprocess"):
            taps.preprocessed = batch = _preprocess(model, x, 0)
        if batch is ABSENT or not has_stage(model, "forward"):
            return taps
        (taps.forward,) = _forward(model, [batch], first=0)
        if has_stage(model, "postprocess"):
            taps.postprocessed = _postprocess(model, taps.forward, 0)
    return taps


def forward_many(model, items: Sequence) -> list:
    """What `forward` gives for preprocessed data points in one batch, split again. Raises InferenceError."""
    with _modes(model):
        return _forward(model, items, first=0)


def example_batches(model, examples: Sequence) -> tuple:
    """What `forward` takes: the first example as a batch of one, and the first two as a batch of two.

    Where the first two do not make a batch, or there is only one, it is twice in the second. Raises InferenceError.
    """
    if not examples:
        return ()
    with _modes(model):
        return one_and_two([_preprocess(model, x, place) for place, x in enumerate(examples[:2])])


def one_and_two(items: Sequence) -> tuple:
    """The same of data points that are preprocessed. Raises InferenceError."""
    try:
        return collate(items[:1]), collate((items * 2)[:2])
    except InferenceError:
        return collate(items[:1]), collate([items[0], items[0]])


class DatasetWrapper(Dataset):
    """The preprocessed data points; an error becomes an item, so that it crosses from a worker with its index."""

    def __init__(self, model, datapoints: Sequence) -> None:
        self.model, self.datapoints = model, datapoints

    def __len__(self) -> int:
        return len(self.datapoints)

    def __getitem__(self, index: int) -> Any:
        try:
            return _preprocess(self.model, self.datapoints[index], index)
        except InferenceError as error:
            return error


# --- one batch --------------------------------------------------------------------------------------------------


def _preprocess(model, x: Any, index: int) -> Any:
    with torch.no_grad():
        try:
            return model.preprocess(x)
        except Exception as error:
            raise InferenceError("preprocess", index, _describe(error)) from error


def _finish_batch(model, items: Sequence, first: int) -> list:
    return [_postprocess(model, out, first + place) for place, out in enumerate(_forward(model, items, first))]


def _forward(model, items: Sequence, first: int) -> list:
    batch = collate(items, first=first)
    try:
        output = model(batch) if isinstance(model, torch.nn.Module) else model.forward(batch)
    except Exception as error:
        raise InferenceError("forward", first if len(items) == 1 else None, _describe(error)) from error
    return [split(output, place, len(items)) for place in range(len(items))]


def _postprocess(model, output: Any, index: int) -> Any:
    try:
        return model.postprocess(output)
    except Exception as error:
        raise InferenceError("postprocess", index, _describe(error)) from error


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


# --- trees ------------------------------------------------------------------------------------------------------


def collate(items: Sequence, *, first: int = 0) -> Any:
    """One tree whose every leaf holds the items' leaves: tensors stacked on a new dimension 0.

    Raises InferenceError (stage collate) naming the first data point whose structure or shape differs from that of
    the batch's first, and the leaf's path. `first` is the index of `items[0]` in the whole input.
    """
    return _collate(list(items), first, "")


def _collate(items: list, first: int, path: str) -> Any:
    model_item = items[0]
    for place, item in enumerate(items):
        if type(item) is not type(model_item) and not (_is_number(item) and _is_number(model_item)):
            raise InferenceError(
                "collate",
                first + place,
                f"{path or 'the whole'} is a {type(item).__name__}, but a {type(model_item).__name__} at {first}",
            )
    if isinstance(model_item, Mapping):
        for place, item in enumerate(items):
            if item.keys() != model_item.keys():
                raise InferenceError(
                    "collate",
                    first + place,
                    f"keys {list(item)} at {path or 'the top'}, but {list(model_item)} at {first}",
                )
        pairs = {key: _collate([item[key] for item in items], first, f"{path}[{key!r}]") for key in model_item}
        return _like_mapping(model_item, pairs)
    if isinstance(model_item, list | tuple):
        for place, item in enumerate(items):
            if len(item) != len(model_item):
                raise InferenceError(
                    "collate",
                    first + place,
                    f"{len(item)} entries at {path or 'the top'}, but {len(model_item)} at {first}",
                )
        columns = [
            _collate([item[column] for item in items], first, f"{path}[{column}]") for column in range(len(model_item))
        ]
        return _like_sequence(model_item, columns)
    return _collate_leaves(items, first, path)


def _collate_leaves(leaves: list, first: int, path: str) -> Any:
    if _is_number(leaves[0]):
        return torch.tensor(leaves)
    tensors = [_as_tensor(leaf) for leaf in leaves]
    if any(tensor is None for tensor in tensors):
        return list(leaves)
    for place, tensor in enumerate(tensors):
        if tensor.shape != tensors[0].shape:
            raise InferenceError(
                "collate",
                first + place,
                f"ragged: shape {tuple(tensor.shape)} at {path or 'the only leaf'}, "
                f"but {tuple(tensors[0].shape)} at data point {first}",
            )
    return torch.stack(tensors)


def split(output: Any, place: int, size: int, path: str = "") -> Any:
    """The part of one data point: entry `place` of every leaf, each of which must have `size` entries first.

    Raises InferenceError (stage split) naming the leaf that has not.
    """
    if isinstance(output, Mapping):
        return _like_mapping(
            output, {key: split(leaf, place, size, f"{path}[{key!r}]") for key, leaf in output.items()}
        )
    if isinstance(output, list) and len(output) == size and output and all(not _is_branch(leaf) for leaf in output):
        return output[place]  # a leaf that was no tensor: one entry a data point
    if isinstance(output, list | tuple):
        return _like_sequence(
            output, [split(leaf, place, size, f"{path}[{column}]") for column, leaf in enumerate(output)]
        )
    tensor = _as_tensor(output)
    if tensor is None:
        return output
    if tensor.dim() == 0 or tensor.shape[0] != size:
        raise InferenceError(
            "split",
            None,
            f"forward's output{path} has shape {tuple(tensor.shape)}; its first dimension should be the batch, {size}",
        )
    return tensor[place]


def _is_branch(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple | torch.Tensor)


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float) and not hasattr(value, "dtype")


def _as_tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value
    if hasattr(value, "__array__") and hasattr(value, "dtype") and value.dtype.kind in "biufc":
        return torch.as_tensor(value)
    return None


def _like_mapping(template: Mapping, pairs: dict) -> Any:
    if type(template) is dict:
        return pairs
    try:
        return type(template)(pairs)
    except TypeError:  # defaultdict and the like, whose first argument is something else
        return pairs


def _like_sequence(template: list | tuple, values: list) -> Any:
    if hasattr(template, "_fields"):  # a namedtuple
        return type(template)(*values)
    return tuple(values) if isinstance(template, tuple) else values


# --- modes and checks -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _modes(model) -> Iterator[None]:
    """Eval mode and no gradients; every module's own flag is put back, mixed ones too."""
    modules = list(model.modules()) if isinstance(model, torch.nn.Module) else []
    flags = [(module, module.training) for module in modules]
    for module in modules:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in flags:
            module.training = training


def has_stage(model, stage: str) -> bool:
    """Whether the object has a method of that name; torch's own placeholder for `forward` is none."""
    method = getattr(model, stage, None)
    if stage == "forward" and getattr(type(model), "forward", None) is torch.nn.Module.forward:
        return callable(method) and "forward" in vars(model)
    return callable(method)


def _require_stages(model) -> None:
    does = {
        "preprocess": "turns one raw data point into a tree of tensors and numbers",
        "forward": "takes that tree with a batch dimension at every leaf",
        "postprocess": "turns one data point's output into something readable",
    }
    missing = [stage for stage in STAGES if not has_stage(model, stage)]
    if missing:
        what = "; ".join(f"`{stage}` {does[stage]}" for stage in missing)
        raise MissingStage(f"{type(model).__name__} has no {' and no '.join(missing)}: {what}")


def require_picklable(model) -> None:
    """Raise ValueError for a model that cannot be sent to spawned processes."""
    try:
        pickle.dumps(model)
    except Exception as error:
        raise ValueError(
            f"num_workers > 0 sends the model to spawned processes, and it does not pickle ({_describe(error)}); "
            f"use num_workers=0"
        ) from error


def from_workers(loader: DataLoader) -> Iterator:
    """What a loader gives; where one of its workers ended, by no number of a process that nobody knows afterwards."""
    try:
        yield from loader
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        raise RuntimeError(
            "num_workers > 0 sends the model to spawned processes, and one ended before it answered, as where it "
            "does not unpickle there (it printed why to stderr); use num_workers=0"
        ) from error


class _Plain:
    """A collate function that leaves the items alone: batching is done here, where errors know their index."""

    def __call__(self, items: list) -> list:
        return items


@contextlib.contextmanager
def _bar(total: int, wanted: bool) -> Iterator:
    if not wanted:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("predict", total=total)
        yield lambda count: progress.advance(task, count)
