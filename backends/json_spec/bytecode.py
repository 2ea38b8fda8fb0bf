"""What the compiled code of the user's functions says: names, texts, imports, and a digest. For `reach`."""

from __future__ import annotations

import contextlib
import dis
import hashlib
import importlib.util
import types
from collections.abc import Iterator
from typing import Any

from backends.json_spec.holding import shown
from backends.json_spec.imports_by_text import BY_TEXT


def names(code: types.CodeType) -> set[str]:
    """Every name that a function looks up, functions within it included."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(names, inner))


def loads(code: types.CodeType, name: str) -> bool:
    """Whether a function, or one within it, reads the global of a name: `__name__`, but not `type(x).__name__`."""
    if name in code.co_names and any(
        one.opname in ("LOAD_GLOBAL", "LOAD_NAME") and one.argval == name for one in dis.get_instructions(code)
    ):
        return True
    return any(loads(const, name) for const in code.co_consts if isinstance(const, types.CodeType))


def imported_by(function: types.FunctionType) -> set[str]:
    """The modules that a function imports itself, by a statement or by a text, with the packages that they lie in."""
    code, found = function.__code__, []
    package = function.__globals__.get("__package__") or ""
    statements = list(_import_statements(code))
    statements += [("", text, ()) for text in texts(code)] if not BY_TEXT.isdisjoint(names(code)) else []
    for dots, name, parts in statements:
        with contextlib.suppress(ImportError, ValueError):  # relative to nothing
            full = importlib.util.resolve_name(dots + name.partition(":")[0], package)
            found += [full, *(f"{full}.{part}" for part in parts or ())]
    return {".".join(steps[: n + 1]) for steps in (name.split(".") for name in found) for n in range(len(steps))}


def _import_statements(code: types.CodeType) -> Iterator[tuple[str, str, tuple[str, ...] | None]]:
    """(dots, module, names in it) of a function, functions within it included."""
    if dis.opmap["IMPORT_NAME"] in code.co_code[::2]:  # to read all code takes long, and little imports anything
        before: list[Any] = [0, None]
        for one in dis.get_instructions(code):
            if one.opname == "IMPORT_NAME":
                level, parts = before[-2:]
                yield "." * level, one.argval, parts
            before.append(one.argval)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _import_statements(const)


def texts(code: types.CodeType) -> set[str]:
    """Every text that stands in a function, functions within it included."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return {const for const in code.co_consts if type(const) is str}.union(*map(texts, inner))


def digest(code: types.CodeType) -> str:
    """Equal for code that does the same, in every process."""
    consts = [_const(const) for const in code.co_consts]
    if any(isinstance(const, frozenset) for const in code.co_consts):  # whose order is of the process
        consts = sorted(consts)
    facts = (code.co_code, consts, code.co_names, code.co_varnames, code.co_freevars)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def loose_digest(code: types.CodeType) -> str:
    """Equal for code that does the same, whether its file, its cell or its statement alone was compiled.

    Where a name's import stands in what is compiled, Python calls its attributes in another way than it calls methods
    (source: `is_import_originated` of CPython's compile.c).
    """
    steps = [one for one in dis.get_instructions(code) if one.opname not in _PUSHED]
    places = {one.offset: place for place, one in enumerate(steps)}
    facts: list[Any] = [code.co_varnames, code.co_freevars]
    for one in steps:
        value = one.argval
        if isinstance(value, types.CodeType):
            value = loose_digest(value)
        elif one.opcode in dis.hasjrel or one.opcode in dis.hasjabs:
            value = min((place for offset, place in places.items() if offset >= value), default=None)
        elif one.opcode in dis.hasconst:
            value = _const(value)
        facts.append((_CALLED.get(one.opname, one.opname), value))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


_PUSHED = frozenset(["PUSH_NULL", "EXTENDED_ARG", "CACHE"])
_CALLED = {"LOAD_METHOD": "LOAD_ATTR", "CALL_METHOD": "CALL_FUNCTION"}
"""What Python up to 3.11 has for methods, and for all else."""


def _const(const: Any) -> str:
    if isinstance(const, types.CodeType):
        return digest(const)
    if isinstance(const, tuple):
        return f"({', '.join(map(_const, const))})"
    return f"{sorted(map(_const, const))}" if isinstance(const, frozenset) else shown(const)
