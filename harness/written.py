"""Through which names the user's code may write into what they stand for, as its source says.

By names alone, without scopes: what `x.append(1)` writes into is every `x` and every `.x`. What a name is assigned
from, a parameter is given, a loop goes through and a function returns is written where the name, the parameter, the
loop's variable, the function's result is. So more is believed to be written than is, as a rule. What a module does
when it is imported is done when there is a copy.

What a library's method does to its object no source of the user's says: it may write unless it is called as those are
that only read (`transform`, `predict`).

Not seen: a value that passes through a library's function and is written after that.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
import types
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness import syntax

_METHODS = (
    (set(dir(list)) - set(dir(tuple)))
    | (set(dir(set)) - set(dir(frozenset)))
    | (set(dir(dict)) - set(dir(types.MappingProxyType)))
    | (set(dir(deque)) - set(dir(tuple)))
    | {"move_to_end", "subtract", "fill", "put", "resize", "partition", "byteswap", "__setattr__", "__delattr__"}
) - {"__reversed__", "__class_getitem__", "__copy__", "copy", "fromkeys", "maxlen"}
_FUNCTIONS = frozenset(
    "heappush heappop heapify heapreplace heappushpop shuffle insort insort_left insort_right setattr delattr setitem "  # noqa: SIM905
    "delitem copyto put place putmask fill_diagonal at".split()
)
"""Those that write into their first argument."""
_SAME = frozenset(
    "vars iter next enumerate zip reversed cast get setdefault pop popitem values items __dict__ loc iloc at iat "  # noqa: SIM905
    "flat T data real imag view reshape unsqueeze squeeze expand transpose permute narrow select detach numpy "
    "from_numpy as_tensor asarray ravel flatten chunk split unbind".split()
)
"""What these give is, has in it or shows what they are given, called on or attributes of."""
_READS = re.compile(
    "(inverse_)?transform|predict|decision_function|score|encode|decode|tokenize|get|is|has|find|query|kneighbors|__"
)
"""How the methods begin of libraries that only read."""
_MAKES = frozenset({"__init__", "__new__", "__post_init__", "__setstate__", "__init_subclass__"})
_TARGETS = (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.comprehension, ast.withitem)
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass
class Writes:
    """What source says."""

    names: set[str] = field(default_factory=set)
    """Through which something is written."""
    touched: set[str] = field(default_factory=set)
    """Through which a library's object may be written."""
    classes: set[str] = field(default_factory=set)
    """Names of those with a method that writes into `self`, of an object that was made before."""
    runs_texts: bool = False
    """Whether there is code that no source shows."""


@functools.lru_cache(maxsize=16)
def writes(texts: tuple[str, ...]) -> Writes:
    """What all these files write. Raises SyntaxError."""
    found = Writes()
    stands_for: list[tuple[str, set[str]]] = []
    calls: dict[str, list[ast.Call]] = defaultdict(list)
    functions: list[tuple[str, list[str]]] = []
    for text in texts:
        tree = syntax.parse_text(text)
        running = {id(part) for node in ast.walk(tree) if isinstance(node, _FUNCTION) for part in ast.walk(node)}
        for node in ast.walk(tree):
            if id(node) in running:
                found.names |= {name for written in _written(node) for name in _names(written)}
                found.touched |= {name for touched in _touched(node) for name in _names(touched)}
            if isinstance(node, ast.ClassDef):
                functions += [(node.name, _parameters(one)) for one in node.body if _makes(one)]
                if any(_writes_into_itself(one) for one in node.body):
                    found.classes.add(node.name)
            elif isinstance(node, _FUNCTION):
                name = getattr(node, "name", "<lambda>")
                functions.append((name, _parameters(node)))
                stands_for += [(name, _names(value)) for value in _results(node)]
            elif isinstance(node, ast.Call):
                calls[_last(node.func)].append(node)
                found.runs_texts |= isinstance(node.func, ast.Name) and node.func.id in ("exec", "eval")
            elif isinstance(node, ast.ImportFrom):
                stands_for += [(one.asname, {one.name}) for one in node.names if one.asname]
            elif isinstance(node, _TARGETS):
                stands_for += _assigned(node)
    for name, parameters in functions:
        for call in calls[name]:
            stands_for += _given(call, parameters)
    found.touched |= found.names
    for known in (found.names, found.touched):
        known.discard("self")
        before = -1
        while before != (before := len(known)):
            for name, names in stands_for:
                if name in known:
                    known |= names - {"self"}
    return found


def _written(node: ast.AST) -> Iterator[ast.expr]:
    """What a statement or expression writes into."""
    if isinstance(node, ast.Subscript | ast.Attribute):
        named = isinstance(node, ast.Attribute) and node.attr in _METHODS  # called, or handed on: `map(x.append, more)`
        if named or isinstance(node.ctx, ast.Store | ast.Del):
            yield node.value
    elif isinstance(node, ast.AugAssign):
        yield node.target
    elif isinstance(node, ast.Call):
        name = _last(node.func)
        in_place = name.endswith("_") and not name.startswith("_")  # of torch's: `x.add_(1)`, `nn.init.zeros_(x)`
        in_place |= any(one.arg == "inplace" for one in node.keywords)  # of pandas'
        if isinstance(node.func, ast.Attribute) and in_place:
            yield node.func.value
        if node.args and (name in _FUNCTIONS or in_place or (name in _METHODS and _is_of_a_type(node.func))):
            yield node.args[0]
        yield from (one.value for one in node.keywords if one.arg == "out")


def _touched(node: ast.AST) -> Iterator[ast.expr]:
    """What is called, gone through, entered, or told to do something."""
    if isinstance(node, ast.Call):
        yield node.func
        if isinstance(node.func, ast.Attribute) and not _READS.match(node.func.attr):
            yield node.func.value
        if _last(node.func) == "next" and node.args:
            yield node.args[0]
    elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        yield node.iter
    elif isinstance(node, ast.withitem):
        yield node.context_expr


def _is_of_a_type(function: ast.expr) -> bool:
    """`list.append(x, 1)`, `object.__setattr__(x, "a", 1)`."""
    return isinstance(function, ast.Attribute) and _last(function.value) in vars(builtins)


def _assigned(node: ast.AST) -> Iterator[tuple[str, set[str]]]:
    value = getattr(node, "value", None) or getattr(node, "iter", None) or getattr(node, "context_expr", None)
    targets = getattr(node, "targets", None) or [getattr(node, "target", None) or getattr(node, "optional_vars", None)]
    names = _names(value) if value is not None else set()
    for target in targets if names else ():
        for part in ast.walk(target) if target is not None else ():
            if isinstance(part, ast.Name | ast.Attribute) and isinstance(part.ctx, ast.Store):
                yield _last(part), names


def _names(expression: ast.expr) -> set[str]:
    """By which names the value of an expression is known, or what is in it."""
    if isinstance(expression, ast.Name):
        return {expression.id}
    if isinstance(expression, ast.Attribute):
        return {expression.attr} | (_names(expression.value) if expression.attr in _SAME else set())
    if isinstance(expression, ast.Subscript | ast.Starred | ast.Await | ast.NamedExpr):
        return _names(expression.value)
    if isinstance(expression, ast.Call):
        name = _last(expression.func)
        if name not in _SAME:
            return {"self"} if name == "super" else {name}
        parts = [*expression.args, *([expression.func.value] if isinstance(expression.func, ast.Attribute) else [])]
    elif isinstance(expression, ast.IfExp):
        parts = [expression.body, expression.orelse]
    elif isinstance(expression, ast.BoolOp):
        parts = expression.values
    elif isinstance(expression, ast.Tuple | ast.List | ast.Set):
        parts = expression.elts
    elif isinstance(expression, ast.Dict):
        parts = expression.values
    elif isinstance(expression, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        parts = [expression.elt]
    else:
        parts = []
    return {name for part in parts for name in _names(part)}


def _last(expression: ast.expr) -> str:
    if isinstance(expression, ast.Name):
        return expression.id
    return expression.attr if isinstance(expression, ast.Attribute) else "<lambda>"


def _parameters(function: ast.AST) -> list[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [one.arg for one in every if one is not None and one.arg not in ("self", "cls")]


def _given(call: ast.Call, parameters: list[str]) -> Iterator[tuple[str, set[str]]]:
    """What the parameters of a function stand for in a call of it; where stars are among them, any for any."""
    by_place = not any(isinstance(part, ast.Starred) for part in call.args) and len(call.args) <= len(parameters)
    for place, part in enumerate(call.args):
        for parameter in parameters[place : place + 1] if by_place else parameters:
            yield parameter, _names(part)
    for one in call.keywords:
        for parameter in [one.arg] if one.arg in parameters else parameters:
            yield parameter, _names(one.value)


def _results(function: ast.AST) -> list[ast.expr]:
    if isinstance(function, ast.Lambda):
        return [function.body]
    gives = (ast.Return, ast.Yield, ast.YieldFrom)
    return [part.value for part in ast.walk(function) if isinstance(part, gives) and part.value is not None]


def _makes(statement: ast.stmt) -> bool:
    return isinstance(statement, _FUNCTION) and statement.name in _MAKES


def _writes_into_itself(statement: ast.stmt) -> bool:
    if not isinstance(statement, _FUNCTION) or _makes(statement):
        return False
    itself = next((one.arg for one in (*statement.args.posonlyargs, *statement.args.args)), "self")
    return any(itself in _names(written) for part in ast.walk(statement) for written in _written(part))
