"""What counts only where the user's code asks for it.

Most of what an object has besides its value no reader can tell, and a copy that lacks it is right: the words of a
docstring, which classes derive from one, where in its storage a tensor begins. Where the code reads these, a copy
without them answers otherwise. So they are noted while a model is described (`Builder.later`), and become facts of its
snapshot when all code of the user's was seen and some of it names what reads them.

Likewise which texts and numbers are one object: where code compares them by `is`, or looks for NaN by `in`
(`atoms`).
"""

from __future__ import annotations

import builtins
import dis
import enum
import functools
import inspect
import logging
import re
import sys
import types
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.hooks import RemovableHandle

from harness.snapshot.attributes import module_of

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder

_DOC = frozenset({"__doc__", "getdoc"})
_SUBCLASSES = frozenset({"__subclasses__"})
_LEVEL = frozenset({"isEnabledFor", "getEffectiveLevel"})
_FLAGS = frozenset({"propagate", "disabled"})
_WORD = re.compile(r"[^\W\d]\w*")
_NAME_OF_A_LOGGER = re.compile(r"[\w.]{1,64}")
_ATOMS = (str, bytes, int, float, complex)
_IDENTITY = (dis.opmap["IS_OP"], dis.opmap["CONTAINS_OP"], dis.opmap["COMPARE_OP"])
_SEEKING = frozenset({"index", "count", "remove"})
"""Methods of lists that find an object by itself before they ask whether it is equal."""
_METHODS = frozenset({"LOAD_METHOD", "LOAD_ATTR"})
_NOTHING = frozenset({"CACHE", "NOP", "EXTENDED_ARG", "PUSH_NULL"})
_ITSELF = ("<self>",)
_ONE_ALWAYS = (
    type, enum.Enum, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, torch.dtype, torch.layout,
    torch.memory_format, torch.nn.Module,
)  # fmt: skip
"""What is told apart wherever it is, or is one in each process."""
_LOADS = frozenset({"LOAD_FAST", "LOAD_DEREF"})
_BINDS = frozenset({"STORE_FAST", "STORE_DEREF"})
_STORAGE = frozenset({"as_strided", "as_strided_", "storage_offset", "untyped_storage", "storage", "set_"})
_SPAWNED = frozenset({"spawn", "seed_seq"})
_SHARED = frozenset({"is_shared"})
_CONTEXT = frozenset({"__context__", "format_exception", "print_exception"})
_ANNOTATIONS = frozenset({"__annotations__", "get_type_hints", "get_annotations"})
_BY_NAME = frozenset({"pickle", "Pickler", "Process", "ProcessPoolExecutor", "Pool"})
_PICKLES = (frozenset({"joblib", "dump"}), frozenset({"torch", "save"}))
"""Names that pickle by names together; not where it is the state that is saved."""
_STATE = "state_dict"
_MODULE = frozenset({"__module__"})
_SOURCE = frozenset({"getsource", "getsourcelines", "findsource"})
_NAME = frozenset({"name"})
_TEXT = frozenset({"text"})
_ANY_NAME = frozenset({"setattr", "__setattr__", "vars", "__dict__"})
_REGISTERING = {
    "_forward_hooks": frozenset({"register_forward_hook"}),
    "_forward_pre_hooks": frozenset({"register_forward_pre_hook"}),
    "_backward_hooks": frozenset({"register_full_backward_hook", "register_backward_hook"}),
    "_backward_pre_hooks": frozenset({"register_full_backward_pre_hook"}),
}
"""By a module's table of hooks, what puts one in."""
NAMES = frozenset().union(
    _DOC, _SUBCLASSES, _STORAGE, _ANNOTATIONS, _LEVEL, _CONTEXT, _SHARED, _SPAWNED, _BY_NAME, _MODULE, _NAME, _TEXT,
    _SOURCE, _FLAGS, _ANY_NAME, *_REGISTERING.values(),
)  # fmt: skip
"""Attributes that code must name for one of the facts to count."""


def asked(names: Collection[str], function: str = "") -> set[str]:
    """Of the names in a function's code those that ask for something; what registers hooks does not in a constructor,
    which a copy has behind it."""
    found = NAMES.intersection(names)
    if function == "__init__":
        found = found.difference(*_REGISTERING.values())
    if _STATE not in names and any(together.issubset(names) for together in _PICKLES):
        found |= _BY_NAME
    return set(found)


def of_code(value: Any, node: dict, builder: Builder) -> None:
    """A function's or class's docstring, whether it is found by its name, and whether its source is; of a class, the
    user's classes that derive from it, whether its module has the name that it had, and whether its objects take any
    attribute: those of a class with slots refuse others, and a copy of it by value may not.

    A docstring without its indentation, which Python 3.13 takes away.
    """
    doc = value.__dict__.get("__doc__") if isinstance(value, type) else value.__doc__
    if type(doc) is str:
        builder.later.append((_DOC, node, lambda: {"doc": inspect.cleandoc(doc)}))
    if isinstance(value, type) or "." not in value.__qualname__:  # a method goes by its class
        builder.later.append((_BY_NAME, node, lambda: {"importable": _is_importable(value)}))
    if isinstance(value, types.FunctionType) and "getLogger" in value.__code__.co_names:
        builder.later.append((_LEVEL, node, lambda: {"levels": list(map(_level, _loggers(value)))}))
        builder.later.append(
            (_FLAGS, node, lambda: {"flags": [[one.propagate, one.disabled] for one in _loggers(value)]})
        )
    builder.later.append((_SOURCE, node, lambda: {"source": _has_source(value)}))
    builder.later.append((_ANNOTATIONS, node, lambda: {"names in annotations": _resolvable(value)}))
    if isinstance(value, type):
        builder.later.append((_ANNOTATIONS, node, lambda: _annotations(value)))
        builder.later.append((_SUBCLASSES, node, lambda: _derived(value, builder)))
        builder.later.append((_MODULE, node, lambda: {"in_artifact": builder.is_of_an_artifact(value.__module__)}))
        builder.later.append((_ANY_NAME, node, lambda: {"takes any attribute": value.__dictoffset__ != 0}))


def _derived(value: type, builder: Builder) -> dict[str, Any]:
    classes = type.__subclasses__(value)
    return {"subclasses": sorted({builder.type_name(cls) for cls in classes if builder.is_own(cls.__module__)})}


def _has_source(value: type | types.FunctionType) -> bool:
    """Whether the text of it is found, which a copy by value has not."""
    try:
        return bool(inspect.getsource(value))
    except (OSError, TypeError):
        return False


def _is_importable(value: type | types.FunctionType) -> bool:
    """Whether its module has it under its name, so that another process can be told of it.

    Of a copy by value, or of code that runs from an artifact, no module has.
    """
    found: Any = sys.modules.get(value.__module__)
    for step in value.__qualname__.split("."):
        found = vars(found).get(step) if isinstance(found, types.ModuleType | type) else None
    return found is value


def _annotations(value: type) -> dict[str, Any]:
    """By their names: how a type shows itself differs from one Python to the next."""
    annotations = vars(value).get("__annotations__", {})
    return {"annotations": {name: getattr(part, "__qualname__", str(part)) for name, part in annotations.items()}}


def _resolvable(value: type | types.FunctionType) -> list[str]:
    """The names in annotations that are texts which `typing.get_type_hints` would find: a function's among its globals,
    a class's in the module of its name, which a copy by value may not have.
    """
    if isinstance(value, type):
        module = sys.modules.get(value.__module__)
        space, annotations = vars(module) if module else {}, vars(value).get("__annotations__", {})
    else:
        space, annotations = value.__globals__, value.__annotations__
    texts = [part for part in annotations.values() if type(part) is str]
    return sorted({word for text in texts for word in _WORD.findall(text)} & space.keys())


def of_view(value: torch.Tensor, node: dict, builder: Builder) -> None:
    """Where a tensor that is part of its storage begins, and how much lies around it; whether processes share it."""
    builder.later.append((_SHARED, node, lambda: {"shared": value.is_shared()}))
    storage, begins = value.untyped_storage(), value.storage_offset() * value.element_size()
    if begins or storage.nbytes() != value.numel() * value.element_size():
        around = {"storage_offset": begins, "storage_bytes": storage.nbytes()}
        builder.later.append((_STORAGE, node, lambda: around))


def of_hooks(tables: Mapping[str, Any], node: dict, builder: Builder) -> None:
    """Which hooks of a module the next ones replace: torch numbers them through the process, from 0 on in a new one,
    and a copy may have the numbers that they had elsewhere. A hook that is there for a while then takes them along."""
    for table, names in _REGISTERING.items():
        numbers = list(tables.get(table) or ())
        if places := [place for place, number in enumerate(numbers) if number >= RemovableHandle.next_id]:
            builder.later.append(
                (names, node, functools.partial(dict, {f"{table} that the next ones replace": places}))
            )


def of_logger(value: logging.Logger, node: dict, builder: Builder) -> None:
    """From which level on it tells, and whom."""
    builder.later.append((_LEVEL, node, lambda: {"level": _level(value)}))
    builder.later.append((_FLAGS, node, lambda: {"flags": [value.propagate, value.disabled]}))


def listeners(logger: logging.Logger, builder: Builder) -> dict[str, Any]:
    """Its handlers and filters that are the user's code."""
    found = {name: [part for part in getattr(logger, name) if builder.is_own(module_of(part))]
             for name in ("handlers", "filters")}  # fmt: skip
    return {name: parts for name, parts in found.items() if parts}


def heard(function: types.FunctionType, builder: Builder) -> dict[str, logging.Logger]:
    """The loggers that the code may ask for and that code of the user's listens to."""
    if "getLogger" not in function.__code__.co_names:
        return {}
    names = {"__name__": function.__globals__.get("__name__")}
    names |= {repr(text): text for text in function.__code__.co_consts if type(text) is str}
    made = {shown: logging.Logger.manager.loggerDict.get(name) for shown, name in names.items()}
    return {f"getLogger({shown})": one for shown, one in ({"": logging.root} | made).items()
            if isinstance(one, logging.Logger) and listeners(one, builder)}  # fmt: skip


def _level(logger: logging.Logger) -> list[int]:
    """Its own, and that up to which nobody tells anything."""
    return [logger.getEffectiveLevel(), logger.manager.disable]


def _loggers(function: types.FunctionType) -> list[logging.Logger]:
    """Those that the code may ask for: its module's, and those that texts in it name."""
    texts = [text for text in function.__code__.co_consts if type(text) is str and _NAME_OF_A_LOGGER.fullmatch(text)]
    home = function.__globals__.get("__name__")
    return [logging.getLogger(name) for name in (home, *texts) if isinstance(name, str)]


def of_exception(value: BaseException, node: dict, builder: Builder) -> None:
    """While what an exception was raised; which name was not found."""
    builder.later.append((_CONTEXT, node, lambda: {"context": repr(value.__context__)}))
    if isinstance(value, AttributeError | NameError | ImportError):
        builder.later.append((_NAME, node, lambda: {"name": value.name}))


def of_picture(value: Any, node: dict, builder: Builder) -> None:
    """The texts in the file that a picture was read from."""
    if isinstance(texts := getattr(value, "text", None), dict) and texts:
        builder.later.append((_TEXT, node, lambda: {"text": sorted((key, str(text)) for key, text in texts.items())}))


def of_generator(value: Any, node: dict, builder: Builder) -> None:
    """What generators of NumPy it would spawn."""
    builder.later.append((_SPAWNED, node, lambda: {"seed_seq": repr(getattr(value.seed_seq, "state", None))}))


def add(builder: Builder) -> None:
    """Add the facts that the code asks for to their nodes."""
    for names, node, facts in builder.later:
        if not names.isdisjoint(builder.asked):
            node["facts"] = node.get("facts", {}) | facts()


# --- comparisons by identity


def of_comparisons(function: types.FunctionType, builder: Builder) -> None:
    """Note the globals, and the names of the attributes, that the function compares by `is`; of the attributes
    those too that it seeks by `in` or `index`, or compares by `==`: lists are equal that have the same NaN in them.
    """
    builder.compares_objects = builder.compares_objects or _compares_objects(function)
    closed = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for operation, (kind, *steps) in _operands(function.__code__):
        if operation not in ("IS_OP", "CONTAINS_OP"):
            builder.sought.add(steps[-1])
            continue
        value = None
        if kind == "LOAD_GLOBAL":
            value = _found(function.__globals__.get(steps[0]), steps[1:])
        elif kind == "LOAD_DEREF" and steps[0] in closed and len(steps) == 1:
            value = _content(closed[steps[0]])
        elif len(steps) > 1:
            (builder.compared if operation == "IS_OP" else builder.sought).add(steps[-1])
        if isinstance(value, _ATOMS) and (operation == "IS_OP" or value != value):
            builder.watched.append(value)
        elif operation == "IS_OP" and isinstance(value, tuple | frozenset):
            builder.compared_objects.append(value)


def _compares_objects(function: types.FunctionType) -> bool:
    """Whether it compares by `is` with what is no constant and may be two: neither a class, a member of an enumeration
    or a function, nor the module whose method it is."""
    own = next(iter(function.__code__.co_varnames), "") if _is_a_modules_method(function) else ""
    names = vars(builtins) | function.__globals__
    return any(side is None or (side != _ITSELF and not isinstance(_found(names.get(side[0]), side[1:]), _ONE_ALWAYS))
               for side in _right_sides(function.__code__, own))  # fmt: skip


def _is_a_modules_method(function: types.FunctionType) -> bool:
    """Whether its first argument is a module, of which everybody can tell whether they are one or two."""
    home, _, name = function.__qualname__.rpartition(".")
    cls = function.__globals__.get(home)
    return isinstance(cls, type) and issubclass(cls, torch.nn.Module) and vars(cls).get(name) is function


@functools.lru_cache(maxsize=4096)
def _right_sides(code: types.CodeType, own: str) -> tuple[tuple[str, ...] | None, ...]:
    """Of each `is` but those with a constant: the global on its right with its attributes, `_ITSELF` for the argument
    `own`, None for anything else."""
    found: list[tuple[str, ...] | None] = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found += _right_sides(constant, own if own in constant.co_freevars else "")
    if dis.opmap["IS_OP"] not in code.co_code[::2]:
        return tuple(found)
    instructions = [one for one in dis.get_instructions(code) if one.opname not in _NOTHING]
    if any(one.opname in _BINDS and one.argval == own for one in instructions):
        own = ""
    for place, instruction in enumerate(instructions):
        if instruction.opname == "IS_OP" and instructions[place - 1].opname != "LOAD_CONST":
            kind, *names = _operand(instructions, place - 1)[0] or ("",)
            is_own = bool(own) and kind in _LOADS and names == [own]
            found.append(tuple(names) if kind == "LOAD_GLOBAL" else _ITSELF if is_own else None)
    return tuple(found)


def _found(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if not isinstance(value, types.ModuleType | type):
            return None
        members = value.__members__ if isinstance(value, enum.EnumMeta) else {}
        value = members.get(step, vars(value).get(step))
    return value


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


@functools.lru_cache(maxsize=4096)
def _operands(code: types.CodeType) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(operation, operand): the operands that are a name with attributes, as ("LOAD_GLOBAL", "np", "nan").

    Of `is` with a constant none: it asks for no object of the model's. Of `==` where both are attributes, and of a
    method that seeks in a list what it seeks.
    """
    found = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found += _operands(constant)
    if not any(operation in code.co_code[::2] for operation in _IDENTITY) and _SEEKING.isdisjoint(code.co_names):
        return tuple(found)
    instructions = [one for one in dis.get_instructions(code) if one.opname not in _NOTHING]
    for place, instruction in enumerate(instructions):
        if instruction.argval in _SEEKING and instruction.opname in _METHODS:
            after = next((at for at in range(place + 1, len(instructions))
                          if not instructions[at].opname.startswith("LOAD_")), place)  # fmt: skip
            sought, _ = _operand(instructions, after - 1)
            found += [("SEEKS", sought)] if sought and len(sought) > 2 and after > place + 1 else []
        if instruction.opcode not in _IDENTITY:
            continue
        right, before = _operand(instructions, place - 1)
        left, _ = _operand(instructions, before) if right else (None, before)
        sides = [side for side in (left, right) if side]
        if instruction.opname == "COMPARE_OP":
            are_attributes = len(sides) == 2 and all(len(side) > 2 for side in sides)
            found += [("EQUALS", side) for side in sides if are_attributes and "=" in str(instruction.argrepr)]
        elif instruction.opname == "CONTAINS_OP":
            found += [("CONTAINS_OP", left)] if left else []
        elif not any(side[0] == "LOAD_CONST" for side in sides):
            found += [("IS_OP", side) for side in sides]
    return tuple(found)


def _operand(instructions: list[dis.Instruction], place: int) -> tuple[tuple[str, ...] | None, int]:
    """The operand whose last instruction is there, None for an expression, and where the one before it ends."""
    steps: list[str] = []
    while place >= 0 and instructions[place].opname == "LOAD_ATTR":
        steps.append(instructions[place].argval)
        place -= 1
    if place < 0 or not instructions[place].opname.startswith("LOAD_"):
        return None, place
    first = instructions[place]
    return (first.opname, str(first.argval), *reversed(steps)), place - 1
