"""Putting a model's file into a project folder of its own, as the user's module, where conditions can work on it."""

from __future__ import annotations

import ast
import glob
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import ModelFileError
from harness.project import notebook
from harness.registry import ModelSource
from harness.source import syntax

TEMPORARY = "-temporary"
"""Behind the name of a project's folder, the folder of the temporary files of the process that builds the model."""
_BY_TEXT = frozenset({"import_module", "__import__", "resolve_name"})
_MODULE = re.compile(r"([^\W\d]\w*)(?:\.\w+)*(?::[\w.]*)?")
_SUFFIXED = re.compile(r"\.[A-Za-z]\w{0,7}$")
DATA_BYTES = 64 << 20
"""Of one file or folder of data, for the project is copied for every cell."""


@dataclass(frozen=True)
class Stage:
    """A staged project: `folder` goes on `sys.path`, `module` is imported from it."""

    folder: Path
    module: str
    own_modules: tuple[str, ...]
    """Top-level names that belong to the user's project."""
    scoring_file: Path
    """A copy of the model's file outside the project, for `score` where the project is absent."""

    def copied(self, folder: Path, how: str = "imported") -> Stage:
        """The project in the new folder `folder`, as it is where a model is saved in the way `how`."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
        if how == "notebook":
            notebook.convert(folder, self.module)
        return replace(self, folder=folder)


def stage(source: ModelSource, into: Path) -> Stage:
    """Copy the model's file, and whatever neighbours it imports, into the new folder `into`/project.

    A file inside a package keeps its dotted name. Beside Python files those travel that they name: see `data_of`. Of a
    self-contained file it is the folder NAME_data.
    Raises ModelFileError for a file that is not valid Python.
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
        data = _data_at([source.path.with_name(f"{source.path.stem}_data")])
        _copy_files([source.path, *data], source.path.parent, project)
    else:
        names = _with_neighbours(source.path, root, names)
        packages = sorted({path.parent for name in names for path in _files(root, name)} - {root})
        for name in names:
            _copy(name, root, project, packages)
    scoring_file = into / "scoring" / source.path.name
    scoring_file.parent.mkdir()
    shutil.copy2(source.path, scoring_file)
    if not source.self_contained:
        _copy_files(data_of(source.path, source.path.parent), source.path.parent, scoring_file.parent)
    return Stage(project, module, tuple(sorted(names)), scoring_file)


def _with_neighbours(path: Path, root: Path, names: set[str]) -> set[str]:
    """The top-level modules beside the file that it imports, by a text too, and that those import, and so on."""
    names, queue, read = set(names), [path], set()
    queue += _files(root, next(iter(names)))
    while queue:
        current = queue.pop()
        if current in read:
            continue
        read.add(current)
        for name in _imports(current) | _imports_by_text(current):
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


def _imports_by_text(path: Path) -> set[str]:
    """The first parts of the texts in a file that may be the names of modules, where it imports by a text."""
    nodes = list(ast.walk(_check_syntax(path)))
    if _BY_TEXT.isdisjoint(getattr(node, "attr", getattr(node, "id", getattr(node, "name", ""))) for node in nodes):
        return set()
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {found.group(1) for text in texts if (found := _MODULE.fullmatch(text))}


def _copy(name: str, root: Path, project: Path, packages: Collection[Path]) -> None:
    """A top-level module or package, and the data that its code names."""
    for path in _files(root, name):
        _copy_files([path, *data_of(path, root, packages)], root, project)


def _copy_files(paths: list[Path], root: Path, into: Path) -> None:
    for path in paths:
        target = into / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def data_of(path: Path, root: Path, packages: Collection[Path] = ()) -> list[Path]:
    """The files below `root` that a Python file names by a text, and those in folders that it names: a list of labels,
    `assets`; by an f-string (`f"{country}.csv"`) all those that it may name. Where it names them from, its own folder,
    `root` or one of the packages (`files("ranking") / "assets"`), they lie.

    Not what is larger than DATA_BYTES, hidden, or Python, which travels by its imports; nor a folder with Python in it.
    """
    found: dict[Path, None] = {}
    folders = dict.fromkeys((path.parent, root, *packages))
    for node in ast.walk(_check_syntax(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _may_be_a_path(node.value):
            places = [[folder / node.value] for folder in folders]
        elif isinstance(node, ast.JoinedStr) and _may_be_a_path(pattern := _pattern(node)):
            places = [[folder / name for name in glob.glob(pattern, root_dir=folder)] for folder in folders]
        else:
            continue
        for named in places:
            inside = [one for one in (Path(os.path.normpath(one)) for one in named) if _is_inside(one, root)]
            found |= dict.fromkeys(_data_at(inside))
    return list(found)


def _may_be_a_path(text: str) -> bool:
    return 0 < len(text) < 256 and text.isprintable() and not os.path.isabs(text)


def _pattern(text: ast.JoinedStr) -> str:
    """What an f-string may give, with `*` for what is known at run time alone; empty where it ends in no suffix."""
    parts = [glob.escape(part.value) if isinstance(part, ast.Constant) else "*" for part in text.values]
    return "".join(parts) if _SUFFIXED.search(parts[-1] if parts else "") else ""


def _is_inside(path: Path, root: Path) -> bool:
    """Whether it is below `root`, and nothing on the way hidden."""
    return path.is_relative_to(root) and not any(part.startswith(".") for part in path.relative_to(root).parts)


def _data_at(named: Iterable[Path]) -> list[Path]:
    """The files, and all of folders; empty for what does not travel."""
    files, size = [], 0
    for file in (file for one in named for file in ([one] if os.path.isfile(one) else _below(one))):
        size += file.stat().st_size
        if size > DATA_BYTES or file.suffix == ".py":
            return []
        files.append(file)
    return files


def _below(folder: Path) -> Iterator[Path]:
    for current, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        paths = (Path(current, name) for name in sorted(names) if not name.startswith("."))
        yield from filter(os.path.isfile, paths)  # no broken links, no pipes


def _check_syntax(path: Path) -> ast.Module:
    try:
        return syntax.parse(path)
    except SyntaxError as error:
        raise ModelFileError(f"{path}, line {error.lineno}: {error.msg}", "The file must be valid Python.") from None


def libraries_of(project: Path, own_modules: Collection[str]) -> list[str]:
    """The top-level modules that a project imports and that are neither its own nor the standard library's."""
    names = {name for path in project.rglob("*.py") for name in _imports(path)}
    return sorted(names - set(own_modules) - sys.stdlib_module_names)
