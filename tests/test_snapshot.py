"""A snapshot is plain data that any Python can read, it changes nothing, and it is the same each time."""

from __future__ import annotations

import pickle
import pickletools
import subprocess
import sys

import numpy as np
import torch
from torch import nn

from harness.compare import compare
from harness.snapshot.builder import ATOMS, snapshot_model, snapshot_value
from tests import programs


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.LSTM(2, 2)
        self.names = {(1, "a"): {3, 4}, "f": lambda x: x + self.layer.hidden_size}
        self.array = np.arange(3)
        self.loop = [self]


def plain(value) -> bool:
    if isinstance(value, dict):
        return type(value) is dict and all(plain(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(plain, value))
    return type(value) in ATOMS


def test_it_is_made_of_builtins_and_its_pickle_names_no_module():
    snapshot = snapshot_model(Holder(), own_modules=(__name__,))
    assert plain(snapshot)
    opcodes = {opcode.name for opcode, _, _ in pickletools.genops(pickle.dumps(snapshot))}
    assert not opcodes & {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ"}


def test_comparing_needs_neither_torch_nor_pandas():
    code = "import sys, harness.compare; assert not {'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_does_not_change_the_model():
    model = Holder()
    before = pickle.dumps([list(vars(model)), model.state_dict(), model.layer.training])
    first = snapshot_model(model, own_modules=(__name__,))
    assert pickle.dumps([list(vars(model)), model.state_dict(), model.layer.training]) == before
    assert compare(first, snapshot_model(model, own_modules=(__name__,))) == []


def test_sets_compare_alike_under_any_hash_seed(tmp_path):
    code = (
        "import pickle, sys; from harness.snapshot.builder import snapshot_value;"
        "words = [f'w{n}' for n in range(50)];"
        "triples = {frozenset({(word, 1), (word, 2), (word, 3)}) for word in words};"
        "value = [set(words), {(word, 1) for word in words}, triples];"
        "open(sys.argv[1], 'wb').write(pickle.dumps(snapshot_value(value)))"
    )
    found = []
    for another in (False, True):
        path = tmp_path / str(another)
        programs.run(code, str(path), folder=tmp_path, another_hash_seed=another)
        found.append(pickle.loads(path.read_bytes()))
    assert compare(*found) == []


def test_a_part_that_raises_is_a_result():
    class Angry:
        @property
        def __dict__(self):
            raise OSError("no")

    assert snapshot_value([Angry()])["nodes"]


def test_what_was_changed_where_no_name_leads():
    """Attributes of an enumeration's members, and classes that an abstract one was told of."""
    import abc
    import enum

    class Color(enum.Enum):
        RED = 1

    class Shape(abc.ABC):  # noqa: B024  nothing abstract is needed
        pass

    class Square:
        pass

    def own(value) -> dict:
        return snapshot_value(value, own_modules=(__name__.partition(".")[0],))

    before = [own(value) for value in (Color, Color.RED, Shape)]
    assert not any(map(compare, before, [own(value) for value in (Color, Color.RED, Shape)]))
    Color.RED.weight = 3
    Shape.register(Square)
    after = [own(value) for value in (Color, Color.RED, Shape)]
    assert all(map(compare, before, after))
