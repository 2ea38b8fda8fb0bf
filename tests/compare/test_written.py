"""How writes are followed to what they write into: through aliases, calls, containers, objects, and no further."""

from __future__ import annotations

import textwrap

import pytest

from tests.compare.test_shared import MODEL, with_method


def method(body: str, before: str = "", labels: str = '["a", "b"]') -> str:
    """The model that shares `LABELS`, with more code before it and in it."""
    return textwrap.dedent(before) + with_method(body, labels)


def tensor(body: str, before: str = "", more: str = "pass") -> str:
    """A model whose buffer is a global too."""
    return f"""
MEAN = torch.ones(3)
{textwrap.dedent(before)}
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", MEAN)
        {more}
    def preprocess(self, x):
        return x - MEAN
{textwrap.indent(textwrap.dedent(body), " " * 4)}
"""


ADD = "def add(into, word):\n    into.append(word)\n"
WRITTEN = {
    "a function by another name": method(
        "def f(self):\n    push(self.labels, 1)", "from heapq import heappush as push\n"
    ),
    "a partial": method("def f(self):\n    partial(list.append, self.labels)(1)", "from functools import partial\n"),
    "a method kept at import": method("def f(self):\n    NOTE(1)") + "\nNOTE = LABELS.append\n",
    "a name that is a text": method("def f(self):\n    getattr(self, 'labels').append(1)"),
    "a name that is put together": method("def f(self, kind):\n    getattr(self, f'{kind}s').append(1)"),
    "attributes by their dictionary": method("def f(self):\n    vars(self)['labels'].append(1)"),
    "what a pattern captures": method(
        "def f(self):\n    match self:\n        case Model(labels=found):\n            found.sort()"
    ),
    "what is in a copy": method("def f(self):\n    for one in list([self.labels]):\n        one.append(1)"),
    "what was put into a variable": method("def f(self):\n    x = {}\n    x['a'] = self.labels\n    x['a'].append(1)"),
    "a helper that is handed on": method("def f(self):\n    list(map(add, [self.labels], 'x'))", ADD),
    "a helper from a register": method(
        "def f(self):\n    CALLS['add'](self.labels, 1)", ADD + "CALLS = {'add': add}\n"
    ),
    "an object that is called": method(
        "def f(self):\n    NOTE(self.labels)",
        "class Note:\n    def __call__(self, x):\n        x.append(1)\nNOTE = Note()\n",
    ),
    "a constructor of the base": method(
        "def f(self):\n    Second(self.labels).add()",
        """
        class First:
            def __init__(self, kept):
                self.kept = kept
            def add(self):
                self.kept.append(1)
        class Second(First):
            pass
        """,
    ),
    "fields of a dataclass": method(
        "def f(self):\n    Store(self.labels).add()",
        "@dataclass\nclass Store:\n    kept: list\n    def add(self):\n        self.kept.append(1)\n",
    ),
    "fields of a named tuple": method(
        "def f(self):\n    Pair(self.labels, 1).words.append(1)",
        "from collections import namedtuple\nPair = namedtuple('Pair', 'words count')\n",
    ),
    "a wrapper": method(
        "@noting\ndef f(self):\n    pass",
        """
        def noting(f):
            def inner(self):
                self.labels.append(1)
                return f(self)
            return inner
        """,
    ),
    "a context of the user's": method(
        "def f(self):\n    with Open(self.labels) as x:\n        x.append(1)",
        """
        class Open:
            def __init__(self, what):
                self.what = what
            def __enter__(self):
                return self.what
            def __exit__(self, *error):
                pass
        """,
    ),
    "a module that is imported later": method(
        "def f(self):\n    import later_of_shared\n    later_of_shared.add(self.labels)"
    ),
    "an object by a helper": """
        class Settings:
            def step(self):
                step(self)
        def step(settings):
            settings.count = 1
        SETTINGS = Settings()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.settings = SETTINGS
        """,
    "an object that is compared": """
        class Token:
            pass
        PAD = Token()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.pad = PAD
            def preprocess(self, x):
                return x == PAD
        """,
    "a dictionary behind a chain": """
        from collections import ChainMap
        DEFAULTS = {"a": 1}
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.config = ChainMap(DEFAULTS, {})
            def preprocess(self, x):
                self.config["b"] = x
        """,
    "a step of a pipeline": """
        from sklearn.pipeline import Pipeline
        SCALER = StandardScaler()
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.pipe = Pipeline([("scale", SCALER)])
            def learn(self, x):
                self.pipe.fit(x)
        """,
    "a default that is given by name alone": """
        def note(x, *, seen=[]):
            seen.append(x)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.seen = note.__kwdefaults__["seen"]
            def preprocess(self, x):
                note(x)
        """,
    "all buffers": tensor("def f(self):\n    for one in self.buffers():\n        one.zero_()"),
    "the weights that are loaded": tensor("def f(self, weights):\n    self.load_state_dict(weights)"),
    "a tensor where it is already": tensor("def f(self, x):\n    mean = self.mean.to(x.device)\n    mean += x"),
    "a submodule's argument": tensor(
        "def f(self):\n    self.half(self.mean)",
        "class Half(nn.Module):\n    def forward(self, x):\n        x *= 0.5\n        return x\n",
        "self.half = Half()",
    ),
    "statistics of a library's module": tensor("", more="self.norm = nn.BatchNorm1d(3); self.norm.running_mean = MEAN"),
    "several tensors at once": tensor("def f(self):\n    torch._foreach_mul_([self.mean], 0.5)"),
    "a result that is given by its place": """
        EDGES = np.arange(3.0)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.edges = EDGES
            def fit(self, x):
                np.add(x, 1, self.edges)
        """,
}

NOT_WRITTEN = {
    "a variable of the same name": method("def f(self):\n    labels = []\n    labels.append(1)"),
    "a parameter of the same name": method(
        "def f(self, labels=None):\n    labels = labels or []\n    labels.append(1)"
    ),
    "another class's attribute": method(
        "def f(self):\n    return Words()",
        """
        class Words:
            def __init__(self):
                self.labels = []
            def add(self, x):
                self.labels.append(x)
        """,
    ),
    "a copy": method("def f(self):\n    found = list(self.labels)\n    found[0] += 'x'\n    found.append('y')"),
    "a sum": method("def f(self):\n    found = self.labels + ['x']\n    found[0] += 'x'\n    found.append('y')"),
    "numbers for each": method("def f(self):\n    found = [0] * len(LABELS)\n    found[0] += 1"),
    "a tensor of it": method(
        "def f(self):\n    x = torch.tensor(self.labels)\n    x.add_(1)\n    x[0] = 2", labels="[1.0]"
    ),
    "what is only shown": method(
        "def f(self):\n    print(self.labels)\n    rows = []\n    rows.append(LABELS)\n    return rows"
    ),
    "what a constructor makes": """
        class Words:
            def __init__(self, words):
                self.index = {}
                for word in words:
                    self.index[word] = len(self.index)
        WORDS = Words("ab")
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.words = WORDS
        """,
    "a register of what is imported": """
        STEPS = {}
        def register(name):
            def keep(function):
                STEPS[name] = function
                return function
            return keep
        @register("half")
        def half(x):
            return x / 2
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.steps = STEPS
        """,
    "what a module is made with": """
        SIZES = [2, 3]
        class Block(nn.Module):
            def __init__(self, sizes):
                super().__init__()
                self.sizes = sizes
            def forward(self, x):
                x += 1
                return x
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.block = Block(SIZES)
        """,
    "a lambda that gives a lambda": "plus = lambda n: (lambda x: x + n)\n"
    + method("def f(self, x):\n    return plus(1)(x)"),
    "tensors that are computed": tensor(
        "def f(self, x):\n    y = x - self.mean\n    y[0] += 1\n    y.clamp_(0)\n    return y"
    ),
    "what a library's object tells": """
        SCALER = StandardScaler()
        SCALER.fit(np.arange(4.0).reshape(2, 2))
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.scaler = SCALER
            def preprocess(self, x):
                rows = self.scaler.transform(x).tolist()
                rows.append(self.scaler.mean_.tolist())
                return rows
        """,
}


@pytest.mark.parametrize("source", WRITTEN.values(), ids=WRITTEN.keys())
def test_what_is_written(parted, source, tmp_path):
    (tmp_path / "later_of_shared.py").write_text("def add(labels):\n    labels.append(1)\n")
    assert parted(source, ["later_of_shared"]) != []


@pytest.mark.parametrize("source", NOT_WRITTEN.values(), ids=NOT_WRITTEN.keys())
def test_what_is_not(parted, source):
    assert parted(source) == []


def test_a_package_may_have_an_empty_file(parted, tmp_path):
    package = tmp_path / "package_of_shared"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "labels.py").write_text('LABELS = ["a"]\n')
    assert parted("from package_of_shared.labels import LABELS\n" + MODEL, ["package_of_shared"]) == []
