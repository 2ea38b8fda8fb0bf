"""`spec`: note the call that makes an object, so that its parameters can be read, edited, and used again.

The note stands in the object's own `__dict__` as plain data, and goes wherever the object goes: copies, pickles, loaded
artifacts. There is no switch to turn on, and no class of a library is changed.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar

CALL = "_spec_call"
"""The attribute with the note: {"of": "module:qualname", "arguments": {name: value}}.

Arguments have the names of the signature, defaults included. `*name` holds a tuple of further positional ones, `**name`
a dict of further keywords.
"""
SENTINELS = frozenset([object, type(dataclasses._HAS_DEFAULT_FACTORY)])
"""Types of defaults that stand for no argument, and are not noted."""
T = TypeVar("T", bound=Callable[..., Any])


def spec(thing: T) -> T:
    """Note the calls of a class or function.

        @spec                                   # your own class: every instance and those of subclasses, each with
        class Layer(nn.Module): ...             # its true class and the arguments of its own constructor

        head = spec(nn.Linear)(64, n_classes)   # any class: this call alone, the class stays as it is

        @spec                                   # a function that makes an object
        def build(n_hidden=256): ...

    As a decorator of a class it changes that class, which is yours: it adds a `__new__`. What can already be found
    under its own name (`spec(nn.Linear)`, also your own class elsewhere) is not changed; a function that makes the call
    is returned. Lists, dicts, sets and tuples among the arguments are noted as they were when the call was made;
    other objects are not copied.

    An instance made without its constructor (by `copy` or `pickle`) of an object that has no note is noted as if made
    without arguments, if its constructor takes none.

    Raises TypeError for what cannot be called or has no name, and for classes whose instances have no `__dict__`.
    """
    if not (callable(thing) and hasattr(thing, "__qualname__")):
        raise TypeError(f"spec notes the calls of classes and functions, not of {thing!r}")
    if not isinstance(thing, type):

        @functools.wraps(thing)
        def calling(*args: Any, **kwargs: Any) -> Any:
            return _call(thing, *args, **kwargs)

        return calling  # type: ignore[return-value]
    if thing.__dictoffset__ == 0:
        raise TypeError(f"instances of {thing.__qualname__} have no __dict__, in which spec could note their call")
    if _is_bound(thing):
        return functools.partial(_call, thing)  # type: ignore[return-value]
    return _noting(thing)


def noted(value: Any) -> dict[str, Any] | None:
    """The note of the call that made `value`: {"of", "arguments"}; None where there is none."""
    return getattr(value, "__dict__", {}).get(CALL)


def note(value: Any, of: str, arguments: dict[str, Any]) -> None:
    """Note that the call of `of` with `arguments` made `value`."""
    vars(value)[CALL] = {"of": of, "arguments": arguments}


def _call(thing: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    arguments = _bound(thing, args, kwargs)  # before the call, which may change them
    made = thing(*args, **kwargs)
    if not hasattr(made, "__dict__"):
        raise TypeError(f"{thing.__qualname__} made a {type(made).__qualname__}, in which spec cannot note the call")
    if arguments is not None:
        note(made, _name(thing), arguments)
    return made


def _name(thing: Any) -> str:
    """`module:qualname`; a class method's of the class that it is called on, which may have inherited it."""
    owner = getattr(thing, "__self__", None)
    if isinstance(owner, type):
        return f"{owner.__module__}:{owner.__qualname__}.{thing.__name__}"
    return f"{thing.__module__}:{thing.__qualname__}"


def _noting(cls: Any) -> Any:
    """Give the user's class a `__new__` that notes; called by `type.__call__` with the true class and all arguments."""
    own = vars(cls).get("__new__")

    def __new__(of: type, /, *args: Any, **kwargs: Any) -> Any:
        mro = of.__mro__
        place = next(n for n, base in enumerate(mro) if vars(base).get("__new__") is marked)
        make = own or next(vars(base)["__new__"] for base in mro[place + 1 :] if "__new__" in vars(base))
        make = getattr(make, "__func__", make)
        made = make(of) if make is object.__new__ else make(of, *args, **kwargs)
        arguments = _bound(of.__init__, (made, *args), kwargs)
        if type(made) is of and arguments is not None:
            arguments.pop(next(iter(arguments)))  # self
            note(made, f"{of.__module__}:{of.__qualname__}", arguments)
        return made

    marked = staticmethod(__new__)
    cls.__new__ = marked
    if "__signature__" not in vars(cls):
        cls.__signature__ = _Signature()
    return cls


class _Signature:
    """What `inspect.signature` shows of a class that notes, and of its subclasses: their constructors'."""

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        signature = inspect.signature(owner.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def _bound(thing: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Name -> argument, in the order of the signature; None for a call that the signature does not allow."""
    try:
        signature = inspect.signature(thing)
    except ValueError:  # of C, without a signature
        return {"*args": copied(args), **copied(kwargs)}
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return None
    given = set(bound.arguments)
    bound.apply_defaults()
    for name, value in list(bound.arguments.items()):
        if name not in given and type(value) in SENTINELS:
            del bound.arguments[name]
    marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return {
        marks.get(signature.parameters[name].kind, "") + name: copied(value) for name, value in bound.arguments.items()
    }


def copied(value: Any) -> Any:
    """Containers as they are now; what else they hold is not copied."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind(map(copied, value))
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    return value


def _is_bound(cls: type) -> bool:
    """Whether the class can be found under its name: not while its definition is still being decorated."""
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found is cls
