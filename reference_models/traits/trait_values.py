"""Traits of values: constants of the standard library's types, which a format must keep to the last bit.

Each model holds one value as the attribute `value` and answers with something that depends on it.
"""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import math
import pathlib
import re
import types
import uuid
import zoneinfo

import torch
from torch import nn


class Holds(nn.Module):
    """Four readings in, three scores out; subclasses use the value in `preprocess` or in `postprocess`."""

    def __init__(self, value) -> None:
        super().__init__()
        self.value = value
        self.net = nn.Linear(4, 3)

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.net(batch)

    def postprocess(self, output):
        best = int(output.argmax())
        return {"best": best, "answer": self.answer(best, output)}

    def answer(self, best, output):
        return self.value


class Pair(Holds):
    def answer(self, best, output):
        return self.value[best % 2]


def made(cls, value):
    """The model with the same weights whenever it is made; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(4)
        return cls(value).eval()


def examples() -> list:
    return [[0.5, -1.25, 2.0, 0.0], [3.0, 0.25, -0.75, 1.5]]


# --- numbers ---


def plain_constants() -> nn.Module:
    return made(Holds, "a string")


def none_attribute() -> nn.Module:
    return made(Holds, None)


class IsType(Holds):
    def answer(self, best, output):
        return [type(value).__name__ for value in self.value] + [self.value[0] is True]


def bool_and_int_and_float() -> nn.Module:
    return made(IsType, [True, 1, 1.0])


def nan_and_infinities() -> nn.Module:
    return made(Clipped, [-math.inf, math.inf, math.nan])


class Clipped(Holds):
    def preprocess(self, x):
        low, high, missing = self.value
        return torch.tensor([0.5 if value == 0 and missing != missing else min(max(value, low), high) for value in x])


class Signed(Holds):
    def answer(self, best, output):
        return math.copysign(float(best + 1), self.value)


def negative_zero() -> nn.Module:
    return made(Signed, -0.0)


class Modular(Holds):
    def answer(self, best, output):
        return (self.value + best) % 1_000_003


def huge_int() -> nn.Module:
    return made(Modular, 7**6000)


def int_beyond_64_bits() -> nn.Module:
    return made(Modular, 2**64 + 12345)


class Exact(Holds):
    def answer(self, best, output):
        return [(value * (best + 1)).hex() for value in self.value]


def floats_to_the_last_bit() -> nn.Module:
    return made(Exact, [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 2.0**53 + 2])


class Turned(Holds):
    def answer(self, best, output):
        turned = self.value**best
        return [turned.real, math.copysign(1.0, self.value.imag)]


def complex_number() -> nn.Module:
    return made(Turned, complex(0.6, -0.0))


def decimal_number() -> nn.Module:
    return made(Pair, (decimal.Decimal("1.10"), decimal.Decimal("NaN")))


def fraction() -> nn.Module:
    return made(Modular, fractions.Fraction(22, 7))


# --- text and bytes ---


def bytes_value() -> nn.Module:
    return made(Pair, (b"\x00\xff\x80", b""))


class Decoded(Holds):
    def answer(self, best, output):
        self.value[0] = 65 + best  # needs to be mutable
        return bytes(self.value)


def byte_array() -> nn.Module:
    return made(Decoded, bytearray(b"?bc\x00"))


def memory_view() -> nn.Module:
    return made(Decoded, memoryview(bytearray(b"?view")))


def unicode_text() -> nn.Module:
    return made(Pair, ("naïve \N{SNOWMAN} 日本 \U0001f600 e\u0301", "\x00\r\n\u2028\ufeff"))


def lone_surrogate() -> nn.Module:
    return made(Pair, ("file\udce9.txt", "\ud83d"))


class Priced(Holds):
    def answer(self, best, output):
        return f"{self.value[best]}: {best}"


def text_that_looks_like_a_reference() -> nn.Module:
    return made(Priced, ["$5 off", "$var0", "$$"])


def text_that_looks_like_json() -> nn.Module:
    return made(Priced, ['{"py/object": "builtins.list"}', "NaN", "\\u0041 'null'"])


# --- time, places, patterns ---


class Later(Holds):
    def answer(self, best, output):
        return self.value + datetime.timedelta(days=100 * best)


def datetime_naive() -> nn.Module:
    return made(Later, datetime.datetime(2024, 2, 29, 12, 30, 15, 123456))


def datetime_with_offset() -> nn.Module:
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30), "India")
    return made(Later, datetime.datetime(2024, 2, 29, 12, 30, tzinfo=zone))


class Clock(Holds):
    def answer(self, best, output):
        instant = datetime.datetime(2024, 1 + 5 * best, 1, tzinfo=datetime.UTC)
        return instant.astimezone(self.value).isoformat()


def time_zone() -> nn.Module:
    return made(Clock, zoneinfo.ZoneInfo("UTC"))


class Since(Holds):
    def answer(self, best, output):
        winter = datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo(self.value.key))
        return str(datetime.datetime(2024, 7, 1 + best, tzinfo=self.value) - winter)


def time_zone_of_its_own() -> nn.Module:
    return made(Since, zoneinfo.ZoneInfo.no_cache("Europe/Berlin"))


class Joined(Holds):
    def answer(self, best, output):
        return (self.value / f"{best}.txt").as_posix()


def path() -> nn.Module:
    return made(Joined, pathlib.Path("models") / "v1")


def pure_windows_path() -> nn.Module:
    return made(Joined, pathlib.PureWindowsPath("D:/models/v1"))


class Matched(Holds):
    def answer(self, best, output):
        return self.value.sub("#", f"Take {best} of 3\nTAKE it")


def compiled_regex() -> nn.Module:
    return made(Matched, re.compile(r"^take|\d", re.IGNORECASE | re.MULTILINE))


def uuid_value() -> nn.Module:
    return made(Holds, uuid.UUID("12345678-1234-5678-1234-567812345678"))


# --- small standard-library things ---


class Picked(Holds):
    def answer(self, best, output):
        return output.tolist()[self.value]


def slice_value() -> nn.Module:
    return made(Picked, slice(None, None, -2))


class Listed(Holds):
    def answer(self, best, output):
        return list(self.value)[best]


def range_value() -> nn.Module:
    return made(Listed, range(10, -11, -10))


def packed_array() -> nn.Module:
    return made(Listed, array.array("h", [-3, 300, 7]))


class IsEllipsis(Holds):
    def answer(self, best, output):
        return [self.value is ..., output[self.value].tolist()]


def ellipsis() -> nn.Module:
    return made(IsEllipsis, ...)


class Configured(Holds):
    def answer(self, best, output):
        return self.value.names[best] * self.value.times


def simple_namespace() -> nn.Module:
    return made(Configured, types.SimpleNamespace(names=["a", "b", "c"], times=2))


class Mapped(Holds):
    def answer(self, best, output):
        return self.value["low" if best else "high"]


def read_only_mapping() -> nn.Module:
    return made(Mapped, types.MappingProxyType({"low": 1, "high": 2}))


def chain_map() -> nn.Module:
    return made(Mapped, collections.ChainMap({"low": 3}, {"low": 1, "high": 2}))


SENTINEL = object()


class Missing(Holds):
    """Told apart by identity: no copy is the sentinel."""

    def answer(self, best, output):
        return "missing" if self.value is SENTINEL else "given"


def sentinel_by_identity() -> nn.Module:
    return made(Missing, SENTINEL)


class Typed(Holds):
    def answer(self, best, output):
        return isinstance(output.tolist()[best], self.value)


def tuple_of_types() -> nn.Module:
    return made(Typed, (float, type(None)))


class Failing(Holds):
    def answer(self, best, output):
        return [type(self.value).__name__, *self.value.args]


def exception_instance() -> nn.Module:
    return made(Failing, ValueError("out of range", 3))
