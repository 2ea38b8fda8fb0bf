"""The modules of the user's project that a file of it finds by a text: `import_module("plugins." + name)`."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import pkgutil
import re

from backends.json_spec.sources import Project, Source

BY_TEXT = frozenset({"import_module", "resolve_name", "__import__"})
"""Functions that get a module by a text."""
_LISTS = frozenset({"iter_modules", "walk_packages"})
"""Functions of `pkgutil` that tell which modules a package has: plugins are found so."""
_DOTTED = re.compile(r"\.*\w+(\.\w+)+(:[\w.]*)?|\.+\w+")


def can_find(source: Source) -> bool:
    """Whether a file can have an import by a text: to look for one takes as long as all else."""
    return any(way.encode() in source.data for way in (*BY_TEXT, *_LISTS, "modules["))


def found(source: Source, project: Project, within: ast.AST | None = None) -> dict[str, str]:
    """The modules of the project that a file, or a statement in it, finds by a text -> the function by which it does,
    or `modules` of `sys`.

    The text is that one's argument, or what that begins with, or what a name stands for there; or it has a dot and
    stands anywhere in a file that names one of the functions. `__import__` as an attribute is not that of the module.
    What lists the modules of a package of the project finds all that are in its folder.
    """
    asked: dict[str, str] = {}
    dotted: set[str] = set()
    ways: set[str] = set()
    by_way: dict[str, str] = {}
    for node in ast.walk(source.tree if within is None else within):
        if isinstance(node, ast.Call) and (way := _called(node.func)) in _LISTS:
            by_way |= dict.fromkeys(_listed(node, source, project), way)
        ways |= {_called(node)} & BY_TEXT
        way, text = None, node
        if isinstance(node, ast.Call) and node.args:
            way, text = _called(node.func), _meant(node.args[0], source, project)
        elif isinstance(node, ast.Subscript):
            way, text = _called(node.value), node.slice
        begins = _begins(text)
        if begins and way in (BY_TEXT if isinstance(node, ast.Call) else {"modules"}):
            is_own = not isinstance(getattr(node, "func", None), ast.Attribute)
            asked[begins] = way if is_own or way != "__import__" else f"builtins.{way}"
        elif isinstance(node, ast.Constant) and begins and _DOTTED.fullmatch(begins):
            dotted.add(begins)
    asked = dict.fromkeys(dotted, min(ways, default="")) | asked if ways else asked
    for text, way in asked.items():
        with contextlib.suppress(ImportError, ValueError):  # relative to nothing
            module = importlib.util.resolve_name(text.partition(":")[0], _package(source)).rstrip(".")
            if project.own(module) is not None:
                by_way[module] = way
    return by_way


def _package(source: Source) -> str:
    return source.module if source.is_package else source.module.rpartition(".")[0]


def _listed(call: ast.Call, source: Source, project: Project) -> list[str]:
    """The modules of the project that are in the package whose `__path__`, or place, is an argument."""
    packages = set()
    for node in [part for argument in (*call.args, *call.keywords) for part in ast.walk(argument)]:
        if isinstance(node, ast.Name) and node.id in ("__path__", "__file__"):
            packages.add(_package(source))
        elif isinstance(node, ast.Attribute) and node.attr == "__path__" and isinstance(node.value, ast.Name):
            packages |= {f"{base}.{item}" if item else base for base, item in source.imported_as.get(node.value.id, ())}
    found = []
    for package in sorted(packages):
        if (home := project.own(package)) is not None and home.is_package:
            found += [f"{package}.{one.name}" for one in pkgutil.iter_modules([str(home.path.parent)])]
    return [module for module in found if project.own(module) is not None]


def _meant(node: ast.AST, source: Source, project: Project) -> ast.AST:
    """An expression; or the text that it stands for, where that is a name at the top of this module or another one."""
    text = source.text_of(node.id) if isinstance(node, ast.Name) else None
    named = node.value if isinstance(node, ast.Attribute) else node
    if text is None and isinstance(named, ast.Name):
        for base, item in source.imported_as.get(named.id, ()):
            module, name = (base, item) if named is node else (f"{base}.{item}" if item else base, node.attr)
            found = project.own(module) if name is not None else None
            text = found.text_of(name) if found is not None else text
    return node if text is None else ast.Constant(text)


def _begins(node: ast.AST) -> str | None:
    """The text that an expression is, or begins with: `"plugins."` of `"plugins." + name`."""
    while isinstance(node, ast.BinOp):
        node = node.left
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _called(node: ast.AST) -> str:
    """The last part of a name: `import_module` of `importlib.import_module`."""
    return getattr(node, "attr", getattr(node, "id", getattr(node, "name", None))) or ""
