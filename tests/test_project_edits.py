"""What each edit makes of a project: it runs as before, but for what the edit is there for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.project import edits
from harness.snapshot.describe_code import code_facts
from tests.programs import project


def run(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_rename_follows_every_form_of_import(tmp_path):
    project(
        tmp_path,
        net="A = 1\n",
        pkg__in____init__="",
        pkg__in__parts="B = 2\nfrom . import more\n",
        pkg__in__more="C = 3\n",
        user="# kept\nimport net, math; import pkg.parts\nimport net as n\nfrom net import A as a\n"
        "from pkg.parts import (\n    B,\n)\nimport pkg.more as m\n"
        "ü = 'ü'; import net\ndef f():\n    from net import A\n"
        "    return [net.A, n.A, a, B, pkg.parts.B, m.C, A, math.pi > 3]\n",
    )
    assert set(edits.rename(tmp_path, ("net", "pkg"))) == {"net_renamed", "pkg_renamed"}
    assert run(tmp_path, "import user; print(user.f())") == "[1, 1, 1, 2, 2, 3, 1, True]"
    assert "# kept" in (tmp_path / "user.py").read_text()
    assert not (tmp_path / "net.py").exists()
    assert not (tmp_path / "pkg").exists()


def test_an_edit_marks_every_function_and_changes_no_answer(tmp_path):
    text = '''"""Doc."""
from __future__ import annotations
twice = lambda x, *rest: x * 2
def f(x):
    """Doc of f."""
    def g():
        yield from [twice(x), (lambda: 3)()]
    return list(g())
class C:
    square = lambda self, x: x * x
    @property
    def p(self): return [y for y in f(1)]
    @staticmethod
    def s(x: int = (lambda: 4)()) -> int: return x
'''
    project(tmp_path, m=text)
    call = "import m; print(m.f(5), m.C().square(3), m.C().p, m.C.s(), m.f.__doc__, m.__doc__)"
    before = run(tmp_path, call)
    names = edits.edit(tmp_path)
    assert run(tmp_path, call) == before == "[10, 3] 9 [2, 3] 4 Doc of f. Doc."
    assert set(names) == {
        "<lambda>", "f", "f.<locals>.g", "f.<locals>.g.<locals>.<lambda>", "C.<lambda>", "C.p", "C.s"
    }  # fmt: skip


def test_a_lambda_in_what_a_comprehension_goes_over(tmp_path):
    """Python allows no assignment expression there, in a lambda neither."""
    source = """
names = [name for name in sorted(["bb", "a"], key=lambda name: (lambda: len(name))()) if (lambda: name)()]
pairs = {n: m for n in (1, 2) for m in map(lambda m, /, *rest, **more: m * n, [n])}
"""
    path = tmp_path / "m.py"
    path.write_text(source)
    assert edits.edit(tmp_path)
    made = {}
    exec(path.read_text(), made)
    assert (made["names"], made["pairs"]) == (["a", "bb"], {1: 1, 2: 4})
    assert path.read_text().count(edits.MARK) == 4


def test_other_values_are_those_that_an_import_gives(tmp_path):
    text = """import enum, re
from collections import namedtuple
SCALE: float = 2.0
LABELS = ["cat", ("dog", 3)]
TABLE = {"a": {"b": True}, 1: None}
WORD = re.compile("w+")
Pair = namedtuple("Pair", "a b", defaults=[1])
__all__ = ["f"]
if SCALE:
    INSIDE = -1
class Mode(enum.Enum):
    FAST = "fast"
class C:
    __slots__ = ("kept",)
    first = "cat"
    def f(self, x=1, *, y="y", z): return x + 1
def f(x, rest=(1, 2)):
    local = 5
    return local
"""
    project(tmp_path, m=text)
    (tmp_path / "labels.json").write_text('["cat", "dog"]\n')
    (tmp_path / "empty.txt").write_text("")
    edits.change_values(tmp_path)
    call = (
        "import m; print(m.SCALE, m.LABELS, m.TABLE, m.WORD.pattern, m.Pair(0), m.__all__, m.INSIDE, m.Mode.FAST.value)"
    )
    assert run(tmp_path, call) == (
        "3.0 ['cat_', ('dog_', 4)] {'a': {'b': False}, 1: None} w+ Pair(a=0, b=2) ['f'] -2 fast"
    )
    call = (
        "import m; print(m.C.__slots__, m.C.first, m.C.f.__defaults__, m.C.f.__kwdefaults__, m.f.__defaults__, m.f(0))"
    )
    assert run(tmp_path, call) == "('kept',) cat_ (2,) {'y': 'y_'} ((2, 3),) 5"
    assert (tmp_path / "labels.json").read_text() == '["cat", "do0"]\n'
    assert (tmp_path / "empty.txt").read_text() == ""
    edits.change_values(tmp_path, texts=False)
    assert run(tmp_path, "import m; print(m.SCALE, m.LABELS)") == "4.0 ['cat_', ('dog_', 5)]"


def test_classes_move_and_the_rest_stays(tmp_path):
    project(
        tmp_path,
        m="import math\nLIMIT = 3\nclass A: pass\nclass B(A): pass\ndef build(): return B()\n",
        user="from m import A, build, LIMIT\n"
        "def f(): return [type(build()).__module__, isinstance(build(), A), LIMIT]\n",
    )
    assert edits.move_classes(tmp_path) == (("m", "A"), ("m", "B"))
    assert run(tmp_path, "import user; print(user.f())") == "['m_moved', True, 3]"
    assert (
        run(tmp_path, "import m; print(hasattr(m, 'A'), hasattr(m, 'build'), hasattr(m, 'math'))") == "False True True"
    )


def test_relative_and_star_imports_follow_moved_classes(tmp_path):
    """As packages import their own parts."""
    for folder in ("p", "p/inner"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "p" / "__init__.py").write_text("from .m import A, LIMIT\nfrom .m import *\n")
    (tmp_path / "p" / "m.py").write_text("LIMIT = 3\nclass A: pass\nclass B(A): pass\n")
    (tmp_path / "p" / "inner" / "n.py").write_text("from ..m import B, LIMIT\nfrom .. import m\nclass C(B): pass\n")
    edits.move_classes(tmp_path)
    code = (
        "import p; from p.inner.n_moved import C; print(p.A.__module__, p.B in C.__mro__, p.LIMIT, hasattr(p.m, 'A'))"
    )
    assert run(tmp_path, code) == "p.m_moved True 3 False"


def test_attributes_of_modules_follow_moved_classes(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "__init__.py").write_text("")
    (tmp_path / "p" / "m.py").write_text("LIMIT = 3\nclass A: pass\nclass B(A): pass\n")
    (tmp_path / "p" / "k.py").write_text("from . import m\ndef h(): return m.A\n")
    (tmp_path / "n.py").write_text("class C: pass\ndef g(): return C()\n")
    (tmp_path / "user.py").write_text(
        "import n, math\nimport p.m as q\nfrom p import m as r, m, k\nclass D(q.A, n.C): pass\n"
        "def f(): return [q.B, r.B, m.B, k.h(), n.C, type(n.g()), q.LIMIT, D.__mro__[1]]\n"
    )
    edits.move_classes(tmp_path)
    found = "[getattr(one, '__module__', one) for one in user.f()]"
    assert run(tmp_path, f"import n, user; print({found}, user.math.pi > 3, hasattr(n, 'C'))") == (
        f"{['p.m_moved'] * 4 + ['n_moved'] * 2 + [3, 'p.m_moved']} True False"
    )


def test_code_that_imports_moved_classes_itself_is_as_it_was(tmp_path):
    """But for the name of the module, which `class_moved` makes another."""
    inside = ("from .m import A, LIMIT", "from . import m", "import p.m as q", "return A, m.B, q.A, LIMIT, 1 .m")
    code = "def f():\n" + "".join(f"    {line}\n" for line in inside)
    (tmp_path / "p").mkdir()
    for name, text in (("__init__", ""), ("m", "LIMIT = 3\nclass A: pass\nclass B: pass\n"), ("user", code)):
        (tmp_path / "p" / f"{name}.py").write_text(text)

    def facts(text):
        return code_facts(compile(text, "user.py", "exec").co_consts[0])

    edits.move_classes(tmp_path)
    after = (tmp_path / "p" / "user.py").read_text()
    assert after.count("m_moved") == 3 and facts(after) == facts(code)
    assert facts(after.replace("m.B", "m.A")) != facts(code) != facts(code.replace("p.m as", "p.n as"))
    (tmp_path / "p" / "user.py").write_text(after.replace("1 .m", "1"))
    assert run(tmp_path, "import p.user; print({part.__module__ for part in p.user.f()[:3]})") == "{'p.m_moved'}"
