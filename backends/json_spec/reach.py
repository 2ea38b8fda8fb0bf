"""What the user's classes and functions reach, described: path -> text, the same for what is the same in any process.

They reach the globals that their code names, their classes' attributes and bases, what their functions close over, what
they read in other modules of the project and in the environment, and whatever these hold. For `imported`.
"""

from __future__ import annotations

import _abc
import abc
import collections
import contextlib
import enum
import hashlib
import importlib
import os
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backends.json_spec import bytecode, script
from backends.json_spec.bundle import Bundle, is_private, plain_name
from backends.json_spec.holding import ATOMS, LENGTH, held, named, shown
from backends.json_spec.imports_by_text import BY_TEXT
from backends.json_spec.layouts import COMPRESSED
from backends.json_spec.regions import plain_bytes
from backends.json_spec.settings import added_builtins
from backends.json_spec.sources import Project, is_library

QUIET = frozenset(
    (  # noqa: SIM905
        "__dict__ __weakref__ __module__ __qualname__ __slots__ __hash__ __signature__ __firstlineno__ "
        "__annotations__ __annotate__ __annotate_func__ __annotations_cache__ __static_attributes__ __orig_bases__ "
        "__slotnames__ __abstractmethods__ _abc_impl __parameters__ __dataclass_fields__ __dataclass_params__ "
        "__match_args__ _member_map_ _value2member_map_ _member_names_"
    ).split()
)
"""Entries of a class that Python itself makes or changes."""
OF_THE_PLACE = frozenset(
    ["__name__", "__file__", "__spec__", "__loader__", "__package__", "__path__", "__cached__", "__builtins__"]
)
"""Names that the import itself gives to a module."""


def reach(
    names: Iterable[str],
    project: Project,
    environment: Mapping[str, str] | None = None,
    *,
    imported_before: Collection[str] = (),
    texts: Callable[[], set[str]] = set,
    typed: frozenset[str] = frozenset(),
    carried: Bundle | None = None,
) -> Reach:
    """Everything of the project that the named classes and functions reach.

    `environment`: variables by name, of which those that the functions read are told; by default those of now.
    `imported_before`: modules of the project that functions import, to be imported for the comparison.
    `texts` gives those that the model holds.
    `typed`: the names that a notebook's functions may look up, where attributes have names of that kind too.
    `carried`: where the names are found, if not among the imported modules.
    """
    found = Reach(project, os.environ if environment is None else environment, imported_before, typed)
    for name in names:
        module, _, qualname = name.partition(":")
        thing: Any = script.module_of(module) or sys.modules.get(module)
        if carried is not None:
            thing = carried.import_module(module)
        for part in qualname.split("."):
            thing = getattr(thing, "__dict__", {}).get(part)
        found.enter(thing, name)
    found.run(texts)
    return found


def is_own(module: Any, project: Project) -> bool:
    """Whether an imported module belongs to the project: its file, which is not read, lies in one of its folders."""
    file = getattr(sys.modules.get(module), "__file__", None) if isinstance(module, str) else None
    if not isinstance(file, str):
        return False
    near = [root for root in project.roots if os.name != "posix" or root.name in file]
    if not near or is_library(file):  # as are the thousand modules that torch has imported, often within the project
        return False
    path = Path(file)
    return any(path.is_relative_to(root) for root in near)


_libraries: dict[str, types.ModuleType] = {}
"""Name -> imported module, of those that a save found to be libraries'."""


def own_modules(project: Project) -> list[str]:
    """The names of the imported modules that belong to the project.

    Of more than a thousand modules nearly all are libraries', and the very ones that they were at an earlier save: they
    need not be looked into again.
    """
    own, known = [], _libraries.get
    for name, module in [(name, module) for name, module in sys.modules.items() if known(name) is not module]:
        if isinstance(file := getattr(module, "__file__", None), str):
            if is_library(file):
                _libraries[name] = module
            elif is_own(name, project):
                own.append(name)
    return own


ANOTHER = ", and another one of that name"
"""What is told of a path that leads to two things, as of a script that was imported as well."""


class Reach:
    """What is reached, as it is described: path -> text."""

    def __init__(
        self,
        project: Project,
        environment: Mapping[str, str],
        imported_before: Collection[str] = (),
        typed: frozenset[str] = frozenset(),
    ) -> None:
        self._project, self._environment, self._typed = project, environment, typed
        self._imported = imported_before
        """Modules of the project that are imported where a function imports them itself: what is compared had them."""
        self._builtins = added_builtins()
        self.reached: set[str] = set()
        """`module:name at its top`, of the project's classes and functions."""
        self._own: dict[Any, bool] = {}
        self._seen: dict[int, str] = {}
        self._alive: list[Any] = []
        self._things: dict[str, Any] = {}
        self._left: collections.deque[tuple[Any, str]] = collections.deque()
        self.found: dict[str, str] = {}
        """Path -> text."""
        self._texts: set[str] = set()
        """All that were seen: the names of modules and variables that functions get from elsewhere are among them."""
        self._by_text: list[tuple[types.FunctionType, str]] = []
        """Functions that import by a text."""
        self._reading: list[tuple[str, set[str]]] = []
        """Functions that read environment variables, and the texts in them."""

    @property
    def things(self) -> Mapping[str, Any]:
        """Path -> what is reached there."""
        return self._things

    def enter(self, thing: Any, path: str) -> None:
        self._left.append((thing, path))

    def run(self, texts: Callable[[], set[str]] = set) -> None:
        """Describe all that leads on from what was entered; `texts` gives those that the model itself holds."""
        self._drain()
        known: set[str] = set()
        while self._by_text and known != self._texts:
            known = set(self._texts)
            for function, path in self._by_text:
                self._enter_modules(function, path, [], known & {*sys.modules, *self._imported})
            self._drain()
        for path, _ in self._reading[:1]:
            self._tell_environment(path, self._texts | texts())
        for path, own in self._reading[1:]:
            self._tell_environment(path, own)

    def _tell_environment(self, path: str, named: set[str]) -> None:
        for variable in sorted(named & self._environment.keys()):
            self.found[f"{path}.<environment>[{variable!r}]"] = repr(self._environment[variable])

    def _drain(self) -> None:
        while self._left:
            thing, path = self._left.popleft()
            if path in self.found:  # a global that several functions read
                if self._things[path] is not thing and (type(thing) not in ATOMS or self.found[path] != shown(thing)):
                    self.found[path] += ANOTHER
                continue
            self._things[path] = thing
            if type(thing) in ATOMS:
                self.found[path] = shown(thing)
                if type(thing) is str and not path.endswith(".__module__"):
                    self._texts.add(thing)
            elif id(thing) in self._seen and not _is_constant(thing):
                self.found[path] = f"the same as {self._seen[id(thing)]}"
            else:
                self._seen[id(thing)] = path
                self._alive.append(thing)
                self.found[path] = self._one(thing, path)

    def _one(self, thing: Any, path: str) -> str:
        """The text of one thing; its parts are entered."""
        if isinstance(thing, staticmethod | classmethod):
            self.enter(thing.__func__, f"{path}()")
            return type(thing).__name__
        if isinstance(thing, property):
            for name in ("fget", "fset", "fdel"):
                self.enter(getattr(thing, name), f"{path}.{name}")
            return "property"
        if isinstance(thing, types.FunctionType):
            return self._function(thing, path)
        if isinstance(thing, type):
            return self._class(thing, path)
        if isinstance(thing, types.ModuleType):
            return f"module {plain_name(thing.__name__)}"
        if isinstance(thing, enum.Enum):
            for name, part in vars(thing).items() if self._is_own(type(thing)) else ():
                if not name.startswith("_") or not name.endswith("_"):  # as Python notes `_inverted_` at first use
                    self.enter(part, f"{path}.{name}")
            return f"{type(thing).__qualname__}.{thing.name}"
        if isinstance(thing, torch.Tensor | np.ndarray):
            return self._tensor(thing, path)
        is_own_ = self._is_own(type(thing))
        text, parts = held(thing, is_own_)
        for step, part in parts.items():
            is_place = step == ".__module__" and type(part) is str  # of what `functools.wraps` made
            self.enter(plain_name(part) if is_place else part, path + step)
            if step.startswith("['"):  # a key
                self._texts.add(step[2:-2])
        if is_own_:
            self.enter(type(thing), named(type(thing)))
        return f"a {named(type(thing))}{text}"

    def _tensor(self, thing: Any, path: str) -> str:
        for name, part in getattr(thing, "__dict__", {}).items():
            self.enter(part, f"{path}.{name}")
        if isinstance(thing, np.ndarray):
            for place, part in enumerate(thing.ravel()[:LENGTH] if thing.dtype.kind == "O" else ()):
                self.enter(part, f"{path}.flat[{place}]")
            return _digest(thing) + ("" if thing.flags.c_contiguous else f", strides {thing.strides}")
        if thing.layout is torch.sparse_coo:
            self.enter(thing.detach()._indices(), f"{path}._indices()")
            self.enter(thing.detach()._values(), f"{path}._values()")
        elif indices := COMPRESSED.get(str(thing.layout).removeprefix("torch.")):
            for name in (*indices, "values"):
                self.enter(getattr(thing.detach(), name)(), f"{path}.{name}()")
        text = _digest(thing)
        if thing.layout is torch.strided and not (thing.is_nested or thing.is_contiguous()):
            text += f", stride {thing.stride()}"
        return f"{text}, requires_grad" if thing.requires_grad else text

    def _function(self, function: types.FunctionType, path: str) -> str:
        if not self._is_own(function):
            return named(function)
        self._reach(function)
        for name, item in [*vars(function).items(), *(function.__kwdefaults__ or {}).items()]:
            if name != "_from_public_api":  # torch's mark on hooks, which the artifact has
                self.enter(item, f"{path}.{name}")
        self.enter(function.__defaults__, f"{path}.__defaults__")
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # not yet filled
                self.enter(cell.cell_contents, f"{path}.<closure>.{name}")
        code, mentioned = function.__code__, bytecode.names(function.__code__)
        names = sorted(mentioned & self._globals(function))
        for name in names:
            if name not in OF_THE_PLACE or bytecode.loads(code, name):  # else it is that of something else
                self.enter(function.__globals__[name], f"{plain_name(str(function.__module__))}:{name}")
        self._enter_modules(function, path, [function.__globals__[name] for name in names])
        for name, thing in self._builtins.items():
            if name in mentioned and name not in function.__globals__ and bytecode.loads(code, name):
                self.enter(thing, f"builtins:{name}")
        if not BY_TEXT.isdisjoint(mentioned):
            self._by_text.append((function, path))
        if not ENVIRONMENT.isdisjoint(mentioned):
            self.found[f"{path}.<environment>"] = "of the variables that it names"
            self._reading.append((path, bytecode.texts(code)))
        self._texts |= bytecode.texts(code)
        digest = bytecode.loose_digest if self._is_typed(function) else bytecode.digest
        return f"{function.__qualname__} {digest(code)}"

    def _is_typed(self, function: types.FunctionType) -> bool:
        return plain_name(str(function.__module__)) == script.TYPED

    def _globals(self, function: types.FunctionType) -> Collection[str]:
        """The names that a function may look up in its module."""
        names = function.__globals__.keys()
        return names & self._typed if self._is_typed(function) else names

    def _enter_modules(
        self, function: types.FunctionType, path: str, there: list[Any], named: Collection[str] = ()
    ) -> None:
        """Enter what a function reads of the project's other modules: `settings.SCALE`, `package.settings.SCALE`.

        `there`: the globals that it names; the modules that it imports itself, and those `named`, come to them.
        """
        words = bytecode.names(function.__code__) - OF_THE_PLACE
        left = [thing for thing in there if isinstance(thing, types.ModuleType)]
        imported = bytecode.imported_by(function)
        left += [module for name in (*imported, *named) if (module := self._module(name)) is not None]
        for name in [name for name in imported if name not in sys.modules]:
            if script.module_of(name) is not None:  # the import would run it once more
                self.found[f"{path}.<import {name}>"] = "a second copy of the script"
            elif (source := self._project.own(name)) is not None:
                self._texts |= {text for word in words if (text := source.text_of(word)) is not None}
        seen: set[int] = set()
        while left:
            module = left.pop()
            if id(module) in seen or not self._is_own_module(module.__name__):
                continue
            seen.add(id(module))
            for word in sorted(words):
                inner = f"{module.__name__}.{word}"
                part = vars(module).get(word, self._module(inner) if hasattr(module, "__path__") else None)
                if isinstance(part, types.ModuleType):
                    left.append(part)
                elif word in vars(module):
                    self.reached.add(f"{plain_name(module.__name__)}:{word}")
                    self.enter(part, f"{plain_name(module.__name__)}:{word}")
            if "__getattr__" in vars(module):
                self.enter(vars(module)["__getattr__"], f"{plain_name(module.__name__)}:__getattr__")

    def _module(self, name: str) -> types.ModuleType | None:
        """A module that is imported; it is now, if it was where what is compared was described."""
        if name in self._imported and name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        return sys.modules.get(name)

    def _class(self, cls: type, path: str) -> str:
        if not self._is_own(cls):
            return named(cls)
        self._reach(cls)
        if self._is_own(type(cls)):
            self.enter(type(cls), named(type(cls)))
        for name, item in vars(cls).items():
            if name not in QUIET and not (_is_reserved(name) and self._is_made_by_a_library(cls)):
                self.enter(item, f"{path}.{name}")
        for base in cls.__bases__:
            self.enter(base, named(base))
        return f"{cls.__qualname__}({', '.join(map(named, cls.__bases__))}){_registered(cls)}"

    def _is_made_by_a_library(self, cls: type) -> bool:
        """Whether its metaclass is a library's: what that keeps in names of two underscores, as pydantic what was set
        of its objects, is none of the program's."""
        meta = type(cls)
        return meta.__module__.partition(".")[0] not in sys.stdlib_module_names and not self._is_own(meta)

    def _reach(self, thing: Any) -> None:
        self.reached.add(f"{plain_name(str(thing.__module__))}:{thing.__qualname__.partition('.')[0]}")

    def _is_own(self, thing: Any) -> bool:
        return self._is_own_module(getattr(thing, "__module__", None))

    def _is_own_module(self, module: Any) -> bool:
        """Whether a module of this name belongs to the project; of one without a file of its own its name says so."""
        if module not in self._own:
            private = isinstance(module, str) and (is_private(module) or (module == script.MAIN and script.is_typed()))
            own = self._project.own(plain_name(module)) is not None if private else is_own(module, self._project)
            self._own[module] = own
        return self._own[module]


def _is_constant(thing: Any) -> bool:
    """Whether a thing cannot change, nor what it holds, so that two equal ones are as good as one."""
    return isinstance(thing, tuple | frozenset) and all(type(item) in ATOMS for item in thing)


def _registered(cls: type) -> str:
    """The classes that were registered with an abstract one."""
    if not isinstance(cls, abc.ABCMeta):
        return ""
    found = [registered() for registered in _abc._get_dump(cls)[0]]
    return f" with {sorted(named(one) for one in found if one is not None)}" if found else ""


ENVIRONMENT = frozenset(["environ", "environb", "getenv", "getenvb"])
"""What a function that reads an environment variable mentions."""


def environment_at_start() -> dict[str, str] | None:
    """The variables that the process was started with; None where the system does not tell."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/environ").read_bytes().rstrip(b"\0").split(b"\0")
        if all(b"=" in line for line in lines):
            return {
                os.fsdecode(name): os.fsdecode(value) for name, _, value in (line.partition(b"=") for line in lines)
            }
    return None


def _is_reserved(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _digest(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.device.type != "cpu" or value.is_nested:
            return f"tensor {value.dtype} {value.layout}"
        data = plain_bytes(value.int_repr() if value.is_quantized else value).numpy().tobytes()
        return f"tensor {value.dtype} {list(value.shape)} {hashlib.sha256(data).hexdigest()[:16]}"
    data = b"" if value.dtype.hasobject else value.tobytes()
    return f"array {value.dtype} {value.shape} {hashlib.sha256(data).hexdigest()[:16]}"
