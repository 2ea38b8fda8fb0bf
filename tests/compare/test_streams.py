"""What databases, files and streams hold and how far they were read: seen, and described without a change of theirs."""

from __future__ import annotations

import io
import sqlite3
import tempfile

import pytest

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

OWN = [__name__.partition(".")[0]]


def seen(before, after):
    described = [snapshot_model(value, own_modules=OWN) for value in (before, after)]
    return [(one.path, one.kind) for one in compare(*described)]


def database(*words):
    made = sqlite3.connect(":memory:")
    made.execute("create table words (word text)")
    made.executemany("insert into words values (?)", [(word,) for word in words])
    return made


def test_what_a_database_in_memory_holds(tmp_path):
    assert seen(database("a"), database("a")) == []
    assert seen(database("a"), database("b")) == [("model", "value")]
    in_a_file = sqlite3.connect(tmp_path / "words")
    assert seen(in_a_file, sqlite3.connect(tmp_path / "others")) == []


def by_name(cursor, row):
    return dict(zip([column for column, *_ in cursor.description], row, strict=True))


class Connection(sqlite3.Connection):
    """A connection that says what it is for."""


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda made: setattr(made, "row_factory", sqlite3.Row), ("model.row_factory", "type")),
        (lambda made: setattr(made, "row_factory", by_name), ("model.row_factory", "type")),
        (lambda made: setattr(made, "text_factory", bytes), ("model.text_factory", "value")),
        (lambda made: setattr(made, "isolation_level", None), ("model", "isolation_level")),
        (lambda made: setattr(made, "note", "a"), ("model.note", "missing")),
        (lambda made: made.create_function("twice", 1, by_name), ("model", "function_list")),
        (lambda made: made.create_collation("backwards", by_name), ("model", "collation_list")),
        (lambda made: made.execute("pragma user_version = 3"), ("model", "user_version")),
        (lambda made: made.execute("insert into words values ('a')"), ("model", "in_transaction")),
    ],
)  # fmt: skip
def test_how_a_database_answers(change, difference):
    """And it answers as it did, once it was described."""
    made = [sqlite3.connect(":memory:", factory=Connection) for _ in range(3)]
    for one in made:
        one.execute("create table words (word text)")
    for one in made[:2]:
        change(one)
    assert seen(made[0], made[1]) == []
    assert difference in seen(made[0], made[2])
    expected = {sqlite3.Row: sqlite3.Row, by_name: dict}.get(made[0].row_factory, tuple)
    made[0].execute("insert into words values ('b')")
    row = made[0].execute("select word from words where word = 'b'").fetchone()
    assert type(row) is expected
    assert row["word" if expected is not tuple else 0] == (b"b" if made[0].text_factory is bytes else "b")


def test_how_far_a_file_was_read(tmp_path):
    file = tmp_path / "words"
    file.write_text("one\ntwo\n")
    with open(file) as first, open(file) as second:
        assert seen(first, second) == []
        first.readline()
        assert seen(first, second) == [("model", "position")]


def spooled(text):
    file = tempfile.SpooledTemporaryFile()
    file.write(text)
    return file


def read(stream, size):
    stream.read(size)
    return stream


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (lambda: io.StringIO("a", newline="\r\n"), lambda: io.StringIO("a")),
        (lambda: io.TextIOWrapper(io.BytesIO(b"a")), lambda: io.TextIOWrapper(io.BytesIO(b"b"))),
        (lambda: io.TextIOWrapper(io.BytesIO(), errors="ignore"), lambda: io.TextIOWrapper(io.BytesIO())),
        (lambda: io.BufferedReader(io.BytesIO(b"a")), lambda: io.BufferedReader(io.BytesIO(b"b"))),
        (lambda: read(io.BufferedReader(io.BytesIO(b"ab")), 1), lambda: read(io.BufferedReader(io.BytesIO(b"ab")), 2)),
        (lambda: spooled(b"a"), lambda: spooled(b"b")),
    ],
)  # fmt: skip
def test_what_a_stream_in_memory_holds(make, other):
    assert seen(make(), make()) == []
    assert seen(make(), other())


def test_a_spooled_file_is_not_written_down_to_be_described():
    file = spooled(b"a")
    assert seen(file, file) == []
    assert isinstance(file._file, io.BytesIO)


def test_what_a_file_makes_of_bytes_that_are_no_text(tmp_path):
    file = tmp_path / "words"
    file.write_bytes(b"a\xff")
    with open(file, encoding="utf-8", errors="ignore") as first, open(file, encoding="utf-8") as second:
        assert seen(first, second) == [("model", "errors")]


def test_how_the_streams_of_the_process_write_is_no_difference():
    plainly, at_once = (
        io.TextIOWrapper(open(1, "wb", closefd=False), write_through=through) for through in (False, True)
    )
    assert seen(plainly, at_once) == []


def test_whether_a_view_of_bytes_can_be_written_to():
    assert seen(memoryview(b"a"), memoryview(b"a")) == []
    assert seen(memoryview(b"a"), memoryview(bytearray(b"a"))) == [("model", "readonly")]
    assert seen(memoryview(b"abab")[::2], memoryview(b"aa")) == [("model", "stride")]
