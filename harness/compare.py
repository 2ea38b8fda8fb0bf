"""Two snapshots to a list of differences, each with its path and, for numbers, its size.

Bit-exact first: equal bytes end the matter. Otherwise numbers are measured (largest absolute difference, largest
distance in units in the last place) and are `close` within the model's tolerance. Everything else that differs, a
type, a shape, a stride, an alias, an order, is never close. Neither torch nor the user's classes are needed here.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """|expected - actual| <= atol + rtol * |expected| is close; NaN is close to NaN only."""

    rtol: float = 1e-5
    atol: float = 1e-6


@dataclass(frozen=True)
class Difference:
    """One thing that did not come back as it was."""

    path: str
    """As in Python: `model.layer.0.weight`, `output['boxes'][2]`."""
    kind: str
    """value, dtype, shape, stride, device, type, keys, order, length, missing, extra, aliasing, identity,
    requires_grad, training, buffer_persistence, role, hooks or code."""
    message: str
    max_abs: float | None = None
    max_ulp: float | None = None
    close: bool = False
    """A numeric difference within the tolerance."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: sizes that are not finite become None."""
        raw = dataclasses.asdict(self)
        for name in ("max_abs", "max_ulp"):
            if raw[name] is not None and not math.isfinite(raw[name]):
                raw[name] = None
        return raw


def verdict(differences: Sequence[Difference]) -> Literal["equal", "close", "different"]:
    """`close` when every difference is numeric and within the tolerance."""
    if not differences:
        return "equal"
    return "close" if all(difference.close for difference in differences) else "different"


def compare(expected: dict, actual: dict, tolerance: Tolerance | None = None, root: str = "model") -> list[Difference]:
    """The differences of two snapshots; an empty list means bit-equal, of the same types and with the same aliases."""
    return list(_Comparer(tolerance or Tolerance()).run(expected, actual, root))


class _Comparer:
    def __init__(self, tolerance: Tolerance) -> None:
        self.tolerance = tolerance
        self.storages: tuple[dict[int, list[str]], dict[int, list[str]]] = (defaultdict(list), defaultdict(list))

    def run(self, expected: dict, actual: dict, root: str) -> Iterator[Difference]:
        yield from self.nodes(expected, actual, root)
        yield from self.aliases()

    def nodes(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        if "where" in expected and expected.get("where") != actual.get("where"):
            was, now = _ROLES[expected["where"]], _ROLES.get(actual.get("where", ""), "nothing")
            yield Difference(path, "role", f"was a {was}, is now a {now}")
        if expected["kind"] != actual["kind"]:
            if "ref" in (expected["kind"], actual["kind"]):
                shared, other = (expected, "no longer") if expected["kind"] == "ref" else (actual, "now")
                yield Difference(path, "identity", f"{other} the same object as {shared['to']}")
            else:
                yield Difference(path, "type", f"was {_title(expected)}, is now {_title(actual)}")
            return
        if expected.get("type") != actual.get("type"):
            yield Difference(path, "type", f"was {expected.get('type')}, is now {actual.get('type')}")
            if expected["kind"] == "scalar":
                return
        yield from getattr(self, f"_{expected['kind']}")(expected, actual, path)

    # --- one method a kind

    def _scalar(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        was, now = expected["value"], actual["value"]
        if was == now:
            return
        if expected["type"] == "float":
            a, b = (np.array([math.nan if text == "nan" else float.fromhex(text)]) for text in (was, now))
            yield self._numbers(a, b, path)
        else:
            yield Difference(path, "value", f"was {_short(was)}, is now {_short(now)}")

    def _ref(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        if expected["to"] != actual["to"]:
            yield Difference(path, "identity", f"was the same object as {expected['to']}, is now {actual['to']}")

    def _sequence(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        if expected.get("fields") != actual.get("fields"):
            yield Difference(path, "keys", f"fields were {expected.get('fields')}, are now {actual.get('fields')}")
        if expected.get("maxlen") != actual.get("maxlen"):
            yield Difference(path, "value", f"maxlen was {expected.get('maxlen')}, is now {actual.get('maxlen')}")
        yield from self._items(expected["items"], actual["items"], path)

    def _items(self, expected: list, actual: list, path: str) -> Iterator[Difference]:
        if len(expected) != len(actual):
            yield Difference(path, "length", f"had {len(expected)} entries, has {len(actual)}")
        for place, (was, now) in enumerate(zip(expected, actual, strict=False)):
            yield from self.nodes(was, now, f"{path}[{place}]")

    def _mapping(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        was = {_key(key): (key, value) for key, value in expected["pairs"]}
        now = {_key(key): (key, value) for key, value in actual["pairs"]}
        for name, (key, _) in was.items():
            if name not in now:
                yield Difference(f"{path}[{_short(key.get('value'))}]", "missing", f"the {key.get('type')} key is gone")
        for name, (key, _) in now.items():
            if name not in was:
                yield Difference(f"{path}[{_short(key.get('value'))}]", "extra", f"a new {key.get('type')} key")
        if list(was) != list(now) and was.keys() == now.keys():
            yield Difference(path, "order", "the keys come in another order")
        for name, (key, value) in was.items():
            if name in now:
                yield from self.nodes(value, now[name][1], f"{path}[{_short(key.get('value'))}]")
        if "default_factory" in expected and "default_factory" in actual:
            yield from self.nodes(expected["default_factory"], actual["default_factory"], f"{path}.default_factory")
        yield from self._named(expected.get("fields", {}), actual.get("fields", {}), path)

    def _set(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        was, now = ([_key(item) for item in node["items"]] for node in (expected, actual))
        if was != now:
            lost, new = len(set(was) - set(now)), len(set(now) - set(was))
            yield Difference(path, "value", f"{lost} elements are gone, {new} are new")

    def _object(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        yield from self._named(expected["fields"], actual["fields"], path)
        yield from self._items(expected.get("items", []), actual.get("items", []), path)

    def _named(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        for name in expected.keys() - actual.keys():
            yield Difference(f"{path}.{name}", "missing", f"{_title(expected[name])} is gone")
        for name in actual.keys() - expected.keys():
            yield Difference(f"{path}.{name}", "extra", f"{_title(actual[name])} is new")
        for name, was in expected.items():
            if name in actual:
                yield from self.nodes(was, actual[name], f"{path}.{name}")

    def _function(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        for part in ("name", "args"):
            if expected.get(part) != actual.get(part):
                yield Difference(path, "code", f"{part}: was {expected.get(part)}, is now {actual.get(part)}")
        if "defaults" in expected and "defaults" in actual:
            yield from self.nodes(expected["defaults"], actual["defaults"], f"{path}.__defaults__")
        yield from self._named(expected.get("cells", {}), actual.get("cells", {}), f"{path}.<closure>")
        yield from self._named(expected.get("fields", {}), actual.get("fields", {}), path)

    def _module(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        if expected["training"] != actual["training"]:
            yield Difference(path, "training", f"training was {expected['training']}, is now {actual['training']}")
        if expected["non_persistent"] != actual["non_persistent"]:
            yield Difference(
                path,
                "buffer_persistence",
                f"non-persistent buffers were {expected['non_persistent']}, are now {actual['non_persistent']}",
            )
        for table in ("_parameters", "_buffers", "_modules"):
            was, now = ([name for name, part in node["parts"].items() if part["where"] == table]
                        for node in (expected, actual))  # fmt: skip
            if was != now and sorted(was) == sorted(now):
                yield Difference(path, "order", f"{table[1:]} come in another order")
        for name in sorted(expected["hooks"].keys() | actual["hooks"].keys()):
            was, now = expected["hooks"].get(name, []), actual["hooks"].get(name, [])
            if len(was) != len(now):
                yield Difference(f"{path}.{name}", "hooks", f"had {len(was)}, has {len(now)}")
            else:
                yield from self._items(was, now, f"{path}.{name}")
        yield from self._named(expected["parts"], actual["parts"], path)
        if "extra_state" in expected and "extra_state" in actual:
            yield from self.nodes(expected["extra_state"], actual["extra_state"], f"{path}.<extra state>")

    def _array(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        yield from self._tensor(expected, actual, path)
        yield from self._items(expected.get("items", []), actual.get("items", []), path)

    # --- tensors

    def _tensor(self, expected: dict, actual: dict, path: str) -> Iterator[Difference]:
        comparable = True
        for name in ("dtype", "shape", "layout", "scheme", "device", "stride", "requires_grad", "scale"):
            if expected.get(name) != actual.get(name):
                yield Difference(path, name, f"{name} was {expected.get(name)}, is now {actual.get(name)}")
                comparable = comparable and name not in ("dtype", "shape", "layout", "scheme")
        for side, node in zip(self.storages, (expected, actual), strict=True):
            if "storage" in node:
                side[node["storage"]].append(f"{path}@{node['offset']}")
        if not comparable:
            return
        yield from self._items(expected.get("parts", []), actual.get("parts", []), path)
        if expected.get("digest") != actual.get("digest"):
            yield Difference(path, "value", "the values differ (too large to say by how much)")
        was, now = expected.get("data"), actual.get("data")
        if was == now:
            return
        if was is None or now is None:
            yield Difference(path, "value", "the values are there on one side only")
            return
        dtype = expected["dtype"].removeprefix("torch.")
        a, b = _decode(was, dtype), _decode(now, dtype)
        if a is None or b is None:
            count = sum(x != y for x, y in zip(was, now, strict=False))
            yield Difference(path, "value", f"{count} of {len(was)} bytes differ")
        elif a.dtype.kind in "fc":
            yield from self._float_arrays(a, b, path, ulp_scale=1 / 65536 if dtype == "bfloat16" else 1.0)
        else:
            worst = np.abs(a.astype(np.float64) - b.astype(np.float64)).max() if a.dtype.kind in "iub" else None
            yield Difference(
                path,
                "value",
                f"{int((a != b).sum())} of {a.size} values differ" + (f", by up to {worst:g}" if worst else ""),
                None if worst is None else float(worst),
            )

    def _float_arrays(self, a: np.ndarray, b: np.ndarray, path: str, ulp_scale: float) -> Iterator[Difference]:
        if a.dtype.kind == "c":
            a, b = (x.view(x.real.dtype) for x in (a, b))
        if ((np.isnan(a) & np.isnan(b)) | (a.view(f"i{a.itemsize}") == b.view(f"i{b.itemsize}"))).all():
            return  # NaNs with another payload are still NaN
        yield self._numbers(a, b, path, ulp_scale)

    def _numbers(self, a: np.ndarray, b: np.ndarray, path: str, ulp_scale: float = 1.0) -> Difference:
        """The difference of two float arrays of one dtype that are known to differ.

        `ulp_scale` is the share of a dtype's last place that one step of the array's own dtype is: bfloat16 is
        looked at as float32, whose steps are 2**16 times finer.
        """
        both_nan = np.isnan(a) & np.isnan(b)
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.where(both_nan | (wide_a == wide_b), 0.0, np.abs(wide_a - wide_b))
            allowed = self.tolerance.atol + self.tolerance.rtol * np.abs(wide_a)
            within = both_nan | (wide_a == wide_b) | (np.isfinite(gap) & (gap <= allowed))
        same_sign_of_zero = np.signbit(a) == np.signbit(b)
        flipped = int(((wide_a == 0) & (wide_b == 0) & ~same_sign_of_zero).sum())
        max_abs = float("nan") if np.isnan(gap).any() else float(gap.max())
        max_ulp = _max_ulp(a[~both_nan], b[~both_nan]) * ulp_scale
        count = int((~both_nan & (wide_a != wide_b)).sum()) + flipped
        message = f"{count} of {a.size} values differ, by up to {max_abs:.3g} ({max_ulp:g} ulp)"
        if flipped:
            message += f"; {flipped} zeros changed sign"
        return Difference(path, "value", message, max_abs, max_ulp, close=bool(within.all()) and not flipped)

    def aliases(self) -> Iterator[Difference]:
        """Storage sharing as a partition: groups that were shared and are not, and the other way round."""
        was, now = ({tuple(sorted(group)) for group in side.values() if len(group) > 1} for side in self.storages)
        for group in sorted(was - now):
            yield Difference(
                group[0].split("@")[0], "aliasing", f"shared one storage, no longer so: {', '.join(group)}"
            )
        for group in sorted(now - was):
            yield Difference(group[0].split("@")[0], "aliasing", f"now share one storage: {', '.join(group)}")


_ROLES = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "submodule", "attribute": "plain attribute"}


def _max_ulp(a: np.ndarray, b: np.ndarray) -> float:
    """The largest distance counted in representable numbers, by the usual monotone map of floats to integers.

    Source: B. Dawson, "Comparing Floating Point Numbers", 2012 edition.
    """
    if not a.size:
        return 0.0
    integer = np.dtype(f"i{a.itemsize}")
    top = np.iinfo(integer).min

    def ordered(x: np.ndarray) -> np.ndarray:
        bits = x.view(integer)
        return np.where(bits < 0, top - bits, bits).astype(np.float64)

    return float(np.abs(ordered(a) - ordered(b)).max())


def _decode(data: bytes, dtype: str) -> np.ndarray | None:
    """Bytes of a torch or numpy dtype as an array; None for a dtype that numpy has no arithmetic for (fp8, ...)."""
    if dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    aliases = {"float": "float32", "double": "float64", "half": "float16"}
    try:
        decoded = np.frombuffer(data, np.dtype(aliases.get(dtype, dtype)))
    except (TypeError, ValueError):
        return None
    return decoded if decoded.dtype.kind in "iufcb" else None


def _key(node: dict) -> str:
    return repr(sorted(node.items(), key=lambda pair: pair[0]))


def _title(node: dict) -> str:
    return f"{node['kind']} {node.get('type') or node.get('name') or node.get('to') or ''}".strip()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
