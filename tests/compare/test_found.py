"""What only the whole model tells: names that are data, globals that functions share, dictionaries behind views."""

from __future__ import annotations

import decimal
import functools
import importlib
import inspect
import os
import sys
import types

import pytest
import torch

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

OWN = [__name__.partition(".")[0]]
CHOSEN = 1
COUNT = 0
note = "a global"


class Model(torch.nn.Module):
    def __init__(self, rarely=None, **parts):
        super().__init__()
        vars(self).update(parts)
        self.rarely = rarely


def described(*args, **parts):
    return snapshot_model(Model(*args, **parts), own_modules=OWN)


def seen(before, after):
    return [(difference.path, difference.kind) for difference in compare(before, after)]


# --- names that are data


def in_globals(self):
    return globals()[self.key]


def in_its_globals(self):
    return in_globals.__globals__[self.key]


def evaluated(self):
    return eval(self.key)


def of_its_module(self):
    return sys.modules[__name__].CHOSEN


def of_its_module_by_text(self):
    return getattr(sys.modules[__name__], "CHOSEN")  # noqa: B009


def of_an_imported_module(self):
    return importlib.import_module(__name__).CHOSEN


def of_the_module_of_a_class(self):
    return inspect.getmodule(type(self)).CHOSEN


def of_a_held_module(self):
    return self.home.CHOSEN


HANDLERS = types.ModuleType(f"{__name__}.handlers")
HANDLERS.handle_text = 1


def by_a_beginning(self):
    return getattr(HANDLERS, f"handle_{self.key}")


def test_a_name_in_another_module_that_begins_as_a_text(monkeypatch):
    before = described(by_a_beginning, key="text")
    assert seen(before, described(by_a_beginning, key="text")) == []
    monkeypatch.setattr(HANDLERS, "handle_text", 2)
    ((path, kind),) = seen(before, described(by_a_beginning, key="text"))
    assert path.endswith("['HANDLERS'].handle_text") and kind == "value"


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        (in_globals, {"key": "CHOSEN"}), (in_its_globals, {"key": "CHOSEN"}), (evaluated, {"key": "CHOSEN + 1"}),
        (evaluated, {"key": compile("CHOSEN + 1", "", "eval")}), (of_its_module, {}), (of_its_module_by_text, {}),
        (of_an_imported_module, {}), (of_the_module_of_a_class, {}),
        (of_a_held_module, {"home": sys.modules[__name__]}),
    ],
)  # fmt: skip
def test_a_global_that_is_found_otherwise_than_by_its_name(code, parts, monkeypatch):
    before = described(code, **parts)
    assert seen(before, described(code, **parts)) == []
    monkeypatch.setattr(sys.modules[__name__], "CHOSEN", 2)
    found = seen(before, described(code, **parts))
    assert found
    assert all(kind == "value" and "CHOSEN" in path for path, kind in found)


def of_its_module_by_data(self):
    return getattr(importlib.import_module(__name__), self.key)


@pytest.mark.parametrize("code", [of_an_imported_module, of_its_module_by_text, of_its_module_by_data])
def test_a_copy_with_globals_of_its_own_finds_its_module_as_it_is(code, monkeypatch):
    used = {name: code.__globals__[name] for name in ("sys", "importlib", "__name__")}
    copy = types.FunctionType(code.__code__, used, code.__name__)
    copy.__module__ = __name__
    before = described(code, key="CHOSEN")
    assert seen(before, described(copy, key="CHOSEN")) == []
    monkeypatch.setattr(sys.modules[__name__], "CHOSEN", 2)
    assert {kind for _, kind in seen(before, described(copy, key="CHOSEN"))} == {"value"}
    monkeypatch.delitem(sys.modules, __name__)
    assert {kind for _, kind in seen(before, described(copy, key="CHOSEN"))} == {"missing"}


def test_a_global_that_names_what_is_imported_is_no_attribute_of_its_module(monkeypatch, tmp_path):
    """A copy by value has the global, and its module is not imported: an import of another does not look there."""
    text = "import importlib\nPARTS = {1: 'json.tool'}\ndef part(self): return importlib.import_module(PARTS[1])\n"
    (tmp_path / "roundtrip_test_parts.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("roundtrip_test_parts")
    names = {"own_modules": [*OWN, module.__name__]}
    before = snapshot_model(Model(module.part), **names)
    monkeypatch.delitem(sys.modules, module.__name__)
    assert seen(before, snapshot_model(Model(module.part), **names, imported=[module.__name__])) == []


def test_a_module_that_imports_itself_is_imported_as_the_code_will(monkeypatch, tmp_path):
    text = "import importlib\nSCALE = 1\ndef scale(self): return importlib.import_module(__name__).SCALE\n"
    (tmp_path / "roundtrip_test_itself.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("roundtrip_test_itself")
    names = {"own_modules": [*OWN, module.__name__]}
    before = snapshot_model(Model(module.scale), **names)
    monkeypatch.delitem(sys.modules, module.__name__)
    assert seen(before, snapshot_model(Model(module.scale), **names, imported=[module.__name__])) == []
    monkeypatch.delitem(sys.modules, module.__name__)
    (tmp_path / "roundtrip_test_itself.py").write_text(text.replace("1", "30"))
    found = seen(before, snapshot_model(Model(module.scale), **names, imported=[module.__name__]))
    assert ("model.rarely.__globals__['__name__'].SCALE", "value") in found


def in_globals_and_by_name(self):
    return globals()[self.key], COUNT


def test_what_is_found_by_data_comes_beside_what_is_found_by_name(monkeypatch):
    before = described(in_globals_and_by_name, key="CHOSEN")
    monkeypatch.setattr(sys.modules[__name__], "COUNT", 7)
    assert [path for path, _ in seen(before, described(in_globals_and_by_name, key="CHOSEN"))] == [
        "model.rarely.__globals__['COUNT']"
    ]


def test_a_model_that_is_a_number():
    assert seen(snapshot_model(3), snapshot_model(3)) == []
    assert seen(snapshot_model(3), snapshot_model(4)) == [("model", "value")]


def test_a_variable_of_the_environment_that_a_value_names(monkeypatch):
    def reads(self):
        return os.environ.get(self.key)

    def does_not(self):
        return self.key

    before, other = described(reads, key="ROUNDTRIP_TEST_KEY"), described(does_not, key="ROUNDTRIP_TEST_KEY")
    monkeypatch.setenv("ROUNDTRIP_TEST_KEY", "1")
    assert [kind for _, kind in seen(before, described(reads, key="ROUNDTRIP_TEST_KEY"))] == ["extra"]
    assert seen(other, described(does_not, key="ROUNDTRIP_TEST_KEY")) == []


def asks_attribute(self):
    return getattr(self, "note", None), vars(self).get("note")


def changes_mode(self):
    return self.eval(), self.modules(), "note"


@pytest.mark.parametrize("code", [asks_attribute, changes_mode])
def test_an_attribute_of_the_name_of_a_global_is_none(code, monkeypatch):
    before = described(code)
    monkeypatch.setattr(sys.modules[__name__], "note", "another")
    assert seen(before, described(code)) == []


def test_a_module_that_answers_for_names_that_it_has_not(monkeypatch):
    late = {"LATE": 1}

    def of_a_module(self):
        return sys.modules[__name__].LATE

    def answer(name):
        return late[name]

    monkeypatch.setattr(sys.modules[__name__], "__getattr__", answer, raising=False)
    before = described(of_a_module)
    late["LATE"] = 2
    assert [kind for _, kind in seen(before, described(of_a_module))] == ["value"]


def test_a_module_that_the_program_made(monkeypatch):
    made = types.ModuleType("roundtrip_test_made")
    made.weights = torch.zeros(2)

    def imports(self):
        import roundtrip_test_made

        return roundtrip_test_made.weights

    monkeypatch.setitem(sys.modules, "roundtrip_test_made", made)
    before = described(imports)
    made.weights = torch.ones(2)
    assert [kind for _, kind in seen(before, described(imports))] == ["value"]
    monkeypatch.delitem(sys.modules, "roundtrip_test_made")
    assert ("missing" in kind for _, kind in seen(before, described(imports)))


def test_a_library_that_is_found_no_more(monkeypatch, tmp_path):
    def imports(self):
        import roundtrip_test_plugin

        return roundtrip_test_plugin

    (tmp_path / "roundtrip_test_plugin.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = described(imports)
    assert seen(before, described(imports)) == []
    monkeypatch.undo()
    ((path, kind),) = seen(before, described(imports))
    assert path.endswith(".import roundtrip_test_plugin") and kind == "missing"


# --- variables


def writes():
    global COUNT
    COUNT += 1


def reads():
    return COUNT


def reads_too():
    return COUNT + 1


def alone(function):
    """The function with globals of its own, as a copy by value may have them."""
    return types.FunctionType(function.__code__, dict(function.__globals__), function.__name__)


def test_a_global_that_one_function_writes_and_another_reads():
    before = described(None, write=writes, read=reads)
    assert seen(before, described(None, write=writes, read=reads)) == []
    ((path, kind),) = seen(before, described(None, write=writes, read=alone(reads)))
    assert path.endswith(".<variables>.COUNT") and kind == "identity"
    unwritten = described(None, first=reads, second=reads_too)
    assert seen(unwritten, described(None, first=reads, second=alone(reads_too))) == []


def test_a_global_that_code_sets_by_its_module(monkeypatch):
    """`policy.LIMIT = 2` here, and a function of that module reads it."""
    policy = types.ModuleType("roundtrip_test_policy")
    exec("LIMIT = 1\ndef decide(self): return LIMIT\n", vars(policy))
    monkeypatch.setitem(sys.modules, policy.__name__, policy)
    user = types.ModuleType("roundtrip_test_user")
    exec("import roundtrip_test_policy as policy\ndef tune(self, by):\n    policy.LIMIT += by\n", vars(user))

    def snapshot(*parts):
        return snapshot_model(Model(list(parts)), own_modules=[*OWN, policy.__name__, user.__name__])

    before = snapshot(user.tune, policy.decide)
    assert seen(before, snapshot(user.tune, policy.decide)) == []
    ((path, kind),) = seen(before, snapshot(user.tune, alone(policy.decide)))
    assert path.endswith(".<variables>.LIMIT") and kind == "identity"
    assert seen(snapshot(policy.decide), snapshot(alone(policy.decide))) == []


# --- what stands behind


def test_the_dictionary_behind_a_view():
    def model(behind):
        table = {"a": 1}
        shown = table if behind else dict(table)
        return described(None, table=table, parts=[types.MappingProxyType(shown), shown.keys(), shown.values()])

    assert seen(model(True), model(True)) == []
    assert {kind for _, kind in seen(model(True), model(False))} == {"missing"}
    table = {"a": 1}
    assert seen(described(None, keys=table.keys()), described(None, keys={"a": 2}.keys())) == []  # nobody else has it


@functools.lru_cache
def symbol(name):
    return [name]


def compares(self):
    return self.part is symbol("a")


def compares_inside(self):
    return [part for part in [self.part] if (lambda: part is symbol("a"))()]


def compares_types(self):
    return type(self.part) is list and self.part is not None


@pytest.mark.parametrize(
    ("code", "kinds"), [(compares, ["missing"]), (compares_inside, ["missing"]), (compares_types, [])]
)
def test_an_object_that_a_cache_gives_again(code, kinds):
    symbol.cache_clear()
    before = described(code, part=symbol("a"), make=symbol)
    assert seen(before, described(code, part=symbol("a"), make=symbol)) == []
    symbol.cache_clear()
    assert [kind for _, kind in seen(before, described(code, part=["a"], make=symbol))] == kinds


def test_a_cache_that_gives_one_object_again_and_another_answer_that_is_stale():
    words = {}

    @functools.lru_cache
    def told(name):
        return [name, words.get(name)]

    told.__module__ = __name__
    part, stale = told("a"), told("b")
    words["b"] = "later"

    def model(part, stale):
        return described(lambda self: self.part is told("a"), part=part, stale=stale, make=told)

    before = model(part, stale)
    assert seen(before, model(part, stale)) == []
    told.cache_clear()
    found = {path for path, _ in seen(before, model(["a", None], ["b", None]))}
    assert {"model.make['a']", "model.make['b']"} <= found


def test_the_context_of_decimal_is_told_once_whichever_decimals_are_one_object():
    one = decimal.Decimal("7")
    assert seen(described(None, part=[one, [one]]), described(None, part=[decimal.Decimal("7"), [one]])) == []
    assert seen(described(None, part=[[one], one]), described(None, part=[[decimal.Decimal("7")], one])) == []


def test_the_context_of_decimal_where_only_a_value_is_one():
    before, without = described(None, part=decimal.Decimal(1)), described()
    for name, value in (("prec", 5), ("capitals", 0), ("clamp", 1), ("rounding", decimal.ROUND_UP), ("traps", [])):
        with decimal.localcontext() as context:
            if name == "traps":
                context.clear_traps()
            else:
                setattr(context, name, value)
            path, *_ = (path for path, _ in seen(before, described(None, part=decimal.Decimal(1))))
            assert path.startswith(f"model.<context>.{name}")
            assert seen(without, described()) == []
