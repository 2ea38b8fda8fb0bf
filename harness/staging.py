"""Putting a model's file into a project folder of its own, as the user's module, where conditions can work on it."""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from harness import syntax
from harness.errors import ModelFileError
from harness.registry import ModelSource

TEMPORARY = "-temporary"
"""Behind the name of a project's folder, the folder of the temporary files of the process that builds the model."""


@dataclass(frozen=True)
class Stage:
    """A staged project: `folder` goes on `sys.path`, `module` is imported from it."""

    folder: Path
    module: str
    own_modules: tuple[str, ...]
    """Top-level names that belong to the user's project."""
    scoring_file: Path
    """A copy of the model's file outside the project, for `score` where the project is absent."""


def stage(source: ModelSource, into: Path) -> Stage:
    """Copy the model's file, and whatever neighbours it imports, into the new folder `into`/project.

    A file inside a package keeps its dotted name. Only Python files travel. Raises ModelFileError for a file that is
    not valid Python.
    """
    root, module = source.path.parent, source.path.stem
    if not source.self_contained:
        while (root / "__init__.py").exists():
            module, root = f"{root.name}.{module}", root.parent
    project = into / "project"
    project.mkdir(parents=True)
    names = {module.partition(".")[0]}
    if source.self_contained:
        _check_syntax(source.path)
        shutil.copy2(source.path, project / source.path.name)
    else:
        names = _with_neighbours(source.path, root, names)
        for name in names:
            _copy_python(root, name, project)
    scoring_file = into / "scoring" / source.path.name
    scoring_file.parent.mkdir()
    shutil.copy2(source.path, scoring_file)
    return Stage(project, module, tuple(sorted(names)), scoring_file)


def _with_neighbours(path: Path, root: Path, names: set[str]) -> set[str]:
    """The top-level modules beside the file that it imports, and that those import, and so on."""
    names, queue, read = set(names), [path], set()
    queue += _files(root, next(iter(names)))
    while queue:
        current = queue.pop()
        if current in read:
            continue
        read.add(current)
        for name in _imports(current):
            if name not in names and _files(root, name):
                names.add(name)
                queue += _files(root, name)
    return names


def _files(root: Path, name: str) -> list[Path]:
    if (root / f"{name}.py").is_file():
        return [root / f"{name}.py"]
    return sorted((root / name).rglob("*.py")) if (root / name / "__init__.py").is_file() else []


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(_check_syntax(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _copy_python(root: Path, name: str, project: Path) -> None:
    for path in _files(root, name):
        target = project / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def _check_syntax(path: Path) -> ast.Module:
    try:
        return syntax.parse(path)
    except SyntaxError as error:
        raise ModelFileError(f"{path}, line {error.lineno}: {error.msg}", "The file must be valid Python.") from None


def libraries_of(project: Path, own_modules: Collection[str]) -> list[str]:
    """The top-level modules that a project imports and that are neither its own nor the standard library's."""
    names = {name for path in project.rglob("*.py") for name in _imports(path)}
    return sorted(names - set(own_modules) - sys.stdlib_module_names)
