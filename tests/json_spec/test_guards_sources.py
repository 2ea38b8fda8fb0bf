"""What counts of a source, and what its definitions reach, by direct calls on texts that lie in no file."""

from __future__ import annotations

import ast
import importlib
import os
import signal
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from backends.json_spec import bytecode, forked, imported, load, reach, save, settings, sources
from backends.json_spec.definitions import definitions, imports
from backends.json_spec.errors import Unsupported
from backends.json_spec.sources import (
    ALWAYS,
    Project,
    Source,
    is_installed,
    is_library,
    is_main_guard,
    locate,
)

TEXT = '''"""What it is."""
import os.path, json as j
from a import b as c, d
X, (Y, *Z) = 1, (2, 3)
for i in []: W = 1
def f(): inner = 1
async def g(): pass
class K: attr = 1
[q for q in []]
print(lambda: (r := 1))
if X: U = 1
if __name__ == "__main__": main = 1
"no docstring"
with X as h: pass
'''


def source(text, module="m", is_package=False, folder="here"):
    path = (
        Path(folder, *module.split("."), "__init__.py")
        if is_package
        else Path(folder, f"{module.replace('.', '/')}.py")
    )
    return Source(module, path, text.encode(), is_package)


def test_what_a_module_binds():
    found = source(TEXT).statements
    assert set(found) == {ALWAYS, *"os j c d X Y Z i W f g K U h".split()}  # noqa: SIM905
    assert [statement.lineno for statement in found[ALWAYS]] == [9, 10, 13]
    assert source("x ==").statements == {ALWAYS: []} and source("\0").statements == {ALWAYS: []}


@pytest.mark.parametrize(
    ("text", "acts"),
    [
        ("x = 1", False),
        ("x = f()", False),
        ("x = y[0] = 1", True),
        ("(x, y.a) = 1, 2", True),
        ("y.a += 1", True),
        ("for x in y: pass", False),
        ("for x in y: z(x)", True),
        ("for y[0] in z: pass", True),
        ("for x in y:\n    if x: z[x] = 1", True),
        ("for x in y:\n    'text'", False),
        ("for x in y:\n    def f(): z(x)", False),
        ("for x in y: del z[x]", True),
        ("try: import x\nexcept ImportError: x = None", False),
        ("try: import x\nexcept ImportError: f()", True),
        ("with x as y: f()", True),
        ("def f(): g()", False),
        ("class C:\n    g()\n    x[0] = 1", False),
        ("import x", False),
    ],
)
def test_what_a_statement_does_beside_binding_names(text, acts):
    made = source(text)
    assert bool(made.statements[ALWAYS]) is acts
    assert len(made.statements) > 1 or text == "y.a += 1" or text.startswith("for y[0]")


def test_what_only_a_script_runs():
    for text, guarded in [
        ("if __name__ == 'x': pass", True),
        ("if x and 'x' == __name__: pass", True),
        ("if x: pass", False),
        ("while __name__: pass", False),
        ("if __name__ != 'x': pass", False),
        ("if not __name__ == 'x': pass", False),
    ]:
        assert is_main_guard(ast.parse(text).body[0]) is guarded


BASE = "def f(x):\n    'Doc.'\n    return x\n"
DIGESTS = [
    (BASE, "def f(x):\n    '''Other\n    lines.'''\n    return x\n", True),
    (BASE, "def f(x):\n    return x\n", True),
    (BASE, "\n\n# a remark\ndef f(x):  # and one\n\n    'Doc.'\n    return (\n        x\n    )\n", False),
    (BASE, "\n\n# a remark\ndef f(x):  # and one\n\n    'Doc.'\n    return x\n", True),
    (BASE, BASE.replace("\n", "\r\n"), True),
    (BASE, BASE.replace("'Doc.'", "b'Doc.'"), False),
    (BASE, BASE.replace("return x", "return 'Doc.'"), False),
    (BASE, BASE.replace("x", "y"), False),
    (BASE, BASE + "    'not at the top'\n", False),
    (BASE, BASE + "def g():\n    return 1\n", True),
    (BASE, BASE + "f = 2\n", False),
    ("@d\n" + BASE, "@e\n" + BASE, False),
    ("def g():\n    return 1\n" + BASE, BASE, True),
    ("if a:\n    if b:\n        f = 1\n    c\n", "if a:\n    if b:\n        f = 1\n        c\n", False),
    ("f = f'{x}'", "f = f'{y}'", False),
    ("f = [f'{x!r:>{w}}', 'a']", "f = [f'{x!r:>{w}}',\n 'a']", True),
    ("f = f'''{x}\nä'''", "f = f'''{x}\nö'''", False),
    ("f = 'ab', 'c'", "f = 'a', 'bc'", False),
]


@pytest.mark.parametrize(("one", "other", "equal"), DIGESTS)
def test_what_a_digest_tells(one, other, equal):
    assert (source(one).digest("f") == source(other).digest("f")) is equal
    assert source(one).digest("gone") is None and len(source(one).digest("f")) == 64


def test_imports_as_they_are_written():
    def found(text, *args):
        made = source(text, *args)
        return list(made.imported(made.tree))

    assert found("import a.b, c as d") == [("a.b", None, "a"), ("c", None, "d")]
    assert found("def f():\n    from a import b as c, e") == [("a", "b", "c"), ("a", "e", "e")]
    assert found("from . import a\nfrom ..r import b", "p.q.m") == [("p.q", "a", "a"), ("p.r", "b", "b")]
    assert found("from . import a\nfrom .s import b", "p.q", True) == [("p.q", "a", "a"), ("p.q.s", "b", "b")]
    assert source("", "p.q").root == source("", "p.q", True).root == Path("here")


FILES = {
    "p": "", "p.b": "h = 1\nprint(h)\n", "p.c": "star = 1\n", "p.d": "k = 1\n", "p.e": "never = 1\n",
    "p.m": "from p.a import f\nimport p.b\nfrom p import d\nfrom other import z\nLIMIT = 1\n"
           "def g():\n    return f(LIMIT) + p.b.h + d.k + z\ndef unused():\n    return p.e\n",
    "p.a": "def f():\n    from .c import *\n    return helper()\ndef helper():\n    return f()\ndef unused(): pass\n",
    "other": "z = 1\n",
}  # fmt: skip


def find(module):
    if module not in FILES:
        return None
    return source(FILES[module], module, module == "p", "there" if module == "other" else "here")


def test_what_definitions_reach():
    asked = []
    project = Project(["p.m", "gone"], lambda module: asked.append(module) or find(module))
    found = {module: sorted(names) for module, names in definitions(["p.m:g", "p.m:gone", "gone:x"], project).items()}
    assert found == {
        "p.a": ["*", "f", "helper"], "p.b": ["*", "h"], "p.c": ["*", "star"], "p.d": ["*", "k"],
        "p": ["*"], "p.m": ["*", "LIMIT", "d", "f", "g", "p", "z"],
    }  # fmt: skip
    assert len(asked) == len(set(asked)) and project.own("other") is None and project.own("") is None
    assert list(found) == sorted(found)
    assert imports(find("p.m"), project) == {"p", "p.a", "p.b", "p.d"}


def test_where_a_source_is():
    import json_spec_things as things

    assert locate("json_spec_things").data == Path(things.__file__).read_bytes()
    assert locate("json").is_package and not locate("json.decoder").is_package
    for module in ("gone_far_away", "json.gone.more", "a-b", "sys", "json_spec_things.inner", ""):
        assert locate(module) is None, module
    assert is_installed("json") and is_installed("torch") and not is_installed("json_spec_things")
    assert not is_installed("a-b") and not is_installed("sys") and not is_installed("gone_far_away")
    assert is_library(Path("/x/site-packages/a.py")) and is_library(Path("/x/dist-packages/a.py"))
    assert is_library(Path(os.__file__)) and not is_library(Path("/x/a.py"))


def test_where_libraries_lie_is_not_asked_for_every_file(monkeypatch):
    """A project that holds its own environment asks for a thousand files at each save: it took a second."""
    asked = []
    monkeypatch.setattr("sysconfig.get_path", lambda name: asked.append(name) or f"/x/{name}")
    sources._library_folders.cache_clear()
    try:
        assert [is_library(f"/x/purelib/{n}.py") for n in range(3)] == [True] * 3
        assert not is_library("/x/purelib.py") and not is_library("/x/here/a.py")
        assert sorted(asked) == ["platlib", "platstdlib", "purelib", "stdlib"]
    finally:
        sources._library_folders.cache_clear()


class Found:
    """What a copy of the process found out: path -> text, the name of a module that is not there, or None."""

    def __init__(self, fresh):
        told = {"found": fresh, "settings": ["torch.get_default_dtype()"]} if isinstance(fresh, dict) else fresh
        self.result, self.stop = lambda: told, lambda: None


def finish(fresh, now=None, of_script=(), unchecked=()):
    check = imported.Check.__new__(imported.Check)
    check._copy, check._now, check._of_script, check._unchecked = Found(fresh), now or {}, list(of_script), unchecked
    check._parted = []
    check.finish()
    return check


VERDICTS = {
    "a script that no import gives": ((None, {}, ["train:Net"]), "train:Net cannot be imported anew: move it out"),
    "a module that is not there": (("gone.far",), r"the module gone\.far cannot be imported anew"),
    "another value": (({"m:X": "1"}, {"m:X": "2"}), "m:X was changed .*: it is 2, an import gives 1, and"),
    "what was added": (({}, {"m:X": "2"}), "m:X was changed .*: it is 2, an import gives nothing"),
    "what is gone": (
        ({"m:C": "c", "m:C.x": "1"}, {"m:C": "c"}),
        r"m:C\.x was changed .*: it is nothing, an import gives 1",
    ),
    "an entry that is gone": (({"m:D": "d", "m:D['a']": "1"}, {"m:D": "d"}), r"m:D\['a'\] was changed"),
}


@pytest.mark.parametrize("what", VERDICTS)
def test_the_verdict_on_what_an_import_gives(what):
    arguments, message = VERDICTS[what]
    with pytest.raises(Unsupported, match=message):
        finish(*arguments)


def test_verdicts_without_a_word():
    assert finish(None).settings is settings.SETTINGS
    assert finish({"m:X": "1"}, {"m:X": "1"}, ["train:Net"]).settings == ["torch.get_default_dtype()"]
    finish({"m:X": "1"}, {"m:X": "2"}, unchecked=("m:X",))
    finish({"m:C": "c", "m:C.x": "1"}, {"m:C": "is m:B"}, unchecked=("m:C",))
    finish({"m:C.x": "1"}, {})  # reached only by way of something else that changed


def test_whose_modules_are_the_projects(monkeypatch):
    project = types.SimpleNamespace(roots=[Path("/x/here")])
    for file, own in [
        ("/x/here/a.py", True), ("/x/here/b/a.py", True), ("/y/here/a.py", False), ("/x/heretic/a.py", False),
        ("/x/here/site-packages/a.py", False), (None, False),
    ]:  # fmt: skip
        monkeypatch.setitem(sys.modules, "json_spec_made_up", types.SimpleNamespace(__file__=file))
        assert reach.is_own("json_spec_made_up", project) is own, file
    assert not reach.is_own("json_spec_gone", project) and not reach.is_own(None, project)


def test_a_module_in_the_place_of_a_librarys_is_looked_at(monkeypatch):
    project = types.SimpleNamespace(roots=[Path("/x/here")])
    for file, own in [("/x/site-packages/a.py", False), ("/x/here/a.py", True), (None, False)]:
        monkeypatch.setitem(sys.modules, "json_spec_made_up", types.SimpleNamespace(__file__=file))
        for _ in range(2):  # the second time it is remembered
            assert ("json_spec_made_up" in reach.own_modules(project)) is own, file


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@needs_fork
def test_a_copys_answer_does_not_wait_for_what_it_started():
    """It was waited for the end of every process that had the pipe, and after 20 seconds nothing had been said."""

    def work():
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        return child

    copy = forked.Copy(work)
    child = copy.result()
    copy.stop()
    assert isinstance(child, int)
    os.kill(child, signal.SIGKILL)


@needs_fork
def test_a_copy_makes_no_copies():
    """A module that saved when it was imported would be imported in each for the next one, without end."""

    def work():
        with pytest.raises(RuntimeError, match="makes no copies"):
            forked.Copy(lambda: None)
        return "refused"

    copy = forked.Copy(work)
    try:
        assert copy.result() == "refused"
    finally:
        copy.stop()


@needs_fork
def test_a_module_may_be_saved_from_while_it_is_imported(tmp_path, monkeypatch):
    """Its lock is its importer's, which is another thread than the one that imports it in a copy."""
    (tmp_path / "saves_at_import.py").write_text(
        "import os\nSCALE = 1.0\nclass Part:\n    def forward(self, x):\n        return x * SCALE\n"
        f"if os.getpid() == {os.getpid()}:\n    from backends.json_spec import save\n"
        f"    save(Part(), {str(tmp_path / 'a')!r})\n    SCALE = 2.0\n    save(Part(), {str(tmp_path / 'b')!r})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unsupported, match="saves_at_import:SCALE was changed"):
        importlib.import_module("saves_at_import")
    assert (tmp_path / "a").exists()


@needs_fork
def test_what_a_library_notes_of_a_class_that_it_makes_is_no_change(tmp_path, monkeypatch):
    """pydantic does, of what was set of its objects; what the program sets is one."""
    pytest.importorskip("pydantic")
    (tmp_path / "made_by_pydantic.py").write_text(
        "import pydantic\nclass Config(pydantic.BaseModel):\n    scale: float = 1.0\n"
        "    _calls: int = pydantic.PrivateAttr(default=0)\n    def count(self):\n        pass\n"
        "class Part:\n    def __init__(self):\n        self.config = Config()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("made_by_pydantic")
    part = module.Part()
    part.config.scale = 2.0
    part.config._calls += 1
    save(part, tmp_path / "a")
    loaded = load(tmp_path / "a", trust=["made_by_pydantic"]).config
    assert (loaded.scale, loaded._calls, loaded.model_fields_set) == (2.0, 1, {"scale"})
    module.Config.count = lambda self: None
    with pytest.raises(Unsupported, match=r"made_by_pydantic:Config\.count was changed"):
        save(part, tmp_path / "b")


@needs_fork
def test_a_copy_may_compute_with_as_many_threads_as_its_maker(tmp_path, monkeypatch):
    """The threads of a computation do not come along, and the import waited for them: nothing was compared."""
    (tmp_path / "computes_at_import.py").write_text(
        "import signal, torch\nsignal.signal(signal.SIGUSR1, signal.SIG_DFL)  # which the main thread may\n"
        "TABLE = torch.arange(1 << 20).sin()\nTOTAL = TABLE.sum()\nSCALE = 1.0\n"
        "class Part:\n    def forward(self, x):\n        return x * SCALE + TOTAL\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        module = importlib.import_module("computes_at_import")
        save(module.Part(), tmp_path / "a")
        module.SCALE = 2.0
        with pytest.raises(Unsupported, match="computes_at_import:SCALE was changed"):
            save(module.Part(), tmp_path / "a")
    finally:
        torch.set_num_threads(threads)
        sys.modules.pop("computes_at_import", None)


def test_tensors_are_told_apart_as_far_as_they_can_be_read():
    ones, told = torch.ones(2), reach._digest
    assert told(ones) == told(torch.ones(2)) != told(torch.tensor([1.0, 2.0])) and told(ones) != told(
        ones.reshape(1, 2)
    )
    assert told(torch.zeros(()).expand(1)) == told(torch.zeros(1))
    assert told(torch.eye(2).t()) == told(torch.eye(2)) and told(torch.empty(0)) != told(torch.empty(0, 2))
    assert told(torch.eye(2).to_sparse()) == "tensor torch.float32 torch.sparse_coo"
    nested = torch.nested.nested_tensor([ones])
    for tensor in (torch.empty(2, device="meta"), nested):
        assert told(tensor) == "tensor torch.float32 torch.strided"
    assert told(np.ones(2)) != told(np.zeros(2)) and told(np.array([None])) == told(np.array([1], object))


def test_numbers_that_python_does_not_print():
    """It refuses to write more than 4,300 digits, and a save raised that."""
    long = 16**5000
    texts = [hex(long), hex(long + 1), f"x in {{1, {hex(long)}}}", f"(1, {hex(long)})"]
    codes = [bytecode.digest(compile(text, "it", "eval")) for text in texts]
    assert len(set(codes)) == 4 and codes[0] == bytecode.digest(compile(hex(long), "it", "eval"))
    for value, told in [({long: 1}, "[0x1000"), ({long}, "['0x1000"), ({"a": 1, 2: 3}, "with ['a', 2] of 2")]:
        walk = reach.Reach(sources.Project([]), {})
        walk.enter(value, "m:X")
        walk.run()
        assert told in " ".join(f"{path} {text}" for path, text in walk.found.items())
