"""Bytes of number formats as numbers: NaNs made alike, distances measured in value and in representable steps.

numpy has no arithmetic for bfloat16 and the 8-bit floats, and the reporting side has no torch; so floats are taken
apart as bits here, all formats in the same way. Bytes are little-endian and in C order throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """|expected - actual| <= atol + rtol * |expected| is close; NaN is close to NaN only."""

    rtol: float = 1e-5
    atol: float = 1e-6


@dataclass(frozen=True)
class Distance:
    """How far two arrays of one format are apart. `max_abs` and `max_ulp` leave out NaN and infinities."""

    count: int
    first: int
    """Place of the first difference, in C order."""
    max_abs: float | None = None
    max_ulp: float | None = None
    close: bool = False
    note: str = ""


@dataclass(frozen=True)
class _Float:
    """A binary floating-point format: sign, exponent, mantissa. IEEE 754, or the 8-bit formats of the Open Compute
    Project ("OCP 8-bit Floating Point Specification", 2023) and their "fnuz" variants, which have no infinity."""

    bits: int
    mantissa: int
    nan: str = "ieee"

    @property
    def unsigned(self) -> str:
        return f"<u{self.bits // 8}"

    @property
    def sign(self) -> int:
        return 1 << (self.bits - 1)

    @property
    def bias(self) -> int:
        half = 1 << (self.bits - self.mantissa - 2)
        return half if self.nan == "fnuz" else half - 1

    def is_nan(self, bits: np.ndarray) -> np.ndarray:
        if self.nan == "fnuz":  # what would be -0
            return bits == self.sign
        magnitude = bits & bits.dtype.type(self.sign - 1)
        if self.nan == "fn":  # all ones only; the rest of the top binade are numbers
            return magnitude == self.sign - 1
        return magnitude > (self.sign - 1) >> self.mantissa << self.mantissa

    def values(self, bits: np.ndarray) -> np.ndarray:
        """As float64, in which every format here is exact."""
        if self.bits in (32, 64):
            return bits.view(f"<f{self.bits // 8}").astype(np.float64)
        wide = bits.astype(np.int64)
        magnitude = wide & (self.sign - 1)
        exponent, fraction = magnitude >> self.mantissa, magnitude & ((1 << self.mantissa) - 1)
        fraction = np.where(exponent > 0, fraction | (1 << self.mantissa), fraction)
        power = np.maximum(exponent, 1) - self.bias - self.mantissa
        values = np.ldexp(fraction.astype(np.float64), power.astype(np.int32))
        if self.nan == "ieee":
            values[magnitude == (self.sign - 1) >> self.mantissa << self.mantissa] = np.inf
        values[self.is_nan(bits)] = np.nan
        return np.where(wide & self.sign, -values, values)

    def steps(self, bits: np.ndarray) -> np.ndarray:
        """The usual monotone map of floats to integers: neighbours differ by one, both zeros are 0.

        Source: B. Dawson, "Comparing Floating Point Numbers", 2012 edition.
        """
        magnitude = (bits & bits.dtype.type(self.sign - 1)).astype(np.int64)
        return np.where(bits & bits.dtype.type(self.sign), -magnitude, magnitude)


_FLOATS = {
    "float64": _Float(64, 52),
    "float32": _Float(32, 23),
    "float16": _Float(16, 10),
    "bfloat16": _Float(16, 7),
    "float8_e5m2": _Float(8, 2),
    "float8_e4m3fn": _Float(8, 3, "fn"),
    "float8_e5m2fnuz": _Float(8, 2, "fnuz"),
    "float8_e4m3fnuz": _Float(8, 3, "fnuz"),
    "complex128": _Float(64, 52),
    "complex64": _Float(32, 23),
    "complex32": _Float(16, 10),
    "bcomplex32": _Float(16, 7),
}
"""A complex number is two floats in a row."""

_INTEGERS = {
    f"{name}{8 * size}": f"<{kind}{size}" for name, kind in (("int", "i"), ("uint", "u")) for size in (1, 2, 4, 8)
}


def with_one_nan(data: bytes, format: str) -> bytes:
    """The same numbers with every NaN in one bit pattern: a NaN's payload is no part of a value."""
    layout = _FLOATS.get(format)
    if layout is None:
        return data
    bits = np.frombuffer(data, layout.unsigned)
    nan = layout.is_nan(bits)
    if not nan.any():
        return data
    bits = bits.copy()
    bits[nan] = layout.sign if layout.nan == "fnuz" else layout.sign - 1
    return bits.tobytes()


def distance(expected: bytes, actual: bytes, format: str, tolerance: Tolerance) -> Distance:
    """Measure two arrays that are known to differ; both have been through `with_one_nan` and have one length.

    Only floats can be close. A zero that changed its sign is never close: 1/x and atan2 tell the two apart by as much
    as they can.
    """
    if format in _FLOATS:
        return _float_distance(expected, actual, _FLOATS[format], tolerance, 2 if "complex" in format else 1)
    if format in _INTEGERS:
        a, b = (np.frombuffer(data, _INTEGERS[format]) for data in (expected, actual))
        return Distance(*_places(a != b, 1), max_abs=_largest_gap(a, b))
    if format == "bool":
        a, b = (np.frombuffer(data, "u1") != 0 for data in (expected, actual))
        return Distance(*_places(a != b, 1))
    a, b = (np.frombuffer(data, "u1") for data in (expected, actual))
    return Distance(*_places(a != b, 1), note="counted in bytes: the format has no arithmetic here")


def _float_distance(expected: bytes, actual: bytes, layout: _Float, tolerance: Tolerance, parts: int) -> Distance:
    old, new = (np.frombuffer(data, layout.unsigned) for data in (expected, actual))
    differs = old != new
    count, first = _places(differs, parts)
    old, new = old[differs], new[differs]
    a, b = layout.values(old), layout.values(new)
    finite = np.isfinite(a) & np.isfinite(b)
    with np.errstate(over="ignore"):
        gap = np.abs(a[finite] - b[finite])
        within = gap <= tolerance.atol + tolerance.rtol * np.abs(a[finite])
    signs = int(((a == 0) & (b == 0)).sum())
    notes = []
    if not finite.all():
        notes.append(f"{int((~finite).sum())} NaN or infinite on one side")
    if signs:
        notes.append(f"{signs} zeros changed sign")
    return Distance(
        count,
        first,
        max_abs=float(gap.max()) if gap.size else None,
        max_ulp=_largest_gap(layout.steps(old[finite]), layout.steps(new[finite])) if gap.size else None,
        close=bool(finite.all() and within.all() and not signs),
        note=", ".join(notes),
    )


def _places(differs: np.ndarray, parts: int) -> tuple[int, int]:
    """How many numbers differ and where the first is; a number may have two parts, real and imaginary."""
    whole = differs.reshape(-1, parts).any(axis=1)
    return int(whole.sum()), int(whole.argmax())


def _largest_gap(a: np.ndarray, b: np.ndarray) -> float:
    """The largest |a - b| of integers, without overflow: unsigned subtraction wraps to the right answer."""
    low, high = (pick(a, b).astype(np.uint64) for pick in (np.minimum, np.maximum))
    return float((high - low).max())
