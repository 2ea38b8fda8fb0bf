"""By which names the value of an expression is known, what is in it, and what a library's object may hold of them.

Of what a function gives the token is `f()`, of what is in a container `x[]`; `x{}` is what is in a copy of it, which
shows nothing of an array. A `*` stands for any letters: `getattr(self, f"table_{i}")` is `table_*`.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.source.names import Names, Scope, last

INSIDE, COPIED, RESULT = "[]", "{}", "()"
_SUFFIX = re.compile(r"(\[\]|\{\}|\(\))$")
_DEEPEST = 3
_ANY = "*"
_SAME = frozenset(
    "vars cast iter proxy __dict__ index columns loc iloc at iat flat T mT data real imag value values view reshape "  # noqa: SIM905
    "unsqueeze squeeze expand transpose permute swapaxes movedim narrow select detach numpy to_numpy from_numpy "
    "as_tensor asarray ravel flatten contiguous to type_as cpu cuda partial nullcontext closing".split()
)
"""What these give is, or shows, what they are given, called on or attributes of."""
_SAME_AS_METHODS = frozenset({"float", "double", "half", "bfloat16", "int", "long", "bool", "type"})
_GO_THROUGH = frozenset(
    "enumerate zip reversed filter islice chain from_iterable cycle product items chunk split unbind rows "  # noqa: SIM905
    "iterrows itertuples nditer ndenumerate".split()
)
"""What these give goes through what they are given."""
_COPY = frozenset(
    "list tuple set frozenset dict sorted copy deque OrderedDict defaultdict sample choices most_common".split()  # noqa: SIM905
)
"""What these give has in it what there is in what they are given."""
_PICK = frozenset(
    "next max min choice pop popleft popitem get setdefault heappop heapreplace heappushpop "  # noqa: SIM905
    "reduce".split()
)
"""What these give is in what they are given or called on, or one of the other things that they are given."""


@dataclass(frozen=True)
class Value:
    """Tokens."""

    own: frozenset[str] = frozenset()
    inside: frozenset[str] = frozenset()
    """Of what is in it, beside the `x[]` of its own."""
    held: frozenset[str] = frozenset()
    """Of what a library's object, if it is one, may hold."""

    @property
    def parts(self) -> frozenset[str]:
        """Of what is in it."""
        return with_suffix(self.own, INSIDE) | self.inside

    @property
    def copied(self) -> frozenset[str]:
        """Of what is in a copy of it."""
        return with_suffix(self.own, COPIED) | self.inside

    @property
    def all(self) -> frozenset[str]:
        return self.own | self.inside | self.held


def with_suffix(tokens: Iterable[str], suffix: str) -> frozenset[str]:
    """What is in, is copied of, or is given by what these stand for."""
    return frozenset(found for token in tokens if (found := _extended(token, suffix)) is not None)


@functools.lru_cache(maxsize=1 << 17)
def _extended(token: str, suffix: str) -> str | None:
    base, last_one = split(token)
    if suffix != RESULT and last_one in (INSIDE, COPIED):
        return base + suffix
    return token + suffix if sum(map(token.count, (INSIDE, COPIED, RESULT))) < _DEEPEST else None


@functools.lru_cache(maxsize=1 << 17)
def split(token: str) -> tuple[str, str]:
    """A token without its last suffix, and that."""
    found = _SUFFIX.search(token)
    return (token[: found.start()], found.group()) if found else (token, "")


def bare(token: str) -> str:
    """A token without all its suffixes."""
    while (parts := split(token))[1]:
        token = parts[0]
    return token


def merged(values: Iterable[Value]) -> Value:
    """Any of these."""
    values = list(values)
    return Value(*(frozenset().union(*(getattr(one, part) for one in values)) for part in ("own", "inside", "held")))


def holding(values: Iterable[Value], *, nested: Iterable[Value] = ()) -> Value:
    """A new container of these, and of what is in the others."""
    values, nested = list(values), list(nested)
    inside = frozenset().union(*(one.own | one.parts for one in values), *(one.parts for one in nested))
    return Value(inside=inside, held=frozenset().union(*(one.held for one in (*values, *nested))))


def picked(value: Value) -> Value:
    """One of the things in it."""
    return Value(value.parts, value.parts, value.held)


class Values:
    """Of the expressions of one file."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def of(self, node: ast.AST | None, scope: Scope | None) -> Value:
        """What is known of the value of an expression in a function."""

        def of(part: ast.AST | None) -> Value:
            return self.of(part, scope)

        if isinstance(node, ast.Name):
            return Value(frozenset({self._names.token(node.id, scope)}))
        if isinstance(node, ast.Attribute):
            return self._attribute(node, of(node.value), scope)
        if isinstance(node, ast.Call):
            return self._call(node, scope)
        if isinstance(node, ast.Subscript):
            return _entry(node, of(node.value))
        if isinstance(node, ast.Starred | ast.Await | ast.NamedExpr):
            return of(node.value)
        if isinstance(node, ast.IfExp):
            return merged([of(node.body), of(node.orelse)])
        if isinstance(node, ast.BoolOp):
            return merged(map(of, node.values))
        if isinstance(node, ast.BinOp):  # of lists and dictionaries: `first + second`
            return Value(inside=of(node.left).copied | of(node.right).copied)
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            stars = [one for one in node.elts if isinstance(one, ast.Starred)]
            return holding((of(one) for one in node.elts if one not in stars), nested=map(of, stars))
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
            return holding((of(one) for key, one in pairs if key), nested=(of(one) for key, one in pairs if not key))
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
            return holding([of(node.elt)])
        if isinstance(node, ast.DictComp):
            return holding([of(node.value)])
        if isinstance(node, ast.Lambda):
            return Value(frozenset({self._names.scopes[id(node)].name}))
        return Value()

    def attribute(self, node: ast.Attribute, scope: Scope | None) -> str:
        """The token of an attribute."""
        owner = self._names.object_of(node.value, scope)
        return f"{owner}.{node.attr}" if owner else node.attr

    def _attribute(self, node: ast.Attribute, of: Value, scope: Scope | None) -> Value:
        if node.attr == "__class__":
            return Value(_classes(of.own))
        own = frozenset({self.attribute(node, scope)}) | (of.own if node.attr in _SAME else frozenset())
        inside = frozenset({_ANY}) if node.attr == "__dict__" else frozenset()
        return Value(own, inside, of.held)

    def _call(self, node: ast.Call, scope: Scope | None) -> Value:
        name, function = called(node), self.of(node.func, scope)
        receiver = self.of(node.func.value, scope) if isinstance(node.func, ast.Attribute) else None
        given = [self.of(one, scope) for one in node.args]
        by_name = [self.of(one.value, scope) for one in node.keywords]
        held = frozenset().union(*(one.all for one in (*given, *by_name) if name not in _NEW))
        found = [Value(with_suffix(function.own, RESULT), held=held)]
        if name == "super":
            method = scope.method_of if scope else None
            return Value(frozenset({method.instance(here=method is scope)}) if method else frozenset())
        if name == "type" and not receiver:
            return Value(_classes(given[0].own if given else ()))
        if name == "getattr" and len(given) > 1:
            return merged([Value(frozenset(_named(node.args[1]))), *given[2:]])
        if name in ("field", "Field"):  # of a dataclass: what its factory gives, or its default
            makers = {one.arg: value for one, value in zip(node.keywords, by_name, strict=True)}
            made = Value(with_suffix(makers.get("default_factory", Value()).own, RESULT))
            return merged([*found, made, makers.get("default", Value())])
        if name in _NAMESPACES:
            return merged([*found, *given, Value(inside=frozenset({_ANY}))])
        first, *rest = [receiver, *given] if receiver and name not in _NAMED else [*given, Value()]
        if name in _PICK and not (receiver and name in ("max", "min")):  # a tensor's are new
            several = name in ("max", "min") and len(given) > 1
            found += [*(given if several else [picked(first)]), *([] if several else rest)]
        elif name in _COPY:
            found.append(Value(inside=merged([first, *rest]).copied))
            found.append(holding(by_name))
        elif name in _GO_THROUGH or name == "values":
            found.append(holding((), nested=[first, *rest]))
        elif name == "map" and given:
            found.append(Value(inside=with_suffix(given[0].own, RESULT)))
        elif name in _SAME or (receiver and (name in _SAME_AS_METHODS or is_in_place(name))):
            found += [first, *rest]
        return merged(found)


_NAMESPACES = frozenset({"vars", "globals", "locals"})
_NEW = frozenset(dir(builtins)) | {"deepcopy", "clone"}
"""What these give holds nothing of what they are given that could be told to do something."""
_NAMED = frozenset({"choice", "choices", "sample", "heappop", "heapreplace", "heappushpop", "reduce", "deque"}) | {
    "OrderedDict", "defaultdict", "islice", "chain", "from_iterable", "cycle", "product", "from_numpy", "as_tensor",
    "asarray", "partial", "cast",
}  # fmt: skip
"""Functions that are called as attributes of their modules."""


def called(node: ast.Call) -> str:
    """The last name of what is called; empty for what has none: `x[0]()`."""
    return last(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""


def is_in_place(name: str) -> bool:
    """Whether a function of torch's is called so that changes what it is called on or given."""
    return name.endswith("_") and not name.endswith("__")


def _entry(node: ast.Subscript, of: Value) -> Value:
    if is_namespace(node.value) and isinstance(node.slice, ast.Constant):  # `vars(self)["x"]`
        return Value(frozenset({str(node.slice.value)}))
    return Value(of.parts, of.parts, of.held)


def is_namespace(node: ast.expr) -> bool:
    """Whether the entries of what an expression gives are attributes or globals."""
    return called(node) in _NAMESPACES if isinstance(node, ast.Call) else last(node) == "__dict__"


def _named(name: ast.expr) -> Iterator[str]:
    """The names of attributes that an expression may be."""
    if isinstance(name, ast.Constant):
        yield str(name.value)
    elif isinstance(name, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else _ANY for part in name.values)
    else:
        yield _ANY


def _classes(tokens: Iterable[str]) -> frozenset[str]:
    return frozenset(split(token)[0] for token in tokens if split(token)[1] == RESULT)
