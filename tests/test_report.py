"""The report's files: complete, small enough, true to the records, and of use when the records are damaged."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from harness import publishing, report, tables
from harness.cli import main
from harness.errors import RecordsError
from harness.findings.backend_docs import backend_doc
from harness.page import HERE
from harness.records import Record, read_records
from harness.summary import COMMENT_CHARACTERS
from tests import synthetic

PAGE_BYTES = 5_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of more than 3,000 records of every kind, with its files."""
    folder = synthetic.write(tmp_path_factory.mktemp("synthetic") / "run", synthetic.records())
    report.write_report(folder)
    return folder


def page_of(folder: Path) -> str:
    return (folder / "index.html").read_text()


def payload_of(folder: Path) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page_of(folder), re.DOTALL)
    return json.loads(text)


def cells_of(payload: dict) -> list[dict]:
    """All cells, the packed ones unpacked as elements.js does."""
    cells, packed = list(payload["cells"]), payload["packed"]
    for at in range(0, len(packed), 5):
        place, backend, model, condition, found = packed[at : at + 5]
        assert cells[place] == 0
        cells[place] = {"b": backend, "m": model, "c": condition, **payload["found"][found]}
    return cells


def small(folder: Path, *records: Record) -> Path:
    folder = synthetic.write(folder / "run", list(records))
    report.write_report(folder)
    return folder


def cell(**fields) -> Record:
    named = {"backend": "pickle", "model": "nested_fruit", "condition": "fresh_process", "outcome": "exact"}
    return Record("20260102-030405-abcd", **named | fields)


def test_the_limits_hold_at_three_thousand_records(run):
    assert len((run / "records.jsonl").read_text().splitlines()) > 3000
    assert (run / "index.html").stat().st_size < PAGE_BYTES
    text = (run / "summary.md").read_text()
    assert len(text) <= COMMENT_CHARACTERS
    assert "Left out here, to fit a comment" in text
    for name in re.findall(r"tables/\w+\.csv", text):
        assert (run / name).is_file()


def test_the_summary_is_never_cut_in_a_table(run):
    lines = (run / "summary.md").read_text().splitlines()
    for line in lines:
        if line.startswith("|"):
            assert line.endswith("|")
    assert lines[0] == "# Roundtrip: 27 backends, 9 models"


def test_edited_code_is_told_apart_from_what_is_silently_wrong(tmp_path):
    edited = cell(outcome="mismatch", condition="source_edited", message="edited code ran: f", code_ran="edited")
    wrong = cell(outcome="mismatch", backend="dill", message="output: was 1, is now 2", code_ran="saved")
    text = (small(tmp_path, edited, wrong) / "summary.md").read_text()
    table, _, rest = text.partition("## Silently wrong")[2].partition("**Ran code that was edited since the save:**")
    assert "output: was 1" in table and "edited code ran" not in table
    assert rest.startswith(" pickle 1\n")


def test_a_model_of_few_rounds_is_named(tmp_path):
    few, many = cell(model="detector", load_s=[1.0] * 2), cell(load_s=[1.0] * 6)
    folder = small(tmp_path, few, many)
    for text in ((folder / "summary.md").read_text(), page_of(folder)):
        assert "timed in few rounds: detector 2; 6 give intervals" in text
    (tmp_path / "many").mkdir()
    assert "few rounds:" not in page_of(small(tmp_path / "many", many))


def test_the_page_has_every_record(run):
    payload, records = payload_of(run), read_records(run).records
    for record, shown in zip(records, cells_of(payload), strict=True):
        assert payload["backends"][shown["b"]] == record.backend
        assert payload["models"][shown["m"]] == record.model
        assert payload["conditions"][shown["c"]] == record.condition
        assert shown.get("o", "") == record.outcome
        assert shown.get("message") is None or payload["strings"][shown["message"]] == record.message
        assert shown.get("on") == record.interpreter
    assert payload["backends"][0] == "pickle"
    assert "a_condition_of_the_future" in {need["id"] for need in payload["facts"]["needs"]}
    assert "floor" not in {row["name"] for row in payload["facts"]["backends"]}
    page = page_of(run)
    for name in ("backend-json_spec", "backend-invented_3", "model-detector"):
        assert f'id="{name}"' in page
    assert 'id="backend-floor"' not in page


def test_parquet_and_csv_are_the_same_tables(run):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install 'roundtrip-bench[report]'")
    names = {path.stem for path in (run / "tables").glob("*.csv")}
    assert {
        "choice",
        "cost",
        "failures",
        "cells",
        "probe",
        "probes",
        "cold_start",
        "growth",
        "fidelity_class_moved",
    } <= names
    assert names == {path.stem for path in (run / "tables").glob("*.parquet")}
    for name in names:
        csv, parquet = (getattr(pd, f"read_{kind}")(run / "tables" / f"{name}.{kind}") for kind in ("csv", "parquet"))
        assert csv.shape == parquet.shape, name
        assert list(csv.columns) == list(parquet.columns), name
    cells = pd.read_parquet(run / "tables" / "cells.parquet")
    assert cells["load_s"].dtype == float
    assert (cells["outcome"] == "mismatch").sum() == sum(c.get("o") == "mismatch" for c in cells_of(payload_of(run)))


def test_the_badge_is_an_endpoint(run):
    badge = json.loads((run / "badge.json").read_text())
    assert badge.keys() == {"schemaVersion", "label", "message", "color"}
    works, total, wrong = map(int, re.findall(r"\d+", badge["message"]))
    assert 0 < works < total == 27 * 9 * 13
    assert wrong > 0


class Outside(HTMLParser):
    """Collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster") or (tag == "link" and name == "href"):
                self.fetched.append(value)


def test_the_page_fetches_nothing(run):
    parser = Outside()
    parser.feed(page_of(run))
    assert [value for value in parser.fetched if not value.startswith("data:")] == []
    assert "default-src 'none'" in page_of(run)
    assert "@import" not in (HERE / "page.css").read_text()


def test_no_text_of_a_record_becomes_markup(tmp_path):
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \u2028"
    folder = small(tmp_path, cell(outcome="failed", message=hostile, error_type=hostile, rerun=hostile, stage="load"))
    page = page_of(folder)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert hostile in payload_of(folder)["strings"]


def test_fields_of_later_harnesses_are_shown_without_a_change(tmp_path):
    folder = small(tmp_path, cell(facts={"new_column": 0.123456789, "list": [1, 2]}, score_loaded={"accuracy": 0.5}))
    (shown,) = cells_of(payload_of(folder))
    assert shown["more"] == {"facts": {"new_column": 0.12346, "list": [1, 2]}, "score_loaded": {"accuracy": 0.5}}
    assert pd.read_csv(folder / "tables" / "cells.csv")["facts"][0] == '{"list": [1, 2], "new_column": 0.123456789}'


def test_commands_are_written_once(tmp_path):
    usual = "pytest benchmarks/ --model nested_fruit --backend pickle --condition fresh_process"
    other = "--model {model} --backend {backend} --interpreter pickle"
    commands = [usual, other.format(model="nested_fruit", backend="pickle"), "--model nested_fruits", ""]
    payload = payload_of(small(tmp_path, *(cell(rerun=command) for command in commands)))
    shown = [one.get("rerun") for one in cells_of(payload)]
    forms = [payload["strings"][number] if type(number) is int else number for number in shown]
    assert forms == [None, other, "--model nested_fruits", False]


# --- damaged and mixed records ------------------------------------------------------------------------------------


def test_damaged_lines_are_named_and_the_rest_is_shown(tmp_path):
    folder = small(tmp_path, cell())
    with open(folder / "records.jsonl", "a") as file:
        file.write(json.dumps({"schema_version": 99}) + "\n" + '{"schema_ver')
    report.write_report(folder)
    for text in ((folder / "summary.md").read_text(), page_of(folder)):
        assert "schema version 99; this program reads up to" in text
        assert "was the run cut off?" in text
        assert "pickle" in text
    assert len(payload_of(folder)["cells"]) == 1


def test_thousands_of_damaged_lines_are_counted(tmp_path):
    folder = small(tmp_path, cell())
    with open(folder / "records.jsonl", "a") as file:
        file.write("{\n" * 5000)
    report.write_report(folder)
    assert "line 2 and 4999 lines more: not a whole JSON object" in page_of(folder)
    with open(folder / "records.jsonl", "a") as file:
        file.write("".join(json.dumps({"schema_version": 100 + number}) + "\n" for number in range(30)))
    report.write_report(folder)
    assert "and 11 more kinds of lines that cannot be read" in page_of(folder)
    assert len((folder / "summary.md").read_text()) < COMMENT_CHARACTERS


def test_two_machines_are_named(tmp_path):
    rows = [cell(load_s=[0.1]), cell(condition="x", load_s=[0.2]), cell(condition="y")]
    folder = synthetic.write(tmp_path / "run", rows)
    for row, machine in zip(rows, ("one", "two", "three"), strict=True):  # the third has no time to be compared
        row.environment_id = machine
    (folder / "records.jsonl").write_text("".join(row.to_json() + "\n" for row in rows))
    report.write_report(folder)
    for text in ((folder / "summary.md").read_text(), page_of(folder)):
        assert "records (cell) of 2 machines or environments are mixed (one, two)" in text
        assert "times and memory cannot" in text


def test_a_cell_that_is_there_twice_is_named(tmp_path):
    assert "1 cells are there more than once" in page_of(small(tmp_path, cell(), cell()))


@pytest.mark.parametrize("content", ["", "\n\n", "not json\n"])
def test_nothing_to_read_is_said_in_page_and_summary(tmp_path, content):
    (tmp_path / "records.jsonl").write_text(content)
    with pytest.raises(RecordsError):
        report.write_report(tmp_path)
    assert "no record could be read" in (tmp_path / "summary.md").read_text()
    assert "no record could be read" in page_of(tmp_path)
    assert "<h1>" in page_of(tmp_path)


@pytest.mark.parametrize("content", [None, "[]", "{"])
def test_an_environment_that_cannot_be_read_is_a_note(tmp_path, content):
    folder = synthetic.write(tmp_path / "run", [cell()])
    (folder / "environment.json").unlink()
    if content is not None:
        (folder / "environment.json").write_text(content)
    report.write_report(folder)
    assert "the machine and the versions are not known" in page_of(folder)
    assert "the machine and the versions are not known" in (folder / "summary.md").read_text()


# --- the rest -----------------------------------------------------------------------------------------------------


def test_a_backends_own_words_are_quoted():
    doc = backend_doc("pickle")
    assert doc.title == "`pickle`: the standard library's object graph, code by reference."
    assert doc.source.startswith("https://docs.python.org/")
    assert doc.variant
    assert backend_doc("dill_recurse").variant != backend_doc("dill").variant
    assert backend_doc("from_another_package").title == ""


def test_recommend_in_the_terminal(run):
    runner = CliRunner()
    arguments = ["recommend", "--run", str(run), "--need", "source_absent", "--need", "safe_load", "--prefer", "load"]
    done = runner.invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert re.search(r"^1\. \w+$", done.output, re.MULTILINE)
    assert "Runner-up: " in done.output
    assert "records of" in done.output
    assert len(re.findall(r"^\d+\. ", runner.invoke(main, [*arguments, "--all"]).output, re.MULTILINE)) == 27
    unknown = runner.invoke(main, ["recommend", "--run", str(run), "--need", "safe_lod"])
    assert unknown.exit_code == 2
    assert "Did you mean safe_load" in unknown.output
    assert "source_absent" in runner.invoke(main, ["recommend", "--run", str(run)]).output


def test_recommend_takes_the_newest_run(tmp_path, monkeypatch):
    from harness import registry

    monkeypatch.setattr(registry, "ROOT", tmp_path)
    for name in ("published", "runs/20260101-000000-aaaa", "runs/20260102-000000-bbbb"):
        (tmp_path / "reports" / name).parent.mkdir(parents=True, exist_ok=True)
        synthetic.write(tmp_path / "reports" / name, [cell()])
    assert "20260102-000000-bbbb" in CliRunner().invoke(main, ["recommend", "--prefer", "load"]).output
    shutil.rmtree(tmp_path / "reports" / "runs")
    assert "published" in CliRunner().invoke(main, ["recommend", "--prefer", "load"]).output


def test_recommend_for_one_model_counts_its_cells_alone(run):
    done = CliRunner().invoke(
        main, ["recommend", "--run", str(run), "--need", "source_absent", "--model", "detector", "--all"]
    )
    assert done.exit_code == 0, done.output
    assert "+ loads without your source\n" in done.output
    assert not re.search(r"of (?!1\b|2\b)\d+[,)]", done.output)


def test_vendored_files_are_the_ones_that_are_listed():
    listed = (HERE / "vendor" / "README.md").read_text()
    for file, package, version in re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| ([\d.]+) ", listed, re.MULTILINE):
        head = (HERE / "vendor" / file).read_text()[:200]
        assert f"v{version}" in head, package
        assert f"{package}@{version}" in (HERE.parent.parent / "Makefile").read_text()
    assert len(list((HERE / "vendor").glob("*.min.js"))) == 2


def test_packed_records_are_read(tmp_path):
    import gzip

    record = Record("run", "pickle", "digits_cnn", "fresh_process", outcome="exact")
    packed = tmp_path / "records.jsonl.gz"
    packed.write_bytes(gzip.compress(record.to_json().encode()))
    assert read_records(tmp_path).records == [record]
    packed.write_bytes(b"no gzip")
    with pytest.raises(RecordsError, match="cannot be unpacked"):
        read_records(tmp_path)


def test_of_a_packed_file_that_was_cut_the_beginning_is_read(tmp_path):
    import gzip

    cells = [cell(message=f"{number} {number**40}") for number in range(200)]
    packed = tmp_path / "records.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(one.to_json() for one in cells).encode())[:-600])
    found = read_records(tmp_path)
    assert 20 < len(found.records) < 200
    assert found.records == cells[: len(found.records)]
    assert "only its beginning can be unpacked, copy it again" in found.problems[0]
    assert len(found.problems) <= 2


def test_a_folder_without_records_is_left_alone(tmp_path):
    with pytest.raises(RecordsError, match="no records at"):
        report.write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_row_that_never_succeeds_is_flagged_with_its_reason():
    from harness.summary import summary
    from harness.tables import every_table

    records = [
        Record("run", "pickle", "digits_cnn", "fresh_process", outcome="exact"),
        Record("run", "graph", "digits_cnn", "fresh_process", outcome="partial"),
        Record(
            "run", "skops", "digits_cnn", "fresh_process", outcome="failed", stage="save", message="Cannot construct"
        ),
    ]
    text = summary(every_table(records), None, [])
    assert "**Rows that brought nothing back:** `skops` (Cannot construct)" in text
    assert "**Rows" not in summary(every_table(records[:2]), None, [])


# --- what is published ---


def test_publishing_replaces_the_folder_and_the_readmes_table(run, tmp_path):
    folder, readme = tmp_path / "published", tmp_path / "README.md"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "old.csv").touch()
    readme.write_text("# R\n\n![x](reports/published/page.png)\n\n| old |\n\n*Counts are models*\n\nRest.\n")
    written = publishing.publish(run, folder, readme)
    assert read_records(folder).records == read_records(run).records
    choice = tables.markdown(tables.choice(tables.frame(read_records(run).records)))
    assert (
        readme.read_text() == f"# R\n\n![x](reports/published/page.png)\n\n{choice}\n\n*Counts are models*\n\nRest.\n"
    )
    assert {"records.jsonl.gz", "summary.md", "badge.json", "choice.csv", "README.md"} <= {
        path.name for path in written
    }
    assert not (folder / "tables" / "old.csv").exists() and not list(folder.rglob("*.parquet"))


def test_the_published_picture_is_of_the_published_records(tmp_path):
    """Pixels differ by the fonts of a machine, so the picture names the records that it was made of."""
    picture, records = (publishing.PUBLISHED / name for name in ("page.png", "records.jsonl.gz"))
    assert publishing.shows(picture, records)
    (tmp_path / "other.gz").write_bytes(records.read_bytes()[:-1])
    assert not publishing.shows(picture, tmp_path / "other.gz")


@pytest.mark.skipif(not any(map(shutil.which, publishing.BROWSERS)), reason="no Chromium: `make chromium` (Debian)")
def test_publishing_pictures_the_records_that_it_publishes(run, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("")
    publishing.publish(run, tmp_path / "published", readme)
    picture, records = (tmp_path / "published" / name for name in ("page.png", "records.jsonl.gz"))
    assert publishing.shows(picture, records)
    records.write_bytes(records.read_bytes() + b"more")
    assert not publishing.shows(picture, records)
