"""What a model has in common with its code counts where something writes into it, and is not asked for elsewhere."""

from __future__ import annotations

import textwrap

import pytest

from harness.source import written

MODEL = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.labels = LABELS

    def preprocess(self, x):
        found = []
        for label in LABELS:
            found.append(label)
        return torch.tensor(x[: len(found)])

    def postprocess(self, y):
        return self.labels[0]
"""


def with_method(body: str, labels: str = '["a", "b"]') -> str:
    """The model with one more method, or function after it."""
    return f"LABELS = {labels}\n{MODEL}\n{textwrap.indent(textwrap.dedent(body), ' ' * 4)}"


NOTHING_WRITES = {
    "a list": 'LABELS = ["a", "b"]\n' + MODEL,
    "a dictionary of lists, one of which the model has": """
        TABLES = {"small": ["a", "b"], "large": ["c"]}
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.words = TABLES["small"]
            def preprocess(self, x):
                return len(TABLES["large"])
        """,
    "modules that are compared with the model": with_method("""
        def own(self):
            for one in self.modules():
                if one is self:
                    continue
            return [one for one in self.modules() if one is not self]
        """),
    "members, types and functions that are compared": with_method("""
        def is_plain(self, x):
            kind = Kind(1)
            return kind is Kind.PLAIN or x.dtype is not torch.float32 or self.does is torch.relu or x is Kind.of
        """).replace(
        "LABELS =", "import enum\nclass Kind(enum.Enum):\n    PLAIN = 1\n    def of(self): ...\nLABELS =", 1
    ),
    "a frozen default": """
        @dataclass(frozen=True)
        class Spec:
            sizes: tuple = (1, 2)
        class Model(nn.Module):
            def __init__(self, spec=Spec()):
                super().__init__()
                self.spec = spec
                self.spec_of = {}
                self.spec_of["x"] = 1
        """,
    "a default that is its own attributes": """
        class Settings(dict):
            def __init__(self, entries):
                super().__init__(entries)
                self.__dict__ = self
            def __reduce__(self):
                return Settings, (dict(self),)
        class Model(nn.Module):
            def __init__(self, settings=Settings({"gain": 1.0})):
                super().__init__()
                self.settings = settings
            def preprocess(self, x):
                return self.settings.gain
        """,
    "a default beside one that is written": """
        LABELS = ["a", "b"]
        class Store:
            pass
        class Hook:
            def __init__(self, store, name):
                self.store, self.name = store, name
            def __call__(self, x):
                self.store.calls = x
        class Model(nn.Module):
            def __init__(self, labels=LABELS, watch=("a",)):
                super().__init__()
                self.labels = labels
                self.hooks = [Hook(Store(), name) for name in watch]
        """,
    "an object whose methods only read": """
        class Scaler:
            def __init__(self):
                self.mean = 1.0
            def scale(self, x):
                return x - self.mean
        SCALER = Scaler()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.scaler = SCALER
        """,
    "a list that is filled when the module is imported": 'LABELS = ["a"]\nLABELS.append("b")\n' + MODEL,
    "an object of a library's that is asked": """
        SCALER = StandardScaler()
        SCALER.fit(np.arange(4.0).reshape(2, 2))
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.scaler = SCALER
            def preprocess(self, x):
                return self.scaler.transform(x)
        """,
    "a tensor as a buffer": """
        MEAN = torch.ones(3)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("mean", MEAN)
                self.total = 0
            def preprocess(self, x):
                self.total += 1
                return (x - MEAN) / 2
        """,
    "an array that a library's object has twice": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.curve = interp1d([0.0, 1.0, 2.0], [0.0, 1.0, 4.0])
            def preprocess(self, x):
                y = np.asarray(x)
                y += 1
                return self.curve(y)
        """,
    "an array that two objects of libraries have": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                known = np.arange(4.0)
                self.knn = KNeighborsRegressor(1, algorithm="kd_tree").fit(known[:, None], known)
        """,
    "a view of a tensor": """
        MEAN = torch.ones(3)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.mean = MEAN.view(3, 1)
        """,
    "a table": """
        TABLE = pd.DataFrame({"a": [1.0, 2.0]})
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.table = TABLE
            def preprocess(self, x):
                return self.table["a"].loc[x]
        """,
    "an array": """
        EDGES = np.arange(3)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.edges = EDGES
        """,
}

SOMETHING_WRITES = {
    "through the global": with_method("def add(self, label):\n    LABELS.append(label)"),
    "through the attribute": with_method("def add(self, label):\n    self.labels += [label]"),
    "a key": with_method("def add(self, label):\n    self.labels[len(self.labels)] = label", '{0: "a"}'),
    "a deletion": with_method("def drop(self):\n    del self.labels[1]", '{0: "a"}'),
    "through a variable": with_method("def add(self):\n    x = self.labels\n    x.append('b')"),
    "through two": with_method("def add(self):\n    x = y = LABELS\n    y.sort()"),
    "through a parameter": with_method(
        "def add(self):\n    self.put(self.labels)\ndef put(self, into):\n    into.insert(0, 'b')"
    ),
    "through a constructor's parameter": """
        class Adder:
            def __init__(self, words):
                self.kept = words
            def add(self):
                self.kept.append("c")
        LABELS = ["a"]
        ADDER = Adder(LABELS)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.labels = LABELS
            def preprocess(self, x):
                ADDER.add()
                return len(LABELS)
        """,
    "through a result": with_method(
        "def all(self):\n    return self.labels\ndef add(self):\n    self.all().append('b')"
    ),
    "through a function that writes": with_method("def mix(self):\n    shuffle(self.labels)"),
    "through the base class": with_method("def add(self):\n    list.append(self.labels, 'b')"),
    "by a method that is handed on": with_method("def add(self, more):\n    list(map(self.labels.append, more))"),
    "into the list in a dictionary": """
        TABLES = {"small": ["a", "b"]}
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.words = TABLES["small"]
            def add(self):
                TABLES["small"].append("c")
        """,
    "into each of a loop": """
        TABLES = [["a", "b"]]
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.words = TABLES[0]
            def add(self):
                for table in TABLES:
                    table.append("c")
        """,
    "a dictionary that fills when it is read": """
        SEEN = defaultdict(list)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.seen = SEEN
            def preprocess(self, x):
                return SEEN[x]
        """,
    "an object whose methods write": """
        class Scaler:
            def __init__(self):
                self.mean = 1.0
            def fit(self, x):
                self.mean = x
        SCALER = Scaler()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.scaler = SCALER
        """,
    "an object's field": """
        @dataclass
        class Settings:
            scale: float = 1.0
        SETTINGS = Settings()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.settings = SETTINGS
        def scale(by):
            SETTINGS.scale = by
        """,
    "an object of a library's that is told to fit": """
        SCALER = StandardScaler()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.scaler = SCALER
            def learn(self, x):
                scaler = self.scaler
                scaler.partial_fit(x)
        """,
    "an iterator that is gone through": """
        NUMBERS = iter([1, 2, 3])
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.numbers = NUMBERS
            def preprocess(self, x):
                return [x for _ in self.numbers]
        """,
    "an object whose method calls itself otherwise": """
        class Scaler:
            def fit(this, x):
                this.mean = x
        SCALER = Scaler()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.scaler = SCALER
        """,
    "a count that goes on": """
        NUMBERS = count()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.numbers = NUMBERS
            def preprocess(self, x):
                return next(self.numbers)
        """,
    "a list of a class that writes into itself": """
        class Words(list):
            def learn(self, word):
                self.append(word)
        LABELS = Words(["a"])
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.labels = LABELS
        """,
    "a tensor in place": """
        MEAN = torch.ones(3)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("mean", MEAN)
            def fit(self, x):
                self.mean.lerp_(x, 0.1)
            def preprocess(self, x):
                return x - MEAN
        """,
    "a view of a tensor": """
        MEAN = torch.ones(3)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.mean = MEAN.view(3, 1)
        def fit(x):
            MEAN[:] = x
        """,
    "what a view of it shows": """
        MEAN = torch.ones(3)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.mean = MEAN
            def fit(self, x):
                rows = self.mean.detach().view(3, 1)
                rows += x
        """,
    "cells of a table": """
        TABLE = pd.DataFrame({"a": [1.0, 2.0]})
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.table = TABLE
            def fit(self, x):
                self.table.loc[0, "a"] = x
        """,
    "a table by `inplace`": """
        TABLE = pd.DataFrame({"a": [1.0, 2.0]})
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.table = TABLE
            def fit(self, x):
                self.table.fillna(x, inplace=True)
        """,
    "what is trained": """
        TABLE = nn.Parameter(torch.ones(3))
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.table = TABLE
            def preprocess(self, x):
                return TABLE
        """,
    "an array that a library's object has twice": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.curve = interp1d([0.0, 1.0, 2.0], [0.0, 1.0, 4.0])
            def lift(self, by):
                self.curve.y += by
        """,
    "an array that an object of Python's has twice": """
        from types import SimpleNamespace
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                rates = np.arange(3.0)
                self.rates = SimpleNamespace(all=rates, rest=rates[1:])
        """,
    "an array that the model has, and a library's object": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.curve = interp1d([0.0, 1.0, 2.0], [0.0, 1.0, 4.0])
                self.rates = self.curve.y
        """,
    "an array by `out`": """
        EDGES = np.arange(3.0)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.edges = EDGES
            def fit(self, x):
                np.add(x, 1, out=self.edges)
        """,
    "code that no source shows": with_method("def run(self, text):\n    exec(text)"),
    "asked for": with_method("def is_default(self):\n    return self.labels is LABELS"),
    "asked for, as a class has it": """
        class Defaults:
            LABELS = ["a", "b"]
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.labels = Defaults.LABELS
            def is_default(self):
                return self.labels is Defaults.LABELS
        """,
    "asked for, by an object that is the user's own": """
        class Scale:
            def is_the_same(self, other):
                return other is self
        SCALE = Scale()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = SCALE
            def is_default(self):
                return self.scale.is_the_same(SCALE)
        """,
    "asked for, by a function in a class": with_method(
        "@staticmethod\ndef is_one(one, other):\n    return other is one\n"
        "def is_default(self):\n    return self.is_one(self.labels, LABELS)"
    ),
}


@pytest.mark.parametrize("source", NOTHING_WRITES.values(), ids=NOTHING_WRITES.keys())
def test_what_nothing_writes_may_be_two(parted, source):
    assert parted(source) == []


@pytest.mark.parametrize("source", SOMETHING_WRITES.values(), ids=SOMETHING_WRITES.keys())
def test_what_something_writes_must_be_one(parted, source):
    assert parted(source) != []


def test_what_two_attributes_share_counts_whoever_writes(parted):
    source = """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = self.second = ["a"]
            def __getstate__(self):
                return self.__dict__ | {"second": list(self.second)}
        """
    assert parted(source) == ["model.second"]


def test_names_are_followed_to_what_they_stand_for():
    source = (
        "from settings import WORDS as W\nx = self.table['a'] or W\nwith open(y) as (z, q):\n    lambda: x.append(1)\n"
    )
    assert written.writes((source,)).names >= {"x", "table[]", "W", "WORDS"}
    assert written.writes((source,)).names.isdisjoint({"y", "z", "q"})
