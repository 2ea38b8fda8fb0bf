"""What parameters stand for: what the calls of their functions give.

Functions are followed where they are called by another name, handed on (`map(add, tables, words)`), kept in a
dictionary, or decorated; an object of the user's is called through its class's `__call__` or `forward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.source.flows import Flows, Signature
from harness.source.values import Value, holding, merged, picked


@dataclass(frozen=True)
class Call:
    """The values of a call."""

    function: Value
    given: list[Value]
    by_name: list[tuple[str | None, Value]] = field(default_factory=list)
    receiver: Value | None = None
    """What the function is an attribute of."""
    has_stars: bool = False

    @property
    def values(self) -> list[Value]:
        """All that it gives."""
        return [*self.given, *(value for _, value in self.by_name)]


def follow(calls: Sequence[Call], flows: Flows) -> None:
    """Give what calls give to the parameters of the functions, until nothing new comes of it."""
    done: set[tuple[int, str]] = set()
    before = -1
    while before != (before := flows.count):
        flows.forget()
        for number, call in enumerate(calls):
            _follow(number, call, flows, done)
    flows.forget()


def _follow(number: int, call: Call, flows: Flows, done: set[tuple[int, str]]) -> None:
    """Give what a call gives to the parameters of each function that it may call now, or that it hands on."""
    found = flows.may_be(call.function) & flows.functions.keys()
    for token in found:
        if (number, token) not in done:
            done.add((number, token))
            for signature in flows.functions[token]:
                _give(call, signature, call.given, flows)
                if call.receiver is not None and not signature.is_method:
                    _give(call, signature, [call.receiver, *call.given], flows)
    if found:
        return
    values = call.values
    for place, value in enumerate(values):
        handed = flows.may_be(Value(value.own | value.inside)) & flows.functions.keys()
        new = {token for token in handed if (number, f"{token} handed on") not in done}
        if not new:
            continue
        done |= {(number, f"{token} handed on") for token in new}
        others = [*values[:place], *values[place + 1 :], *([call.receiver] if call.receiver else [])]
        anything = merged([*others, *map(picked, others)])
        for signature in {one for token in new for one in flows.functions[token]}:
            flows.add({*signature.by_place, *signature.by_name.values()}, anything)


def _give(call: Call, signature: Signature, given: list[Value], flows: Flows) -> None:
    """What a function's parameters are given in a call; where stars are among them, any for any."""
    every = {*signature.by_place, *signature.by_name.values()}
    for place, value in enumerate(given):
        if call.has_stars:
            flows.add(every, merged([value, picked(value)]))
        elif place < len(signature.by_place):
            flows.add([signature.by_place[place]], value)
        else:
            flows.add(signature.rest or every, holding([value]) if signature.rest else value)
    for name, value in call.by_name:
        if name is None:
            flows.add(every, picked(value))
        elif name in signature.by_name:
            flows.add([signature.by_name[name]], value)
        else:
            flows.add(signature.rest, holding([value]))
