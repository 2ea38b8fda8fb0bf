"""How values of the standard library are described in a snapshot, where attributes would not tell all."""

from __future__ import annotations

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
import threading
import types
import typing
import uuid
import weakref
import zoneinfo
from typing import TYPE_CHECKING, Any

from harness import describe_asked, describe_reached, snapshot_atoms

if TYPE_CHECKING:
    from harness.snapshot import Builder


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
        return builder.node("scalar", value, builder.named({"tzinfo": value.tzinfo}), identity=False, facts=facts)
    if issubclass(cls, datetime.date):
        return builder.node("scalar", value, identity=False, facts={"value": value.isoformat()})
    if issubclass(cls, datetime.timedelta):
        facts = {"value": [value.days, value.seconds, value.microseconds]}
        return builder.node("scalar", value, identity=False, facts=facts)
    if issubclass(cls, datetime.timezone):
        facts = {"value": [str(value.utcoffset(None)), value.tzname(None)]}
        return builder.node("scalar", value, identity=False, facts=facts)
    if issubclass(cls, zoneinfo.ZoneInfo):
        return builder.node("scalar", value, identity=False, facts={"value": value.key})
    return None


def _value(value: Any, builder: Builder) -> dict | None:
    """Immutable values whose text is their whole content and the same in every version."""
    cls = type(value)
    if issubclass(cls, decimal.Decimal | fractions.Fraction | pathlib.PurePath | uuid.UUID):
        facts = {"value": str(value)}
        if builder.state and isinstance(value, pathlib.Path) and value.is_absolute() and os.path.lexists(value):
            facts = snapshot_atoms.of_file(str(value))
        return builder.node("scalar", value, identity=False, facts=facts)
    if issubclass(cls, re.Pattern):
        facts = {"value": value.pattern, "flags": value.flags}
        return builder.node("scalar", value, identity=False, facts=facts)
    return None


def _stream(value: Any, builder: Builder) -> dict | None:
    cls = type(value)
    if issubclass(cls, io.BytesIO | io.StringIO):
        facts = {"closed": value.closed}
        if not value.closed:
            facts |= {"value": value.getvalue(), "position": value.tell()}
        return builder.node("stream", value, facts=facts)
    if issubclass(cls, io.IOBase):
        facts = {name: getattr(value, name, None) for name in ("name", "mode", "encoding", "closed")}
        return builder.node("stream", value, facts={word: part if type(part) in (str, bool) else None
                                                    for word, part in facts.items()})  # fmt: skip
    return None


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


def _other(value: Any, builder: Builder) -> dict | None:
    cls = type(value)
    if issubclass(cls, BaseException):
        parts = {"args": value.args, **vars(value)}
        return builder.node("exception", value, builder.named(parts))
    if issubclass(cls, logging.Logger):  # one of the process's, by name
        node = builder.node("constant", value, facts={"value": value.name})
        describe_asked.of_logger(value, node, builder)
        return node
    if issubclass(cls, random.Random) and not issubclass(cls, random.SystemRandom):
        parts = {"getstate()": value.getstate()}
        return builder.node("generator", value, builder.named(parts))
    if issubclass(cls, weakref.ReferenceType):
        return builder.node("weakref", value, builder.named({"()": value()}), identity=False)
    if issubclass(cls, contextvars.ContextVar):
        return describe_reached.context_variable(value, builder)
    if issubclass(cls, threading.local):
        return describe_reached.thread_local(value, builder)
    if issubclass(cls, types.GeneratorType | types.CoroutineType | types.AsyncGeneratorType):
        return builder.node("opaque", value, facts={"value": value.__qualname__})
    return None
