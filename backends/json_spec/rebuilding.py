"""`rebuild`: make a model anew from its noted calls, with other arguments where the caller wants them."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from backends.json_spec.aijson import VARIABLE, from_aijson, is_aijson
from backends.json_spec.audit import audit
from backends.json_spec.bundle import Bundle, read_bundle
from backends.json_spec.calls import copied, note, noted
from backends.json_spec.copying import copy_weights
from backends.json_spec.errors import ArtifactError
from backends.json_spec.files import WEIGHTS, read_file
from backends.json_spec.forms import tag_of
from backends.json_spec.loading import SPEC_LIMIT, Artifact, check_members, load, making_sense, split_trust
from backends.json_spec.reader import Reader
from backends.json_spec.sums import read_sums
from backends.json_spec.text import canonical, parse
from backends.json_spec.trust import allowed, canonical_names, check_call, class_method, resolve
from backends.json_spec.writer import FORMAT, VERSION

_TABLES = ("slots", "attributes", "buffers", "parameters", "modules")
"""Fields of an object whose entries lead on to others."""
_ROWS: dict[str | None, Callable[[Any], Any]] = {
    "$tuple": lambda node: node["$tuple"],
    "$list": lambda node: node["$list"],
    "$deque": lambda node: node["$deque"][1],
    "$namedtuple": lambda node: node["items"],
}
_PAIRS: dict[str | None, Callable[[Any], Any]] = {
    "$dict": lambda node: node["$dict"],
    "$ordereddict": lambda node: node["$ordereddict"],
    "$defaultdict": lambda node: node["$defaultdict"][1],
}


class Given:
    """An argument that the caller of `rebuild` gave in place of the noted one."""

    def __init__(self, path: str, value: Any) -> None:
        self.path, self.value, self.used = path, value, False


def rebuild(
    source: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    trust: Iterable[str] = (),
    weights: Literal["fresh", "saved"] = "fresh",
) -> Any:
    """Call again what `spec` noted, with the arguments in `overrides` in place of the noted ones.

        rebuild("artifact", {"layer.n_hidden": 512}, trust=["my_project"])

    `source` is an artifact's directory, of which every text and tensor is compared with its digest; or a spec.json by
    itself, edited or not, as a file or its content; or a file of AI-JSONable or its content, where the variables have
    names of their own, `var0.n_hidden`. A key of `overrides` names an object, by the arguments and attributes that lead
    to it from the model, and one of its constructor's arguments.

    Unlike `load` this runs constructors, of the names that `load` trusts, with the arguments in the file. What they
    draw at random is drawn now: the weights are `"fresh"`. With `"saved"`, each parameter and buffer whose name, shape
    and dtype are as in the artifact gets the saved values; FreshWeights warns of the others. An object without a noted
    call comes back as it was saved. Training flags, hooks and what was changed after construction are not restored.
    `trust="bundled"` runs the source that the artifact carries, as `load` does.

    Raises KeyError for a path that leads nowhere, ValueError for one without an effect, for a model in which no call
    was noted, and where a constructor ties tensors of which different values were saved,
    ArtifactError and UntrustedName as `load` does, and what the constructors raise.
    """
    bundled, names = split_trust(trust)
    if weights not in ("fresh", "saved"):
        raise ValueError(f"weights are 'fresh' or 'saved', not {weights!r}")
    directory = None if isinstance(source, Mapping) else Path(source)
    if directory is not None and directory.is_file():
        source, directory = parse(read_file(directory, SPEC_LIMIT), directory.name), None
    elif directory is None:
        source = _as_read(source)
    if weights == "saved" and directory is None:
        raise ValueError("the saved weights are in the artifact's directory: give that as the source")
    if bundled and directory is None:
        raise ValueError("the carried source is in the artifact's directory: give that as the source")
    artifact = bundle = None
    if directory is not None:
        sums = read_sums(directory)
        bundle = read_bundle(directory, sums) if bundled else None
        artifact = Artifact(directory, names, sums, bundle)
        names = artifact.all_trust()
    if is_aijson(source):
        spec = from_aijson(source, names)
    else:
        spec = _checked(source, names) if artifact is None else artifact.spec()
        _audit_callers([spec["root"], spec["objects"]], names)
    if not any(isinstance(node, dict) and "call" in node for node in spec["objects"].values()):
        raise ValueError("no call was noted when the model was made: decorate its classes with @spec")
    given = [_override(spec, path, value) for path, value in (overrides or {}).items()]
    stored = artifact.tensors(WEIGHTS, verify=True) if artifact is not None else NoWeights()
    stored.finish()  # a constructor may be given any of them
    model = _build(Rebuilder(spec["objects"], stored, names, bundle), spec["root"])
    for one in given:
        if not one.used:
            raise ValueError(
                f"{one.path} has no effect: no constructor gets its object, which was made inside another constructor, "
                f"set later, or is overridden as well; override an argument of that one"
            )
    if weights == "saved":
        copy_weights(load(directory, trust=trust), model)
    return model


def _audit_callers(graph: Any, trust: tuple[str, ...]) -> None:
    """Check every name that will be called before the first is. Raises UntrustedName."""
    left = [graph]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            if (tag := tag_of(node)) in ("$module", "$object") and "call" in node:
                name = node.get("caller", node[tag])
                check_call(canonical_names().get(name, name), (), trust)
            left += node.values()
        elif isinstance(node, list):
            left += node


def _as_read(content: Mapping[str, Any]) -> Any:
    """A copy of what a file holds, as its text is read. Raises ArtifactError where no file could hold it."""
    try:
        data = canonical(dict(content)).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"the source is not what a file of JSON holds: {error}") from error
    return parse(data, "the source")


def _checked(spec: Any, trust: tuple[str, ...]) -> dict[str, Any]:
    """The content of a spec.json, audited. Raises ArtifactError where it is something else."""
    check_members(spec, "the source", FORMAT, VERSION)
    audit(spec["root"], spec["objects"], trust)
    return spec


class _Raised(BaseException):
    """What a constructor raised, on its way past those who would take it for what the graph makes no sense of."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _build(rebuilder: Rebuilder, root: Any) -> Any:
    """What a graph describes. Raises ArtifactError where it makes no sense, and what the constructors raise."""
    try:
        with making_sense():
            return rebuilder.build(root)
    except _Raised as raised:
        error = raised.error
    raise error  # not while the other is handled, which would be its context


class Rebuilder(Reader):
    """A reader that calls what was noted instead of setting attributes."""

    _in_order = False  # what a constructor makes itself is referred to no more
    _contains_itself = (
        "is referred to by an argument of its own constructor: decorate the argument's class with @spec, so that it is "
        "made anew too"
    )

    def decode(self, node: Any) -> Any:
        if isinstance(node, Given):
            node.used = True
            return node.value
        return super().decode(node)

    def _tagged(self, tag: str, node: dict[str, Any]) -> Any:
        if tag not in ("$module", "$object") or "call" not in node:
            return super()._tagged(tag, node)
        outer = self._fills, self._late, self._modules, self._last
        self._fills, self._late, self._modules, self._last = [], [], [], []
        arguments = {name: self.decode(item) for name, item in node["call"].items()}
        self.complete()
        self._fills, self._late, self._modules, self._last = outer
        name = node.get("caller", node[tag])
        name = canonical_names().get(name, name)
        check_call(name, _names(arguments), self._trust)
        caller, given = (
            _caller(name, self._trust, self._bundle),
            copied(arguments),
        )  # before the call, which may change them
        try:
            made = call(caller, arguments)
        except Exception as error:
            raise _Raised(error) from None
        if hasattr(made, "__dict__") and (noted(made) or {}).get("of") != name:  # as where `spec` was not a decorator
            note(made, name, given)
        return made


def call(caller: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call with arguments as `spec` notes them: `*name` for further positional ones, `**name` for further keywords."""
    try:
        kinds = {name: parameter.kind for name, parameter in inspect.signature(caller).parameters.items()}
    except ValueError:  # of C, without a signature
        kinds = {}
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    further = any(name[:1] == "*" and name[:2] != "**" and value for name, value in arguments.items())
    for name, value in arguments.items():
        kind = kinds.get(name)
        if name.startswith("**"):
            keywords.update(value)
        elif name.startswith("*"):
            positional.extend(value)
        elif kind is inspect.Parameter.POSITIONAL_ONLY or (kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and further):
            positional.append(value)  # nothing may be given by name before further positional ones
        else:
            keywords[name] = value
    return caller(*positional, **keywords)


def _names(arguments: Mapping[str, Any]) -> list[str]:
    """The names under which arguments are given, `*` for further positional ones."""
    names: list[str] = []
    for name, value in arguments.items():
        if name.startswith("**"):
            if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
                raise ArtifactError(f"the keywords {name} of a call are not keywords")
            names.extend(value)
        elif not name.startswith("*"):
            names.append(name)
        elif not isinstance(value, list | tuple):
            raise ArtifactError(f"the positional arguments {name} of a call are not a list")
        elif value:
            names.append("*")
    return names


def _caller(name: str, trust: tuple[str, ...], bundle: Bundle | None) -> Callable[..., Any]:
    entry = allowed().get(name)
    if entry is not None and entry.uses & {"builder"}:
        return resolve(name, "function", trust)
    try:
        return resolve(name, "class", trust, bundle)
    except ArtifactError:
        owner, _, method = name.rpartition(".")
        with contextlib.suppress(ArtifactError):
            return class_method(resolve(owner, "class", trust, bundle), method, trust)
        return resolve(name, "function", trust, bundle)


class NoWeights:
    """Stands for the weights where only the text of spec.json is at hand."""

    size_bytes = 0

    def finish(self) -> None:
        """There is nothing to compare."""

    def __getattr__(self, name: str) -> Any:
        raise ArtifactError("an argument holds a tensor or an array: give the artifact's directory as the source")


def _override(spec: dict[str, Any], path: str, value: Any) -> Given:
    """Put `value` where `path` leads. Raises KeyError."""
    given = Given(path, value)
    *parts, last = path.split(".")
    node, walked = _target(spec, spec["root"]), "the model"
    if parts and parts[0] in spec["objects"] and VARIABLE.fullmatch(parts[0]):
        walked = parts.pop(0)
        node = spec["objects"][walked]
    for part in parts:
        found = _children(spec, node)
        if part not in found:
            raise KeyError(f"{path}: {walked} has no {part!r}, only {sorted(found)}")
        node, walked = _target(spec, found[part]), part
    places = _places(spec, node)
    if last not in places:
        raise KeyError(f"{path}: {walked} {_without(node, last, places)}")
    container, key = places[last]
    container[key] = given
    return given


def _without(node: Any, name: str, places: Collection[str]) -> str:
    """Why an object has no argument of a name."""
    if isinstance(node, Given):
        return f"was overridden as well, by {node.path}"
    if isinstance(node, dict) and tag_of(node) in ("$module", "$object") and "call" not in node:
        return "comes back as it was saved, as no call was noted when it was made: decorate its class with @spec"
    return f"has no argument {name!r}, only {sorted(places)}"


def _target(spec: dict[str, Any], node: Any) -> Any:
    return spec["objects"][node["$ref"]] if isinstance(node, dict) and "$ref" in node else node


def _children(spec: dict[str, Any], node: Any) -> dict[str, Any]:
    """Name -> node of what can be named next: arguments first, then attributes, keys and places."""
    found: dict[str, Any] = {}
    for table in _TABLES if isinstance(node, dict) else ():
        found.update(node.get(table, {}))
    return found | {name: holder[key] for name, (holder, key) in _places(spec, node).items()}


def _places(spec: dict[str, Any], node: Any) -> dict[str, tuple[Any, Any]]:
    """Name -> where it stands, a list or dict and the key there, of what can be overridden in a node."""
    tag = tag_of(node) if isinstance(node, dict) else None
    if tag in _ROWS:
        node = _ROWS[tag](node)
    if isinstance(node, list):
        return {str(place): (node, place) for place in range(len(node))}
    if not isinstance(node, dict):
        return {}
    if tag in _PAIRS:
        pairs = [pair for pair in _PAIRS[tag](node) if type(pair[0]) in (str, int)]
        return {str(pair[0]): (pair, 1) for pair in sorted(pairs, key=lambda pair: type(pair[0]) is str)}
    if tag == "$partial":
        return {name: (node["keywords"], name) for name in node["keywords"]} | _places(spec, node["args"])
    if tag is None:
        return {name: (node, name) for name in node}
    found: dict[str, tuple[Any, Any]] = {}
    arguments = node.get("call", {})
    for name, item in arguments.items():
        if name.startswith("*"):
            found |= _places(spec, _target(spec, item))
    return found | {name.lstrip("*"): (arguments, name) for name in arguments}
