"""`load`: files, digests and names are checked, then the model is built."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backends.json_spec import lazy
from backends.json_spec.audit import audit
from backends.json_spec.bundle import BUNDLED, Bundle, read_bundle
from backends.json_spec.digests import check_file, read_digests, tensor_digests
from backends.json_spec.errors import ArtifactError, UntrustedName
from backends.json_spec.files import SPEC, WEIGHTS, read_file
from backends.json_spec.reader import Reader
from backends.json_spec.shown import printable
from backends.json_spec.sums import read_sums
from backends.json_spec.tensors import Weights
from backends.json_spec.text import parse, parse_uncounted
from backends.json_spec.trust import trusted_names
from backends.json_spec.writer import FORMAT, VERSION

SPEC_LIMIT = 1 << 28
"""Bytes that spec.json may have."""
MEMBERS = ["format", "version", "root", "objects"]


def load(
    directory: str | os.PathLike[str],
    *,
    trust: Iterable[str] = (),
    verify: bool | Literal["lazy"] = True,
    check: bool = False,
    on_drift: Literal["error", "warn", "ignore"] = "error",
) -> Any:
    """The model in `directory`.

    `trust` names the modules (and what lies in them) whose classes may be used. `trust="bundled"` runs the source that
    the artifact carries, whatever is importable here; `["bundled", "some_library"]` trusts a library as well.

    `verify=True` compares SHA-256 of every text and every tensor before it returns. `"lazy"` compares the tensors when
    a module of the model is called for the first time; what reads them before that (`preprocess`, `state_dict`, a copy
    of the model) gets them unchecked. `False` compares nothing but carried source: files edited by hand load.

    `check=True` runs the examples that were given to `save` on a second copy of the model, and compares what the three
    stages give with what they gave then: exactly, but for the rounding of another processor (see `examples.py`). That
    copy is on the CPU, whatever the model was on, unless it can run on a GPU alone.

    `on_drift` says what happens where the source of a class or function is not what it was at save: "error", "warn"
    or "ignore". Carried source cannot drift.

    Raises ArtifactError where the artifact is damaged or not of this format, UntrustedName where it needs a name that
    is not trusted, SourceDrift, ExampleMismatch. No global random state changes.
    """
    if verify is not True and verify is not False and verify != "lazy":  # 1 is equal to True, and is not it
        raise ValueError(f"verify is True, 'lazy' or False, not {verify!r}")
    if on_drift not in ("error", "warn", "ignore"):
        raise ValueError(f"on_drift is 'error', 'warn' or 'ignore', not {on_drift!r}")
    bundled, names = split_trust(trust)
    directory = Path(directory)
    with collector_paused():
        sums = read_sums(directory) if verify or bundled else None
        bundle = read_bundle(directory, sums) if bundled else None
        artifact = Artifact(directory, names, sums if verify else None, bundle)
        model = artifact.model(verify, on_drift if bundle is None else "ignore")
    if check:
        from backends.json_spec.examples import check_examples

        check_examples(artifact)
    return model


def split_trust(trust: Any) -> tuple[bool, tuple[str, ...]]:
    """Whether carried source is trusted, and the modules that are."""
    if trust == BUNDLED:
        return True, ()
    names = trusted_names(trust)
    return BUNDLED in names, tuple(name for name in names if name != BUNDLED)


@dataclass(frozen=True)
class Artifact:
    """A directory being read, and on what terms."""

    directory: Path
    trust: tuple[str, ...]
    """The caller's modules."""
    sums: Mapping[str, str] | None
    """The digests of the texts; None: they are not compared."""
    bundle: Bundle | None = None
    """The carried source, where it is to be run."""
    on_cpu: bool = False
    """No tensor goes to a GPU."""

    def spec(self) -> dict[str, Any]:
        """The parsed and audited spec.json. Raises ArtifactError."""
        return self.graph(SPEC, FORMAT, VERSION)

    def graph(self, name: str, format: str, version: int) -> dict[str, Any]:
        """A text with a graph in it, parsed and audited: nothing is imported yet. Raises ArtifactError."""
        data = read_text(self.directory, self.sums, name)
        graph, keys = parse_uncounted(data, name)
        try:
            check_members(graph, name, format, version)
            counted = audit(graph["root"], graph["objects"], self.all_trust()) + len(graph)
        except ArtifactError as error:
            parse(data, name, flat=True)  # that a key stands twice in an object is the better reason
            if isinstance(error, UntrustedName) and self.bundle is not None and not self.bundle.files:
                raise UntrustedName(f"{error}. The artifact carries no source: save with bundle_source=True") from None
            raise
        if counted != keys:
            parse(data, name, flat=True)
        return graph

    def all_trust(self) -> tuple[str, ...]:
        """The caller's modules, and the carried ones."""
        return self.trust if self.bundle is None else (*self.trust, *self.bundle.files)

    def tensors(self, name: str, verify: bool | str) -> Weights:
        """A file of tensors, mapped; with `verify=True` its digests are being compared. Raises ArtifactError."""
        digests = self._digests(name) if verify is True else None
        return Weights(self.directory / name, digests, on_cpu=self.on_cpu)

    def _digests(self, name: str) -> dict[str, Any]:
        return tensor_digests(read_digests(self.directory, self.sums), name)

    def model(self, verify: bool | str, on_drift: str = "ignore") -> Any:
        """The model, its tensors checked as `verify` says. Raises ArtifactError, SourceDrift among them."""
        spec = self.spec()
        if on_drift != "ignore":
            self.check_drift(on_drift)
        if self.bundle is not None and self.bundle.has_values:
            from backends.json_spec import cell_values

            cell_values.fill(self, verify is not False)
        weights = self.tensors(WEIGHTS, verify)
        try:
            model = self.build(spec, weights)
            weights.finish()
        finally:
            weights.stop()
        if verify == "lazy":
            lazy.check_when_called(model, weights, self._digests(WEIGHTS))
        return model

    def build(self, graph: dict[str, Any], weights: Weights) -> Any:
        """What an audited graph describes. Raises ArtifactError where the graph makes no sense."""
        with making_sense():
            return Reader(graph["objects"], weights, self.all_trust(), self.bundle).build(graph["root"])

    def check_drift(self, on_drift: str) -> None:
        """Compare the source of the user's definitions with what it was at save. Raises SourceDrift."""
        from backends.json_spec import drift

        drift.check(self.directory, self.sums, on_drift, self.all_trust())


def read_spec(directory: Path, sums: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The parsed spec.json, compared with its digest where digests are given; names are not yet audited."""
    return read_graph(directory, sums, SPEC, FORMAT, VERSION)


def read_graph(directory: Path, sums: Mapping[str, str] | None, name: str, format: str, version: int) -> dict[str, Any]:
    """A text with a graph in it, parsed; its names are not yet audited. Raises ArtifactError."""
    graph = parse(read_text(directory, sums, name), name, flat=True)  # the audit looks at every level
    check_members(graph, name, format, version)
    return graph


def read_text(directory: Path, sums: Mapping[str, str] | None, name: str) -> bytes:
    """The bytes of a text with a graph in it, compared with its digest where digests are given."""
    data = read_file(directory / name, SPEC_LIMIT)
    check_file(name, data, sums)
    return data


def check_members(graph: Any, name: str, format: str, version: int) -> None:
    """Raise ArtifactError unless a text's content is of this format and version and has its members."""
    if not isinstance(graph, dict) or graph.get("format") != format or graph.get("version") != version:
        raise ArtifactError(f"{name} is not a {format} file of version {version}")
    if type(graph["version"]) is not int or list(graph) != MEMBERS or not isinstance(graph["objects"], dict):
        raise ArtifactError(f"{name} does not have exactly the members {MEMBERS}")


@contextlib.contextmanager
def making_sense() -> Iterator[None]:
    """Whatever is raised while a graph is built says of the graph that it makes no sense. Raises ArtifactError."""
    try:
        yield
    except (ArtifactError, MemoryError):
        raise
    except RecursionError as error:
        raise ArtifactError("the graph is nested too deeply") from error
    except Exception as error:  # whatever a library raises for a value that it does not like
        told = printable(f"{type(error).__name__}: {str(error)[:300]}")  # it may quote the file
        raise ArtifactError(f"the graph makes no sense: {told}") from error


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: it would look at the growing graph again and again and find nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
