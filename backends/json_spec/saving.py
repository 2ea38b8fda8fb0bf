"""`save`: written aside, loaded again and compared, and only then put in place."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backends.json_spec import bundle, cell_values, datafiles, drift, files, imported, imports_by_text, script
from backends.json_spec.definitions import imports
from backends.json_spec.digests import SHA256, digest_named, digests_text, sha256
from backends.json_spec.errors import ArtifactError, Unsupported, refuse
from backends.json_spec.loading import MEMBERS, Artifact, collector_paused
from backends.json_spec.regions import Region
from backends.json_spec.sources import Project
from backends.json_spec.sums import sums_text
from backends.json_spec.tensors import layout, write
from backends.json_spec.text import canonical, render
from backends.json_spec.trust import allowed
from backends.json_spec.writer import Writer

COMPARED_BYTES = 1 << 20
"""Memory is compared in steps of this size, so that comparing takes no memory of its own."""

THREAD_BYTES = 1 << 20
"""Of tensors: with fewer of them a save starts no thread."""


def save(
    model: Any,
    directory: str | os.PathLike[str],
    *,
    examples: Iterable[Any] | None = None,
    bundle_source: bool = False,
    unchecked: Iterable[str] = (),
    digest: str = SHA256,
) -> None:
    """Write `model` into `directory`, which may be absent, empty, or hold an older artifact.

    `examples` are raw inputs as `preprocess` takes them (or `forward`, batch dimension included, where the model has no
    `preprocess`); they travel in the artifact with what the model gives for them, for `load(..., check=True)`.
    `bundle_source=True` carries the source of the model's own modules, and what the model needs of the cells of the
    notebook that it is saved from, for `load(..., trust="bundled")`.

    What the model's classes and functions reach in their modules must be as an import defines it, because a load finds
    it so; `unchecked` names what may have changed all the same (a cache), as the refusal's message does. A value of a
    notebook that is named there is left out.

    `digest` is that of the tensors: "sha256", or "blake3", which takes 0.3 to 0.4 of the time (`make
    bench-json-spec`) and needs the package `blake3`, here and at each verified load.

    The artifact is written aside, loaded again in this process, compared bit by bit with the model, and only then put
    in place. The model itself is not run, because running may change it: examples run on what was loaded, and once
    more on a second copy (from the carried source, where there is one), which must give the same. Copies of a model on
    a GPU are on the CPU; where the examples cannot run there, they are made anew where the model is.

    Raises Unsupported where the format cannot express the model, FileExistsError where other files are in the way.
    """
    digest_named(digest)  # before anything is written
    directory = Path(directory).absolute()
    with files.aside(directory) as beside, collector_paused(), contextlib.ExitStack() as end:
        examples = list(examples) if examples is not None else []
        written = write_artifact(model, beside, bundle_source, tuple(unchecked), digest, examples)
        end.callback(written.forget)
        with beside_the_rest(written.regions) as other:  # the disk works while the processor compares
            durable = other.submit(files.files_durable, beside)
            copies = [verify_artifact(written, beside)]
            if bundle_source or examples:
                copies.append(verify_artifact(written, beside, carried=bundle_source))
            if written.home is None and written.typed.own:
                imported.check_carried(
                    written.typed.own,
                    written.project,
                    written.carried,
                    tuple(unchecked),
                    lambda: texts_in(written.graph),
                    written.place,
                )
            if written.check is not None:
                written.check.finish()
            there = durable.result()
        written.seal(beside)  # by now the digests are there: they were computed meanwhile
        if examples:
            from backends.json_spec.examples import write_examples

            write_examples(written, beside, copies, examples)
        files.make_durable(beside, there)
        files.put_in_place(beside, directory)


class AtOnce(Executor):
    """Does what it is given before `submit` returns."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future:
        done: Future = Future()
        try:
            done.set_result(function(*arguments, **named))
        except BaseException as error:
            done.set_exception(error)
        return done


def beside_the_rest(regions: list[Region]) -> Executor:
    """What works beside this thread, where there is enough to do: to start a thread, and to pass the interpreter's lock
    to and fro, takes as long as to write a small model."""
    return ThreadPoolExecutor(1) if sum(region.size for region in regions) >= THREAD_BYTES else AtOnce()


@dataclass
class Written:
    """What was written, as it is in memory."""

    graph: dict[str, Any]
    regions: list[Region]
    names: set[str]
    """Classes and functions that a reader does not allow of itself."""
    home: bundle.Bundle | None
    """The carried source that the model itself runs on; None: ordinary modules."""
    project: Project
    typed: cell_values.Typed
    """What is taken from a notebook's cells."""
    texts: dict[str, bytes]
    digest: str
    """Of the tensors."""
    place: Callable[[Any], str | None]
    """The path at which the model holds a thing."""
    tensors: dict[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)
    """What gives the digests of each file of them, once they are computed."""
    carried: bundle.Bundle | None = None
    """The source that the artifact carries, once it was run."""
    check: imported.Check | None = None
    """Being found out meanwhile: whether what the names reach is as an import defines it."""

    def add(self, directory: Path, texts: Mapping[str, bytes]) -> None:
        """Write texts."""
        self.texts.update(texts)
        for name, text in texts.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)

    def sums(self) -> dict[str, str]:
        """The digests of the texts that there are."""
        return {name: sha256(text) for name, text in self.texts.items()}

    def seal(self, directory: Path) -> None:
        """Write the digests of everything, when those of the tensors are there."""
        tensors = {name: digests() for name, digests in self.tensors.items()}
        self.add(directory, {files.DIGESTS: digests_text(tensors)})
        (directory / files.SUMS).write_bytes(sums_text(self.sums()))

    def forget(self) -> None:
        """Leave nothing behind that was made for the comparison alone: modules, a copy of the process."""
        if self.carried is not None:
            self.carried.forget()
        if self.check is not None:
            self.check.stop()

    def artifact(self, directory: Path, carried: bool = False, on_cpu: bool = True) -> Artifact:
        """The way to read it again: with the modules that the model is made of, or with the carried ones.

        On the CPU it takes no memory of a GPU, which may have room for one such model only.
        """
        sums = self.sums()
        if carried and self.carried is None:
            self.carried = bundle.read_bundle(directory, sums, for_itself=True)
        home = self.carried if carried else self.home
        own = set(home.files) if home is not None else set()
        modules = {name.partition(":")[0] for name in self.names}
        return Artifact(directory, tuple(sorted(modules - own)), sums, home, on_cpu)


@collector_paused()
def write_artifact(
    model: Any,
    directory: Path,
    bundle_source: bool,
    unchecked: tuple[str, ...] = (),
    digest: str = SHA256,
    examples: Sequence[Any] = (),
) -> Written:
    """Write all files of an artifact into an empty directory, but for examples and digests: those of the tensors are
    being computed, and `seal` writes them. Raises Unsupported.

    The examples may be of classes of a notebook that the model does not need.
    """
    writer = Writer()
    graph, regions = writer.graph(model)
    names = writer.names - allowed().keys()
    home = bundle.running(type(model))
    if home is not None and not bundle_source:
        raise Unsupported("the model runs on the source that an artifact carried: save it with bundle_source=True")
    if writer.typed and not bundle_source:
        name, (path, kind) = next(iter(writer.typed.items()))
        refuse(path, f"the {kind} {name.partition(':')[2]} of {script.MAIN}", script.refusal() or "")
    typed = cell_values.again(home) if home is not None else cell_values.take(writer.typed, examples, unchecked)
    names |= typed.names
    project = Project({name.partition(":")[0] for name in names}, typed.find if home is None else home.find)
    written = Written(graph, regions, names, home, project, typed, {}, digest, writer.place)
    if home is None:
        written.check = imported.Check(names - typed.own, project, unchecked, lambda: texts_in(graph), writer.place)
    try:
        with beside_the_rest(regions) as other:  # the disk works while the texts are made
            tensors = other.submit(write, regions, directory / files.WEIGHTS, digest)
            texts = {files.SPEC: spec_text(graph)}
            reached = written.check.reached if written.check is not None else set()
            if (definitions := drift.definitions_text(names | reached, project)) is not None:
                texts[files.DEFINITIONS] = definitions
            if bundle_source:
                texts |= _carried(names, project)
        written.add(directory, texts)
        written.tensors[files.WEIGHTS] = tensors.result()
        cell_values.write(written, directory, typed)
    except BaseException:
        written.forget()
        raise
    return written


def texts_in(node: Any) -> set[str]:
    """Every text in a graph."""
    found: set[str] = set()
    left = [node]
    while left:
        one = left.pop()
        if isinstance(one, str):
            found.add(one)
        elif isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one
    return found


def spec_text(graph: dict[str, Any]) -> bytes:
    """The bytes of spec.json, or of examples.json."""
    return (render({name: graph[name] for name in MEMBERS}) + "\n").encode("utf-8")


def _carried(names: set[str], project: Project) -> dict[str, bytes]:
    """File in the artifact -> bytes, for the modules of the project that the names need and the files beside them that
    these name. Raises Unsupported."""
    queue = sorted({name.partition(":")[0] for name in names})
    if missing := [module for module in queue if project.source(module) is None]:
        raise Unsupported(f"the module {missing[0]} has no source file to carry: define its classes in a file")
    carried: dict[str, bytes] = {}
    seen: set[str] = set()
    while queue:
        module = queue.pop()
        source = project.own(module)
        if module in seen or source is None:
            continue
        seen.add(module)
        carried[bundle.file_of(module, source.is_package)] = source.data
        carried |= {f"{files.SOURCE}/{name}": path.read_bytes() for name, path in datafiles.files(source).items()}
        queue += [module.rpartition(".")[0], *imports(source, project)]
        for name, way in imports_by_text.found(source, project).items():
            if way != "__import__":  # of which carried modules have one of their own
                raise Unsupported(
                    f"{source.path.name} finds the module {name} by a text ({way}), which carried source cannot, as "
                    "it runs under other names: import it by a statement, in the function if need be"
                )
            queue += [name.rpartition(".")[0], name]
    return carried


@collector_paused()
def verify_artifact(written: Written, directory: Path, carried: bool = False) -> Any:
    """Load what was written and describe it again: graph and memory must be the same. The loaded model.

    Raises Unsupported.
    """
    artifact = written.artifact(directory, carried)
    try:
        model = artifact.model(verify=False)
    except ArtifactError as error:
        raise Unsupported(f"the model was written but does not load again: {error}") from error
    again, regions = Writer().graph(model)
    if _placeless(again) != _placeless(written.graph):
        before, after = written.graph["objects"], again["objects"]
        different = (name for name in before if _placeless(after.get(name)) != _placeless(before[name]))
        _not_the_same(next(different, "the order of objects"))
    if layout(regions)[0] != layout(written.regions)[0]:
        _not_the_same("the layout of the tensors")
    for old, new in zip(written.regions, regions, strict=True):
        if not same_bytes(old.read(), new.read()):
            _not_the_same(old.name)
    return model


def _placeless(node: Any) -> str:
    """A text that is equal for equal graphs, on whatever GPUs the tensors are."""
    text = canonical(node)
    return canonical(json.loads(text, object_hook=_taken_off)) if '"device":"cuda' in text else text


def _taken_off(node: dict[str, Any]) -> dict[str, Any]:
    if "$tensor" in node:
        node.pop("device", None)
    return node


def _not_the_same(name: str) -> None:
    raise Unsupported(f"{name} does not come back as it was: its class may compute state that the format misses")


def same_bytes(one: memoryview, other: memoryview) -> bool:
    """Whether two pieces of memory are equal."""
    step = COMPARED_BYTES
    a, b = np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8)
    return len(a) == len(b) and all(np.array_equal(a[n : n + step], b[n : n + step]) for n in range(0, len(a), step))
