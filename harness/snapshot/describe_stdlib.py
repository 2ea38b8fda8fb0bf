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
import tempfile
import threading
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
        return builder.node("stream", value, builder.named(attributes(value)), facts=facts)
    if issubclass(cls, io.IOBase):
        facts = {name: getattr(value, name, None) for name in ("name", "mode", "encoding", "closed")}
        facts = {word: part if type(part) in (str, bool) else None for word, part in facts.items()}
        if isinstance(facts["name"], str) and facts["name"].startswith(tempfile.gettempdir() + os.sep):
            facts["name"] = "<temporary>"  # an accident, as in `atoms`
        own = builder.named(added(value, builder.is_own))
        return builder.node("stream", value, own, facts=facts | _position(value))
    return None


def _position(value: io.IOBase) -> dict[str, int]:
    """How far a file was read. A stream that all of the process writes to stands elsewhere in each."""
    with contextlib.suppress(Exception):  # closed, or read by `for`, when it does not tell
        if value.fileno() > 2 and value.seekable():
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


def _other(value: Any, builder: Builder) -> dict | None:
    cls = type(value)
    if issubclass(cls, BaseException):
        cause = {} if value.__cause__ is None else {"__cause__": value.__cause__}
        node = builder.node("exception", value, builder.named({"args": value.args, **attributes(value), **cause}))
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
