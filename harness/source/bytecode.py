"""What CPython's code objects say of themselves: what they import, read, rebind and set, code inside them included.

By the interpreter's words, not by the source: code that an artifact brings along by value has none.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterator

_STORE_ATTR = dis.opmap["STORE_ATTR"]
_DELETE_ATTR = dis.opmap["DELETE_ATTR"]
_IMPORT_NAME = dis.opmap["IMPORT_NAME"]
_OF_SETS = frozenset(dis.opmap[name] for name in ("BUILD_SET", "SET_ADD", "SET_UPDATE"))
_HASHING = frozenset({"hash", "set", "frozenset"})
_IN_PLACE = 13
"""Of `BINARY_OP`, the operand of `+=` less that of `+`; after both comes what is no operator of two numbers."""
_COMPARED_AT = 0 if sys.version_info < (3, 12) else 4 if sys.version_info < (3, 13) else 5
"""From which bit on the operand of `COMPARE_OP` says which comparison it is."""


def with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code and all code inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from with_inner(constant)


@functools.lru_cache(maxsize=4096)
def read(code: types.CodeType, operation: str) -> frozenset[str]:
    """The names that the code reads by an operation of the interpreter."""
    opcode, found = dis.opmap[operation], set()
    for part in with_inner(code):
        if operation == "LOAD_GLOBAL":  # nearly all code has it, and `dis` takes its time
            found |= {part.co_names[operand >> 1] for operand in _operands(part, opcode)}
        elif opcode in part.co_code[::2]:
            steps = dis.get_instructions(part)
            found |= {instruction.argval for instruction in steps if instruction.opname == operation}
    return frozenset(found)


@functools.lru_cache(maxsize=4096)
def hashes(code: types.CodeType) -> bool:
    """Whether what the code does may hang on how texts hash: it asks for hashes, or has to do with sets."""
    return any(
        not _HASHING.isdisjoint(part.co_names)
        or not _OF_SETS.isdisjoint(part.co_code[::2])
        or any(type(constant) is frozenset for constant in part.co_consts)
        for part in with_inner(code)
    )


def operators(code: types.CodeType) -> frozenset[str]:
    """The operators in the code, in words that all Pythons have in common: what `not` and `[]` become differs."""
    found = set()
    for part in with_inner(code):
        found |= {dis._nb_ops[operand % _IN_PLACE][1] for operand in _operands(part, dis.opmap["BINARY_OP"])
                  if operand < 2 * _IN_PLACE}  # fmt: skip
        found |= {dis.cmp_op[operand >> _COMPARED_AT] for operand in _operands(part, dis.opmap["COMPARE_OP"])}
        for name, words in (("IS_OP", ("is", "is not")), ("CONTAINS_OP", ("in", "not in"))):
            found |= {words[operand] for operand in _operands(part, dis.opmap[name])}
        found |= {name for name in ("UNARY_NEGATIVE", "UNARY_INVERT")
                  if next(_operands(part, dis.opmap[name]), None) is not None}  # fmt: skip
    return frozenset(found)


def small_integers(code: types.CodeType) -> set[int]:
    """Those that are parts of instructions, not constants: from Python 3.14 on."""
    opcode = dis.opmap.get("LOAD_SMALL_INT")
    return {operand for part in with_inner(code) for operand in _operands(part, opcode)} if opcode else set()


@functools.lru_cache(maxsize=4096)
def imports(code: types.CodeType) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """(level, name, names taken from it) of each import in the code."""
    found = []
    for part in with_inner(code):
        if _IMPORT_NAME in part.co_code[::2]:
            steps = [step for step in dis.get_instructions(part) if step.opname != "EXTENDED_ARG"]
            found += [(level.argval, step.argval, tuple(parts.argval or ()))
                      for level, parts, step in zip(steps, steps[1:], steps[2:], strict=False)
                      if step.opname == "IMPORT_NAME"]  # fmt: skip
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def set_in_globals(code: types.CodeType) -> frozenset[tuple[str, ...]]:
    """The attributes that the code sets or deletes of its globals: ("settings", "SCALE")."""
    found = set()
    for part in with_inner(code):
        if _STORE_ATTR not in part.co_code[::2] and _DELETE_ATTR not in part.co_code[::2]:
            continue
        steps: list[str] = []
        copied: list[str] = []  # `settings.COUNT += 1` has the module twice, once to read and once to write
        for instruction in dis.get_instructions(part):
            if instruction.opname in ("STORE_ATTR", "DELETE_ATTR") and (path := steps or copied):
                found.add((*path, instruction.argval))
                copied = []
            if instruction.opname == "LOAD_GLOBAL":
                steps = [instruction.argval]
            elif instruction.opname == "LOAD_ATTR" and steps:
                steps = [*steps, instruction.argval]
            elif instruction.opname not in ("CACHE", "EXTENDED_ARG"):
                copied = steps if instruction.opname == "COPY" and steps else copied
                steps = []
    return frozenset(found)


def attributes_set(code: types.CodeType) -> Iterator[str]:
    """The attributes that the code sets of anything. Without `dis`, which would take 30 ms for a module of Pillow's."""
    for part in with_inner(code):
        yield from (part.co_names[operand] for operand in _operands(part, _STORE_ATTR))


def _operands(code: types.CodeType, opcode: int) -> Iterator[int]:
    """Of each instruction of this kind, what is below 65,536 of its operand."""
    operations, operands = code.co_code[::2], code.co_code[1::2]
    place = operations.find(opcode)
    while place >= 0:
        more = operands[place - 1] << 8 if place and operations[place - 1] == dis.EXTENDED_ARG else 0
        yield more + operands[place]
        place = operations.find(opcode, place + 1)
