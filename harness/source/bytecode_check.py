"""Whether this interpreter can run a code object: one that an artifact carries may be another Python's.

Every Python has instructions of its own, and nothing in a code object says whose it is. One of another Python may run
as it should, raise what no source would, or end the process, and the examples need not come by. So it is followed, as
verifiers of bytecode do: each instruction has to be one of this interpreter's, with the room behind it that it takes
here and that the code notes as one place in the source, and by whichever way an instruction is reached, the stack has
to be as high as it was before, no higher than the code says, and to hold the answer alone where it returns. Measured:
all functions of 3.11's and 3.12's standard libraries and of torch pass under their own Python; of 12,279 of 3.11's,
under 3.12 pass those that do there what they did.
"""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator

from harness.source import bytecode

_KNOWN = frozenset(dis.opmap.values()) - {dis.opmap["CACHE"]}
_CACHES = dis._inline_cache_entries  # by number; from 3.13 on by name
_ENDS = frozenset(
    "RETURN_VALUE RETURN_CONST RAISE_VARARGS RERAISE INTERPRETER_EXIT "  # noqa: SIM905
    "JUMP_FORWARD JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT".split()
)


@functools.lru_cache(maxsize=4096)
def runs_here(code: types.CodeType) -> bool:
    """Whether the code, and all code inside it, can be this interpreter's."""
    try:
        return all(_is_sound(part) for part in bytecode.with_inner(code))
    except (LookupError, ValueError):  # `dis` looks up what is not there
        return False


def _is_sound(code: types.CodeType) -> bool:
    steps = {place: (operation, argument, follows) for place, operation, argument, follows in _steps(code)}
    if not all(operation in _KNOWN for operation, _, _ in steps.values()):
        return False
    if not _has_its_room(code, steps):
        return False
    jumps = {step.offset: step.argval for step in dis.get_instructions(code) if step.opcode in dis.hasjrel}
    heights: dict[int, int] = {}
    left = [(0, 0)]
    left += [(handler.target, handler.depth + 1 + handler.lasti) for handler in dis._parse_exception_table(code)]
    while left:
        place, height = left.pop()
        if heights.get(place, height) != height or place not in steps or not 0 <= height <= code.co_stacksize:
            return False
        if place in heights:
            continue
        heights[place] = height
        operation, argument, follows = steps[place]
        if place in jumps:
            left.append((jumps[place], height + dis.stack_effect(operation, argument, jump=True)))
        if dis.opname[operation] == "RETURN_VALUE" and height != 1:
            return False
        if dis.opname[operation] not in _ENDS:
            change = dis.stack_effect(operation, argument, jump=False)
            # what is sent to a generator lies on its stack when it goes on, of which `dis` does not tell
            left.append((follows, height + (max(change, 1) if dis.opname[operation] == "RETURN_GENERATOR" else change)))
    return True


def _has_its_room(code: types.CodeType, steps: dict[int, tuple[int, int | None, int]]) -> bool:
    """Whether the room of each instruction is one place in the source: where another Python leaves less of it behind
    `self.config`, this one would take the instruction for `.name` that follows for a part of it, and skip it."""
    places = list(code.co_positions())
    return all(len(set(places[place // 2 : follows // 2])) == 1 for place, (_, _, follows) in steps.items())


def _steps(code: types.CodeType) -> Iterator[tuple[int, int, int | None, int]]:
    """(place, operation, argument, place of what follows) of each instruction, with the room that it takes here."""
    raw, place, more = code.co_code, 0, 0
    while place < len(raw):
        operation, argument = raw[place], more << 8 | raw[place + 1]
        room = _CACHES.get(dis.opname[operation], 0) if isinstance(_CACHES, dict) else _CACHES[operation]
        follows = place + 2 * (1 + room)
        yield place, operation, argument if operation >= dis.HAVE_ARGUMENT else None, follows
        more = argument if operation == dis.EXTENDED_ARG else 0
        place = follows
