"""How values of the standard library are described in a snapshot, where attributes would not tell all."""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import decimal
import fractions
import io
import logging
import os
import pathlib
import random
import re
import struct
import sys
import tempfile
import threading
import types
import typing
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any

from harness.snapshot import atoms, describe_asked, describe_reached
from harness.snapshot.attributes import added, attributes

if TYPE_CHECKING:
    from harness.snapshot.builder import Builder


def describe(value: Any, builder: Builder) -> dict | None:
    """A node, or None for what is described well enough by its attributes."""
    for describe_some in (_moment, _value, _stream, _typing, _other):
        node = describe_some(value, builder)
        if node is not None:
            return node
    return None


def _moment(value: Any, builder: Builder) -> dict | None:
    cls = type(value)
    if issubclass(cls, datetime.datetime | datetime.time):
        facts = {"value": value.replace(tzinfo=None).isoformat(), "fold": value.fold}
        parts = {"tzinfo": value.tzinfo} | added(value, builder.is_own)
        return builder.node("scalar", value, builder.named(parts), identity=False, facts=facts)
    if issubclass(cls, datetime.date):
        parts, facts = added(value, builder.is_own), {"value": value.isoformat()}
        return builder.node("scalar", value, builder.named(parts), identity=False, facts=facts)
    if issubclass(cls, datetime.timedelta):
        parts, facts = added(value, builder.is_own), {"value": [value.days, value.seconds, value.microseconds]}
        return builder.node("scalar", value, builder.named(parts), identity=False, facts=facts)
    if issubclass(cls, datetime.timezone):
        facts = {"value": [str(value.utcoffset(None)), value.tzname(None)]}
        return builder.node("scalar", value, identity=False, facts=facts)
    if issubclass(cls, zoneinfo.ZoneInfo):
        # which object it is counts: moments of one zone are subtracted by their clocks, those of two by what these mean
        facts: dict[str, Any] = {"value": value.key}
        if cls is zoneinfo.ZoneInfo and value.key is not None:
            facts["cached"] = zoneinfo.ZoneInfo(value.key) is value
        return builder.node("scalar", value, builder.named(added(value, builder.is_own)), facts=facts)
    return None


def _value(value: Any, builder: Builder) -> dict | None:
    """Immutable values whose text is their whole content and the same in every version."""
    cls = type(value)
    if issubclass(cls, decimal.Decimal | fractions.Fraction | pathlib.PurePath | uuid.UUID):
        facts = {"value": str(value)}
        if builder.state and isinstance(value, pathlib.Path) and value.is_absolute() and os.path.lexists(value):
            facts = atoms.of_file(str(value))
        if issubclass(cls, uuid.UUID):
            facts["is_safe"] = value.is_safe.name
        if issubclass(cls, decimal.Decimal):
            builder.holds_decimals = True
        own = builder.named(added(value, builder.is_own))
        return builder.node("scalar", value, own, identity=False, facts=facts)
    if issubclass(cls, re.Pattern):
        facts = {"value": value.pattern, "flags": value.flags}
        return builder.node("scalar", value, identity=False, facts=facts)
    if issubclass(cls, re.Match):
        facts = {"span": [value.pos, value.endpos, *value.regs]}
        parts = {"string": value.string, "re": value.re}
        return builder.node("scalar", value, builder.named(parts), identity=False, facts=facts)
    if issubclass(cls, struct.Struct):
        facts = {"value": value.format}
        return builder.node("scalar", value, builder.named(attributes(value)), identity=False, facts=facts)
    return None


def _stream(value: Any, builder: Builder) -> dict | None:
    cls = type(value)
    if issubclass(cls, io.BytesIO | io.StringIO):
        facts = {"closed": value.closed}
        if not value.closed:
            facts |= {"value": value.getvalue(), "position": value.tell()}
            if issubclass(cls, io.StringIO):  # what it makes of the ends of lines
                facts["newline"] = io.StringIO.__getstate__(value)[1]
        return builder.node("stream", value, builder.named(attributes(value)), facts=facts)
    if issubclass(cls, tempfile.SpooledTemporaryFile):  # to ask for its name or number writes it into a file
        return builder.node("stream", value, builder.named(attributes(value)))
    if issubclass(cls, io.IOBase):
        names = _OF_A_STREAM if _is_of_the_process(value) else (*_OF_A_STREAM, *_HOW_IT_WRITES)
        facts = {name: getattr(value, name, None) for name in names}
        facts = {word: part if type(part) in (str, bool) else None for word, part in facts.items()}
        if isinstance(facts["name"], str) and facts["name"].startswith(tempfile.gettempdir() + os.sep):
            facts["name"] = "<temporary>"  # an accident, as in `atoms`
        parts = added(value, builder.is_own)
        if not _is_of_the_process(value):
            parts |= _in_memory(value)
            facts |= _position(value)
        return builder.node("stream", value, builder.named(parts), facts=facts)
    return None


_OF_A_STREAM = ("name", "mode", "encoding", "closed")
_HOW_IT_WRITES = ("errors", "line_buffering", "write_through")


def _is_of_the_process(value: io.IOBase) -> bool:
    """Whether all of the process reads or writes it: how it does, and where it stands, is another in each."""
    number = _number(value)
    return any(value is one for one in (sys.stdin, sys.stdout, sys.stderr)) or (number is not None and number <= 2)


def _number(value: io.IOBase) -> int | None:
    """Under which the system knows it; None for one in memory, or closed."""
    try:
        return value.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _in_memory(value: io.IOBase) -> dict[str, Any]:
    """What a stream reads or writes that is no file of the system's."""
    with contextlib.suppress(Exception):  # closed, or detached
        inside = value.buffer if isinstance(value, io.TextIOWrapper) else value.raw
        if not value.closed and _number(inside) is None:
            return {"(inside)": inside}
    return {}


def _position(value: io.IOBase) -> dict[str, int]:
    """How far it was read."""
    with contextlib.suppress(Exception):  # closed, or read by `for`, when it does not tell
        if value.seekable():
            return {"position": value.tell()}
    return {}


_OF_A_LOGGER = frozenset({*vars(logging.Logger("")), "manager"})


def _typing(value: Any, builder: Builder) -> dict | None:
    """`list[int]`, `Optional[int]`, type variables: by their parts, since their text changes with the version."""
    cls = type(value)
    if typing.get_origin(value) is not None:
        parts = {"origin": typing.get_origin(value), "args": typing.get_args(value)}
        return builder.node("typing", value, builder.named(parts), identity=False)
    if cls.__module__ == "typing":
        name = getattr(value, "_name", None) or getattr(value, "__name__", None)
        return builder.node("typing", value, identity=False, facts={"value": name})
    return None


def _in_c(value: BaseException) -> dict[str, Any]:
    """What an exception of Python's own keeps beside its arguments: the line of a SyntaxError, a file's name. No pickle
    has the name that was not found, which counts where it is asked for."""
    classes = [
        cls for cls in type(value).__mro__ if cls.__module__ == "builtins" and cls not in (BaseException, Exception)
    ]
    names = {name for cls in classes for name, part in vars(cls).items() if isinstance(part, _DESCRIPTORS)} - _NOT_FOUND
    found = {name: getattr(value, name, None) for name in sorted(names) if not name.startswith("_")}
    return {name: part for name, part in found.items() if part is not None}


_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_NOT_FOUND = frozenset({"name", "obj", "path", "name_from"})


def _other(value: Any, builder: Builder) -> dict | None:
    cls = type(value)
    if issubclass(cls, BaseException):
        cause = {} if value.__cause__ is None else {"__cause__": value.__cause__}
        parts = {"args": value.args, **_in_c(value), **attributes(value), **cause}
        node = builder.node("exception", value, builder.named(parts))
        describe_asked.of_exception(value, node, builder)
        return node
    if issubclass(cls, logging.Logger):  # one of the process's, by name
        parts = describe_asked.listeners(value, builder)
        parts |= {name: part for name, part in attributes(value).items() if name not in _OF_A_LOGGER}
        group = builder.named(parts)
        name = "<own>" if builder.is_own(value.name) else value.name  # `getLogger(__name__)`, under another name
        node = builder.node("constant", value, group, facts={"value": name})
        describe_asked.of_logger(value, node, builder)
        return node
    if issubclass(cls, random.Random) and not issubclass(cls, random.SystemRandom):
        parts = {"getstate()": value.getstate()} | attributes(value)
        parts.pop("gauss_next", None)  # is in the state
        return builder.node("generator", value, builder.named(parts))
    if issubclass(cls, contextvars.ContextVar):
        return describe_reached.context_variable(value, builder)
    if issubclass(cls, threading.local):
        return describe_reached.thread_local(value, builder)
    return None
