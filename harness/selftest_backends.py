"""Backends whose cost is known, for `selftest`: pickle again, pickle and a delay, pickle and memory."""

from __future__ import annotations

import mmap
import time
from typing import ClassVar

from backends.pickle_ import Pickle

HELD_BYTES = 64 << 20


class Twin(Pickle):
    """Pickle under another name: nothing should tell the two apart."""


class Delayed(Pickle):
    """Takes so much longer at save and at load."""

    delay_s: ClassVar[float] = 0.0

    def save(self, model, directory):
        _wait(self.delay_s)
        super().save(model, directory)

    def load(self, directory):
        _wait(self.delay_s)
        return super().load(directory)


class Delayed1(Delayed):
    delay_s = 0.001


class Delayed5(Delayed):
    delay_s = 0.005


class Delayed20(Delayed):
    delay_s = 0.020


class Holds(Pickle):
    """Holds HELD_BYTES of its own while it saves and while it loads."""

    def save(self, model, directory):
        held = bytearray(b"x") * HELD_BYTES
        super().save(model, directory)
        del held

    def load(self, directory):
        held = bytearray(b"x") * HELD_BYTES
        model = super().load(directory)
        del held
        return model


class Maps(Pickle):
    """Writes HELD_BYTES more; maps that file at load, touches each page and lets it go."""

    def save(self, model, directory):
        super().save(model, directory)
        with open(directory / "more", "wb") as file:
            file.write(bytes(HELD_BYTES))

    def load(self, directory):
        with open(directory / "more", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            with memoryview(mapped) as view:
                view[:: mmap.PAGESIZE].tobytes()
            time.sleep(
                0.02
            )  # so that it is there when somebody looks: no counter of the kernel keeps mapped pages' peak
        return super().load(directory)


def _wait(seconds: float) -> None:
    """Asleep for most of it, since who sleeps is woken at once, and awake at the end, since waking is not exact."""
    end = time.perf_counter() + seconds
    if seconds > 0.002:  # to fall asleep and wake up has a cost of its own, which is much of a short delay
        time.sleep(seconds - 0.0003)
    while time.perf_counter() < end:
        pass
