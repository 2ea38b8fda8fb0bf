"""Through which names the user's code may write into what they stand for, as its source says.

A name is known by its text (`names`), and followed to all that it may stand for (`flows`), whatever is
called when: so more is believed to be written than is, as a rule. What a module does when it is imported is done when
there is a copy, but for what it keeps for later: `add = LABELS.append`.

What a library's method does to its object no source of the user's says: it may write unless it is called as those are
that only read (`transform`, `predict`). A library's function that is called for nothing but its effect writes into what
it is given, but for those that show or store it.

Not seen: what a library hands on by other ways than `values` knows, and is written after that: the arguments of
an exception, what a `weakref.ref` gives, what `operator.attrgetter("words")` finds; nor `setattr` of a name that is put
together.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
import types
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from harness.source import statements, syntax
from harness.source.calls import Call, follow
from harness.source.flows import Flows
from harness.source.names import Names, Scope, families, last
from harness.source.values import Value, Values, called, is_in_place, merged, picked

_METHODS = (
    (set(dir(list)) - set(dir(tuple)))
    | (set(dir(set)) - set(dir(frozenset)))
    | (set(dir(dict)) - set(dir(types.MappingProxyType)))
    | (set(dir(deque)) - set(dir(tuple)))
    | {"move_to_end", "subtract", "fill", "put", "resize", "partition", "byteswap", "__setattr__", "__delattr__"}
) - {"__reversed__", "__class_getitem__", "__copy__", "copy", "fromkeys", "maxlen"}
_FUNCTIONS = frozenset(
    "heappush heappop heapify heapreplace heappushpop shuffle insort insort_left insort_right setattr delattr setitem "  # noqa: SIM905
    "delitem copyto put place putmask fill_diagonal put_along_axis at iadd iand iconcat ifloordiv ilshift imatmul imod "
    "imul ior ipow irshift isub itruediv ixor".split()
)
"""Those that write into their first argument."""
_READS = re.compile(
    "(inverse_)?transform|predict|decision_function|score|encode|decode|tokenize|get|is|has|find|query|kneighbors|__"
)
"""How the methods begin of libraries that only read."""
_TELLS = re.compile(
    "print|pprint|warn|dump|save|write|log|info|debug|error|exception|critical|assert|check|validate|show|plot|seed|"
    "manual_seed|sleep|super|isinstance|len|exit|exec|eval"
)
"""How the functions begin of libraries that are called for their effect elsewhere."""
OF_BUFFERS = frozenset(
    f"{owner}{token}"
    for owner in ("", "?.")
    for token in ("buffers()[]", "named_buffers()[]", "state_dict()[]", "_buffers[]", "get_buffer()")
)
"""By what else the tensors are known that a module has."""
_AGAIN = frozenset({"__init__", "__setstate__"})
_IDENTITY = frozenset({"id", "is_", "is_not"})
_COMPARES = frozenset({"get", "index", "remove", "count", "pop", "setdefault", "add", "discard"})


@dataclass
class Writes:
    """What source says: tokens."""

    names: set[str] = field(default_factory=set)
    """Through which something is written."""
    touched: set[str] = field(default_factory=set)
    """Through which a library's object may be written."""
    told: set[str] = field(default_factory=set)
    """Through which it is told to do something, and with it what it holds."""
    compared: set[str] = field(default_factory=set)
    """Through which an object is compared, or looked up."""
    runs_texts: bool = False
    """Whether there is code that no source shows."""
    families: dict[str, str] = field(default_factory=dict)
    """Of the classes, see `names`."""

    def any_of(self, tokens: Iterable[str]) -> bool:
        """Whether something is written through a name that is put together and may be one of these."""
        return any(self._patterns.fullmatch(token) for token in tokens) if self._patterns else False

    @functools.cached_property
    def _patterns(self) -> re.Pattern | None:
        patterns = [re.escape(name).replace(r"\*", ".*") for name in self.names if "*" in name]
        return re.compile("|".join(patterns)) if patterns else None


@functools.lru_cache(maxsize=16)
def writes(texts: tuple[str, ...], later: tuple[str, ...] = ()) -> Writes:
    """What all these files write; `later`: those of modules that are not imported yet. Raises SyntaxError."""
    trees = [syntax.parse_text(text) for text in (*texts, *later)]
    classes = families(trees)
    files = [Names(tree, number, classes) for number, tree in enumerate(trees)]
    flows = Flows(classes, _FUNCTIONS | _METHODS)
    calls: list[Call] = []
    for names in files:
        calls += statements.add(names, flows)
    follow(calls, flows)
    found = Writes(families=classes)
    done = _done_at_import(files[: len(texts)], files[len(texts) :])
    for number, names in enumerate(files):
        reader = _Reader(names, flows)
        for node, scope in names.nodes:
            found.runs_texts |= isinstance(node, ast.Call) and _runs_text(node)
            if scope is not None and _is_done(scope, done.get(scope.outermost.name, -1)):
                continue
            if scope is not None or number >= len(texts):
                reader.read(node, scope, found)
            else:
                found.names |= reader.kept(node, None)
    found.told |= found.names
    found.touched |= found.told
    for part in ("names", "compared"):
        setattr(found, part, flows.reached(getattr(found, part)))
    for part in ("touched", "told"):
        setattr(found, part, flows.reached(getattr(found, part), held=True))
    return found


def _is_done(scope: Scope, depth: int) -> bool:
    """Whether a function has run when its module is imported, as so many functions inside the outermost have."""
    if scope.depth == 1:
        body = scope.outermost.function.body  # of a lambda, what it gives
        body = [ast.Return(body)] if isinstance(body, ast.expr) else body
        gives = [one.value for one in body if isinstance(one, ast.Return) and one.value]
        return depth == 1 and scope.name in map(last, gives)
    return scope.depth <= depth


class _Reader:
    """Of one file."""

    def __init__(self, names: Names, flows: Flows) -> None:
        self._names, self._flows, self._values = names, flows, Values(names)
        self._called = {id(node.func) for node, _ in names.nodes if isinstance(node, ast.Call)}

    def read(self, node: ast.AST, scope: Scope | None, found: Writes) -> None:
        """What a node does when it runs."""

        def of(part: ast.AST) -> Value:
            return self._values.of(part, scope)

        for value in (*self._written(node, of), *self._by_effect(node, of)):
            found.names |= value.own
        found.names |= self.kept(node, scope)
        for value in _compared(node, of):
            found.compared |= value.own | value.parts
        if isinstance(node, ast.Call):
            found.touched |= of(node.func).own
            if isinstance(node.func, ast.Attribute) and not _READS.match(node.func.attr):
                found.told |= of(node.func.value).all
        elif isinstance(node, ast.withitem):
            found.told |= of(node.context_expr).all

    def kept(self, node: ast.AST, scope: Scope | None) -> frozenset[str]:
        """What a node writes later: a method that is handed on, and a function with what it will be given."""
        if isinstance(node, ast.Attribute) and node.attr in _METHODS and id(node) not in self._called:
            return self._values.of(node.value, scope).own
        if not isinstance(node, ast.Call):
            return frozenset()
        values = {one: self._values.of(one, scope) for one in (*node.args, *(one.value for one in node.keywords))}
        if not any(self._writes(one, value) for one, value in values.items()):
            return frozenset()
        return merged([*values.values(), *map(picked, values.values())]).own

    def _writes(self, function: ast.expr, value: Value) -> bool:
        """Whether it is a function that writes into its first argument."""
        if isinstance(function, ast.Attribute) and function.attr in _METHODS:
            return _is_a_class(function.value)
        may_be = self._flows.may_be(value)
        return not may_be.isdisjoint(_FUNCTIONS) or (isinstance(function, ast.Name) and not may_be.isdisjoint(_METHODS))

    def _written(self, node: ast.AST, of: Callable[[ast.AST], Value]) -> Iterator[Value]:
        """What a statement or expression writes into."""
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            yield of(node.value)
        elif isinstance(node, ast.AugAssign):
            yield of(node.target)
        elif isinstance(node, ast.Call):
            name = called(node)
            in_place = is_in_place(name) or any(one.arg == "inplace" for one in node.keywords)  # of torch's, of pandas'
            given = [of(one) for one in node.args]
            if isinstance(node.func, ast.Call) and called(node.func) == "getattr":  # a method of any name
                yield Value(frozenset(one for one in of(node.func.args[0]).own if not one.endswith("()")))
                yield from () if isinstance(node.func.args[1], ast.Constant) else given
            if isinstance(node.func, ast.Attribute) and (in_place or name in _METHODS or name in _AGAIN):
                yield of(node.func.value)
            if given and (in_place or self._writes(node.func, of(node.func))):
                yield from (given[0], picked(given[0])) if name.startswith("_foreach_") else given[:1]
            if name.endswith("into"):
                yield from given
            if name in _IDENTITY:
                yield from given
            if name == "load_state_dict":
                yield Value(OF_BUFFERS)
            if isinstance(ufunc := vars(np).get(name), np.ufunc):
                yield from given[ufunc.nin :]
            yield from (of(one.value) for one in node.keywords if one.arg == "out")

    def _by_effect(self, node: ast.AST, of: Callable[[ast.AST], Value]) -> Iterator[Value]:
        """What a library's function is given that is called for nothing but its effect."""
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or _TELLS.match(called(call)) or _root(call.func) not in self._names.imported:
            return
        if self._flows.may_be(of(call.func)).isdisjoint(self._flows.functions):
            yield from map(of, (*call.args, *(one.value for one in call.keywords)))


def _done_at_import(imported: list[Names], later: list[Names]) -> dict[str, int]:
    """The functions that all files name only to decorate what a module defines when it is imported, and how many
    functions inside them have run then: of `@register("name")` the one that it gives, too."""
    depths: dict[int, int] = {}
    for names in imported:
        for node, scope in names.nodes:
            if scope is None and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for one in node.decorator_list:
                    depths[id(one.func if isinstance(one, ast.Call) else one)] = int(isinstance(one, ast.Call))
    found: dict[str, int] = defaultdict(lambda: 2)
    for names in (*imported, *later):
        for node, _ in names.nodes:
            if isinstance(node, ast.Name | ast.Attribute):
                found[last(node)] = min(found[last(node)], depths.get(id(node), -1))
    return found


def _compared(node: ast.AST, of) -> Iterator[Value]:
    if isinstance(node, ast.Compare):
        yield from (of(one) for one in (node.left, *node.comparators))
    elif isinstance(node, ast.Subscript):
        yield of(node.slice)
    elif isinstance(node, ast.Match):
        yield of(node.subject)
    elif isinstance(node, ast.Call) and called(node) in _COMPARES:
        yield from map(of, node.args)


def _root(expression: ast.expr) -> str:
    """The first name of a name with attributes."""
    while isinstance(expression, ast.Attribute):
        expression = expression.value
    return last(expression)


def _is_a_class(expression: ast.expr) -> bool:
    """Whether an expression looks like one: `list`, `deque`, `np.ndarray`, `Counter`, not `LABELS`."""
    name = last(expression)
    is_known = name in vars(builtins) or name in ("deque", "defaultdict", "ndarray")
    return is_known or (name[:1].isupper() and not name.isupper())


def _runs_text(node: ast.Call) -> bool:
    of_builtins = isinstance(node.func, ast.Attribute) and last(node.func.value) == "builtins"
    return (of_builtins or isinstance(node.func, ast.Name)) and last(node.func) in ("exec", "eval")
