"""AI-JSONable's own files, `{"var0": {"module", "caller", "kwargs"}, ...}`: read for `rebuild`, and written.

A value `"$var0"` refers to the variable of that name; the one with the highest number is the model. Written from the
source of ai-jsonable 0.0.1 (https://pypi.org/project/ai-jsonable/). Differences, each where that package is wrong:
names are trusted as everywhere here, before anything is imported; a text that begins with `$` and names no variable is
a text; nothing that is passed in is changed; defaults are written; what JSON cannot hold (a tuple, a number as a key,
NaN) is refused instead of changed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from backends.json_spec.calls import noted
from backends.json_spec.errors import ArtifactError, refuse
from backends.json_spec.trust import canonical_names, check_call

VARIABLE = re.compile(r"var(0|[1-9]\d{0,8})")
FIELDS = {"module", "caller", "kwargs"}


def is_aijson(content: Any) -> bool:
    """Whether this is the content of a file of AI-JSONable."""
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and VARIABLE.fullmatch(name) for name in content)
    )


def from_aijson(content: Mapping[str, Any], trust: Collection[str]) -> dict[str, Any]:
    """A graph for `rebuild`: `root`, and in `objects` each variable with its call.

    Raises ArtifactError where an entry is not as it should be, UntrustedName where it calls what is not trusted.
    """
    objects: dict[str, Any] = {}
    for name, entry in content.items():
        if not isinstance(entry, Mapping) or set(entry) != FIELDS or not isinstance(entry["kwargs"], Mapping):
            raise ArtifactError(f"{name} does not have exactly the fields {sorted(FIELDS)}")
        if not isinstance(entry["module"], str) or not isinstance(entry["caller"], str):
            raise ArtifactError(f"{name} names no module and caller")
        if not all(isinstance(key, str) and key.isidentifier() for key in entry["kwargs"]):
            raise ArtifactError(f"{name} gives an argument that has no name")
        caller = f"{entry['module']}:{entry['caller']}"
        check_call(canonical_names().get(caller, caller), entry["kwargs"], trust)
        objects[name] = {
            "$object": caller,
            "call": {key: _node(value, content) for key, value in entry["kwargs"].items()},
        }
    return {"root": {"$ref": max(objects, key=lambda name: int(name[3:]))}, "objects": objects}


def _node(value: Any, content: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and value[:1] == "$" and value[1:] in content:
        return {"$ref": value[1:]}
    if isinstance(value, list):
        return [_node(item, content) for item in value]
    if isinstance(value, Mapping):
        return {"$dict": [[key, _node(item, content)] for key, item in value.items()]}
    return value


def to_aijson(model: Any) -> dict[str, Any]:
    """The content of a file of AI-JSONable: the calls that `spec` noted for `model` and all its arguments.

    Raises Unsupported, by path, where an argument has no noted call or no place in JSON.
    """
    graph: dict[str, Any] = {}
    names: dict[int, str] = {}

    def variable(value: Any, path: str) -> str:
        if id(value) not in names:
            note = noted(value)
            if note is None:
                kind = type(value).__qualname__
                refuse(path, f"a {kind} that no noted call made", "decorate its class with @spec, or give it in JSON")
            names[id(value)] = ""  # under way
            kwargs: dict[str, Any] = {}
            for key, item in note["arguments"].items():
                if key.startswith("**"):
                    kwargs.update({name: express(one, f"{path}({name})") for name, one in item.items()})
                elif not key.startswith("*"):
                    kwargs[key] = express(item, f"{path}({key})")
                elif item:
                    refuse(f"{path}({key})", "a positional argument without a name", "give it by name")
            module, _, caller = note["of"].partition(":")
            if "." in caller:
                refuse(path, f"made by {caller}, which is inside a class", "move it to the top of its module")
            names[id(value)] = f"var{len(graph)}"
            graph[names[id(value)]] = {"module": module, "caller": caller, "kwargs": kwargs}
        elif not names[id(value)]:
            refuse(path, "an argument of itself", "AI-JSONable has no cycles")
        return f"${names[id(value)]}"

    def express(value: Any, path: str) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int):
            return value
        if kind is float and math.isfinite(value):
            return value
        if kind is str:
            if value[:1] == "$" and VARIABLE.fullmatch(value[1:]):
                refuse(path, f"the text {value!r}, which would be a reference", "AI-JSONable has no way to write it")
            return value
        if kind is list:
            return [express(item, f"{path}[{place}]") for place, item in enumerate(value)]
        if kind is dict and all(type(key) is str for key in value):
            return {key: express(item, f"{path}[{key!r}]") for key, item in value.items()}
        if noted(value) is not None:
            return variable(value, path)
        return refuse(path, f"a {kind.__qualname__} without a noted call", "AI-JSONable's files hold JSON and calls")

    variable(model, "model")
    return graph
