"""What the user's code reads outside the model is compared with a fresh import, whatever holds it."""

import enum
import importlib
import sys
import textwrap

import pytest
import torch

from backends.json_spec import Unsupported, holding, save
from backends.json_spec.reach import reach
from backends.json_spec.sources import Project

SETTINGS = """
SCALE = 1.0
def limit(): return SCALE
class Level: now = 1
def __getattr__(name):
    if name == "LAZY": return limit()
    raise AttributeError(name)
"""

OUTSIDE = """
import abc, collections, contextvars, datetime, decimal, enum, functools, io, re, threading, types
import numpy as np, pandas as pd, torch
from torch import nn
import outside_settings, outside_package

PAIRS, KINDS = {("a", "b"): 1}, {int: 1, str: 2}
SEEN, RECENT = {("a", 1)}, collections.deque([1, 2], maxlen=2)
LONG = list(range(3000))
WIDE = {n: n for n in range(3000)}
DTYPE, RATE, DAY, WORD = torch.float32, decimal.Decimal("1.5"), datetime.date(2020, 1, 1), re.compile("a+")
SPACE, CHAIN, VIEWED = types.SimpleNamespace(gain=1), collections.ChainMap({"a": 1}), {"a": 1}
PROXY, USERS, FACTORY = types.MappingProxyType(VIEWED), collections.UserDict(a=1), collections.defaultdict(int)
VAR, LOCAL = contextvars.ContextVar("var", default=1), threading.local()
ACT, SERIES, MEAN, OBJECTS = torch.relu, pd.Series([1.0, 2.0]), torch.zeros(2), np.array([1, None], dtype=object)
LAYER = nn.Linear(1, 1)
nn.init.zeros_(LAYER.weight), nn.init.zeros_(LAYER.bias)
SCALE, COUNTED = 1.0, collections.Counter("aab")
STREAM = io.BytesIO(b"ab")
SPARSE, ROWS, WAYS = torch.eye(2).to_sparse(), torch.eye(2).to_sparse_csr(), [torch.ones(2, 3), np.ones((2, 3))]

class Abstract(abc.ABC): pass

def power(x, n): return x ** n
SQUARE = functools.partial(power, n=2)

class Box:
    __slots__ = ("__v",)
    def __init__(self, v): self.__v = v
    def get(self): return self.__v
    def put(self, v): self.__v = v
BOX = Box(1)
GET = Box(1).get

class Celsius(float): pass
LIMIT = Celsius(1)
class Conf(dict): pass
CONF = Conf(a=1)
CONF.unit = "m"

class Mode(enum.Enum):
    FAST = 1

class Meta(type):
    limit = 1

@functools.lru_cache
def scaled(x): return x * SCALE

@functools.singledispatch
def kind(x): return "any"
@kind.register
def _(x: int): return "int"

class Part(metaclass=Meta):
    @functools.cached_property
    def factor(self): return scaled(2)
    @functools.singledispatchmethod
    def of(self, x): return "any"
    @property
    def x(self): return 1
    @x.deleter
    def x(self): return BOX
    def reads(self):
        return (PAIRS, KINDS, SEEN, RECENT, LONG, WIDE, DTYPE, RATE, DAY, WORD, SPACE, CHAIN, PROXY, USERS, FACTORY,
                SPARSE, ROWS, WAYS, Abstract, STREAM,
                VAR, LOCAL, ACT, SERIES, MEAN, OBJECTS, LAYER, SQUARE, GET, LIMIT, CONF, Mode.FAST, kind, COUNTED)
    def elsewhere(self):
        from outside_package import late
        settings = outside_settings
        return settings.SCALE, outside_settings.Level, outside_settings.LAZY, outside_package.inner.DEEP, late.LATE
    def by_text(self):
        import importlib
        return importlib.import_module("outside_plugin").PLUGIN
"""

FILES = {
    "outside.py": OUTSIDE,
    "outside_settings.py": SETTINGS,
    "outside_plugin.py": "PLUGIN = 1\n",
    "outside_package/__init__.py": "from . import inner\n",
    "outside_package/inner.py": "DEEP = 1\n",
    "outside_package/late.py": "LATE = 1\n",
}

CHANGES = {
    "tuples as keys": ("o.PAIRS['a', 'b'] = 2", "outside:PAIRS[('a', 'b')]"),
    "classes as keys": ("o.KINDS[int] = 2", "outside:KINDS[builtins:int]"),
    "a set of tuples": ("o.SEEN.add(('b', 2)) or o.SEEN.discard(('a', 1))", "outside:SEEN"),
    "a deque": ("o.RECENT.append(3)", "outside:RECENT[0]"),
    "a long list": ("o.LONG.__setitem__(2500, 0)", "outside:LONG"),
    "a large dict": ("o.WIDE.__setitem__(2500, 0)", "outside:WIDE"),
    "a dtype": ("o.DTYPE = torch.float64", "outside:DTYPE"),
    "a decimal": ("o.RATE = o.decimal.Decimal(2)", "outside:RATE"),
    "a date": ("o.DAY = o.datetime.date(2021, 1, 1)", "outside:DAY"),
    "a regular expression": ("o.WORD = o.re.compile('b')", "outside:WORD.<made of>[0]"),
    "a namespace": ("o.SPACE.gain = 2", "outside:SPACE.gain"),
    "a chain": ("o.CHAIN['a'] = 2", "outside:CHAIN.maps[0]['a']"),
    "behind a view": ("o.VIEWED['a'] = 2", "outside:PROXY['a']"),
    "a UserDict": ("o.USERS['a'] = 2", "outside:USERS.data['a']"),
    "a factory": ("o.FACTORY.default_factory = list", "outside:FACTORY.default_factory"),
    "a context variable": ("o.VAR.set(2)", "outside:VAR.get()"),
    "values of the thread": ("o.LOCAL.gain = 2", "outside:LOCAL.gain"),
    "a function of torch": ("o.ACT = torch.sigmoid", "outside:ACT.<made of>[1]"),
    "a series": ("o.SERIES[0] = 5", "outside:SERIES"),
    "an attribute of a tensor": ("o.MEAN.unit = 'm'", "outside:MEAN.unit"),
    "requires_grad": ("o.MEAN.requires_grad_()", "outside:MEAN"),
    "an array of objects": ("o.OBJECTS[1] = 2", "outside:OBJECTS.flat[1]"),
    "a layer": ("torch.nn.init.ones_(o.LAYER.weight)", "outside:LAYER._parameters['weight']"),
    "a partial": ("o.SQUARE.keywords['n'] = 3", "outside:SQUARE.keywords['n']"),
    "a slot": ("o.BOX.put(2)", "outside:BOX._Box__v"),
    "behind a bound method": ("o.GET.__self__.put(2)", "outside:GET.<made of>[0]._Box__v"),
    "a number of its own class": ("o.LIMIT = o.Celsius(2)", "outside:LIMIT"),
    "an attribute of a dict": ("o.CONF.unit = 'km'", "outside:CONF.unit"),
    "an attribute of a Counter": ("o.COUNTED.unit = 'km'", "outside:COUNTED.unit"),
    "an attribute of a member": ("o.Mode.FAST.gain = 2", "outside:Mode.FAST.gain"),
    "a stream": ("o.STREAM.read(1)", "outside:STREAM.<state>[1]"),
    "a sparse tensor": ("o.SPARSE._values().mul_(2)", "outside:SPARSE._values()"),
    "a compressed tensor": ("o.ROWS.values().mul_(2)", "outside:ROWS.values()"),
    "the order in memory": ("o.WAYS[0] = torch.ones(3, 2).t()", "outside:WAYS[0]"),
    "that of an array": ("o.WAYS[1] = o.np.ones((3, 2)).T", "outside:WAYS[1]"),
    "a registered class": ("o.Abstract.register(o.Part)", "outside:Abstract"),
    "a metaclass": ("o.Meta.limit = 2", "outside:Meta.limit"),
    "behind lru_cache": ("o.SCALE = 2.0", "outside:SCALE"),
    "a replaced case": ("o.kind.register(int, len)", "outside:kind"),
    "a case of a method": ("vars(o.Part)['of'].register(int, len)", "outside:Part.of"),
    "another module's global": ("o.outside_settings.SCALE = 2.0", "outside_settings:SCALE"),
    "another module's class": ("o.outside_settings.Level.now = 2", "outside_settings:Level.now"),
    "a module in a package": ("o.outside_package.inner.DEEP = 2", "outside_package.inner:DEEP"),
    "a module that a function imports": ("import_module('outside_package.late').LATE = 2", "outside_package.late:LATE"),
    "a module imported by a text": ("import_module('outside_plugin').PLUGIN = 2", "outside_plugin:PLUGIN"),
}


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A project of a few modules, imported anew."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("outside")
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("outside")]:
        del sys.modules[name]


def _described():
    names = [name for name in sys.modules if name.startswith("outside")]
    return reach(["outside:Part"], Project(["outside"]), {}, imported_before=names).found


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen_whatever_holds_what_changed(outside, what):
    change, path = CHANGES[what]
    for name in ("outside_package.late", "outside_plugin"):
        importlib.import_module(name)
    before = _described()
    assert _described() == before
    exec(change, {"o": outside, "torch": torch, "import_module": importlib.import_module})
    after = _described()
    changed = [one for one in after if after[one] != before.get(one)]
    assert any(one == path or one.startswith((f"{path}.", f"{path}[")) for one in changed), changed


@pytest.mark.parametrize("change", ["", "import_module('outside_package.late').LATE = 2"])
def test_a_module_that_only_a_function_imports_is_compared(outside, tmp_path, change):
    """In a copy of the process, which imports it where the process had it imported."""
    importlib.import_module("outside_package.late")
    exec(change, {"import_module": importlib.import_module})
    if not change:
        save(outside.Part(), tmp_path / "a")
        return
    with pytest.raises(Unsupported, match=r"outside_package\.late:LATE was changed .* it is 2, an import gives 1"):
        save(outside.Part(), tmp_path / "a")


def test_a_dict_of_attributes_that_was_only_looked_for_is_no_change(outside):
    before = _described()
    assert vars(outside.SQUARE) == {} and vars(outside.STREAM) == {} and _described() == before


def test_what_python_notes_on_a_member_is_no_change(outside):
    outside.Part.flags = enum.Flag("Flags", "A B", module="outside")
    before = _described()
    assert ~outside.Part.flags.A is outside.Part.flags.B and _described() == before


def test_what_is_at_work_is_told_by_its_kind():
    """A pool of threads counts how many there were in the process, and a lock cannot be copied."""
    from concurrent.futures import ThreadPoolExecutor

    for thing in (ThreadPoolExecutor(1), __import__("queue").Queue(), __import__("threading").Lock()):
        assert holding.held(thing, False) == ("", {}), thing


def test_of_the_users_objects_no_method_runs():
    class Odd(dict):
        def __getattribute__(self, name):
            raise AssertionError(name)

        def items(self):
            raise AssertionError

        def __reduce_ex__(self, version):
            raise AssertionError

    odd = Odd(a=1)
    object.__setattr__(odd, "unit", "m")
    assert holding.held(odd, True) == (" with ['a'] of 1", {"['a']": 1, ".unit": "m"})


def test_an_operator_that_another_took_the_place_of_is_as_it_was():
    """Each save with carried source runs that, which registers the operator anew."""

    def once(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    operator = torch.library.custom_op("outside_tests::once", once, mutates_args=())
    again = torch.library.custom_op("outside_tests::once", once, mutates_args=())
    assert operator._lib.m is None and again._lib.m is not None
    assert holding.held(operator, False) == holding.held(again, False) == ("", {})
