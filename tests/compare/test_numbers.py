"""Numbers: sizes of differences, units in the last place, what is close and what never is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from compare_things import seen, t, transported

from harness.compare import Difference, Tolerance, compare, verdict
from harness.snapshot import builder
from harness.snapshot.builder import snapshot_value

# --- numbers


def numeric(a, b, **tolerance):
    return compare(snapshot_value(a), snapshot_value(b), Tolerance(**tolerance), "x")


def test_sizes_and_tolerance():
    one = torch.ones(4)
    near = one.clone()
    near[2] = torch.nextafter(near[2], torch.tensor(2.0))
    (found,) = numeric(one, near)
    assert found.max_ulp == 1
    assert found.max_abs == 2**-23
    assert found.close
    assert verdict([found]) == "close"
    assert verdict(numeric(one, near, rtol=0, atol=0)) == "different"
    assert verdict(numeric(one, one * 1.1)) == "different"
    assert verdict([]) == "equal"
    assert verdict([found, Difference("x", "order", "")]) == "different"


def test_the_tolerance_is_relative_to_the_expected_value():
    assert verdict(numeric(t(100.0), t(110.0), rtol=0.1, atol=0)) == "close"
    assert verdict(numeric(t(110.0), t(100.0), rtol=0.095, atol=0)) == "close"
    assert verdict(numeric(t(100.0), t(110.0), rtol=0.095, atol=0)) == "different"
    assert verdict(numeric(t(1.0), t(2.0), rtol=0, atol=1.0)) == "close"
    assert verdict(numeric(t(1.0, 1.0), t(1.0, 2.0), rtol=0, atol=0.5)) == "different"


def test_floats_outside_tensors_can_be_close_and_integers_cannot():
    (found,) = numeric({"score": 0.5}, {"score": math.nextafter(0.5, 1)})
    assert (found.max_ulp, found.close) == (1, True)
    assert verdict(numeric(1 + 1j, 1 + 1.0000001j)) == "close"
    assert verdict(numeric(10**9, 10**9 + 1)) == "different"
    assert verdict(numeric(t(10**9), t(10**9 + 1))) == "different"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [1.0, -1.0, 0.0, 1e-7])
def test_an_ulp_is_the_formats_own(dtype, value):
    a = torch.tensor([value, 5.0], dtype=dtype)
    (found,) = numeric(a, torch.nextafter(a, torch.tensor([9.0, 5.0], dtype=dtype)))
    assert found.max_ulp == 1
    assert "1 of 2 values" in found.message


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]
)
def test_eight_bit_floats_are_decoded_as_torch_does(dtype):
    bits = torch.arange(256, dtype=torch.int16).to(torch.uint8)
    every = bits.view(dtype)
    for place in range(256):
        one, zero = every[place : place + 1], torch.zeros(1).to(dtype)
        value = one.float().item()
        found = numeric(zero, one)
        if math.isfinite(value) and value:
            assert found[0].max_abs == abs(value)
            assert found[0].max_ulp == (place & 127)
        elif value:
            assert (found[0].max_abs, found[0].close) == (None, False)


def test_steps_are_counted_across_zero():
    (found,) = numeric(-5e-324, 5e-324)
    assert found.max_ulp == 2


def test_complex_numbers_are_two_floats():
    a = torch.tensor([1 + 1j, 2 + 2j])
    b = a.clone()
    b.imag[1] = torch.nextafter(b.imag[1], torch.tensor(9.0))
    (found,) = numeric(a, b)
    assert (found.max_ulp, found.close) == (1, True)
    assert "1 of 2 values" in found.message


def test_large_integers_are_measured_exactly():
    assert numeric(t(2**60), t(2**60 + 1))[0].max_abs == 1
    assert numeric(t(-(2**63)), t(2**63 - 1))[0].max_abs == 2.0**64
    assert numeric(np.array([2**64 - 1], "u8"), np.array([0], "u8"))[0].max_abs == 2.0**64


def test_zero_changing_its_sign_is_never_close():
    (found,) = numeric(t(0.0, 1.0), t(-0.0, 1.0))
    assert (found.close, found.max_ulp) == (False, 0)
    assert "sign" in found.message
    assert verdict(numeric(0.0, -0.0)) == "different"


def test_nan_is_equal_to_nan_only():
    quiet, other = np.array([0x7FC00000, 0x7FC00001], "u4").view("f4")[:, None]
    assert quiet.tobytes() != other.tobytes()
    assert numeric(torch.from_numpy(quiet), torch.from_numpy(other)) == []
    assert numeric(quiet, other) == []
    assert numeric(math.nan, -math.nan) == []
    assert verdict(numeric(t(math.nan, 1.0), t(math.nan, 1.0 + 1e-7))) == "close"
    assert verdict(numeric(t(math.nan, 1.0), t(1.0, 1.0))) == "different"
    assert verdict(numeric(t(1.0), t(math.nan))) == "different"
    assert verdict(numeric(t(math.inf), t(1e30), rtol=1e9)) == "different"
    assert verdict(numeric(t(math.inf), t(-math.inf), rtol=1e9)) == "different"
    assert numeric(t(math.inf), t(math.inf)) == []


def test_a_conjugate_view_is_its_values():
    a = torch.tensor([1 + 2j])
    assert seen(a.conj(), a.conj().resolve_conj()) == []
    assert seen(a.conj().imag, a.conj().imag.resolve_neg()) == []


def test_large_tensors_are_compared_by_digest(monkeypatch):

    one, other = transported(t(1.0, 2.0)), transported(t(1.0, 2.5))
    monkeypatch.setattr(builder, "KEEP_BYTES", 4)
    large = transported(t(1.0, 2.0))
    assert "bytes" not in large["nodes"][0]["numbers"]
    assert compare(large, transported(t(1.0, 2.0))) == compare(one, large) == compare(large, one) == []
    for pair in ((large, transported(t(1.0, 3.0))), (large, other), (other, large)):
        (found,) = compare(*pair)
        assert (found.kind, found.max_abs, found.close) == ("value", None, False)
