"""How code is described in a snapshot: functions with what they close over, methods, and the user's classes.

The user's own code counts in full, for it may be carried by the artifact, imported anew, or have been edited in
between; a library's is the library's affair and goes by its name.
"""

from __future__ import annotations

import abc
import copyreg
import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import os
import re
import sys
import sysconfig
import types
from _abc import _get_dump
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.project.edits import MOVED
from harness.snapshot import describe_asked, describe_caches, describe_globals, describe_live, describe_reached
from harness.snapshot.attributes import added, attributes
from harness.source import bytecode, bytecode_check, looked_up

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_NATIVE = (
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
_IN_CLASSES = (
    types.FunctionType,
    staticmethod,
    classmethod,
    property,
    functools.cached_property,
    functools.partialmethod,
)
_KEPT_BY_PYTHON = frozenset(
    (  # noqa: SIM905
        "__dict__ __weakref__ __doc__ __module__ __qualname__ __slots__ __hash__ __signature__ __firstlineno__ "
        "__annotations__ __annotate__ __annotate_func__ __annotations_cache__ __static_attributes__ __orig_bases__ "
        "__slotnames__ __abstractmethods__ _abc_impl __parameters__ __type_params__ __dataclass_fields__ "
        "__dataclass_params__ __classcell__ __protocol_attrs__ __non_callable_proto_members__ "
        "__callable_proto_members_only__ _is_protocol _is_runtime_protocol __final__ __orig_class__"
    ).split()
)
_KEPT_BY_ENUM = frozenset(vars(enum.IntFlag("_Any", "A"))) | {
    "_value_repr_",
    "_unhashable_values_map_",
    "_hashable_values_",
}
"""Entries of a class that are Python's own affair."""
_OF_CACHED_PROPERTY = frozenset({"lock", "__module__", "__doc__"})
"""What one has in some Pythons and not in others, beside its function and its name. That its lock is held counts."""
_REMEMBERED = frozenset({"_torchdynamo_wrapper_id", "_clear_cache", "dispatch_cache", "cache_token"})
"""What a compiler noted on a function, and what `functools.singledispatch` was called with."""
_TAKEN_OVER = _REMEMBERED.union(
    functools.WRAPPER_ASSIGNMENTS,
    ("__wrapped__", "__dict__", "cache_parameters", "__isabstractmethod__", "__type_params__", "__annotate__"),
)
"""Attributes that a wrapper has of the function in it."""
_LIBRARIES = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "purelib", "platlib"))
"""Where the files of libraries are: a copy by value may give their code globals of another name."""
_GENERATED = re.compile(r"<\w+ generated ")
_SORT = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
_SMALL = 256
"""Smaller integers are parts of instructions, not constants, from Python 3.14 on."""
_NOTED_OF_CLASSES = frozenset({"__firstlineno__", "__static_attributes__", "__classdictcell__"})
"""Names that the body of a class sets in some Pythons and not in others."""


def describe(value: Any, builder: Builder) -> dict | None:
    """A node, or None for what is no code. Classes are described by `class_`."""
    cls = type(value)
    if issubclass(cls, types.FunctionType):
        return _function(value, builder)
    if issubclass(cls, types.MethodType):  # made anew at each access: its identity means nothing
        parts = {"__func__": value.__func__, "__self__": value.__self__}
        return builder.node("method", value, builder.named(parts), identity=False)
    if issubclass(cls, functools.partial):
        parts = {"func": value.func, "args": value.args, "keywords": value.keywords, **attributes(value)}
        return builder.node("partial", value, builder.named(parts))
    if issubclass(cls, types.CellType):  # shared by functions that count together
        try:
            node = builder.node("cell", value, builder.named({"": value.cell_contents}))
        except ValueError:
            node = builder.node("cell", value, facts={"value": "empty"})
        builder.cells.append((node, value))
        return node
    if issubclass(cls, _NATIVE):
        return _native(value, builder)
    if issubclass(cls, property):
        parts = {"fget": value.fget, "fset": value.fset, "fdel": value.fdel} | added(value, builder.is_own)
        return builder.node("descriptor", value, builder.named(parts), identity=False)
    if issubclass(cls, functools.cached_property):
        every = attributes(value)
        parts = {name: part for name, part in every.items() if name not in _OF_CACHED_PROPERTY}
        facts = {"locked": True} if "lock" in every and describe_live.is_held(every["lock"]) else {}
        return builder.node("descriptor", value, builder.named(parts), identity=False, facts=facts)
    if issubclass(cls, staticmethod | classmethod):
        parts = {"__func__": value.__func__} | _set_on(value)
        return builder.node("descriptor", value, builder.named(parts), identity=False)
    if issubclass(cls, types.CodeType):
        foreign = builder.of_another_python and not bytecode_check.runs_here(value)
        return builder.node("code", value, identity=False, code={"runs_here": False} if foreign else code_facts(value))
    if issubclass(cls, functools._lru_cache_wrapper):
        parts = {"__wrapped__": value.__wrapped__, "cache_parameters()": value.cache_parameters(), **_set_on(value)}
        remembered = describe_caches.entries(value, builder)
        stale = builder.keyed(describe_caches.stale(value, remembered, builder))
        node = builder.node("function", value, builder.named(parts), stale)
        builder.caches.append((node, remembered))
        return node
    return None


def _renamed(value: type | types.FunctionType) -> dict[str, str]:
    """What it says that it is called, where that is not the name by which it is found."""
    return {} if value.__qualname__.rpartition(".")[2] == value.__name__ else {"name": value.__name__}


def _set_on(value: Any) -> dict[str, Any]:
    """What the user set on what stands for a function, beside what that took over of it."""
    return {name: part for name, part in attributes(value).items() if name not in _TAKEN_OVER}


def _native(value: Any, builder: Builder) -> dict:
    """Code in C goes by its name, and by the object that it is bound to."""
    owner = getattr(value, "__self__", None)
    bound = owner is not None and not isinstance(owner, types.ModuleType)
    module = builder.module_name(getattr(value, "__module__", None) or "builtins")
    owners = builder.named({"__self__": owner} if bound else {})
    return builder.node("function", value, owners, identity=False, facts={"code": f"{module}.{value.__qualname__}"})


def _function(value: types.FunctionType, builder: Builder) -> dict:
    """A function by its name; the user's own also by code, defaults, closure, attributes, and what it calls of theirs.

    A library's function that has no importable name, a lambda or a wrapper, is described by what it closes over.
    `globals` are the names that the code uses and cannot find: it would raise NameError. Of the values of the others,
    see `describe_globals`.
    """
    own = builder.is_own(value.__module__)
    facts: dict[str, Any] = {"code": f"{builder.module_name(value.__module__)}.{value.__qualname__}"}
    if not own and "<" not in value.__qualname__:
        set_there = describe_reached.set_on_function(value, builder) if builder.state else {}
        return builder.node("function", value, builder.named(set_there), identity=False, facts=facts)
    facts |= _renamed(value)
    if builder.of_another_python and not bytecode_check.runs_here(value.__code__):
        return builder.node("function", value, facts=facts, code={"runs_here": False})
    cells = dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
    cells.pop("__class__", None)  # what `super()` reads
    rebound = bytecode.read(value.__code__, "STORE_DEREF") | bytecode.read(value.__code__, "DELETE_DEREF")
    builder.rebound_cells |= {id(cell) for name, cell in cells.items() if name in rebound}
    if value.__globals__ is vars(functools):
        cells = {name: cell for name, cell in cells.items() if name not in _REMEMBERED}
    groups = [
        builder.named({"__defaults__": value.__defaults__, "__kwdefaults__": value.__kwdefaults__}),
        builder.named(cells, ".<closure>"),
        builder.named({name: part for name, part in vars(value).items() if name not in _REMEMBERED}),
    ]
    home = value.__globals__.get("__name__", value.__module__)
    if not builder.is_own(home) or value.__code__.co_filename.startswith(_LIBRARIES):
        return builder.node("function", value, *groups, facts=facts)  # a library's wrapper in the user's name
    facts["globals"], there = describe_globals.described(value, builder)
    groups.append(builder.named(there, ".__globals__"))
    if builder.state:
        groups.append(builder.named(describe_asked.heard(value, builder), ".<loggers>"))
    node = builder.node("function", value, *groups, facts=facts, code=code_facts(value.__code__))
    if builder.state:
        builder.asked |= describe_asked.asked(node["code"]["names"], value.__name__)
        builder.read |= {*node["code"]["names"], *looked_up.texts(value.__code__)}
        builder.functions.append((value, node))
        builder.hashes = builder.hashes or bytecode.hashes(value.__code__)
        describe_asked.of_code(value, node, builder)
        describe_asked.of_comparisons(value, builder)
    return node


@functools.lru_cache(maxsize=4096)  # equal code has equal facts
def code_facts(code: types.CodeType) -> dict[str, Any]:
    """What a function does, as far as it can be compared.

    `bytecode`, a digest of all instructions and constants, is compared where both sides have the same bytecode; across
    Python versions `integers`, `texts` and `operators` are in its place. Of 63,398 functions of the standard library,
    torch, transformers and scikit-learn, 3.11 and 3.12 make another of one, by these. Across versions nobody tells in
    which order it is done, nor `not`. Where the code stands (file, line) does not count.
    """
    inside, moved = list(bytecode.with_inner(code)), _moved(code)
    constants = [constant for part in inside for constant in _flat(part.co_consts)]  # 1 == 1.0 == True
    return {
        "arguments": [
            list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]),
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_flags & _SORT,
        ],
        "names": sorted({moved.get(name, name) for part in inside for name in part.co_names} - _NOTED_OF_CLASSES),
        "numbers": sorted({repr(constant) for constant in constants if _is_stable(constant)}),
        "integers": sorted(_integers(code)),
        "texts": sorted({repr(moved.get(text, text)) for text in _texts(inside)}),
        "operators": sorted(bytecode.operators(code)),
        "bytecode": hashlib.sha256(repr(_instructions(code, moved)).encode("utf-8", "surrogatepass")).hexdigest(),
    }


def _flat(constants: tuple | frozenset) -> Iterator[Any]:
    for constant in constants:
        if isinstance(constant, tuple | frozenset):
            yield from _flat(constant)
        elif not isinstance(constant, types.CodeType):
            yield constant


def _texts(inside: list[types.CodeType]) -> Iterator[str | bytes]:
    """The texts in code, but for docstrings, what is noted of classes, and the empty one, which some Pythons leave
    away."""
    for part in inside:
        of_function = part.co_flags & inspect.CO_OPTIMIZED
        documented = of_function and not part.co_name.startswith("<") and type(next(iter(part.co_consts), None)) is str
        for constant in _flat(part.co_consts[bool(documented) :]) if of_function else ():
            if type(constant) in (str, bytes) and constant:
                yield constant


def _integers(code: types.CodeType) -> set[int]:
    """The small ones; but 1, which `while 1` leaves away, and 0."""
    constants = (constant for part in bytecode.with_inner(code) for constant in _flat(part.co_consts))
    found = {constant for constant in constants if type(constant) is int and abs(constant) < _SMALL}
    return (found | bytecode.small_integers(code)) - {0, 1}


def _is_stable(constant: Any) -> bool:
    return type(constant) in (float, complex) or (type(constant) is int and abs(constant) >= _SMALL)


def _moved(code: types.CodeType) -> dict[str, str]:
    """The modules that it imports and that classes were moved to -> those that they were in: the import was put right,
    as `project.edits` does, and nothing else was changed."""
    names = {part for _, name, parts in bytecode.imports(code) for part in (name, name.rpartition(".")[2], *parts)}
    return {name: name.removesuffix(MOVED) for name in names if name.endswith(MOVED)}


def _instructions(code: types.CodeType, moved: dict[str, str]) -> tuple:
    does: Any = (code.co_code, code.co_names)
    if bytecode.imports(code):  # by names: a module and an attribute of one name have one place, until classes move
        does = [(step.opname, moved.get(step.argval, step.argrepr) if step.opcode in dis.hasname else step.arg)
                for step in dis.get_instructions(code)]  # fmt: skip
    parts = (does, code.co_varnames, code.co_freevars, code.co_cellvars)
    return (*parts, [_constant(constant, moved) for constant in code.co_consts])


def _constant(constant: Any, moved: dict[str, str]) -> Any:
    if isinstance(constant, types.CodeType):
        return _instructions(constant, moved)
    if isinstance(constant, frozenset):  # in an order that depends on the process
        return sorted(map(repr, constant))
    if moved and isinstance(constant, tuple):  # what an import takes of a module
        constant = tuple(moved.get(item, item) if isinstance(item, str) else item for item in constant)
    return (type(constant).__name__, constant)


def _is_generated(name: str, part: Any, owner: type) -> bool:
    """Whether `dataclass` wrote a method of the class, or wrapped it against recursion; or `attrs` wrote it, whose
    `__hash__` has the hash of a text in it."""
    code = getattr(part, "__code__", None)
    if code is None or not name.startswith("__"):
        return False
    if _GENERATED.match(code.co_filename):
        return True
    return "__dataclass_params__" in vars(owner) and _is_of_dataclass(code)


def _is_of_named_tuple(part: Any) -> bool:
    """Whether `collections.namedtuple` wrote a method of the class."""
    return (getattr(getattr(part, "__func__", part), "__module__", None) or "").startswith("namedtuple_")


def _defaults(name: str, part: Any) -> dict[str, Any]:
    """The defaults of a method that a library wrote, which the program may have set."""
    made = getattr(part, "__func__", part)
    defaults = {word: getattr(made, word, None) for word in ("__defaults__", "__kwdefaults__")}
    return {f"{name}.{word}": value for word, value in defaults.items() if value}


def _is_of_protocol(part: Any) -> bool:
    """Whether `typing` put a function of its own into a protocol: `__subclasshook__`, `__init__`."""
    return getattr(getattr(part, "__func__", part), "__module__", None) == "typing"


def _is_of_dataclass(code: types.CodeType) -> bool:
    return code.co_filename == "<string>" or code.co_filename.endswith(("/dataclasses.py", "/reprlib.py"))


def attributes_of_member(member: enum.Enum) -> dict[str, Any]:
    """What a member of an enumeration has beside its name and value."""
    return {name: part for name, part in getattr(member, "__dict__", {}).items() if not name.startswith("_")}


def _registered(value: type, builder: Builder) -> list[str]:
    """The classes that an abstract base class was told to take for its own: CPython keeps them where no name leads.

    Of a library's, the user's.
    """
    if not isinstance(value, abc.ABCMeta):
        return []
    classes = [cls for reference in _get_dump(value)[0] if (cls := reference()) is not None]
    if not builder.is_own(value.__module__):
        classes = [cls for cls in classes if builder.is_own(cls.__module__)]
    return sorted({builder.type_name(cls) for cls in classes})  # a copy that was loaded to be checked may be one too


def class_(value: type, builder: Builder) -> dict:
    """A class by its name; the user's own also by bases, methods, and class attributes.

    In a model's state private attributes count too, a registry or a counter as a rule, but for the books that Python,
    `abc`, `enum` and `dataclass` keep there themselves. The methods that `dataclass` writes are left out: their words
    differ from one Python to the next.
    """
    facts: dict[str, Any] = {"value": builder.type_name(value)}
    if (builder.state or builder.is_own(value.__module__)) and (registered := _registered(value, builder)):
        facts["registered"] = registered
    if not builder.is_own(value.__module__):
        return builder.node("class", value, identity=False, facts=facts)
    facts |= _renamed(value)
    parts: dict[str, Any] = {}
    is_enum = issubclass(value, enum.Enum)
    for name, part in vars(value).items():
        if isinstance(part, _IN_CLASSES):
            is_kept = is_enum and name.startswith("_") and not _is_own(part, builder)  # by enum, its own affair
            if _is_generated(name, part, value) or _is_of_named_tuple(part):
                parts |= _defaults(name, part)
            elif not is_kept and not _is_of_protocol(part):
                parts[name] = part
        elif not _is_kept_by_python(name, part, value, builder) and (_is_public(name, part, builder) or builder.state):
            parts[name] = part
    members = {name: member._value_ for name, member in value.__members__.items()} if is_enum else {}
    for name, member in value.__members__.items() if is_enum else ():
        members |= {f"{name}.{key}": part for key, part in attributes_of_member(member).items()}
    if builder.state:
        if is_enum:
            facts["members"] = list(value.__members__)
        facts["annotated"] = list(vars(value).get("__annotations__", ()))
        if "__dataclass_fields__" in vars(value):  # those that it finds: it knows them by marks of its own
            facts["fields"] = [field.name for field in dataclasses.fields(value)]
        facts["abstract"] = sorted(vars(value).get("__abstractmethods__", ()))
        if reduces := [reduce for cls, reduce in copyreg.dispatch_table.items() if cls is value]:  # how it is copied
            parts["copyreg.dispatch_table"] = reduces[0]
    bases = builder.named({"__bases__": value.__bases__})
    node = builder.node(
        "class", value, bases, builder.named(parts), builder.named(members, ".__members__"), facts=facts
    )
    if builder.state:
        describe_asked.of_code(value, node, builder)
    return node


def _is_own(part: Any, builder: Builder) -> bool:
    """Whether a function, or what a static or class method is made of, is the user's."""
    return builder.is_own(getattr(getattr(part, "__func__", part), "__module__", None))


def _is_public(name: str, part: Any, builder: Builder) -> bool:
    return not name.startswith("_") or (builder.is_own(type(part).__module__) and hasattr(type(part), "__get__"))


def _is_kept_by_python(name: str, part: Any, owner: type, builder: Builder) -> bool:
    if name in _KEPT_BY_PYTHON or isinstance(part, types.MemberDescriptorType | types.GetSetDescriptorType):
        return True
    is_reserved = name.startswith("__") and name.endswith("__")
    if not issubclass(owner, enum.Enum):
        return is_reserved and _is_made_by_a_library(owner, builder)
    return name in owner.__members__ or name in _KEPT_BY_ENUM or is_reserved


def _is_made_by_a_library(owner: type, builder: Builder) -> bool:
    """Whether the class of the class is a library's: pydantic keeps validators and what it noted of uses in names of
    two underscores, with addresses in them."""
    home = type(owner).__module__
    return home.partition(".")[0] not in sys.stdlib_module_names and not builder.is_own(home)
