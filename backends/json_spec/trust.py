"""Which names a file may use, and how a name becomes a class or a function.

A name is `module:qualname`. It is accepted when it is a line of `allowed/classes.csv` or `allowed/functions.csv`, for
the use that the line gives, or when its module is one that the caller trusts. No line stands for more than one
identity, because almost every module reaches others: `torch.nn.functional.importlib`, `torch.hub.os`. A name never
reaches through one module into another either: what it finds must call itself by that name. The lists are made by
`python -m tests.json_spec.allowed_lists`, which says by which rule each name is there.
"""

from __future__ import annotations

import collections
import csv
import functools
import importlib
import re
import sys
import types
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.json_spec import script
from backends.json_spec.bundle import Bundle, plain_name
from backends.json_spec.errors import ArtifactError, UntrustedName, refuse

_PART = r"[^\W\d]\w*"
_NAME = re.compile(rf"(?!__){_PART}(\.(?!__){_PART})*:{_PART}(\.{_PART})*")
"""A module's `__main__` or `__init__` is no part of a name: importing it would run a program, or a package again."""
NAME_LIMIT = 1000
"""Characters of a name."""

USES = {"module", "object", "enum", "namedtuple", "value", "function", "builder"}
"""What the lists allow: the first four are made from data, a `value` is only named, a `builder` may also be called."""

METHODS = {
    "sentencepiece:SentencePieceProcessor": frozenset(
        ["encode", "decode", "Encode", "Decode", "EncodeAsIds", "EncodeAsPieces", "DecodeIds", "DecodePieces"]
    ),
    "random:Random": frozenset(["choice", "gauss", "randint", "randrange", "sample", "shuffle", "uniform"]),
}
"""Methods that a file may bind to an object of a class outside the caller's modules; of listed modules, `forward`.

Everything else stays out: `pathlib.Path.unlink`, `DataFrame.to_pickle` and `Image.show` are methods too, and a file
that hands one to a model as its `preprocess` has it called with what the user feeds the model.
"""


BUILTIN_METHODS: dict[type, frozenset[str]] = {
    dict: frozenset(["get", "__getitem__", "__contains__"]),
    collections.OrderedDict: frozenset(["get", "__getitem__", "__contains__"]),
    collections.defaultdict: frozenset(["get", "__getitem__", "__contains__"]),
    collections.Counter: frozenset(["get", "__getitem__", "__contains__"]),
    list: frozenset(["index", "count", "__getitem__", "__contains__", "append"]),
    tuple: frozenset(["index", "count", "__getitem__", "__contains__"]),
    set: frozenset(["__contains__", "union", "intersection", "difference"]),
    frozenset: frozenset(["__contains__", "union", "intersection", "difference"]),
    str: frozenset(["join", "split", "startswith", "endswith", "find", "index", "count"]),
    re.Pattern: frozenset(["match", "fullmatch", "search", "findall", "finditer", "split", "sub"]),
}
"""Methods that a file may bind to values of exactly these types: all of them compute, none reaches attributes.

`str.format` is not there: what it is fed decides which attributes of which objects it shows.
"""
LIBRARIES = frozenset(sys.stdlib_module_names) | {"torch", "torchvision", "numpy", "pandas", "PIL"}
"""Top-level names of modules whose classes and functions a file may name only one by one."""


@dataclass(frozen=True)
class Entry:
    """One line of the lists."""

    name: str
    uses: frozenset[str]
    arguments: frozenset[str] | None
    """What a recorded call may give; `*` for any number of positional arguments; None where no call may be made."""


@functools.cache
def allowed() -> dict[str, Entry]:
    """Name -> its entry, of both lists."""
    entries: dict[str, Entry] = {}
    for name, use, _, arguments in _rows():
        uses = (entries[name].uses if name in entries else frozenset()) | {use}
        called = uses & {"module", "object", "builder"}
        entries[name] = Entry(name, uses, frozenset(arguments.split()) if called else None)
    return entries


@functools.cache
def canonical_names() -> dict[str, str]:
    """Public name, `torch.nn:Linear`, -> the name that the class or function gives itself."""
    return {other: name for name, _, public, _ in _rows() for other in public.split()}


@functools.cache
def _rows() -> tuple[tuple[str, str, str, str], ...]:
    rows: list[tuple[str, str, str, str]] = []
    for file in ("classes.csv", "functions.csv"):
        with open(Path(__file__).parent / "allowed" / file, encoding="utf-8", newline="") as lines:
            rows.extend((row[0], row[1], row[2], row[3]) for row in list(csv.reader(lines))[1:])
    return tuple(rows)


def trusted_names(trust: Any) -> tuple[str, ...]:
    """`trust` as the caller gave it, checked: module names, or single `module:qualname`.

    Raises TypeError and ValueError for anything else: a slip here must not widen, nor silently narrow, what is allowed.
    """
    if isinstance(trust, str | bytes) or not isinstance(trust, Iterable):
        raise TypeError(f"trust is a list of module names: trust=[{trust!r}]")
    names = tuple(trust)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"trust is a list of module names; {name!r} is not a text")
        if not re.fullmatch(rf"{_PART}(\.{_PART})*(:{_PART}(\.{_PART})*)?", name):
            raise ValueError(f"trust names modules, as in trust=['my_project']; {name!r} is not the name of one")
    return names


def is_trusted(name: str, trust: Collection[str]) -> bool:
    """Whether the caller named this `module:qualname`, its module, or a package that the module lies in."""
    module = name.partition(":")[0]
    return any(name == one or module == one or module.startswith(one + ".") for one in trust)


def check_name(name: Any, kind: str, trust: Collection[str]) -> None:
    """Raise UntrustedName unless `name` may stand for `kind`.

    `kind` is "module", "object", "enum" or "namedtuple" where an instance is made, "class" or "function" where the
    thing itself is meant.
    """
    entry = allowed().get(name) if isinstance(name, str) else None
    if entry is None and (not isinstance(name, str) or len(name) > NAME_LIMIT or not _NAME.fullmatch(name)):
        raise ArtifactError(f"{str(name)[:200]!r} is not a name of the form module:qualname")
    if is_trusted(name, trust):
        return
    if entry is not None:
        uses = entry.uses
        functions = uses & {"function", "builder"}
        if kind in uses or (kind == "function" and functions) or (kind == "class" and not functions):
            return
    raise UntrustedName(_untrusted(name, "function" if kind == "function" else "class"))


def check_call(name: Any, arguments: Iterable[str], trust: Collection[str]) -> None:
    """Raise UntrustedName unless a recorded call of `name` may give these arguments; `*` stands for further positional.

    `name` is canonical. A class or function of a trusted module may be given anything.
    """
    if not isinstance(name, str) or len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
        raise ArtifactError(f"{str(name)[:200]!r} is not a name of the form module:qualname")
    if is_trusted(name, trust):
        return
    entry = allowed().get(name)
    if entry is None or entry.arguments is None:
        raise UntrustedName(_untrusted(name, "class or function", "calls"))
    if odd := sorted(set(arguments) - entry.arguments):
        raise UntrustedName(
            f"the file calls {name} with {odd[0]!r}, which files may not give: {sorted(entry.arguments)}"
        )


def _untrusted(name: str, what: str, does: str = "names") -> str:
    module = name.partition(":")[0]
    top = module.partition(".")[0]
    text = f"the file {does} the {what} {name}, which is not trusted: "
    if top in LIBRARIES:
        return text + f"{top} can do far more than a model needs; load it only if you know why it is there"
    return text + f"if {module} is your own module, or of a library all of which you trust, load with trust=[{top!r}]"


def resolve(name: str, kind: str, trust: Collection[str], bundle: Bundle | None = None) -> Any:
    """Import and return what a name stands for; carried source comes before what is installed.

    Raises ArtifactError where it is missing or is not what it says."""
    check_name(name, kind, trust)
    module_name, _, qualname = name.partition(":")
    try:
        carried = bundle is not None and module_name in bundle and name not in allowed()
        module = bundle.import_module(module_name) if carried else script.module_of(module_name)
        module = module or importlib.import_module(module_name)
    except Exception as error:  # whatever the trusted module raises
        raise ArtifactError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    thing = _find(module, qualname)
    if thing is None:
        raise ArtifactError(f"{module_name} has no {qualname}")
    if kind == "function":
        if name in allowed() and not isinstance(thing, type):
            return thing
        fits = isinstance(thing, types.FunctionType | types.BuiltinFunctionType | functools._lru_cache_wrapper)
    else:
        fits = isinstance(thing, type)
    if not fits or thing.__module__ != module.__name__ or thing.__qualname__ != qualname:
        raise UntrustedName(f"{name} is not a {'function' if kind == 'function' else 'class'} defined there")
    return thing


def method(cls: type, name: str, trust: Collection[str]) -> types.FunctionType:
    """The Python function that is the method `name` of `cls`. Raises ArtifactError unless a file may bind it."""
    for base in cls.__mro__:
        if name in vars(base):
            function = vars(base)[name]
            if not isinstance(function, types.FunctionType):
                break
            owner = f"{plain_name(base.__module__)}:{base.__qualname__}"
            if is_trusted(owner, trust) or name in METHODS.get(owner, ()) or _listed_forward(owner, name):
                return function
            raise UntrustedName(f"the file binds the method {owner}.{name}, which files may not")
    raise ArtifactError(f"{cls.__qualname__} defines no method {name[:200]!r}")


def class_method(cls: type, name: str, trust: Collection[str]) -> types.MethodType:
    """The class method `name` of `cls`, bound to it. Raises ArtifactError unless a trusted class defines it."""
    for base in cls.__mro__:
        if name in vars(base):
            found = vars(base)[name]
            plain = isinstance(found, classmethod) and isinstance(found.__func__, types.FunctionType)
            if plain and is_trusted(f"{plain_name(base.__module__)}:{base.__qualname__}", trust):
                return types.MethodType(found.__func__, cls)
            break
    raise ArtifactError(f"{cls.__qualname__} defines no class method {name[:200]!r} that a file may bind")


def _listed_forward(owner: str, name: str) -> bool:
    return name == "forward" and owner in allowed() and "module" in allowed()[owner].uses


def name_of(thing: Any, path: str) -> str:
    """The name under which a class or function can be found again. Raises Unsupported where there is none."""
    if listed := listed_function(thing):
        return listed
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    kind = "class" if isinstance(thing, type) else "function"
    if qualname and "<lambda>" in qualname:
        refuse(path, "a lambda", "give it a module-level name")
    if qualname and "<locals>" in qualname:
        held = getattr(thing, "__closure__", None) and ", and give it what it closes over by functools.partial"
        refuse(path, f"the local {kind} {qualname}", f"define the {kind} at module level{held or ''}")
    if module == script.MAIN and not script.is_typed() and (way_out := script.refusal()):
        refuse(path, f"the {kind} {qualname} of __main__", way_out)
    name = f"{plain_name(str(module))}:{qualname}"
    if not module or not qualname or _find(sys.modules.get(module), qualname) is not thing:
        way_out = f"give the {kind} its module-level name"
        if module == script.MAIN and qualname in vars(sys.modules[module]):
            way_out = "its cell has run again, so make anew what is of it"
        refuse(path, f"the {kind} {name}, which cannot be found under that name", way_out)
    if not _NAME.fullmatch(name) or len(name) > NAME_LIMIT:
        refuse(path, f"the {kind} {name}, whose name is not one of Python's", f"move the {kind} to an ordinary module")
    return name


@functools.cache
def _function_names() -> dict[str, list[str]]:
    """Last part -> the listed functions that have it, sorted."""
    names: dict[str, list[str]] = {}
    for name, entry in sorted(allowed().items()):
        if entry.uses & {"function", "builder"}:
            names.setdefault(name.rpartition(":")[2], []).append(name)
    return names


def listed_function(thing: Any) -> str | None:
    """The listed name of a function, if its module is imported."""
    for last in (getattr(thing, "__name__", None), getattr(thing, "__qualname__", None)):
        for name in _function_names().get(last, ()) if isinstance(last, str) else ():
            module, _, qualname = name.partition(":")
            if _find(sys.modules.get(module), qualname) is thing:
                return name
    return None


def _find(module: Any, qualname: str) -> Any:
    """The object at `qualname`, through class bodies alone: no `__getattr__`, no attribute of a module in a module."""
    thing: Any = module
    for position, part in enumerate(qualname.split(".")):
        if thing is None or (position and not isinstance(thing, type)):
            return None
        thing = vars(thing).get(part)
    return thing.__func__ if isinstance(thing, staticmethod) else thing
