"""What was typed into a notebook or at a prompt, as the text of a module that gives the same definitions.

Cells run in any order and more than once, and some of them train for an hour: no file holds what there is now. So the
module is made of what the model reaches and nothing else: imports, the definitions of classes and functions as they
were typed, and constants as they are now. `linecache` has the text of what was typed, where tracebacks look for it
(source: IPython.core.compilerop). A save runs the module, and compares all that the model reaches in it with what is
here (`imported.check_carried`): what a later cell changed is found out there.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import linecache
import logging
import pprint
import re
import symtable
import sys
import types
import typing
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import nn

from backends.json_spec.errors import Unsupported
from backends.json_spec.script import MAIN, TYPED
from backends.json_spec.sources import Source, outside_definitions

HEADER = '"""What a model needs of the cells of a notebook, taken from them when it was saved."""'
LITERAL_LIMIT = 1 << 16
"""Characters of one constant."""
_UNCHANGING = (
    typing.TypeVar, typing.ParamSpec, typing.NewType, re.Pattern, torch.device, torch.dtype, PurePath, logging.Logger,
)  # fmt: skip
"""What is made of it again is the same, and its making does nothing else."""
_LEAVES = frozenset([type(None), bool, int, float, str, bytes])
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_BY_TEXT = frozenset(["globals", "vars", "__name__"])
"""What a function names that finds its module's names as texts or attributes."""
_AT_ONCE = frozenset(["listcomp", "setcomp", "dictcomp", "genexpr"])
"""Functions, to `symtable`, that run where they stand."""


def gather(names: Iterable[str], left_out: Collection[str] = ()) -> tuple[Source, dict[str, Any]]:
    """The source of the module `TYPED`, and the values in it that have no text, by their names.

    Of `__main__` it has `names`, `TYPED:qualname`, and all that they reach, but for `left_out`. Raises Unsupported
    where a class or function has no text, or needs such a value before it is there.
    """
    found = {name.partition(":")[2].partition(".")[0] for name in names}
    typed, parts, left = _Typed(), {}, sorted(found)
    while left:
        name = left.pop()
        part = parts[name] = typed.part(name)
        here = {one for one in part.used & typed.names.keys() if f"{TYPED}:{one}" not in left_out}
        left += sorted(here - found)
        found |= here
    values = {name: typed.names[name] for name, part in sorted(parts.items()) if part.kind == _VALUE}
    for name, part in sorted(parts.items()):
        if too_soon := sorted(part.now & values.keys()):
            what = f"{too_soon[0]}, a {type(values[too_soon[0]]).__qualname__},"
            raise Unsupported(f"{name} needs {what} while it is defined: {WAY_OUT}")
    future = ["from __future__ import annotations"] if typed.annotations_are_texts(parts) else []
    imports = sorted({line for part in parts.values() if part.kind == _IMPORT for line in part.text.splitlines()})
    constants = sorted(part.text for part in parts.values() if part.kind == _CONSTANT)
    sections = [[HEADER], future, imports, constants]
    text = "\n\n".join(["\n".join(lines) for lines in sections if lines] + [f"\n{one}" for one in _in_order(parts)])
    return Source(TYPED, Path.cwd() / f"{TYPED}.py", f"{text}\n".encode(), is_package=False), values


WAY_OUT = "write the cells that define what the model needs to a file (`%%writefile my_model.py`) and import that"
_IMPORT, _CONSTANT, _DEFINITION, _VALUE = "import", "constant", "definition", "value"


@dataclass
class _Part:
    """The lines that bind one name of the module."""

    text: str
    kind: str
    place: tuple[int, int] = (0, 0)
    """Of a definition: the cell, and the line in it."""

    @cached_property
    def _tables(self) -> tuple[set[str], set[str]]:
        """The names that it looks up outside itself: when it runs, and when functions in it are called."""
        now: set[str] = set()
        later: set[str] = set()
        left = [(symtable.symtable(self.text, TYPED, "exec"), True)] if self.kind == _DEFINITION else []
        while left:
            table, runs = left.pop()
            runs = runs and (table.get_type() != "function" or table.get_name() in _AT_ONCE)
            # at the top of the text all names are global, and those that it binds are local too
            outside = {
                one.get_name()
                for one in table.get_symbols()
                if one.is_declared_global()
                or (one.is_referenced() and (table.get_type() == "module" or one.is_global()))
            }
            (now if runs else later).update(outside)
            left += [(inner, runs) for inner in table.get_children()]
        if not _BY_TEXT.isdisjoint(later):  # `globals()["SCALE"]`, `sys.modules[__name__].SCALE`
            nodes = list(ast.walk(ast.parse(self.text)))
            later |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
            later |= {node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is str}
        return now, later

    @property
    def now(self) -> set[str]:
        return self._tables[0]

    @property
    def used(self) -> set[str]:
        return self._tables[0] | self._tables[1]


def _in_order(parts: dict[str, _Part]) -> list[str]:
    """The texts of the definitions: what one needs when it runs comes before it, else they stand as they were typed."""
    texts: dict[str, None] = {}
    begun: set[str] = set()

    def put(name: str) -> None:
        part = parts.get(name)
        if part is None or part.kind != _DEFINITION or name in begun:
            return
        begun.add(name)
        for needed in sorted(part.now, key=place):
            put(needed)
            for inner in sorted(parts[needed].used if needed in parts else (), key=place):
                put(inner)  # it may be called
        texts.setdefault(part.text)

    def place(name: str) -> tuple[tuple[int, int], str]:
        return (parts[name].place if name in parts else (0, 0)), name

    for name in sorted(parts, key=place):
        put(name)
    return list(texts)


class _Typed:
    """`__main__`, and the text of what was typed into it."""

    def __init__(self) -> None:
        self.names = {name: value for name, value in vars(sys.modules[MAIN]).items() if not name.startswith("__")}
        typed = [entry for entry in linecache.cache.values() if len(entry) == 4 and entry[1] is None]
        typed = [entry for entry in typed if not entry[3].startswith("<attrs generated")]  # what attrs writes itself
        self._cells = [Source(TYPED, Path(name), "".join(lines).encode(), False) for _, _, lines, name in typed]
        self._place = {str(cell.path): place for place, cell in enumerate(self._cells)}

    def part(self, name: str) -> _Part:
        """What gives the name what it stands for here. Raises Unsupported."""
        value = self.names[name]
        if imports := self._imports(name, value):
            return _Part("\n".join(imports), _IMPORT)
        if (constant := _constant(name, value)) is not None:
            return _Part(constant, _CONSTANT)
        if (found := self._definition(name, value)) is not None:
            place, node = found
            return _Part(_text(self._cells[place], node), _DEFINITION, (place, node.lineno))
        if getattr(value, "__module__", None) == MAIN and isinstance(value, type | types.FunctionType):
            why = "one that begins with %% hides it, and a program that is no notebook may have none"
            raise Unsupported(f"the model needs {name} of __main__, which no cell defines in sight ({why}): {WAY_OUT}")
        return _Part("", _VALUE)

    def annotations_are_texts(self, parts: Iterable[str]) -> bool:
        """Whether any of these definitions was typed after `from __future__ import annotations`."""
        values = [self.names[name] for name in parts]
        codes = [getattr(one, "__code__", None) for value in values for one in (value, *_functions(value))]
        typed = [code for code in codes if getattr(code, "co_filename", None) in self._place]  # none that attrs made
        return any(code.co_flags & __future__.annotations.compiler_flag for code in typed)

    def _imports(self, name: str, value: Any) -> list[str]:
        """The import statements that give it: several, where modules of one package were imported."""
        whole: list[str] = []
        one: list[str] = []
        for base, item, bound in (
            found for cell in self._cells for found in cell.imported(cell.tree, outside_definitions)
        ):
            if item == "*":
                item, bound = name, name
            if bound != name:
                continue
            if item is not None:
                if getattr(sys.modules.get(base), item, self) is value:
                    one = [f"from {base} import {item}" + (f" as {name}" if name != item else "")]
            elif name == base.partition(".")[0] and sys.modules.get(name, self) is value:
                whole.append(f"import {base}")
            elif sys.modules.get(base, self) is value:
                one = [f"import {base} as {name}"]
        if not (whole or one) and isinstance(value, types.ModuleType) and sys.modules.get(value.__name__) is value:
            return [f"import {value.__name__} as {name}"]
        return whole or one

    def _definition(self, name: str, value: Any) -> tuple[int, ast.stmt] | None:
        """The cell and the statement in it: the one that the code of a class or function says, else the last."""
        for function in (value, *_functions(value)):
            code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
            place = self._place.get(getattr(code, "co_filename", None))
            for node in self._binding(place, name) if place is not None else ():
                if _first_line(node) <= code.co_firstlineno <= node.end_lineno:
                    return place, node
        for place in reversed(range(len(self._cells))):
            for node in reversed(self._binding(place, name)):
                if isinstance(node, _DEFINITIONS) or _is_code(value) or self._is_made_of_imports(value, node):
                    return place, node
        return None

    def _is_made_of_imports(self, value: Any, node: ast.stmt) -> bool:
        """Whether an assignment makes a constant of a library's out of texts and numbers, such as a type variable."""
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
        known = (name == "__name__" or self._imports(name, self.names.get(name)) for name in names)
        return isinstance(value, _UNCHANGING) and all(known)

    def _binding(self, place: int, name: str) -> list[ast.stmt]:
        """The definitions and assignments of a name in a cell; of a compound statement those inside."""
        simple = _DEFINITIONS | ast.Assign | ast.AnnAssign
        found = []
        for statement in self._cells[place].statements.get(name, ()):
            inside = outside_definitions(statement)
            found += [node for node in inside if isinstance(node, simple) and name in _binds(node)]
        return found


def _binds(node: ast.stmt) -> set[str]:
    if isinstance(node, _DEFINITIONS):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}


def _is_code(value: Any) -> bool:
    """Whether it is called, and is no object with a state: those of the user's classes, and modules, are values."""
    return callable(value) and not isinstance(value, nn.Module) and type(value).__module__ != MAIN


def _functions(value: Any) -> list[types.FunctionType]:
    """The functions that a class defines."""
    parts = vars(value).values() if isinstance(value, type) else ()
    return [one for one in parts if isinstance(one, types.FunctionType)]


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])


def _text(cell: Source, node: ast.stmt) -> str:
    """The text of a definition or an assignment, its decorators included."""
    lines = cell.data.decode().splitlines()
    if isinstance(node, _DEFINITIONS):
        text = "\n".join(lines[_first_line(node) - 1 : node.end_lineno])
        return f"if True:\n{text}" if node.col_offset else text  # texts of several lines keep their spaces
    return ast.get_source_segment(cell.data.decode(), node) or ""


def _constant(name: str, value: Any) -> str | None:
    """The assignment of a plain value, as it is now; None for all else."""
    if not _is_plain(value, set()):
        return None
    text = f"{name} = {pprint.pformat(value, width=110, compact=True, sort_dicts=False)}"
    return text if len(text) <= LITERAL_LIMIT else None


def _is_plain(value: Any, seen: set[int]) -> bool:
    """Whether a text tells all of it: plain values, and containers that stand in one place."""
    kind = type(value)
    if kind in _LEAVES:
        return kind is not float or value - value == 0  # neither infinite nor NaN
    if kind not in (list, tuple, dict, set) or id(value) in seen:
        return False
    seen.add(id(value))
    inner = [*value, *value.values()] if kind is dict else value
    return all(_is_plain(item, seen) for item in inner)
