"""What the user's classes and functions reach in the source of their project, and the digests of that.

What is digested is each definition that the model's classes and functions can reach: themselves, and every name at the
top of a module that they mention, through the imports of the same project. A change elsewhere in a file is none of the
model's business.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache

from backends.json_spec import imports_by_text
from backends.json_spec.sources import ALWAYS, Project, Source, outside_definitions

LOADED = ""
"""Stands for the import of a module by another one, which does what the module always does and whatever that needs."""


def definitions(names: Iterable[str], project: Project) -> dict[str, dict[str, str]]:
    """Module -> name at its top -> digest, for everything that the named classes and functions reach, sorted."""
    can_find = cache(imports_by_text.can_find)
    queue = [(module, qualname.partition(".")[0]) for module, _, qualname in (name.partition(":") for name in names)]
    found: dict[tuple[str, str], str] = {}
    seen: set[tuple[str, str]] = set()
    while queue:
        module, name = queue.pop()
        source = project.source(module)
        if (module, name) in seen or source is None or (digest := source.digest(name or ALWAYS)) is None:
            continue
        seen.add((module, name))
        found[module, name or ALWAYS] = digest
        statements = source.statements[name or ALWAYS]
        if name == LOADED:
            queue += [(inner, LOADED) for inner in _loaded_with(source, project)]
            statements = [one for one in statements if not isinstance(one, ast.ImportFrom)]  # `*` only gives names
        queue += [(module, LOADED), (module, ALWAYS if name else LOADED)]
        for statement in statements:
            queue += [(module, used) for used in _used(statement) if used in source.statements]
            for base, item, _ in source.imported(statement):
                queue += _targets(base, item, project)
            for inner in imports_by_text.found(source, project, statement) if can_find(source) else ():
                queue += _targets(inner, None, project)
    tree: dict[str, dict[str, str]] = {}
    for module, name in sorted(found):
        tree.setdefault(module, {})[name] = found[module, name]
    return tree


def _loaded_with(source: Source, project: Project) -> Iterator[str]:
    """The modules of the project that are imported when one is: the packages that it lies in, and what it imports."""
    parts = source.module.split(".")
    yield from (name for n in range(1, len(parts)) if project.own(name := ".".join(parts[:n])) is not None)
    for statement in source.top:
        for base, item, _ in source.imported(statement, outside_definitions):
            if project.own(base) is not None:
                yield base
            elif base and project.source(base) is not None:  # a library's
                continue
            if item is not None and project.own(f"{base}.{item}") is not None:
                yield f"{base}.{item}"


def _used(statement: ast.AST) -> set[str]:
    """The names that a statement mentions."""
    used, left = set(), [statement]
    while left:  # as `ast.walk`, in half the time: this is much of what a save of a small model does
        node = left.pop()
        if type(node) is ast.Name:
            used.add(node.id)
            continue
        for name in node._fields:
            part = getattr(node, name, None)
            if isinstance(part, list):
                left += [one for one in part if isinstance(one, ast.AST)]
            elif isinstance(part, ast.AST):
                left.append(part)
    return used


def _targets(base: str, item: str | None, project: Project) -> list[tuple[str, str]]:
    """The definitions that an import reaches: one name, or a whole module."""
    if item not in (None, "*"):
        source = project.own(base)
        if source is not None and item in source.statements:
            return [(base, item), (base, ALWAYS)]
        base = f"{base}.{item}"
    source = project.own(base)
    return [(base, name) for name in source.statements] if source is not None else []


def imports(source: Source, project: Project) -> set[str]:
    """The modules of the project that a file imports anywhere in it, and the packages that they lie in."""
    found = set()
    for base, item, _ in source.imported(source.tree):
        for module in (base, f"{base}.{item}"):
            parts = module.split(".")
            found |= {name for n in range(len(parts)) if project.own(name := ".".join(parts[: n + 1])) is not None}
    return found
