"""Functions, closures and classes of the user's: what differs is seen, what was merely moved is not."""

from __future__ import annotations

import abc
import collections
import contextlib
import dataclasses
import enum
import functools
import io
import sys
import types

import numpy as np
import pytest
from compare_things import Plain, differences, f_names, f_scale, f_small, seen, transported

from harness.compare import compare
from harness.snapshot.builder import snapshot_model, snapshot_value

OWN = [__name__.partition(".")[0]]


def counter(shared_cell: bool):
    count, other = 0, 0

    def add():
        nonlocal count
        count += 1

    def read():
        return count

    if not shared_cell:  # as some formats restore it: each function with a cell of its own
        read = types.FunctionType(read.__code__, read.__globals__, "read", None, (types.CellType(other),))
        read.__qualname__ = "counter.<locals>.read"
    return [add, read]


def test_closures():
    assert seen(counter(True), counter(True)) == []
    advanced = counter(True)
    advanced[0]()
    assert seen(counter(True), advanced) == [("x[0].<closure>.count", "value")]
    assert seen(counter(True), counter(False)) == [("x[1].<closure>.count", "identity")]


def test_a_recursive_closure():
    def make():
        def factorial(n):
            return 1 if n < 2 else n * factorial(n - 1)

        return factorial

    assert seen(make(), make()) == []


def test_a_name_that_a_function_would_miss():
    def uses():
        return np.zeros(1), len("x"), missing_everywhere  # noqa: F821

    def without(**names):
        return types.FunctionType(uses.__code__, {"__name__": __name__, **names}, "uses", None, uses.__closure__)

    before, after = without(np=np), without()
    for function in (before, after):
        function.__qualname__ = "uses"
    (found,) = differences(before, after)
    assert (found.path, found.kind) == ("x", "globals")
    assert "'np'" in found.message


def test_a_librarys_wrapper_is_its_own_affair_whatever_its_globals():
    @contextlib.contextmanager
    def scaled():
        yield 1

    copy = types.FunctionType(
        scaled.__code__, {**scaled.__globals__, "__name__": __name__}, "scaled", None, scaled.__closure__
    )
    copy.__module__, copy.__qualname__ = scaled.__module__, scaled.__qualname__
    vars(copy).update(vars(scaled))
    assert compare(made(scaled), made(copy)) == []


def test_code_across_python_versions_is_compared_by_what_they_share():
    def other_bytecode(value):
        return transported(value) | {"bytecode": "another"}

    def answer(text):
        names = {"__name__": __name__}
        exec(f"def answer(x):\n    return {text}", names)
        return names["answer"]

    for before, after in ((f_small(0), f_small(1)), (f_scale(0), f_scale(1)), (f_names(0), f_names(1))):
        assert [difference.kind for difference in compare(transported(before), other_bytecode(after))] == ["code"]
    before = transported(answer("x.mean - 7 if x > 3 else 'no'"))
    others = {"x.mean - 7 if x >= 3 else 'no'": "operators", "x.mean - 8 if x > 3 else 'no'": "integers",
              "x.mean + 7 if x > 3 else 'no'": "operators", "x.mean - 7 if x > 3 else 'yes'": "texts",
              "x.mean - 7 if x in 3 else 'no'": "operators", "-x.mean - 7 if x > 3 else 'no'": "operators"}  # fmt: skip
    for text, part in others.items():
        (found,) = compare(before, other_bytecode(answer(text)))
        assert found.message.startswith(f"{part}: was "), text
    in_another_order = answer("'no' if x > 3 else x.mean - 7")
    assert compare(before, other_bytecode(in_another_order)) == []
    assert compare(transported(answer("x * 2 + 2.0")), other_bytecode(answer("x * 2.0 + 2"))) == []  # 2 == 2.0


def class_of(**body):
    """A class as the user's module would hold it, made anew."""
    cls = type("Mine", (Plain,), body)
    cls.__module__ = __name__
    return cls


def test_classes_of_the_users():
    def method(self):
        return 1

    assert seen(class_of(scale=1)(), class_of(scale=1)()) == []
    assert seen(class_of(scale=1)(), class_of(scale=2)()) == [("x.__class__.scale", "value")]
    assert seen(class_of(call=method)(), class_of()()) == [("x.__class__.call", "missing")]
    assert seen(class_of(call=f_small(0))(), class_of(call=f_small(1))()) == [
        ("x.__class__.call", "code"),
    ]
    one, twin = class_of(), class_of()
    assert seen([one(), one()], [one(), twin()]) == [("x[1].__class__", "identity")]


def test_a_renamed_or_moved_class_is_still_the_users():
    def made_in(module):
        cls = class_of()
        cls.__module__ = module
        return cls()

    def snapshot(value, *own):
        return snapshot_value(value, own_modules=own)

    first = snapshot(made_in("project.layers"), "project")
    assert compare(first, snapshot(made_in("renamed.layers"), "renamed")) == []
    assert compare(first, snapshot(made_in("__main__"))) == []
    assert compare(first, snapshot(made_in("<torch_package_0>.project.layers"), "project")) == []
    assert [found.kind for found in compare(first, snapshot(made_in("projector.layers"), "project"))] == ["type"]


# --- what a class has beside its attributes, in a model's state


def made(cls):
    return snapshot_model(cls, own_modules=OWN)


def kinds(before, after):
    return [(difference.path, difference.kind) for difference in compare(before, after)]


OTHERS: set = set()


class Level(enum.Enum):
    LOW = 1

    @classmethod
    def _missing_(cls, value):
        return cls.LOW if value in OTHERS else None


def test_an_enumerations_own_methods(monkeypatch):
    before = made(Level)
    monkeypatch.setattr(sys.modules[__name__], "OTHERS", {"other"})
    assert kinds(before, made(Level)) == [("model._missing_.__func__.__globals__['OTHERS']", "extra")]


@dataclasses.dataclass
class Setting:
    width: int = 1


def test_the_fields_that_a_dataclass_finds(monkeypatch):
    """A copy by value may have fields that `dataclasses.fields` does not take for some."""
    before = made(Setting)
    monkeypatch.setattr(Setting.__dataclass_fields__["width"], "_field_type", "another mark")
    assert kinds(before, made(Setting)) == [("model", "fields")]


def test_a_method_of_a_dataclass_that_text_made(monkeypatch):
    before = made(Setting)
    namespace = {"__name__": __name__}
    exec("def doubled(self): return 2 * self.width", namespace)
    monkeypatch.setattr(Setting, "doubled", namespace["doubled"], raising=False)
    assert kinds(before, made(Setting)) == [("model.doubled", "extra")]


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


def test_what_is_abstract(monkeypatch):
    before = made(Shape)
    monkeypatch.setattr(Shape, "__abstractmethods__", frozenset())
    assert kinds(before, made(Shape)) == [("model", "abstract")]


def test_a_cell_that_nobody_rebinds_is_no_variable():
    def made(share):
        def pair(value):
            return (lambda: value), (lambda: value + 1)

        return pair(3) if share else (pair(3)[0], pair(3)[1])

    described = [snapshot_model(made(share), own_modules=OWN) for share in (True, False)]
    assert compare(*described) == []

    def counting(share):
        def pair(value):
            def count():
                nonlocal value
                value += 1

            return (lambda: value), count

        return pair(3) if share else (pair(3)[0], pair(3)[1])

    described = [snapshot_model(counting(share), own_modules=OWN) for share in (True, False)]
    assert [difference.kind for difference in compare(*described)] == ["identity"]


LIBRARY_CLASSES = """
import attrs
import pydantic

class Config(pydantic.BaseModel):
    threshold: float = 0.5
    _calls: int = pydantic.PrivateAttr(default=0)

    @pydantic.field_validator("threshold")
    @classmethod
    def check(cls, value):
        return value

@attrs.frozen
class Labels:
    names: tuple = ()

def make():
    config = Config()
    config._calls += 1
    return [config, Labels(("a", "b"))]
"""


def test_classes_that_a_library_makes_or_writes_methods_of():
    """What pydantic notes of a class has addresses in it, what attrs writes has hashes: of two imports, two."""
    pytest.importorskip("pydantic")
    pytest.importorskip("attrs")
    described = []
    for salt in ("", "\n# of another text"):
        module = types.ModuleType("library_classes")
        sys.modules[module.__name__] = module
        exec(LIBRARY_CLASSES + salt, vars(module))
        made = module.make()
        hash_ = module.Labels.__hash__
        constants = tuple(5 if type(one) is int and one > 1000 else one for one in hash_.__code__.co_consts)
        hash_.__code__ = hash_.__code__.replace(co_consts=constants) if salt else hash_.__code__
        described.append(snapshot_model(made, own_modules=["library_classes"]))
    assert compare(*described) == []
    made[0].threshold = 0.75
    changed = snapshot_model(made, own_modules=["library_classes"])
    assert [difference.kind for difference in compare(described[1], changed)] == ["value", "extra"]


class Watched(property):
    """One that counts."""


class Labelled(functools.partial):
    __slots__ = ("label",)


class Source(io.RawIOBase):
    def __init__(self, name):
        self.source = name


def cached(note):
    @functools.lru_cache
    def called(x):
        return x

    called.__module__, called.note = __name__, note
    return called


@pytest.mark.parametrize("make", [
    lambda note: Watched(differences), lambda note: staticmethod(len), lambda note: classmethod(len),
    lambda note: Labelled(len), lambda note: Source("a"), cached,
])  # fmt: skip
def test_what_was_set_on_what_stands_for_code(make):
    def described(note):
        value = make(note)
        name = {Labelled: "label", Source: "source"}.get(type(value), "note")
        setattr(value, name, note)
        return snapshot_model([value], own_modules=OWN)

    assert compare(described(1), described(1)) == []
    (difference,) = compare(described(1), described(2))
    assert difference.path in ("model[0].note", "model[0].label", "model[0].source")


def test_what_a_function_and_a_class_say_that_they_are_called():
    """By `__name__`, which code may show, while they are found by `__qualname__`."""

    def made():
        def scale(x):
            return x

        class Part:
            pass

        return scale, Part

    for one, other in zip(made(), made(), strict=True):
        assert seen(one, other) == []
        one.__name__ = "another"
        assert seen(one, other) == [("x", "name")]


def test_which_attributes_a_class_gives_to_patterns():
    def made(*names):
        part = type("Part", (), {"__module__": __name__})
        part.__match_args__ = names
        return part

    snapshots = [snapshot_model(made(name), own_modules=OWN) for name in ("x", "x", "y")]
    assert compare(snapshots[0], snapshots[1]) == []
    assert [one.path for one in compare(snapshots[0], snapshots[2])] == ["model.__match_args__[0]"]


def defaults_of(made, method, *values):
    """A class whose method, which a library wrote, has these defaults."""
    getattr(made, method).__defaults__ = values
    return made


def test_defaults_that_were_set_on_a_method_that_a_library_wrote():
    def record():
        return dataclasses.make_dataclass("Record", ["x", ("y", int, 1)], namespace={"__module__": __name__})

    def point():
        return collections.namedtuple("Point", "x y", module=__name__)

    for make, method in ((record, "__init__"), (point, "__new__")):
        before, again = (snapshot_model(defaults_of(make(), method, 3), own_modules=OWN) for _ in range(2))
        assert compare(before, again) == []
        after = snapshot_model(defaults_of(make(), method, 4), own_modules=OWN)
        assert [one.path for one in compare(before, after)] == [f"model.{method}.__defaults__[0]"]


def test_the_order_of_members():
    first, same, other = (
        snapshot_model(enum.Enum("Level", names, module=__name__), own_modules=OWN)
        for names in ({"LOW": 1, "HIGH": 2}, {"LOW": 1, "HIGH": 2}, {"HIGH": 2, "LOW": 1})
    )
    assert compare(first, same) == []
    assert [(one.path, one.kind) for one in compare(first, other)] == [("model", "members")]
