"""What each name in a file stands for, as far as its text says: a variable of one function, or anything of that name.

A *token* is the text that other modules of the harness compare. A global and an attribute are known by their bare
names, wherever they are. A variable of a function is its own (`x@0:12:4`), but for those that the snapshot of a model
has too, which knows them by their names alone: what an inner function or a generator holds (`&x`), and what has a
default (`=x`). `self` in a method of `C` is `C()`, as what the class gives is, `new C` while it is made; `cls` is `C`;
`self.x` is `C.x`, the same for all classes that derive from each other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
MAKERS = frozenset({"__init__", "__post_init__", "__setstate__"})
"""Methods whose object nobody else has yet."""
_OF_THE_CLASS = frozenset({"__new__", "__init_subclass__", "__class_getitem__"})


@dataclass
class Scope:
    """A function, with the names that it binds."""

    function: ast.AST
    number: str
    parent: Scope | None
    owner: str | None
    """The class whose method it is."""
    bound: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)
    """Those that it declares `nonlocal` or `global`."""
    of_module: set[str] = field(default_factory=set)
    """Those that it declares `global`."""
    held: set[str] = field(default_factory=set)
    """Those that inner functions read."""
    yields: bool = False

    @property
    def name(self) -> str:
        return getattr(self.function, "name", f"<lambda {self.number}>")

    @property
    def outermost(self) -> Scope:
        """The function of a module or class that this is, or is in."""
        return self if self.parent is None else self.parent.outermost

    @property
    def depth(self) -> int:
        """In how many functions it is."""
        return 0 if self.parent is None else self.parent.depth + 1

    @property
    def itself(self) -> str | None:
        """What the method calls its object, or its class."""
        decorators = {last(one) for one in getattr(self.function, "decorator_list", ())}
        if self.owner is None or "staticmethod" in decorators:
            return None
        arguments = self.function.args
        return next((one.arg for one in (*arguments.posonlyargs, *arguments.args)), None)

    def instance(self, here: bool = True) -> str:
        """What that stands for; `here`: in the method itself, not in a function in it, which may run later."""
        decorators = {last(one) for one in getattr(self.function, "decorator_list", ())}
        if "classmethod" in decorators or self.name in _OF_THE_CLASS:
            return str(self.owner)
        return f"new {self.owner}" if here and self.name in MAKERS else f"{self.owner}()"

    @property
    def method_of(self) -> Scope | None:
        """The method that this is, or is in."""
        scope: Scope | None = self
        while scope is not None and scope.itself is None:
            scope = scope.parent
        return scope


def last(expression: ast.AST) -> str:
    """The last name of a name with attributes, also of what is called: `add` of `x.add` and `add(1)`."""
    if isinstance(expression, ast.Call):
        return last(expression.func)
    if isinstance(expression, ast.Name):
        return expression.id
    return expression.attr if isinstance(expression, ast.Attribute) else ""


def parameters(function: ast.AST) -> list[ast.arg]:
    """All of them, in their order."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [one for one in every if one is not None]


def defaults(function: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Each parameter with a default, and that."""
    arguments = function.args
    by_place = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    yield from zip(reversed(by_place), reversed(arguments.defaults), strict=False)
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield one.arg, default


def families(trees: Iterable[ast.AST]) -> dict[str, str]:
    """By a class, the first of those that derive from each other: what `self` is in the methods of one it may be in
    another's."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found = {node.name: node.name for node in classes}

    def first(name: str) -> str:
        while found[name] != name:
            name = found[name]
        return name

    for node in classes:
        for base in map(last, node.bases):
            if base in found:
                found[first(base)] = first(node.name)
    return {name: first(name) for name in found}


class Names:
    """Of one file."""

    def __init__(self, tree: ast.AST, number: int, families: dict[str, str]) -> None:
        self.nodes: list[tuple[ast.AST, Scope | None]] = []
        """All nodes, each with the function that it is in."""
        self.scopes: dict[int, Scope] = {}
        """By the address of the function's node."""
        self.imported: set[str] = set()
        """Names of modules, and what is imported from them."""
        self._file, self._families = number, families
        self._visit(tree, None, None)
        for node, scope in self.nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imported |= {(one.asname or one.name).partition(".")[0] for one in node.names}
            if isinstance(node, ast.Name) and (owner := self._owner(node.id, scope)) not in (None, scope):
                owner.held.add(node.id)

    def token(self, name: str, scope: Scope | None) -> str:
        """What a name stands for in a function; None outside of all."""
        owner = self._owner(name, scope)
        if owner is None:
            return name
        if name == owner.itself:
            return owner.instance(here=owner is scope)
        if name in owner.held or owner.yields:
            return f"&{name}"
        return f"={name}" if name in dict(defaults(owner.function)) else f"{name}@{owner.number}"

    def object_of(self, node: ast.expr, scope: Scope | None) -> str | None:
        """The class whose object an expression is by its name, `self` as a rule: the first of its family, or `new C`
        where it is made."""
        owner = self._owner(node.id, scope) if isinstance(node, ast.Name) else None
        if owner is None or node.id != owner.itself:
            return None
        instance = owner.instance(here=owner is scope)
        if instance == owner.owner:
            return None
        return self._families[owner.owner] if instance.endswith("()") else instance

    @staticmethod
    def _owner(name: str, scope: Scope | None) -> Scope | None:
        """The function whose variable it is."""
        while scope is not None and (name in scope.outer or name not in scope.bound):
            scope = None if name in scope.of_module else scope.parent
        return scope

    def _visit(self, node: ast.AST, scope: Scope | None, owner: str | None) -> None:
        """`owner`: the class in whose body the node is."""
        self.nodes.append((node, scope))
        if scope is not None and owner is None:
            _bind(node, scope)
        if isinstance(node, FUNCTION):
            number = f"{self._file}:{getattr(node, 'lineno', 0)}:{getattr(node, 'col_offset', 0)}"
            inner = self.scopes[id(node)] = Scope(node, number, scope, owner)
            inner.bound |= {one.arg for one in parameters(node)}
            for part in (*getattr(node, "decorator_list", ()), *(default for _, default in defaults(node))):
                self._visit(part, scope, None)
            for part in node.body if isinstance(node.body, list) else [node.body]:
                self._visit(part, inner, None)
        elif isinstance(node, ast.ClassDef):
            for part in (*node.decorator_list, *node.bases, *(one.value for one in node.keywords)):
                self._visit(part, scope, None)
            for part in node.body:
                self._visit(part, scope, node.name)
        else:
            for part in ast.iter_child_nodes(node):
                self._visit(part, scope, owner)


def _bind(node: ast.AST, scope: Scope) -> None:
    """Note what a node of the function's own binds; what it imports is known by its bare name, as elsewhere."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        scope.bound.add(node.id)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        scope.bound.add(node.name)
    elif isinstance(node, ast.Global | ast.Nonlocal):
        scope.outer.update(node.names)
        scope.of_module.update(node.names if isinstance(node, ast.Global) else ())
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        scope.bound.add(node.name)
    elif isinstance(node, ast.MatchMapping) and node.rest:
        scope.bound.add(node.rest)
    elif isinstance(node, ast.Yield | ast.YieldFrom):
        scope.yields = True
