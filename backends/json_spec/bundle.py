"""The source that travels in an artifact (`source/`), and running it under private names.

A carried module `my_project.model` is executed as `<json_spec_0123abcd>.my_project.model`, where the digits are those
of the digest of all carried source. What a carried module imports comes from the carried ones wherever they have that
top-level name, by an `__import__` that only these modules see; so an importable module of the same name is neither used
nor touched. Two artifacts that carry the same source share the modules, unless they carry files beside it too, which
are read where they lie in an artifact. Those of a notebook with values (`cell_values`) are shared by loads of it alone.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import hashlib
import os
import re
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

from backends.json_spec import datafiles
from backends.json_spec.digests import check_file
from backends.json_spec.errors import ArtifactError
from backends.json_spec.files import DIGESTS, GLOBALS, SOURCE, check_folders, read_file
from backends.json_spec.script import MAIN, TYPED, is_typed, script_module
from backends.json_spec.sources import Source, locate

FILE_LIMIT = 1 << 24
"""Bytes that one file of source may have."""
BUNDLED = "bundled"
"""What a caller trusts to run carried source: `trust="bundled"`."""
_PRIVATE = re.compile(r"<json_spec_[0-9a-f]+>\.")
_FILE = re.compile(rf"{SOURCE}/(?P<module>[^\W\d]\w*(?:/[^\W\d]\w*)*?)(?P<package>/__init__)?\.py")
_FUTURE = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})
_RUNNING: dict[str, Bundle] = {}
LOCK = threading.RLock()
"""Held while carried modules are being made."""


def plain_name(module: str) -> str:
    """The module's own name, for a module that runs under a private one, or as the script or a notebook."""
    if module == MAIN:
        return script_module() or (TYPED if is_typed() else module)
    return _PRIVATE.sub("", module, count=1)


def is_private(module: str) -> bool:
    """Whether it is a name under which a carried module runs."""
    return _PRIVATE.match(module) is not None


def file_of(module: str, is_package: bool) -> str:
    """Where a carried module lies in the artifact."""
    return f"{SOURCE}/{module.replace('.', '/')}{'/__init__' if is_package else ''}.py"


def is_data(name: str) -> bool:
    """Whether a file in `source/` is one beside the source."""
    inner = name.removeprefix(f"{SOURCE}/")
    return inner != name and datafiles.NAME.fullmatch(inner) is not None and not inner.endswith(datafiles.NO_DATA)


class Bundle:
    """The carried modules of one artifact."""

    def __init__(self, files: Mapping[str, tuple[str, bytes]], directory: Path, salt: str = "") -> None:
        """`files`: module -> (file in the artifact, its bytes). `salt` makes another private name."""
        self.files, self.directory = dict(files), directory
        parts = (f"{name}\0{hashlib.sha256(data).hexdigest()}\0" for name, (_, data) in sorted(files.items()))
        self.prefix = f"<json_spec_{hashlib.sha256((salt + ''.join(parts)).encode()).hexdigest()[:32]}>"
        self._tops = {name.partition(".")[0] for name in files}
        self.has_values = False
        """Whether the artifact has values for the module of a notebook's cells (see `cell_values`)."""
        self.values: set[str] | None = None
        """Their names, once the module has got them."""
        self._builtins = {**vars(builtins), "__import__": self._import}

    def forget(self) -> None:
        """Take the modules out of `sys.modules`."""
        for name in [name for name in sys.modules if name.startswith(self.prefix + ".")]:
            del sys.modules[name]

    def source(self, module: str) -> Source | None:
        """A carried module's source, for saving it again."""
        file, data = self.files.get(module, (None, None))
        return Source(module, self.directory / file, data, file.endswith("/__init__.py")) if file else None

    def find(self, module: str) -> Source | None:
        """The source of a module as the carried ones see it: theirs comes before what is installed."""
        return self.source(module) if module in self else locate(module)

    def __contains__(self, module: str) -> bool:
        """Whether a module's name is to be found here and nowhere else."""
        return module.partition(".")[0] in self._tops

    def import_module(self, module: str) -> types.ModuleType:
        """The carried module, executed the first time. Raises ModuleNotFoundError, and whatever its code raises."""
        with LOCK:
            private = f"{self.prefix}.{module}"
            if private in sys.modules:
                return sys.modules[private]
            parent = module.rpartition(".")[0]
            if parent:
                self.import_module(parent)
                if private in sys.modules:  # by the parent's own code
                    return sys.modules[private]
            made = self._execute(module, private)
            if parent:
                setattr(sys.modules[f"{self.prefix}.{parent}"], module.rpartition(".")[2], made)
            return made

    def _execute(self, module: str, private: str) -> types.ModuleType:
        file, data = self.files.get(module, (None, None))
        inner = any(name.startswith(module + ".") for name in self.files)
        if file is None and not inner:
            raise ModuleNotFoundError(
                f"No module named {module!r} in the source that the artifact carries", name=module
            )
        is_package = inner or file.endswith("/__init__.py")
        path = str(self.directory / file) if file is not None else None
        made = types.ModuleType(private)
        loader = SourceFileLoader(private, path) if path is not None else None  # gives libraries the files beside it
        made.__spec__ = ModuleSpec(private, loader, origin=path, is_package=is_package)
        made.__package__ = private if is_package else private.rpartition(".")[0]
        made.__builtins__ = self._builtins
        if is_package:
            made.__path__ = []
        if path is not None:
            made.__file__ = path
        sys.modules[private] = made
        try:
            for code in _compiled(data, path, module == TYPED) if data is not None else ():
                exec(code, vars(made))
        except BaseException:
            sys.modules.pop(private, None)
            raise
        return made

    def _import(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        """`__import__` as carried modules see it."""
        if level:
            package = plain_name((globals or {}).get("__package__", "") + ".").rstrip(".")
            parts = package.split(".")[: len(package.split(".")) - level + 1] if package else []
            if not parts:
                raise ImportError("attempted relative import beyond top-level package")
            name = ".".join([*parts, *([name] if name else [])])
        if name not in self:
            return builtins.__import__(name, globals, locals, fromlist, 0)
        module = self.import_module(name)
        if not fromlist:
            return self.import_module(name.partition(".")[0])
        wanted = getattr(module, "__all__", ()) if "*" in fromlist else fromlist
        for item in wanted:
            if not hasattr(module, item) and self._has(f"{name}.{item}"):
                self.import_module(f"{name}.{item}")
        return module

    def _has(self, module: str) -> bool:
        return any(name == module or name.startswith(module + ".") for name in self.files)


def _compiled(data: bytes, path: str, one_by_one: bool) -> Iterator[types.CodeType]:
    """The code of a module; `one_by_one`: of each statement, as notebooks and prompts compile them.

    Python calls what a name's attribute is in another way where it sees the name's import in the same text (source:
    `is_import_originated` of CPython's compile.c), and code that was typed is to come back as it was.
    """
    if not one_by_one:
        yield compile(data, path, "exec", dont_inherit=True)
        return
    flags = 0
    for statement in ast.parse(data, path).body:
        code = compile(ast.Module([statement], []), path, "exec", flags=flags, dont_inherit=True)
        flags |= code.co_flags & _FUTURE
        yield code


def read_bundle(directory: Path, sums: Mapping[str, str], *, for_itself: bool = False) -> Bundle:
    """The source that an artifact carries, every file compared with its digest; nothing is executed yet.

    It may be none. `for_itself`: modules that are shared with no other load, to be forgotten afterwards. Raises
    ArtifactError where a file is damaged.
    """
    files: dict[str, tuple[str, bytes]] = {}
    directory, has_data = directory.absolute(), False  # files beside the source are read later, wherever one is then
    for name in sums:
        if not name.startswith(f"{SOURCE}/"):
            continue
        match = _FILE.fullmatch(name)
        module = match["module"].replace("/", ".") if match else ""
        if module in files or (match is None and not is_data(name)):
            raise ArtifactError(f"{name!r} is neither the one file of a module nor a file beside one")
        check_folders(directory, name)
        data = read_file(directory / name, FILE_LIMIT if match else datafiles.LIMIT)
        check_file(name, data, sums)
        if match:
            files[module] = (name, data)
        else:
            has_data = True
    if for_itself:
        salt = os.urandom(16).hex()
    else:
        salt = str(directory) if has_data else ""
        salt += sums[GLOBALS] + sums[DIGESTS] if GLOBALS in sums else ""
    bundle = Bundle(files, directory, salt)
    bundle.has_values = GLOBALS in sums
    return bundle if for_itself else _RUNNING.setdefault(bundle.prefix, bundle)


def running(cls: type) -> Bundle | None:
    """The bundle that a class comes from, None for ordinary ones."""
    module = cls.__module__
    return _RUNNING.get(module.partition(".")[0]) if isinstance(module, str) and is_private(module) else None
