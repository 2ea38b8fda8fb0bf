"""A run as the one that the project publishes: small, compressed, and quoted by the README.

    records.jsonl.gz   every record; `roundtrip report` makes the page of it
    environment.json, summary.md, badge.json
    tables/*.csv       those that are read without the page
    page.png           a screenshot of the page, where a Chromium is installed; it names the records that it shows

The README's table is the run's `choice` table; tests hold table and picture to the records.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from harness import tables
from harness.records import read_records
from harness.registry import ROOT
from harness.report import write_report

PUBLISHED = ROOT / "reports" / "published"
TABLES = (
    "choice",
    "claims",
    "cost",
    "growth",
    "json_spec_speed",
    "json_spec_targets",
    "traits",
    "resources",
    "probe",
    "floor",
    "cold_start",
)
SHOWS = "records-sha256"
"""The entry of the picture's PNG that names the records."""
BROWSERS = ("chromium", "google-chrome")
_TABLE = re.compile(r"(?<=page\.png\)\n\n).*?(?=\n\n\*Counts are models)", re.DOTALL)


def publish(run: Path, folder: Path = PUBLISHED, readme: Path = ROOT / "README.md") -> list[Path]:
    """Replace what `folder` publishes by `run`, and the table of `readme`; returns what was written.

    Raises RecordsError where the run has no records that can be read.
    """
    records = read_records(run).records
    write_report(run)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tables").mkdir(parents=True)
    lines = gzip.compress((run / "records.jsonl").read_bytes(), mtime=0)
    (folder / "records.jsonl.gz").write_bytes(lines)
    for name in ("environment.json", "summary.md", "badge.json"):
        shutil.copy(run / name, folder / name)
    for table in sorted((run / "tables").glob("*.csv")):
        if table.stem in TABLES or table.stem.startswith("fidelity_"):
            shutil.copy(table, folder / "tables" / table.name)
    if screenshot(run / "index.html", folder / "page.png"):
        _name_records(folder / "page.png", lines)
    choice = tables.markdown(tables.choice(tables.frame(records)))
    readme.write_text(_TABLE.sub(lambda _: choice, readme.read_text(encoding="utf-8"), count=1), encoding="utf-8")
    return [*sorted(path for path in folder.rglob("*") if path.is_file()), readme]


def screenshot(page: Path, picture: Path) -> bool:
    """The first screen of a page; False where there is no browser to show it."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        return False
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", "--virtual-time-budget=6000")
    subprocess.run(
        [browser, *options, f"--screenshot={picture}", page.resolve().as_uri()], capture_output=True, timeout=120
    )
    return picture.is_file()


def _name_records(picture: Path, records: bytes) -> None:
    """Write into a PNG which records it shows, as `shows` reads it."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text(SHOWS, hashlib.sha256(records).hexdigest())
    with Image.open(picture) as image:
        image.load()
        image.save(picture, pnginfo=note, optimize=True)


def shows(picture: Path, records: Path) -> bool:
    """Whether a published picture was made of these records (`records.jsonl.gz`)."""
    from PIL import Image

    with Image.open(picture) as image:
        return image.info.get(SHOWS) == hashlib.sha256(records.read_bytes()).hexdigest()
