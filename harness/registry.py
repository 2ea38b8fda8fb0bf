"""Names to backends and models: built-in tables, entry points, `file.py:NAME`. The only place that imports by name.

Nothing is imported to answer what there is; a backend's module is imported by `load_backend`, in the worker, and a
model's file is never imported here at all: it is staged, and imported as the user's module by the worker.

Entry points of other distributions add rows:

    [project.entry-points."roundtrip.backends"]
    my_format = "my_package.my_backend:MyFormat"        # a Backend

    [project.entry-points."roundtrip.models"]
    my_model = "my_package.my_model:build"              # a builder in a self-contained file
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import harness
from harness.errors import DuplicateName, ModelFileError, ShadowedPackage, UnknownName

ROOT = Path(harness.__file__).resolve().parent.parent
"""The folder in which our three packages lie."""


def guard_packages() -> None:
    """Refuse to go on when another `backends` or `reference_models` would be imported in place of ours.

    Our packages are flat and their names are common, so a user's project may well have a folder of the same name.
    Raises ShadowedPackage with both paths and the remedy.
    """
    for name in ("backends", "reference_models"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if spec and not spec.origin and spec.submodule_search_locations:  # a folder without __init__.py
            found = Path(next(iter(spec.submodule_search_locations))).resolve()
        ours = ROOT / name / "__init__.py"
        if found != ours:
            raise ShadowedPackage(
                f"`import {name}` would import {found}, not {ours}",
                f"Your project has a `{name}` of its own that comes first on sys.path. Run from another folder, "
                f"take yours out of PYTHONPATH, or rename it.",
            )


guard_packages()

# After the guard, so that the wrong package is reported and not used.
from backends import BUILT_IN, Backend, BackendEntry  # noqa: E402
from reference_models.catalog import CATALOG  # noqa: E402
from reference_models.traits import TRAITS  # noqa: E402

TRAIT_PREFIX = "trait/"


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: a builder in a file that will be staged as a user's module."""

    name: str
    path: Path
    builder: str
    exercises: str
    self_contained: bool = True
    """Whether the file alone is the project; a user's own file brings the neighbours that it imports."""


# --- backends ---------------------------------------------------------------------------------------------------


@cache
def _plugins(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in found and found[point.name].value != point.value:
            raise DuplicateName(
                f"two packages offer {point.name!r} in {group}: {found[point.name].value} and {point.value}",
                "Uninstall one of them.",
            )
        found[point.name] = point
    return found


def backend_names() -> list[str]:
    """Every backend's name: the built-in ones in the table's order, then those of other packages."""
    plugins = _plugins("roundtrip.backends")
    for name in plugins:
        if name in BUILT_IN:
            raise DuplicateName(
                f"{plugins[name].value} offers the built-in backend's name {name!r}", "Rename the entry point."
            )
    return [*BUILT_IN, *plugins]


def backend_entry(name: str) -> BackendEntry:
    """The row of a backend's name, or of `file.py:CLASS`. Raises UnknownName."""
    if (reference := _file_reference(name)) is not None:
        path, attribute = reference
        if not path.is_file():
            raise UnknownName("backend file", name, backend_names())
        return BackendEntry(f"{path}:{attribute}")
    if name in BUILT_IN:  # without a look at what is installed, which takes 10 ms, and each worker would take it
        return BUILT_IN[name]
    if name not in backend_names():
        raise UnknownName("backend", name, backend_names())
    return BackendEntry(_plugins("roundtrip.backends")[name].value)


def how_to_install(entry: BackendEntry) -> str | None:
    """The pip line for what the backend needs and this environment lacks; None if nothing is missing."""
    missing = [name for name in entry.requires if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    wanted = f"'roundtrip-bench[{entry.extra}]'" if entry.extra else " ".join(missing)
    return f"{', '.join(missing)} not installed: pip install {wanted}"


def load_backend(name: str) -> Backend:
    """Import and construct a backend. Raises UnknownName, or whatever importing it raises."""
    target = backend_entry(name).target
    module_name, _, attribute = target.rpartition(":")
    if module_name.endswith(".py"):
        module = _import_file(Path(module_name))
    else:
        module = importlib.import_module(module_name)
    return getattr(module, attribute)()


def _import_file(path: Path):
    spec = importlib.util.spec_from_file_location(f"_roundtrip_backend_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- models -----------------------------------------------------------------------------------------------------


def model_names() -> list[str]:
    """The reference models' names, then those of other packages."""
    return [*CATALOG, *_plugins("roundtrip.models")]


def trait_names(families: Collection[str] = ()) -> list[str]:
    """The corpus of tiny models, one difficulty each, as `trait/NAME`; not part of the default matrix.

    `families` keeps those of these kinds. Raises UnknownName.
    """
    known = {trait.family for trait in TRAITS.values()}
    for family in families:
        if family not in known:
            raise UnknownName("family", family, known)
    return [TRAIT_PREFIX + name for name, trait in TRAITS.items() if not families or trait.family in families]


def model_source(name: str) -> ModelSource:
    """Resolve a model's name, `trait/NAME` or `file.py:BUILDER`. Raises UnknownName or ModelFileError."""
    if (reference := _file_reference(name)) is not None:
        path, builder = reference
        if not path.is_file():
            raise ModelFileError(f"no model file {path}", "Give it as path/to/file.py:BUILDER.")
        ours = path.resolve().is_relative_to(ROOT / "reference_models")  # a file each, whatever the package
        return ModelSource(name, path.resolve(), builder, "your model", self_contained=ours)
    if name in CATALOG:
        entry = CATALOG[name]
        return ModelSource(name, entry.path, entry.builder, entry.exercises)
    if name in (plugins := _plugins("roundtrip.models")):
        return _plugin_model(plugins[name])
    if name.startswith(TRAIT_PREFIX):
        if (trait := TRAITS.get(name.removeprefix(TRAIT_PREFIX))) is None:
            raise UnknownName("trait", name, trait_names())
        return ModelSource(name, trait.path, trait.builder, trait.exercises)
    raise UnknownName("model", name, [*model_names(), "file.py:BUILDER"])


def _plugin_model(point: EntryPoint) -> ModelSource:
    spec = importlib.util.find_spec(point.module)
    if spec is None or not spec.origin:
        raise ModelFileError(f"model {point.name!r} points to {point.module}, which cannot be found", "Reinstall it.")
    return ModelSource(point.name, Path(spec.origin), point.attr, f"from {point.module}")


def _file_reference(name: str) -> tuple[Path, str] | None:
    """`path/file.py:NAME` -> (path, NAME); None for a plain name."""
    path, colon, attribute = name.rpartition(":")
    return (Path(path).absolute(), attribute) if colon and path.endswith(".py") else None
