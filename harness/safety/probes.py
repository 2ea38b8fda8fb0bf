"""What an artifact does beyond coming back: safety and transparency, found by trying.

Each probe gives one record of kind "probe" for a backend: `condition` is the probe's name, `facts` has

    answer      the word for a table, one of those below
    evidence    a sentence for a person: what was changed and what happened
    tried       how many changed copies, or parameters, were tried

    probe             answers                                  how
    planted_code      runs | does not run                      `plants` in every carrier found in the artifact
    bit_flip          detected | silent | harmless | crashed   one bit, in six places, one at a time; the worst counts
    truncation        the same                                 the largest file loses its last tenth
    same_bytes        same | differs                           two interpreters save the same model
    readable          all | some | none                        numbers and texts of modules, with their names, in the
                                                               artifact's text files
    other_language    runs | differs | does not run |          `forward` in C++ and JavaScript, see `other_language`;
                      unavailable                              unavailable where these are not installed

`does not run` means that none of the planted carriers ran, no more: `evidence` and `planted` say which were tried.
`detected` means that loading raised; an error after the load, or a silent difference, does not count as detected.

The model is the first of MODELS that the backend brings back.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import conditions, registry, round_trip
from harness.cell import saving
from harness.processes import interpreters
from harness.processes.process import Worker
from harness.project.staging import stage
from harness.records import Record
from harness.safety import other_language, plants, tamper

MODELS = ("digits_cnn", "tied_char_lm", "sentiment_gru", "nested_fruit", "imagenet_resnet")
CAME_BACK = ("exact", "close", "partial")
WORST = ("crashed", "silent", "fails later", "detected", "harmless")


def probe(backend: str, run_id: str, tell: Callable[[str], None]) -> list[Record]:
    """All probes of one backend; none where it brings no model back. Never raises for what the backend does."""
    for name in MODELS:
        folder = Path(tempfile.mkdtemp(prefix="roundtrip-"))
        try:
            with _Subject(backend, name, folder) as subject:
                if subject.works():
                    return [subject.record(run_id, what, PROBES[what](subject), tell) for what in PROBES]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return []


class _Subject:
    """One model as the backend saved it, and processes to load changed copies of it."""

    def __init__(self, backend: str, model: str, folder: Path) -> None:
        self.backend, self.model, self.folder = backend, model, folder
        self.source = registry.model_source(model)
        self.stage = stage(self.source, folder / "staged")
        self.saved = saving.save(backend, self.source.builder, self.stage, folder / "saved")
        self.condition = conditions.condition("fresh_process")

    def __enter__(self) -> _Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self.saved.close()

    def works(self) -> bool:
        if self.saved.stopped is not None:
            return False
        self.world = conditions.prepare(self.condition, self.stage, self.folder / "world")
        return self.load(self.saved.artifact)["outcome"] in CAME_BACK

    def load(self, artifact: Path) -> dict[str, Any]:
        with Worker() as worker:
            self.world.enter(worker)
            return round_trip.examine(self.saved, self.world, worker, artifact)

    def again(self) -> saving.Saved:
        """The same model from another process, where texts have other hashes and sets another order."""
        folder = self.folder / "again"
        project = folder / "project"
        shutil.copytree(self.stage.folder, project)
        saved = saving.Saved(self.backend, replace(self.stage, folder=project), folder)
        with Worker(interpreters.ours()) as worker:
            saving.fill(saved, self.source.builder, worker)
        return saved

    def record(self, run_id: str, name: str, facts: dict[str, Any], tell: Callable[[str], None]) -> Record:
        tell(f"{self.backend}: {name}: {facts['answer']}")
        rerun = f"roundtrip probe --backend {self.backend}"
        return Record(
            run_id, self.backend, self.model, name, kind="probe", facts=facts, message=facts["evidence"], rerun=rerun
        )


def _planted_code(subject: _Subject) -> dict[str, Any]:
    tried = []
    marker = subject.folder / "marker"
    payload = _payload(subject, marker)
    for damage in tamper.planted(subject.saved.artifact, subject.folder / "planted", payload):
        tried.append(damage.what)
        result = subject.load(damage.folder)
        shutil.rmtree(damage.folder, ignore_errors=True)
        if marker.exists() or plants.ABORTS in (result["message"] or ""):
            told = {"tried": len(tried), "planted": tried}
            return {"answer": "runs", "evidence": f"{damage.what}: it ran", **told}
        tried[-1] += f" ({result['outcome']}: {(result['message'] or '').partition(chr(10))[0]})"
    evidence = "; ".join(tried) or "the artifact has no carrier of code that is known here"
    if payload.library is None:
        evidence += "; a shared library was not tried: no C compiler here"
    return {"answer": "does not run", "evidence": evidence, "tried": len(tried), "planted": tried}


def _payload(subject: _Subject, marker: Path) -> plants.Payload:
    script = subject.folder / "planted.pt"
    with Worker() as worker:
        worker.call("plant_torchscript", path=str(script), marker=str(marker))
    library = plants.shared_library(subject.folder, marker)
    return plants.Payload(marker, subject.stage.module, script.read_bytes(), library)


def _damage(subject: _Subject, damages: Iterable[tamper.Damage]) -> dict[str, Any]:
    found: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for damage in damages:
        result = subject.load(damage.folder)
        shutil.rmtree(damage.folder, ignore_errors=True)
        word = _noticed(result)
        counts[word] += 1
        found.setdefault(word, f"{damage.what}: {word}: {result['message'] or 'equal'}")
    answer = next(word for word in WORST if counts[word])
    said = ", ".join(f"{count} {word}" for word, count in counts.items())
    return {"answer": answer, "evidence": f"{said}. {found[answer]}", "tried": counts.total(), "counts": dict(counts)}


def _noticed(result: dict[str, Any]) -> str:
    if result["outcome"] in ("failed", "unsupported"):
        return "detected" if result["stage"] == "load" else "fails later"
    return {"crashed": "crashed", "mismatch": "silent", "close": "silent"}.get(result["outcome"], "harmless")


def _bit_flip(subject: _Subject) -> dict[str, Any]:
    return _damage(subject, tamper.flipped(subject.saved.artifact, subject.folder / "flipped"))


def _truncation(subject: _Subject) -> dict[str, Any]:
    return _damage(subject, tamper.truncated(subject.saved.artifact, subject.folder / "truncated"))


def _same_bytes(subject: _Subject) -> dict[str, Any]:
    again = subject.again()
    if again.stopped is not None:
        return {"answer": "differs", "evidence": f"the second save: {again.stopped['message']}", "tried": 2}
    first, second = (_contents(saved.artifact) for saved in (subject.saved, again))
    other = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if other:
        return {"answer": "differs", "evidence": f"two saves differ in {', '.join(other)}", "tried": 2}
    return {"answer": "same", "evidence": "two interpreters with different hash seeds saved the same bytes", "tried": 2}


def _readable(subject: _Subject) -> dict[str, Any]:
    wanted = subject.saved.worker.call("hyperparameters")
    files = _contents(subject.saved.artifact)
    texts = [text for data in files.values() if (text := _text(data)) is not None]
    opaque = sum(len(data) for data in files.values() if _text(data) is None)
    missing = [f"{name}={value}" for name, value in wanted if not any(_states(text, name, value) for text in texts)]
    found = len(wanted) - len(missing)
    answer = "all" if not missing else "some" if found else "none"
    evidence = f"{found} of {len(wanted)} parameters stand in text files"
    if missing:
        evidence += f"; not {', '.join(missing[:4])}"
    return {"answer": answer, "evidence": evidence, "tried": len(wanted), "found": found, "opaque_bytes": opaque}


def _states(text: str, name: str, value: str) -> bool:
    """Whether a text has the name and, after punctuation alone, the value."""
    return re.search(rf"\b{re.escape(name)}\b[\"'\s:=,\[(]{{1,40}}{re.escape(value)}\b", text) is not None


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() or not re.search(r"[\x00-\x08\x0e-\x1f]", text) else None


def _other_language(subject: _Subject) -> dict[str, Any]:
    return other_language.tried(subject.saved.worker, subject.saved.artifact, subject.folder / "other_language")


PROBES: dict[str, Callable[[_Subject], dict[str, Any]]] = {
    "planted_code": _planted_code,
    "bit_flip": _bit_flip,
    "truncation": _truncation,
    "same_bytes": _same_bytes,
    "readable": _readable,
    "other_language": _other_language,
}
