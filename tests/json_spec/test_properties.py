"""Generated object graphs: what is saved comes back the same by the project's own comparer, or is refused by path."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import tempfile
import uuid
from pathlib import Path
from typing import Any

import json_spec_things as things
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from backends.base import UnsupportedModel
from backends.json_spec import load, save
from harness.compare import compare
from harness.snapshot.builder import snapshot_model

TRUST = ["json_spec_things"]
QUICK = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
LONG = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck), database=None)

SMALL = st.integers(-(2**80), 2**80)
TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
ATOMS = st.one_of(
    st.none(), st.booleans(), SMALL, st.floats(), st.complex_numbers(), TEXT, st.binary(max_size=5),
    st.just(b"x" * 2000), st.just(...), st.just(NotImplemented), st.decimals(), st.fractions(), st.uuids(),
    st.dates(), st.timedeltas(),
    st.datetimes(timezones=st.none() | st.just(datetime.UTC)), st.times(), st.sampled_from(list(things.Colour)),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 3)),
    st.builds(slice, st.none() | SMALL, st.none() | SMALL), st.builds(pathlib.PurePosixPath, st.just("a/b")),
    st.sampled_from([torch.float32, torch.int8, torch.strided, torch.channels_last, torch.device("cpu")]),
    st.sampled_from([torch.Size([2]), torch.Size([])]),
    st.sampled_from([things.double, things.Point, len, int, torch.relu, nn.functional.gelu, nn.Linear]),
    st.sampled_from([re.compile("a+"), re.compile(b"b", re.IGNORECASE), np.dtype("f4"), np.float32(0.1), np.str_("s")]),
)  # fmt: skip
HASHABLE = st.recursive(
    st.one_of(st.none(), st.booleans(), SMALL, TEXT, st.binary(max_size=3), st.floats(allow_nan=False)),
    lambda inner: st.lists(inner, max_size=2).map(tuple) | st.frozensets(inner, max_size=2),
    max_leaves=4,
)
DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.complex64, torch.complex128, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16,
    torch.uint64, torch.bool,
]  # fmt: skip


@st.composite
def tensors(draw: Any) -> torch.Tensor:
    """Any dtype, any view of a storage: steps, transposition, broadcasting, overlap, none at all."""
    dtype = draw(st.sampled_from(DTYPES))
    data = draw(st.binary(min_size=64, max_size=64))
    raw = torch.tensor(list(data), dtype=torch.uint8)
    base = (raw % 2).bool() if dtype is torch.bool else raw.view(dtype)
    sizes = draw(st.lists(st.integers(0, 3), max_size=3))
    strides = draw(st.lists(st.integers(0, 2), min_size=len(sizes), max_size=len(sizes)))
    reach = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True) if size)
    offset = draw(st.integers(0, max(0, base.numel() - reach - 1)))
    if reach >= base.numel():
        return base
    view = base.as_strided(sizes, strides, offset)
    if dtype.is_floating_point and dtype.itemsize > 1 and draw(st.booleans()):
        return nn.Parameter(view, requires_grad=draw(st.booleans()))
    return view


@st.composite
def arrays(draw: Any) -> np.ndarray:
    """Any plain dtype and byte order, steps forwards and back."""
    kinds = ["?", "i1", "<i4", ">i8", "<u2", "<f2", "<f8", ">f4", "<c16", "<U3", "S2", "<M8[ns]", "<m8[s]"]
    array = draw(
        hnp.arrays(draw(st.sampled_from(kinds)), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    )
    if array.ndim and draw(st.booleans()):
        array = array[:: draw(st.sampled_from([1, 2, -1]))]
    return array.T if draw(st.booleans()) else array


def build(kind: str, parts: list[Any]) -> Any:
    """An object of this kind that holds the parts."""
    first = parts[0] if parts else None
    if kind == "node":
        made = things.Node()
        made.children = parts
        made.parent = first
        return made
    if kind == "module":
        made = things.Holder()
        for place, part in enumerate(parts):
            _put(made, f"m{place}", part)
        return made.eval() if len(parts) % 2 else made
    if kind == "slotted":
        made = things.Slotted()
        made.shown = parts
        return made
    makers = {
        "list": list, "tuple": tuple, "deque": lambda p: collections.deque(p, maxlen=len(p) + 1),
        "dict": lambda p: {f"k{n}": item for n, item in enumerate(p)}, "numbered": lambda p: dict(enumerate(p)),
        "ordered": lambda p: collections.OrderedDict((f"$k{n}", item) for n, item in enumerate(p)),
        "default": lambda p: collections.defaultdict(list, enumerate(p)), "point": lambda p: things.Point(1, first),
        "pair": lambda p: things.Pair(first, p), "partial": lambda p: functools.partial(things.double, *p[:1], x=p),
        "objects": lambda p: _objects(p),
    }  # fmt: skip
    return makers[kind](parts)


KINDS = [
    "node",
    "module",
    "slotted",
    "list",
    "tuple",
    "deque",
    "dict",
    "numbered",
    "ordered",
    "default",
    "point",
    "pair",
]
KINDS += ["partial", "objects", "module", "module"]


def _objects(parts: list[Any]) -> np.ndarray:
    made = np.empty(len(parts), object)
    for place, part in enumerate(parts):
        made[place] = part
    return made


def _put(module: nn.Module, name: str, part: Any) -> None:
    if type(part) is torch.Tensor and part.is_leaf and part.numel() % 2:
        module.register_buffer(name, part, persistent=part.numel() % 3 == 0)
    else:
        setattr(module, name, part)


class Graph:
    """A generated module. Its repr tells each object once, by number: a cycle ends, and a failure can be read."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __repr__(self) -> str:
        numbers, found, lines = {id(self.model): 0}, [self.model], []

        def told(value: Any) -> str:
            if _parts(value) is None:
                return _brief(value)
            if id(value) not in numbers:
                numbers[id(value)] = len(found)
                found.append(value)
            return f"#{numbers[id(value)]}"

        for value in found:  # which grows meanwhile
            inside = ", ".join(told(name) + ": " + told(part) for name, part in _parts(value))
            lines.append(f"#{numbers[id(value)]} {type(value).__name__}({inside})")
        return "\n".join(lines)


def _parts(value: Any) -> list[tuple[Any, Any]] | None:
    """(name or place, value) of all that an object holds; None where its own repr tells it."""
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list | tuple | set | frozenset | collections.deque) and not isinstance(value, torch.Size):
        return list(enumerate(value))
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return list(enumerate(value.ravel()))
    if isinstance(value, functools.partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if isinstance(value, nn.Module):
        return [(name, part) for name, part in vars(value).items() if not (name[0] == "_" and not part)]
    if isinstance(value, things.Slotted):
        return [("shown", value.shown)]
    if isinstance(value, things.Node | things.Point):
        return list(vars(value).items())
    return None


def _brief(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor({value.dtype}, {tuple(value.shape)}, stride {value.stride()}, grad {value.requires_grad})"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


@st.composite
def graphs(draw: Any) -> Graph:
    """A module over a pool of objects, each made of atoms and earlier ones: sharing, and cycles back to the start."""
    pool: list[Any] = [things.Holder(), things.Node(), []]
    leaves = st.one_of(ATOMS, ATOMS, tensors(), arrays(), st.dictionaries(HASHABLE, ATOMS, max_size=3),
                       st.sets(HASHABLE, max_size=3), st.frozensets(HASHABLE, max_size=3), HASHABLE)  # fmt: skip
    for _ in range(draw(st.integers(1, 8))):
        parts = [
            draw(st.sampled_from(pool)) if draw(st.booleans()) else draw(leaves) for _ in range(draw(st.integers(0, 4)))
        ]
        if draw(st.booleans()):
            pool.append(build(draw(st.sampled_from(KINDS)), parts))
        else:
            pool += parts
    root, node, loop = pool[:3]
    for place, part in enumerate(pool[1:]):
        _put(root, f"p{place}", part)
    if draw(st.booleans()):
        node.parent, node.children = root, list(pool)
        loop.append(loop)
    return Graph(root)


def identity_or_refusal(model: nn.Module) -> str:
    """Save and load; "saved" or "refused". Fails where something else happens."""
    before = snapshot_model(model, own_modules=TRUST)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "artifact")
        try:
            save(model, target)
        except UnsupportedModel as error:
            assert re.match(r"model\S* ", str(error)) and ": " in str(error), f"a refusal without a path: {error}"
            assert "does not come back" not in str(error) and "does not load again" not in str(error), str(error)
            assert not target.exists()
            return "refused"
        differences = compare(before, snapshot_model(load(target, trust=TRUST), own_modules=TRUST))
        assert not differences, "\n".join(f"{d.path}: {d.kind}: {d.message}" for d in differences[:5])
        assert not compare(before, snapshot_model(model, own_modules=TRUST)), "saving changed the model"
        loaded = load(target, trust=TRUST, verify="lazy")
        save(loaded, Path(folder, "again"))
        for name in ("spec.json", "weights.safetensors"):
            assert Path(folder, "again", name).read_bytes() == Path(target, name).read_bytes(), f"{name} changes"
    return "saved"


OUTCOMES: collections.Counter[str] = collections.Counter()
LENGTH: collections.Counter[str] = collections.Counter()


@QUICK
@given(graphs())
def test_save_then_load_is_the_identity_or_a_refusal(graph):
    OUTCOMES[identity_or_refusal(graph.model)] += 1


def test_most_generated_graphs_were_saved():
    """Otherwise the test above would say nothing."""
    if sum(OUTCOMES.values()) < 30:
        pytest.skip("the generated graphs were not run")
    assert OUTCOMES["saved"] > 0.7 * sum(OUTCOMES.values()), OUTCOMES


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@LONG
@given(graphs())
def test_save_then_load_at_length(graph):
    LENGTH[identity_or_refusal(graph.model)] += 1


@pytest.mark.nightly
def test_most_of_the_long_run_was_saved():
    """And so many were tried."""
    if not LENGTH:
        pytest.skip("the long run was not run")
    assert sum(LENGTH.values()) >= LONG.max_examples and LENGTH["saved"] > 0.7 * sum(LENGTH.values()), LENGTH


def test_a_failure_with_cycles_is_told_briefly():
    """By numbers, and whole."""

    @settings(QUICK, phases=[Phase.generate])
    @given(graphs())
    def fails_on_cycles(graph):
        assert graph.model.p0.parent is not graph.model

    with pytest.raises(AssertionError) as caught:
        fails_on_cycles()
    (told,) = [note for note in caught.value.__notes__ if "graph=" in note]
    assert "#0 Holder(" in told and "'parent': #0" in told and len(told) < 20_000
    loop = things.Node()
    loop.parent, loop.children = loop, [loop, (loop,)]
    assert repr(Graph(loop)).splitlines() == [
        "#0 Node('children': #1, 'parent': #0)", "#1 list(0: #0, 1: #2)", "#2 tuple(0: #0)"
    ]  # fmt: skip


@QUICK
@given(st.lists(tensors(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_views_of_one_storage_stay_views_of_one_storage(found, chance):
    base = torch.arange(40.0)
    views = [base[chance.randrange(20) :][:: chance.choice([1, 2])], base.view(5, 8).t()[chance.randrange(4)], base]
    chance.shuffle(views)
    identity_or_refusal(things.Holder(views=views[: chance.choice([1, 2, 3])], others=found))


def test_kinds_are_all_made():
    assert {type(build(kind, [1, 2])).__name__ for kind in KINDS} >= {"Holder", "Node", "Pair", "partial", "ndarray"}
    assert isinstance(things.Colour.RED, enum.Enum) and decimal and fractions and uuid
