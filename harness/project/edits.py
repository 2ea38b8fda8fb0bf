"""What happens to a project between save and load: modules renamed, code edited, classes moved. By syntax tree.

Each function changes the Python files below a folder and says what to look for afterwards. None of them changes what
the project computes, but for `change_values`.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from harness.source.syntax import parse

MARK = "_edited_after_the_save"
"""A local variable that edited functions assign: it changes no answer, and shows in their code object."""


# --- renamed ----------------------------------------------------------------------------------------------------


RENAMED = "_renamed"
"""What a module's new name has after the old one."""


def rename(project: Path, names: Collection[str], suffix: str = RENAMED) -> tuple[str, ...]:
    """Rename top-level modules and packages, and every import of them; returns the new names.

    A name that is put together at run time, as in `importlib.import_module("my" + "model")`, is not followed.
    """
    new = {name: f"{name}{suffix}" for name in names}
    for path in _files(project):
        _rewrite_imports(path, new)
    for old, name in new.items():
        for path in (project / f"{old}.py", project / old):
            if path.exists():
                path.rename(path.with_name(name + path.suffix))
    return tuple(new.values())


def _rewrite_imports(path: Path, new: dict[str, str]) -> None:
    def renamed(node: ast.AST) -> str | None:
        if isinstance(node, ast.ImportFrom) and not node.level and _top(node.module) in new:
            return ast.unparse(ast.ImportFrom(_replaced(node.module, new), node.names, 0))
        if isinstance(node, ast.Import) and any(_top(alias.name) in new for alias in node.names):
            return ast.unparse(ast.Import([one for alias in node.names for one in _aliases(alias, new)]))
        return None

    _splice(path, renamed)


def _aliases(alias: ast.alias, new: dict[str, str]) -> list[ast.alias]:
    """`a.b` -> `a_renamed.b, a_renamed as a`: an import without `as` binds the top-level name."""
    top = _top(alias.name)
    if top not in new:
        return [alias]
    name = _replaced(alias.name, new)
    if alias.asname:
        return [ast.alias(name, alias.asname)]
    binding = ast.alias(new[top], top)
    return [binding] if name == new[top] else [ast.alias(name), binding]


def _top(name: str | None) -> str:
    return (name or "").partition(".")[0]


def _replaced(name: str, new: dict[str, str]) -> str:
    top, dot, rest = name.partition(".")
    return f"{new[top]}{dot}{rest}"


def _splice(path: Path, replacement: Callable[[ast.AST], str | None]) -> None:
    """Put other text in the place of the statements for which `replacement` gives one; the rest stays as it is."""
    lines = path.read_bytes().splitlines(keepends=True)
    found = [(node, other) for node in ast.walk(parse(path)) if (other := replacement(node)) is not None]
    for node, other in sorted(found, key=lambda pair: (pair[0].lineno, pair[0].col_offset), reverse=True):
        first, last = node.lineno - 1, node.end_lineno - 1
        start, end = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        lines[first : last + 1] = [start + other.encode() + end]
    if found:
        path.write_bytes(b"".join(lines))


# --- edited -----------------------------------------------------------------------------------------------------


def edit(project: Path) -> tuple[str, ...]:
    """Edit the body of every function, method and lambda so that it can be told which version ran.

    What is inserted is an assignment to a local variable MARK, which TorchScript and torch's compiler accept. Returns
    the qualified names of all that was edited.
    """
    names: set[str] = set()
    for path in _files(project):
        tree = ast.fix_missing_locations(_Marker().visit(parse(path)))
        path.write_text(ast.unparse(tree) + "\n", encoding="utf-8")
        code = compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)
        names |= {inner.co_qualname for inner in _codes(code) if MARK in inner.co_varnames}
    return tuple(sorted(names))


class _Marker(ast.NodeTransformer):
    in_iterable = False
    """Whether what is visited is in what a comprehension goes over, where Python allows no assignment expression."""

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        around, self.in_iterable = self.in_iterable, True
        node.iter = self.visit(node.iter)
        self.in_iterable = around
        node.target = self.visit(node.target)
        node.ifs = [self.visit(condition) for condition in node.ifs]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        place = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body.insert(place, ast.Assign([ast.Name(MARK, ast.Store())], ast.Constant(True)))
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.generic_visit(node)
        if self.in_iterable:  # an argument is a local variable too
            node.args.kwonlyargs.append(ast.arg(MARK))
            node.args.kw_defaults.append(ast.Constant(True))
            return node
        mark = ast.NamedExpr(ast.Name(MARK, ast.Store()), ast.Constant(True))
        both = ast.Tuple([mark, node.body], ast.Load())
        node.body = ast.Subscript(both, ast.Constant(1), ast.Load())
        return node


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


# --- other values -----------------------------------------------------------------------------------------------


def change_values(project: Path, texts: bool = True) -> None:
    """Change every constant of modules and classes, every default of an argument, and every file of data.

    A number in an assignment becomes another one wherever it stands in it; a text, where `texts` says so, if it is the
    whole value or an entry of it: in a call it may name something. Of a file it is the last letter or digit: what is
    JSON stays so, as a rule. Enumerations stay as they are: pickles call for a member by its value.
    """
    for path in sorted(project.rglob("*")):
        if path.suffix == ".py":
            tree = parse(path)
            _change_body(tree.body, _Changer(texts))
            path.write_text(ast.unparse(ast.fix_missing_locations(tree)) + "\n", encoding="utf-8")
        elif path.is_file():
            path.write_bytes(_with_another_end(path.read_bytes()))


def _with_another_end(data: bytes) -> bytes:
    end = len(data.rstrip(_NEITHER))
    return data[: end - 1] + (b"1" if data[end - 1 : end] == b"0" else b"0") + data[end:] if end else data


_NEITHER = bytes(byte for byte in range(256) if not chr(byte).isascii() or not chr(byte).isalnum())


def _change_body(body: list[ast.stmt], changer: _Changer) -> None:
    """The statements at the top of a module or class, and those in its branches."""
    for statement in body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value and not _is_reserved(statement):
            statement.value = changer.whole(statement.value)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = statement.args
            arguments.defaults = [changer.whole(value) for value in arguments.defaults]
            arguments.kw_defaults = [value and changer.whole(value) for value in arguments.kw_defaults]
        elif not (isinstance(statement, ast.ClassDef) and any(map(_is_of_enum, statement.bases))):
            for name in ("body", "orelse", "handlers", "finalbody"):
                _change_body(getattr(statement, name, []), changer)


def _is_of_enum(base: ast.expr) -> bool:
    return ast.unparse(base).endswith(("Enum", "Flag"))


def _is_reserved(statement: ast.Assign | ast.AnnAssign) -> bool:
    """Whether it says something to Python: `__all__`, `__slots__`."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return any(isinstance(target, ast.Name) and target.id.startswith("__") for target in targets)


class _Changer(ast.NodeTransformer):
    def __init__(self, texts: bool) -> None:
        self.texts = texts

    def whole(self, value: ast.expr) -> ast.expr:
        """A value, or an entry of one."""
        if isinstance(value, ast.List | ast.Tuple | ast.Set):
            value.elts = [self.whole(entry) for entry in value.elts]
            return value
        if isinstance(value, ast.Dict):
            value.values = [self.whole(entry) for entry in value.values]
            return value
        if self.texts and isinstance(value, ast.Constant) and isinstance(value.value, str):
            return ast.copy_location(ast.Constant(f"{value.value}_"), value)
        return self.visit(value)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool):
            return ast.copy_location(ast.Constant(not node.value), node)
        return ast.copy_location(ast.Constant(node.value + 1), node) if isinstance(node.value, int | float) else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node.value = self.visit(node.value)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node


# --- moved ------------------------------------------------------------------------------------------------------

MOVED = "_moved"


def move_classes(project: Path) -> tuple[tuple[str, str], ...]:
    """Move every module's classes to a new module beside it; returns (module, class) of the places that are empty now.

    The new module is the old file; the old one keeps what is not a class. Imports of the classes elsewhere in the
    project are put right, and so are those of modules whose attributes they are (`net.Model`), but not where it takes
    more than one step (`package.net.Model`). A package's `__init__` stays.
    """
    gone = []
    classes = {}
    for path in _files(project):
        names = _class_names(path)
        if names and path.name != "__init__.py":
            classes[".".join(path.relative_to(project).with_suffix("").parts)] = names
    for module, names in classes.items():
        path = project.joinpath(*module.split(".")).with_suffix(".py")
        new = path.with_stem(f"{path.stem}{MOVED}")
        path.rename(new)
        path.write_text(_LEFT.format(module=f"{module}{MOVED}", names=sorted(names)), encoding="utf-8")
        gone += [(module, name) for name in sorted(names)]
    for path in _files(project):
        _follow(path, path.relative_to(project).parent.parts, classes)
    return tuple(gone)


_LEFT = """import importlib

_new, _gone = importlib.import_module({module!r}), {names!r}
globals().update((name, part) for name, part in vars(_new).items() if not name.startswith("__") and name not in _gone)
del _new, _gone, importlib
"""


def _class_names(path: Path) -> set[str]:
    return {node.name for node in parse(path).body if isinstance(node, ast.ClassDef)}


def _follow(path: Path, package: tuple[str, ...], classes: dict[str, set[str]]) -> None:
    """Put right where one file imports moved classes from; `package` is the one that it is in, part by part."""

    tree = parse(path)
    used = {(node.value.id, node.attr) for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}  # fmt: skip

    def is_used(alias: ast.alias, module: str) -> bool:
        return any((alias.asname or alias.name, name) in used for name in classes.get(module, ()))

    def followed(node: ast.AST) -> str | None:
        if isinstance(node, ast.Import):
            aliases = [_moved(alias) if is_used(alias, alias.name) else alias for alias in node.names]
            return None if aliases == node.names else ast.unparse(ast.Import(aliases))
        if not isinstance(node, ast.ImportFrom):
            return None
        where = package[: len(package) - node.level + 1] if node.level else ()
        module = ".".join((*where, *filter(None, [node.module])))
        names = classes.get(module, set())
        if any(alias.name in names or (alias.name == "*" and names) for alias in node.names):
            whole = ast.ImportFrom(f"{node.module}{MOVED}", node.names, node.level)  # the new module has the rest too
            return ast.unparse(whole)
        aliases = [_moved(alias) if is_used(alias, f"{module}.{alias.name}") else alias for alias in node.names]
        return None if aliases == node.names else ast.unparse(ast.ImportFrom(node.module, aliases, node.level))

    _splice(path, followed)


def _moved(alias: ast.alias) -> ast.alias:
    """The new module, which has all that the old one has, under the name that the code knows."""
    return ast.alias(f"{alias.name}{MOVED}", alias.asname or alias.name)


# --- all --------------------------------------------------------------------------------------------------------


def top_level_names(path: Path) -> set[str]:
    """The names of classes and functions that a file defines."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in parse(path).body if isinstance(node, kinds)}


def _files(project: Path) -> list[Path]:
    return sorted(project.rglob("*.py"))
