"""`globals.json`: the values among a notebook's names that the model's code looks up and that no text gives again.

They belong to the module that is made of the cells, as what an import computes belongs to a file's module: it gets them
once, when a model of the artifact is loaded first, and no object is both among them and in the model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.json_spec import cells, tensors
from backends.json_spec.bundle import LOCK, Bundle
from backends.json_spec.errors import ArtifactError, Unsupported
from backends.json_spec.files import GLOBAL_TENSORS, GLOBALS
from backends.json_spec.regions import Region
from backends.json_spec.script import TYPED
from backends.json_spec.sources import Source, locate
from backends.json_spec.trust import allowed
from backends.json_spec.writer import Writer

if TYPE_CHECKING:
    from backends.json_spec.loading import Artifact
    from backends.json_spec.saving import Written

FORMAT, VERSION = "json-spec-globals", 1
LIMIT = 1 << 26
"""Bytes of tensors that a notebook's values may have together: more is what it trained on."""


@dataclass(frozen=True)
class Typed:
    """What is taken from a notebook's cells."""

    source: Source | None
    """None: nothing is taken, or what an artifact carried."""
    graph: dict[str, Any] | None
    regions: list[Region]
    names: set[str]
    """Classes and functions that a reader does not allow of itself, of the values too."""

    @property
    def own(self) -> set[str]:
        """Those of the names that are the notebook's."""
        return {name for name in self.names if name.startswith(f"{TYPED}:")}

    def find(self, module: str) -> Source | None:
        """The source of a module that was imported, or of the cells."""
        return self.source if self.source is not None and module == TYPED else locate(module)


def take(names: Collection[str], examples: Sequence[Any], left_out: Collection[str]) -> Typed:
    """What `names`, `TYPED:qualname`, and the examples need of the cells, but for `left_out`. Raises Unsupported."""
    if not names:
        return Typed(None, None, [], set())
    inputs = Writer()
    inputs.graph(examples, "examples")
    known = {*names, *inputs.typed}
    while True:  # a value may be an object of a class that nothing else needs
        source, values = cells.gather({name for name in known if name.startswith(f"{TYPED}:")}, left_out)
        if not values:
            return Typed(source, None, [], known)
        writer = Writer()
        try:
            graph, regions = writer.graph(values, TYPED)
        except Unsupported as error:
            raise _refusal(str(error), next(filter(_is_refused, values.items()))[0]) from error
        new = writer.names - allowed().keys() - known
        if not new:
            break
        known |= new
    if sum(region.size for region in regions) > LIMIT:
        name = max(values, key=lambda name: sum(region.size for region in Writer().graph(values[name])[1]))
        raise _refusal(f"{name} is more than the {LIMIT >> 20} MiB of tensors that a notebook's values may have", name)
    return Typed(source, graph | {"format": FORMAT, "version": VERSION}, regions, known)


def again(home: Bundle) -> Typed:
    """The values that the carried module of a notebook has from its artifact, as they are now. Raises Unsupported."""
    values = {name: vars(home.import_module(TYPED))[name] for name in sorted(home.values or ())}
    if not values:
        return Typed(None, None, [], set())
    writer = Writer()
    graph, regions = writer.graph(values, TYPED)
    return Typed(None, graph | {"format": FORMAT, "version": VERSION}, regions, writer.names - allowed().keys())


def write(written: Written, directory: Path, typed: Typed) -> None:
    """Write the values, where there are any."""
    if typed.graph is not None:
        from backends.json_spec.saving import spec_text

        written.tensors[GLOBAL_TENSORS] = tensors.write(typed.regions, directory / GLOBAL_TENSORS, written.digest)
        written.add(directory, {GLOBALS: spec_text(typed.graph)})


def fill(artifact: Artifact, verify: bool) -> None:
    """Give the carried module of a notebook its values, if it has none yet. Raises ArtifactError.

    They are checked in any case; `verify`: their tensors are compared with their digests.
    """
    bundle = artifact.bundle
    if bundle is None or TYPED not in bundle.files:
        raise ArtifactError(f"{GLOBALS} has values of a notebook, of whose cells the artifact carries nothing")
    graph = artifact.graph(GLOBALS, FORMAT, VERSION)
    weights = artifact.tensors(GLOBAL_TENSORS, verify)
    try:
        with LOCK:
            module = _module(bundle)
            values = artifact.build(graph, weights) if bundle.values is None else None
            weights.finish()
            if bundle.values is None:
                bundle.values = _filled(module, values)
    finally:
        weights.stop()


def _module(bundle: Bundle) -> dict[str, Any]:
    """The names of the carried module of a notebook. Raises ArtifactError."""
    try:
        return vars(bundle.import_module(TYPED))
    except NameError as error:
        raise ArtifactError(f"{error}, a value that is needed while the notebook's classes are defined") from error
    except Exception as error:  # whatever its code raises
        raise ArtifactError(f"{TYPED} cannot be imported: {type(error).__name__}: {error}") from error


def _filled(module: dict[str, Any], values: Any) -> set[str]:
    """The names that a module has now in addition. Raises ArtifactError where these are no names, or it has them."""
    if type(values) is not dict or not all(type(name) is str and name.isidentifier() for name in values):
        raise ArtifactError(f"{GLOBALS} is not a table of names and their values")
    if odd := sorted(values.keys() & module.keys()):
        raise ArtifactError(f"{GLOBALS} gives {odd[0]!r} another value than the source that the artifact carries")
    module.update(values)
    return set(values)


def _is_refused(item: tuple[str, Any]) -> bool:
    try:
        Writer().graph(dict([item]), TYPED)
    except Unsupported:
        return True
    return False


def _refusal(what: str, name: str) -> Unsupported:
    return Unsupported(
        f"{what}. The model's code names {name}, a value of the notebook: keep what the model needs of it in an "
        f"attribute of the model, or leave it out, if nothing that will be called needs it: save(..., "
        f"unchecked=['{TYPED}:{name}'])"
    )
