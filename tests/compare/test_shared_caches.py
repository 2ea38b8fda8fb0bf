"""What the model has and a function's cache would give again is one object, where something writes into it."""

from __future__ import annotations

import textwrap

import pytest

MODEL = """
@cache
def vocabulary():
    return VALUE

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.vocab = GIVEN

    def preprocess(self, x):
        return self.vocab
"""


def with_method(body: str, value: str = '{"a": 1}', given: str = "vocabulary()") -> str:
    """The model with one more method, or function after it."""
    model = MODEL.replace("VALUE", value).replace("GIVEN", given)
    return f"{model}\n{textwrap.indent(textwrap.dedent(body), ' ' * 4)}"


NOTHING_WRITES = {
    "a dictionary": with_method("def find(self, word):\n    return vocabulary()[word]"),
    "something else that the function gives": with_method("def note(self):\n    self.notes[1] = len(vocabulary())"),
    "a copy of it": with_method("def grow(self, word):\n    vocab = dict(vocabulary())\n    vocab[word] = 1"),
    "a module beside one whose weights are written": with_method(
        "def start(self):\n    nn.init.ones_(self.head.weight)\n    self.head.bias.data.zero_()", "nn.BatchNorm1d(2)"
    ),
    "a module": with_method("def layer(self):\n    return vocabulary().weight", "nn.BatchNorm1d(2)"),
}
SOMETHING_WRITES = {
    "through the function": with_method("def grow(self, word):\n    vocabulary()[word] = 1"),
    "through the attribute": with_method("def grow(self, word):\n    self.vocab[word] = 1"),
    "through a variable": with_method("def grow(self, word):\n    vocab = vocabulary()\n    vocab.setdefault(word, 1)"),
    "into a part": with_method("def grow(self, word):\n    vocabulary()['words'].append(word)", '{"words": []}'),
    "into the part that the model has": with_method(
        "def grow(self, word):\n    vocabulary()['words'].append(word)", '{"words": []}', 'vocabulary()["words"]'
    ),
    "into one of several": with_method(
        "def grow(self, word):\n    words, _ = vocabulary()\n    words.append(word)", "[], {}", "vocabulary()[0]"
    ),
    "into a module": "class Vocab(nn.Module):\n    n = 0\n    def forward(self):\n        self.n += 1\n"
    + with_method("", "Vocab()"),
    "into an object": "class Vocab:\n    n = 0\n    def grow(self):\n        self.n += 1\n"
    + with_method("", "Vocab()"),
    "by a method that remembers": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.vocab = self.known()
            @staticmethod
            @cache
            def known():
                return {}
            def grow(self, word):
                self.known()[word] = 1
        """,
}


@pytest.mark.parametrize("source", NOTHING_WRITES.values(), ids=NOTHING_WRITES.keys())
def test_what_nothing_writes_may_be_two(parted, source):
    assert parted(source) == []


@pytest.mark.parametrize("source", SOMETHING_WRITES.values(), ids=SOMETHING_WRITES.keys())
def test_what_something_writes_must_be_one(parted, source):
    assert parted(source) != []


def test_what_else_the_cache_of_the_copy_remembers_is_no_matter(parted):
    source = """
        @cache
        def words(kind):
            return [kind]
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.words = words("small")
            def __setstate__(self, state):
                self.__dict__.update(state)
                words.cache_clear()
                self.more = words("large"), words("large")
                self.words = words("small")
                del self.more
            def grow(self):
                self.words.append(1)
        """
    assert parted(source) == []
