"""What code objects say of themselves, also past what one byte numbers."""

from __future__ import annotations

import types

from harness.source import bytecode

NAMES = [f"name_{number}" for number in range(300)]


def code(text: str) -> types.CodeType:
    return compile(text, "<test>", "exec")


def test_attributes_that_are_set():
    text = "\n".join([f"x.read_{name}" for name in NAMES] + [f"x.{name} = 1" for name in NAMES])
    assert list(bytecode.attributes_set(code(text))) == NAMES
    assert list(bytecode.attributes_set(code("def f(self):\n    self.inner = x.seen"))) == ["inner"]


def test_imports():
    text = "\n".join(f"from ..{name} import a, b" for name in NAMES)
    assert bytecode.imports(code(text)) == tuple((2, name, ("a", "b")) for name in NAMES)
    assert bytecode.imports(code("def f():\n    import os.path")) == ((0, "os.path", ()),)
    assert bytecode.imports(code("x = 1")) == ()


def test_names_by_operation():
    inner = code("def f():\n    global COUNT\n    COUNT = LIMIT")
    assert bytecode.read(inner, "LOAD_GLOBAL") == {"LIMIT"}
    assert bytecode.read(inner, "STORE_GLOBAL") == {"COUNT"}
    assert bytecode.read(inner, "DELETE_GLOBAL") == frozenset()
    many = code("def f():\n" + "".join(f"    {name}(self.{name})\n" for name in NAMES))
    assert bytecode.read(many, "LOAD_GLOBAL") == {*NAMES, "self"}
    assert bytecode.read(code("def f(x):\n    def g():\n        nonlocal x\n        x = 1"), "STORE_DEREF") == {"x"}


def test_attributes_of_globals_that_are_set():
    text = """
def f(self, local):
    settings.SCALE = self.scale
    package.settings.COUNT += 1
    del settings.LIMIT
    local.scale = settings.READ
    self.scale = lambda: setattr(settings, "BY_TEXT", 2)
"""
    found = {("settings", "SCALE"), ("package", "settings", "COUNT"), ("settings", "LIMIT")}
    assert bytecode.set_in_globals(code(text)) == found
    assert bytecode.set_in_globals(code("def f(self):\n    self.scale = 2")) == set()
