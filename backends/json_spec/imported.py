"""Whether the user's classes and functions are as their modules define them: what was changed while the program ran
(a global, a class attribute, a patched method) is not in the artifact, and would silently be missing after a load.

A copy of the process (`fork`) imports the project's modules anew, describes what the saved names reach, and ends; the
description of the living ones must be the same. Nothing of it is seen in this process. Where there is no `fork`, where
the import fails for another reason than a missing module, or takes too long, nothing is checked; of a running script
nothing is known then, and it is refused.
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
from backends.json_spec.errors import Unsupported
from backends.json_spec.forked import Copy
from backends.json_spec.holding import ATOMS, LENGTH, held, named, shown
from backends.json_spec.layouts import COMPRESSED
from backends.json_spec.regions import plain_bytes
from backends.json_spec.sources import BY_TEXT, Project, is_library

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


class Check:
    """Whether everything that some names reach is as a fresh import defines it, found out in a copy of the process.

    The copy works beside its maker. `finish` gives the verdict, `stop` ends it where there is no need of one.
    """

    def __init__(
        self,
        names: Iterable[str],
        project: Project,
        unchecked: Collection[str] = (),
        texts: Callable[[], set[str]] = set,
    ) -> None:
        """Describe what there is now, and begin. Raises Unsupported where a module could not be imported at all.

        `unchecked` are paths, as the message of `finish` gives them, of which the caller says that they do not matter.
        `texts` gives those that the model holds.
        """
        self.reached: set[str] = set()
        """What of the project is reached, by whatever way: `module:name at its top`."""
        self._copy: Copy | None = None
        self._unchecked = tuple(unchecked)
        for module in sorted({name.partition(":")[0] for name in names}):
            if not _can_be_found(module.partition(".")[0]):
                raise Unsupported(_cannot_be_imported(module))
        names = sorted(name for name in names if project.own(name.partition(":")[0]) is not None)
        self._of_script = [name for name in names if script.module_of(name.partition(":")[0]) is not None]
        if names and hasattr(os, "fork"):
            own = own_modules(project)  # here, because the copy gets a copy of all memory that it counts a use in
            self._copy = Copy(lambda: _fresh(names, project, own, texts))
            try:
                walk = described(names, project, texts=texts)
                self._now, self.reached = walk.found, walk.reached
            except BaseException:
                self.stop()
                raise

    def finish(self) -> None:
        """Wait for the copy. Raises Unsupported where something is not as a fresh import defines it."""
        fresh = self._copy.result() if self._copy is not None else None
        if fresh is None:
            if self._of_script:  # nothing else says that an import would give what the script runs
                way_out = "move it out of the script to a module of its own"
                raise Unsupported(f"{self._of_script[0]} cannot be imported anew: {way_out}")
            return
        if isinstance(fresh, str):
            raise Unsupported(_cannot_be_imported(fresh))
        if changed := _changed(self._now, fresh, self._unchecked):
            path, found, was = changed
            raise Unsupported(
                f"{path} was changed while the program ran: it is {found}, an import gives {was}, and the artifact has "
                f"neither. Keep it in an attribute of the model, or save(..., unchecked=[{path!r}]) if nothing needs it"
            )

    def stop(self) -> None:
        """End the copy, if it still works."""
        if self._copy is not None:
            self._copy.stop()


def check_carried(
    names: Collection[str],
    project: Project,
    carried: Bundle,
    unchecked: Collection[str] = (),
    texts: Callable[[], set[str]] = set,
) -> None:
    """Whether all that the names reach is in the carried modules as it is here, of which they are to be a copy.

    `texts` gives those that the model holds. Raises Unsupported where something is not.
    """
    typed = frozenset(vars(carried.import_module(script.TYPED)))
    here = describe(names, project, texts=texts, typed=typed)
    there = describe(names, project, environment_at_start(), texts=texts, typed=typed, carried=carried)
    for path, text in there.items():  # a dataclass's text says where the classes of its fields are
        there[path] = text.replace(f"{carried.prefix}.{script.TYPED}", script.MAIN)
    if changed := _changed(here, there, tuple(unchecked)):
        path, found, was = changed
        raise Unsupported(
            f"{path} is {found}, but the text of its cell gives {was}: it was changed after that cell ran. Let the "
            f"cell say what is meant, run it, and make the model anew; or keep it in an attribute of the model; or "
            f"save(..., unchecked=[{path!r}]) if nothing needs it"
        )


def _changed(now: dict[str, str], fresh: dict[str, str], unchecked: tuple[str, ...]) -> tuple[str, str, str] | None:
    """The first path where two descriptions differ, and what it is in each; None where there is none."""
    gone = [path for path in fresh if path not in now and now.get(_holder(path)) == fresh.get(_holder(path), "")]
    for path in [*now, *gone]:
        if now.get(path) != fresh.get(path) and not path.startswith(unchecked):
            return path, _brief(now.get(path)), _brief(fresh.get(path))
    return None


def _cannot_be_imported(module: str) -> str:
    return f"the module {module} cannot be imported anew: put it where an import finds it"


def _holder(path: str) -> str:
    """The path of what holds an attribute or an entry."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def _can_be_found(top: str) -> bool:
    """Whether an import of a top-level module would find something, as it would in another process."""
    for finder in sys.meta_path:
        with contextlib.suppress(Exception):
            if finder.find_spec(top, None) is not None:
                return True
    return False


def describe(
    names: Iterable[str],
    project: Project,
    environment: Mapping[str, str] | None = None,
    imported_before: Collection[str] = (),
    texts: Callable[[], set[str]] = set,
    typed: frozenset[str] = frozenset(),
    carried: Bundle | None = None,
) -> dict[str, str]:
    """Path -> text, for everything of the project that the named classes and functions reach.

    `environment`: variables by name, of which those that the functions read are told; by default those of now.
    `imported_before`: modules of the project that functions import, to be imported for the comparison.
    `texts` gives those that the model holds.
    `typed`: the names that a notebook's functions may look up, where attributes have names of that kind too.
    `carried`: where the names are found, if not among the imported modules.
    """
    return described(names, project, environment, imported_before, texts, typed, carried).found


def described(
    names: Iterable[str],
    project: Project,
    environment: Mapping[str, str] | None = None,
    imported_before: Collection[str] = (),
    texts: Callable[[], set[str]] = set,
    typed: frozenset[str] = frozenset(),
    carried: Bundle | None = None,
) -> _Walk:
    """As `describe`, with what else was met on the way."""
    walk = _Walk(project, os.environ if environment is None else environment, imported_before, typed)
    for name in names:
        module, _, qualname = name.partition(":")
        thing: Any = script.module_of(module) or sys.modules.get(module)
        if carried is not None:
            thing = carried.import_module(module)
        for part in qualname.split("."):
            thing = getattr(thing, "__dict__", {}).get(part)
        walk.enter(thing, name)
    walk.run(texts)
    return walk


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
"""Name -> imported module, of those that the last save found to be libraries'."""


def own_modules(project: Project) -> list[str]:
    """The names of the imported modules that belong to the project.

    Of more than a thousand modules nearly all are libraries', and the very ones that they were at the last save: they
    need not be looked into again.
    """
    global _libraries
    own, libraries = [], {}
    for name, module in list(sys.modules.items()):
        if _libraries.get(name) is module:
            libraries[name] = module
        elif isinstance(file := getattr(module, "__file__", None), str):
            if is_library(file):
                libraries[name] = module
            elif is_own(name, project):
                own.append(name)
    _libraries = libraries
    return own


ANOTHER = ", and another one of that name"
"""What is told of a path that leads to two things, as of a script that was imported as well."""


class _Walk:
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
        self.reached: set[str] = set()
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

    def enter(self, thing: Any, path: str) -> None:
        self._left.append((thing, path))

    def run(self, texts: Callable[[], set[str]] = set) -> dict[str, str]:
        """Path -> text, of all that was entered leads to; `texts` gives those that the model itself holds."""
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
        return self.found

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
        for name in imported - sys.modules.keys():
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


def _brief(text: str | None) -> str:
    return "nothing" if text is None else text if len(text) <= 80 else text[:77] + "..."


def _fresh(
    names: list[str], project: Project, own: list[str], texts: Callable[[], set[str]]
) -> dict[str, str] | str | None:
    """In the copy: import anew and describe. The name of a module that is not there, None where an import fails.

    `own` are the imported modules of the project.
    """
    environment = environment_at_start()
    _as_at_start(environment)
    for module in own:
        del sys.modules[module]
    importlib.invalidate_caches()
    for module in dict.fromkeys(name.partition(":")[0] for name in names):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            return module if error.name == module else None
        except BaseException:
            return None
    return describe(names, project, environment, own, texts=texts)


def _as_at_start(environment: Mapping[str, str] | None) -> None:
    """In the copy: what modules read when they are imported, as it would be in another process."""
    if environment is not None:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
    torch.set_default_dtype(torch.float32)
