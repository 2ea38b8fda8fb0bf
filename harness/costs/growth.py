"""How costs grow with the model: synthetic models of growing size, and of growing numbers of modules.

Two sweeps: `bytes` (1 MB to 4 GB in MODULES modules) and `modules` (10 to 10,000 in BYTES bytes). At each point each
backend saves and loads in processes of its own, in rounds with the floor. A point is a record of kind `growth`, whose
`facts` hold what was swept and what it took; its lists of rounds are those of any cell. A run that was ended goes on
where it stopped: what has a record is not measured again.

Large models need room: the artifact and the floor's file lie on the disk together, and the model, what a backend
copies and what is loaded in memory. Both are looked at before anything is written.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import registry
from harness.errors import NoRoom
from harness.processes.process import PeakMemory, Worker, WorkerDied, WorkerFailed
from harness.project import synthetic
from harness.project.staging import Stage, stage
from harness.records import Record
from harness.system import proc

MB, GB = 1 << 20, 1 << 30
MODULES, BYTES = 8, 1 << 20
"""What the sweep of the other one has."""
SIZES = (MB, 4 * MB, 16 * MB, 64 * MB, 256 * MB, GB, 4 * GB)
COUNTS = (10, 100, 1000, 10_000)
ROUNDS, LARGE_ROUNDS = 5, 3
"""Timed rounds of a point; those of a gigabyte or more are long, and vary less."""
DISK_TIMES, MEMORY_TIMES = 2.5, 4.75
"""Room that a point needs, in multiples of the model: the artifact and the floor's file; the model twice, a backend's
copies at save, and what is read."""
SPARE_BYTES = GB
TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Point:
    """One size of one sweep."""

    sweep: str
    """"bytes" or "modules"."""
    wanted_bytes: int
    modules: int

    @property
    def model(self) -> str:
        return synthetic.name(self.wanted_bytes, self.modules)


def points(max_bytes: int, max_modules: int = COUNTS[-1]) -> list[Point]:
    """All points up to these limits, the small ones first."""
    sizes = [Point("bytes", size, MODULES) for size in SIZES if size <= max_bytes]
    counts = [Point("modules", BYTES, count) for count in COUNTS if count <= max_modules]
    return sorted([*sizes, *counts], key=lambda point: (point.wanted_bytes * point.modules, point.sweep))


def check_room(point: Point, folder: Path) -> None:
    """Raises NoRoom where the disk or the memory would not do."""
    free = shutil.disk_usage(folder).free
    wanted = round(point.wanted_bytes * DISK_TIMES) + SPARE_BYTES
    if free < wanted:
        raise NoRoom(
            f"{point.model} needs {wanted / GB:.1f} GB of disk in {folder}, which has {free / GB:.1f} GB",
            "Set TMPDIR to a larger disk, or ask for less with --max-bytes.",
        )
    available = proc.available_memory()
    wanted = round(point.wanted_bytes * MEMORY_TIMES)
    if available is not None and available < wanted + SPARE_BYTES:
        raise NoRoom(
            f"{point.model} needs {wanted / GB:.1f} GB of memory; {available / GB:.1f} GB are available",
            "Ask for less with --max-bytes.",
        )


def missing(wanted: Sequence[Point], backends: Sequence[str], done: Sequence[Record]) -> list[tuple[Point, str]]:
    """The points and backends of which there is no record in `done` yet, in the order in which they are measured."""
    measured = {(record.backend, record.model, record.facts.get("sweep")) for record in done}
    return [(point, name) for point in wanted for name in backends if (name, point.model, point.sweep) not in measured]


def run(
    todo: Sequence[tuple[Point, str]],
    run_id: str,
    budget_s: float,
    tell: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Record]:
    """Measure what `missing` gave; ends before a point that the budget, in seconds, no longer allows.

    A backend is measured alone with the floor: two models of gigabytes have no room beside each other. Raises NoRoom
    before it writes.
    """
    began = clock()
    for point, backend in todo:
        if clock() - began > budget_s:
            return
        tell(f"{point.model} × {backend}")
        with tempfile.TemporaryDirectory(prefix="roundtrip-") as folder:
            check_room(point, Path(folder))
            yield _point(point, backend, Path(folder), run_id)


def _point(point: Point, backend: str, folder: Path, run_id: str) -> Record:
    source = synthetic.write(folder / "model", point.wanted_bytes, point.modules)
    staged = stage(source, folder / "staged")
    size = synthetic.tensor_bytes(point.wanted_bytes, point.modules)
    record = Record(
        run_id, backend, point.model, "fresh_process", kind="growth", tensor_bytes=size,
        rerun=f"roundtrip growth --backend {backend} --max-bytes {point.wanted_bytes} --max-modules {point.modules}",
        facts={"sweep": point.sweep, "tensor_bytes": size, "modules": point.modules},
    )  # fmt: skip
    if (missing := registry.how_to_install(registry.backend_entry(backend))) is not None:
        record.outcome, record.message = "unavailable", missing
        return record
    started = time.perf_counter()
    try:
        with Worker() as saving, Worker() as loading, Worker() as floor:
            _rounds(record, staged, source.builder, folder, saving, loading, floor)
        record.outcome = record.outcome or "exact"
    except WorkerDied as error:
        record.outcome, record.error_type, record.message = "crashed", "WorkerDied", str(error)
    except WorkerFailed as error:
        record.outcome = "unsupported" if error.failure.unsupported else "failed"
        record.stage, record.error_type = error.failure.stage, error.failure.error_type
        record.message = error.failure.message
    record.duration_s = time.perf_counter() - started
    record.facts |= {
        name: statistics.median(getattr(record, name))
        for name in ("save_s", "load_s", "floor_write_s", "floor_read_s", "floor_map_s")
        if getattr(record, name)
    }
    record.facts |= {
        name: getattr(record, name)
        for name in ("peak_anon_bytes_save", "peak_anon_bytes_load", "peak_file_bytes_load", "artifact_bytes")
        if getattr(record, name) is not None
    }
    return record


def _rounds(
    record: Record, staged: Stage, builder: str, folder: Path, saving: Worker, loading: Worker, floor: Worker
) -> None:
    """A watched round, then the timed ones; a digest holds what was loaded against the original."""
    own = staged.own_modules
    project = str(staged.folder)
    saving.call("build", project=project, module=staged.module, builder=builder, own_modules=own, timeout_s=TIMEOUT_S)
    loading.call("enter", project=project, absent=(), own_modules=own)
    for worker in (saving, loading):
        worker.call("use_all_threads")
    artifact, path = folder / "artifact", folder / "floor"
    for number in range((ROUNDS if record.tensor_bytes < GB else LARGE_ROUNDS) + 1):
        with _gone(artifact):
            saved = _call(saving, number == 0, "save", backend=record.backend, directory=str(artifact))
            loading.call("forget", timeout_s=TIMEOUT_S)
            loaded = _call(
                loading, number == 0, "load", backend=record.backend, directory=str(artifact), trusted_modules=own
            )
            if number == 0:
                digests = [worker.call("state_digest", timeout_s=TIMEOUT_S) for worker in (saving, loading)]
        if number == 0:
            (saved, at_save), (loaded, at_load) = saved, loaded
            record.artifact_bytes = saved["artifact_bytes"]
            record.written_bytes_save = saved["written_bytes_save"]
            for when, peak in (("save", at_save), ("load", at_load)):
                _keep_peak(record, when, peak)
            if digests[0] != digests[1]:
                record.outcome, record.message = "mismatch", "the parameters that it loaded are not those that it saved"
                return
            continue
        record.save_s.append(saved["save_s"])
        record.load_s.append(loaded["load_s"])
        loading.call("forget", timeout_s=TIMEOUT_S)
        with _gone(path):
            for name, seconds in floor.call(
                "floor", path=str(path), tensor_bytes=record.tensor_bytes, timeout_s=TIMEOUT_S
            ).items():
                getattr(record, name).append(seconds)


def _call(worker: Worker, watched: bool, function: str, **arguments: Any) -> Any:
    return (worker.call_watched if watched else worker.call)(function, timeout_s=TIMEOUT_S, **arguments)


def _keep_peak(record: Record, when: str, peak: PeakMemory) -> None:
    setattr(record, f"peak_anon_bytes_{when}", peak.anon_bytes)
    setattr(record, f"peak_file_bytes_{when}", peak.file_bytes)
    setattr(record, f"peak_total_bytes_{when}", peak.total_bytes)
    record.peak_is_exact = peak.exact if peak.total_bytes is not None else None


@contextmanager
def _gone(path: Path) -> Iterator[None]:
    """Whatever is at `path` is removed afterwards: gigabytes, as a rule."""
    try:
        yield
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
