"""What one cell gave, and where it is kept: one JSON object a line in `records.jsonl`.

The names of the fields are a contract: new ones may be added, none is renamed. Every table and page is made from
these lines alone, without torch.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import OutputExists, RecordsError

SCHEMA_VERSION = 1

OUTCOMES = ("exact", "close", "partial", "mismatch", "unsupported", "failed", "crashed", "unavailable")
"""From best to worst, but for `mismatch`, which is the worst: it loaded, and is wrong."""

CAN_BE_TIMED = ("exact", "close", "partial", "mismatch")
"""What failed has no costs worth comparing."""

STAGES = ("build", "save", "condition", "load", "preprocess", "forward", "postprocess", "compare", "score")
"""Where a cell stopped, in the order in which a cell goes through them."""


@dataclass
class Record:
    """One cell's result. Durations in seconds, sizes in bytes; lists of durations hold one entry a round."""

    run_id: str
    backend: str
    model: str
    condition: str
    kind: str = "cell"
    """"cell", or what else the line is about; the other kinds keep what they found in `facts`."""
    outcome: str = ""
    """One of OUTCOMES; of another kind than a cell perhaps none."""
    stage: str | None = None
    """Where it stopped, one of STAGES; None if it did not."""
    error_type: str | None = None
    message: str | None = None
    """The library's own message, the reason of `UnsupportedModel`, the first difference, or how to install."""
    traceback: str | None = None
    """The last lines of the error's traceback, with the file in which it happened."""
    taps: dict[str, str | None] = field(default_factory=dict)
    """preprocess, forward, postprocess -> equal | close | different | absent, or None where it was not reached."""
    state: list[dict[str, Any]] = field(default_factory=list)
    """Differences with their paths, the first ones; `differences` counts all."""
    differences: int = 0
    code_ran: str | None = None
    """Of a cell of `source_edited`: saved | edited | refused; see `conditions`."""
    life: dict[str, str] = field(default_factory=dict)
    """What else the loaded model bears, a check each: equal | different: ... | failed: ... | not applicable: ...; see
    `calls.life`. Of cells of `fresh_process`."""
    score_saved: dict[str, float] | None = None
    score_loaded: dict[str, float] | None = None
    save_s: list[float] = field(default_factory=list)
    load_s: list[float] = field(default_factory=list)
    first_load_s: float | None = None
    """The first load in the fresh process: it includes importing the model's source and what that imports.

    Other backends' cells run at the same time, so it is a rough figure; `cold_start` records are measured alone.
    """
    first_prediction_s: list[float] = field(default_factory=list)
    """The first prediction after each load, of all stages that were loaded."""
    predictions_per_s: list[float] = field(default_factory=list)
    """After the first one: single predictions, one after the other."""
    load_cold_s: list[float] = field(default_factory=list)
    """Loads of an artifact that `mincore` found out of the page cache; none where it cannot be evicted."""
    floor_write_s: list[float] = field(default_factory=list)
    """The same tensor bytes through one plain file, in the same rounds: entry i is of the round of `save_s[i]`.

    It goes on for as long as any backend does: it may be longer than the others.
    """
    floor_read_s: list[float] = field(default_factory=list)
    """Read into memory that was never touched."""
    floor_map_s: list[float] = field(default_factory=list)
    """Mapped, and each page touched: the floor of a loader that maps."""
    floor_read_cold_s: list[float] = field(default_factory=list)
    save_stopped: str | None = None
    """Why the rounds of `save_s` ended: narrow (the interval of the ratio to the floor), budget or rounds."""
    load_stopped: str | None = None
    too_noisy: str | None = None
    """Why the machine was too noisy, in these rounds, to rank by them; None where it was not."""
    artifact_bytes: int | None = None
    tensor_bytes: int | None = None
    peak_anon_bytes_save: int | None = None
    peak_anon_bytes_load: int | None = None
    peak_file_bytes_save: int | None = None
    peak_file_bytes_load: int | None = None
    peak_total_bytes_save: int | None = None
    """Anonymous and file-backed together, at the moment of the most: less than the sum of both peaks, perhaps."""
    peak_total_bytes_load: int | None = None
    peak_is_exact: bool | None = None
    """Whether the kernel kept the peak; False: it was sampled twice a millisecond, and a short one may be missed."""
    written_bytes_save: int | None = None
    """What was given to write calls during a save: more than the artifact where something is written twice."""
    dirtied_bytes_save: int | None = None
    """Bytes whose pages a save made dirty for storage; 0 in a file system in memory."""
    interpreter: str | None = None
    """Which Python and torch loaded it, where that is not the one that saved it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What a kind other than a cell found; names with units, plain values."""
    environment_id: str = ""
    rerun: str = ""
    """The command that runs just this cell again."""
    duration_s: float = 0.0
    """What the cell cost the harness, all in all."""
    schema_version: int = SCHEMA_VERSION

    @property
    def is_silently_wrong(self) -> bool:
        """It loaded, and is not what was saved. Where merely edited code ran, `code_ran` says so."""
        return self.outcome == "mismatch" and self.code_ran != "edited"

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True, ensure_ascii=False, allow_nan=False)


FIELDS = frozenset(item.name for item in dataclasses.fields(Record))
_COSTS = ("save_", "load_", "first_", "floor_", "peak_", "written_", "dirtied_", "predictions_")
COSTS = frozenset(name for name in FIELDS if name.startswith(_COSTS)) | {"too_noisy", "artifact_bytes"}
"""The fields that timed rounds fill, and the size of what they wrote."""
OF_COSTS = frozenset({"floor", "cold_start", "profile"})
"""The kinds of record that belong to them."""


class RecordWriter:
    """Appends records to a new run's folder, a line at a time, so that a killed run keeps what it had."""

    def __init__(self, folder: Path, resume: bool = False) -> None:
        """Create `folder`, or with `resume` go on with the records in it. Raises OutputExists if it is not empty."""
        self.folder = folder
        if resume and (folder / "records.jsonl").is_file():
            cut_off = (folder / "records.jsonl").read_bytes()[-1:] not in (b"", b"\n")
            self._file = open(folder / "records.jsonl", "a", encoding="utf-8")
            if cut_off:  # in the middle of a line: what comes next begins a line of its own
                self._file.write("\n")
            return
        if folder.exists() and any(folder.iterdir()):
            raise OutputExists(
                f"{folder} exists and is not empty; a run is never overwritten or mixed with another",
                "Name another folder with --output, or remove this one.",
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / "records.jsonl", "x", encoding="utf-8")

    def write(self, records: Iterable[Record]) -> None:
        for record in records:
            self._file.write(record.to_json() + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class ReadRecords:
    """The records that could be read, and a line for each that could not."""

    records: list[Record]
    problems: list[str]

    def in_short(self, shown: int) -> list[str]:
        """The problems, those of one kind as one, and at most `shown` of them."""
        kinds: dict[str, list[str]] = {}
        for problem in self.problems:
            kinds.setdefault(problem.partition(": ")[2] or problem, []).append(problem)
        lines = [first if not more else first.replace(": ", f" and {len(more)} lines more: ", 1)
                 for first, *more in kinds.values()]  # fmt: skip
        rest = len(lines) - shown
        return [*lines[:shown], f"and {rest} more kinds of lines that cannot be read"] if rest > 0 else lines


def read_records(run: Path) -> ReadRecords:
    """Read a run's records; `run` is its folder or the file itself, plain or packed with gzip (`.gz`).

    Lines that are damaged or of a newer schema become `problems`, and so does the lost end of a packed file; the rest
    is still returned.
    Raises RecordsError where there is no file or nothing in it can be read.
    """
    path = records_file(run) if run.is_dir() else run
    if not path.is_file():
        raise RecordsError(f"no records at {path}", "A run's folder holds records.jsonl; `roundtrip bench` writes one.")
    data, problems = path.read_bytes(), []
    if path.suffix == ".gz":
        data, problems = _unpacked(path, data)
    records = []
    for number, line in enumerate(data.decode("utf-8", errors="replace").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(_parse(line))
        except ValueError as error:
            problems.append(f"{path.name}, line {number}: {error}")
    if not records:
        detail = problems[0] if problems else f"{path} is empty"
        hint = "" if problems else "The run may have been stopped before its first cell."
        raise RecordsError(f"no record could be read: {detail}", hint)
    return ReadRecords(records, problems)


def _unpacked(path: Path, packed: bytes) -> tuple[bytes, list[str]]:
    """What a gzip file holds, to where it is damaged, and a note if it is. Raises RecordsError if that is nothing."""
    pieces = []
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            while more := file.read1():
                pieces.append(more)  # joined once: thousands of pieces, tens of megabytes
    except (OSError, EOFError, zlib.error) as error:
        if not pieces:
            raise RecordsError(f"{path} cannot be unpacked: {error}", "Copy it again: the file is damaged.") from None
        return b"".join(pieces), [f"{path.name}: only its beginning can be unpacked, copy it again: {error}"]
    return b"".join(pieces), []


def records_file(run: Path) -> Path:
    """The file of a run's records: records.jsonl, or records.jsonl.gz where only that is there."""
    plain = run / "records.jsonl"
    packed = run / "records.jsonl.gz"
    return packed if packed.is_file() and not plain.is_file() else plain


def _parse(line: str) -> Record:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not a whole JSON object ({error}); was the run cut off?") from None
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    version = raw.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ValueError(
            f"schema version {version!r}; this program reads up to {SCHEMA_VERSION}: upgrade roundtrip-bench"
        )
    missing = {"run_id", "backend", "model", "condition", "outcome"} - raw.keys()
    if missing:
        raise ValueError(f"no field {', '.join(sorted(missing))}")
    if raw["outcome"] not in OUTCOMES and (raw["outcome"] or raw.get("kind", "cell") == "cell"):
        raise ValueError(f"unknown outcome {raw['outcome']!r}")
    return Record(**{name: value for name, value in raw.items() if name in FIELDS})


def find_runs(reports: Path) -> Iterator[Path]:
    """The folders of runs below `reports`, oldest first by name."""
    for path in sorted(reports.glob("runs/*/records.jsonl")):
        yield path.parent
