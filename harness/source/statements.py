"""What stands for what, statement by statement: what a name is assigned, a container is given, a function returns."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence

from harness.source.calls import Call
from harness.source.flows import Flows, Signature
from harness.source.names import FUNCTION, Names, Scope, defaults, last, parameters
from harness.source.values import (
    INSIDE,
    RESULT,
    Value,
    Values,
    called,
    holding,
    is_namespace,
    merged,
    picked,
    with_suffix,
)  # fmt: skip

_MAKE = frozenset({"__init__", "__new__", "__post_init__"})
_CALLED = frozenset({"__call__", "forward"})
_GIVES_PARTS = frozenset({"__getitem__", "__iter__", "__next__", "__enter__", "__aenter__", "__getattr__"})
_PROPERTIES = frozenset({"property", "cached_property", "getter"})
_PUTS = frozenset({"append", "add", "insert", "extend", "update", "setdefault", "appendleft", "extendleft", "put"})

Of = Callable[[ast.AST | None], Value]
"""What an expression's value is, where it stands."""


def add(names: Names, flows: Flows) -> list[Call]:
    """Add what stands for what in a file; its calls, which have to be followed."""
    statements = _Statements(names, flows)
    for node, scope in names.nodes:
        statements.add(node, scope)
    return statements.calls


class _Statements:
    """Of one file."""

    def __init__(self, names: Names, flows: Flows) -> None:
        self._names, self._flows, self._values = names, flows, Values(names)
        self.calls: list[Call] = []

    def add(self, node: ast.AST, scope: Scope | None) -> None:
        """What stands for what by a node."""

        def of(part: ast.AST | None) -> Value:
            return self._values.of(part, scope)

        if isinstance(node, FUNCTION):
            self._function(node, scope)
        elif isinstance(node, ast.ClassDef):
            self._class(node, of)
        elif isinstance(node, ast.Call):
            receiver = of(node.func.value) if isinstance(node.func, ast.Attribute) else None
            by_name = [(one.arg, of(one.value)) for one in node.keywords]
            stars = any(isinstance(one, ast.Starred) for one in node.args)
            self.calls.append(Call(of(node.func), [of(one) for one in node.args], by_name, receiver, stars))
            self._puts(node, self.calls[-1])
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                self._flows.add([one.asname or one.name], Value(frozenset({one.name})))
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind(target, node.value, of(node.value), of)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._bind(node.target, node.value, of(node.value), of)
        elif isinstance(node, ast.AugAssign):
            self._flows.add(with_suffix(of(node.target).own, INSIDE), picked(of(node.value)))
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            self._bind(node.target, None, picked(of(node.iter)), of)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            context = of(node.context_expr)
            self._bind(node.optional_vars, None, merged([context, picked(context)]), of)
        elif isinstance(node, ast.Match):
            self._match(node, of(node.subject), of)
        elif scope is not None and isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and node.value is not None:
            self._gives(scope, of(node.value), node)

    def _bind(self, target: ast.expr, expression: ast.expr | None, value: Value, of: Of) -> None:
        """What a target is assigned: its value, and the expression, where there is one."""
        if isinstance(target, ast.Name):
            self._flows.add(of(target).own, value)
            if isinstance(expression, ast.Call) and called(expression) == "namedtuple":
                self._fields(target.id, re.findall(r"\w+", " ".join(map(ast.unparse, expression.args[1:]))), "?")
        elif isinstance(target, ast.Attribute):
            self._sets(target.attr, value, of(target).own)
        elif isinstance(target, ast.Subscript):
            self._flows.add(with_suffix(of(target.value).own, INSIDE), merged([value, picked(value)]))
            if is_namespace(target.value) and isinstance(target.slice, ast.Constant):
                self._sets(str(target.slice.value), value)
        elif isinstance(target, ast.Starred):
            self._bind(target.value, None, holding([value]), of)
        elif isinstance(target, ast.Tuple | ast.List):
            parts = expression.elts if isinstance(expression, ast.Tuple | ast.List) else []
            stars = any(isinstance(one, ast.Starred) for one in (*parts, *target.elts))
            if len(parts) == len(target.elts) and not stars:
                for one, part in zip(target.elts, parts, strict=True):
                    self._bind(one, part, of(part), of)
            else:
                for one in target.elts:
                    self._bind(one, None, picked(value), of)

    def _sets(self, attribute: str, value: Value, own: Iterable[str] = ()) -> None:
        """An attribute is assigned: `self.x`, of which the tokens are known, or any object's."""
        of_self = {token for token in own if token.endswith(f".{attribute}")}
        owners = {token.partition(".")[0] for token in of_self if token.startswith("new ")}
        made = {f"{self._flows.families[owner.removeprefix('new ')]}.{attribute}" for owner in owners}
        self._flows.add({attribute} | (of_self | made or {f"?.{attribute}"}), value)

    def _match(self, node: ast.Match, subject: Value, of: Of) -> None:
        """What a pattern captures is its subject, or in it, or an attribute."""
        for case in node.cases:
            for part in ast.walk(case.pattern):
                name = getattr(part, "name", None) or getattr(part, "rest", None)
                if name:
                    token = of(ast.Name(name, ast.Load())).own
                    self._flows.add(token, merged([subject, picked(subject)]))
                if isinstance(part, ast.MatchClass):
                    for attribute, pattern in zip(part.kwd_attrs, part.kwd_patterns, strict=True):
                        if isinstance(pattern, ast.MatchAs) and pattern.name:
                            token = of(ast.Name(pattern.name, ast.Load())).own
                            self._flows.add(token, Value(frozenset({attribute})))

    def _puts(self, node: ast.Call, call: Call) -> None:
        """What a call puts into a container, or names: `x.append(1)`, `Namespace(words=x)`, `setattr(x, "a", y)`."""
        if call.receiver is not None and called(node) in _PUTS:
            self._flows.add(with_suffix(call.receiver.own, INSIDE), merged([*call.values, *map(picked, call.values)]))
        for name, value in call.by_name:
            if name is not None:
                self._sets(name, value)
        if called(node) == "setattr" and len(call.given) == 3 and isinstance(node.args[1], ast.Constant):
            self._sets(str(node.args[1].value), call.given[2])

    # --- functions and classes

    def _function(self, node: ast.AST, scope: Scope | None) -> None:
        """Its parameters, their defaults, and what its decorators make of it."""
        names, values = self._names, self._values
        inner = names.scopes[id(node)]
        itself = inner.itself
        own = {one.arg: names.token(one.arg, inner) for one in parameters(node) if one.arg != itself}
        stars = tuple(own[one.arg] for one in (node.args.vararg, node.args.kwarg) if one is not None)
        by_place = tuple(own[one.arg] for one in (*node.args.posonlyargs, *node.args.args) if one.arg in own)
        signature = Signature(by_place, own, itself is not None, stars)
        token = inner.name if inner.owner or isinstance(node, ast.Lambda) else names.token(node.name, scope)
        self._flows.functions[token].add(signature)
        if inner.owner:
            self._sets(token, Value(frozenset({token})), [f"{self._flows.families[inner.owner]}.{token}"])
        if inner.owner and inner.name in _MAKE:
            self._flows.functions[inner.owner].add(signature)
        if inner.owner and inner.name in _CALLED:
            self._flows.functions[inner.owner + RESULT].add(signature)
        for name, default in defaults(node):
            if name in own:
                self._flows.add([own[name]], values.of(default, scope))
                self._flows.add([own[name]], Value(frozenset({f"={name}"})))
        if isinstance(node, ast.Lambda):
            self._flows.add([inner.name + RESULT], values.of(node.body, inner))
            return
        for decorator in node.decorator_list:
            if inner.owner and last(decorator) in _PROPERTIES:
                self._sets(token, Value(frozenset({token + RESULT})), [f"{self._flows.families[inner.owner]}.{token}"])
            else:
                value = values.of(decorator, scope)
                self.calls.append(Call(value, [Value(frozenset({token}))]))
                self._flows.add([token], Value(with_suffix(value.own, RESULT)))
                of_another = decorator.func if isinstance(decorator, ast.Call) else decorator
                if isinstance(of_another, ast.Attribute):  # `@convert.register`
                    self._flows.add(values.of(of_another.value, scope).own, Value(frozenset({token})))

    def _gives(self, scope: Scope, value: Value, node: ast.AST) -> None:
        """What a function returns or yields."""
        token = scope.name if scope.owner else self._names.token(scope.name, scope.parent)
        if isinstance(node, ast.YieldFrom):
            value = holding((), nested=[value])
        elif isinstance(node, ast.Yield):
            value = holding([value])
        self._flows.add([token + RESULT], value)
        if scope.owner and scope.name in _CALLED:
            self._flows.add([scope.owner + RESULT + RESULT], value)
        if scope.owner and scope.name in _GIVES_PARTS:
            self._flows.add([scope.owner + RESULT + INSIDE], merged([value, picked(value)]))

    def _class(self, node: ast.ClassDef, of: Of) -> None:
        """A class without a constructor has its base's; without any, its fields are the parameters."""
        bases = frozenset(last(base) for base in node.bases)
        self._flows.add([node.name], Value(bases))
        fields = [
            one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        ]
        if fields and not any(isinstance(one, FUNCTION) and one.name in ("__init__", "__new__") for one in node.body):
            self._fields(node.name, fields, self._flows.families[node.name])
        for decorator in node.decorator_list:
            self.calls.append(Call(of(decorator), [Value(frozenset({node.name}))]))

    def _fields(self, name: str, fields: Sequence[str], owner: str) -> None:
        """The parameters of a class are its attributes."""
        tokens = {field: f"{owner}.{field}" for field in fields}
        self._flows.functions[name].add(Signature(tuple(tokens.values()), tokens, True))
        for field, token in tokens.items():
            self._flows.add([field], Value(frozenset({token})))
