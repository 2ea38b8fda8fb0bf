"""What several commands share: a run with a bar, its report, and its cells as tables in the terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.findings.remedies import remedy
from harness.records import OUTCOMES, Record

if TYPE_CHECKING:
    from harness.matrix import Run

LINE_EVERY_S = 20.0


def run_all(settings, output: Path | None, traits=(), probes: bool = False):
    """Run the matrix, then the named traits, then the probes, with a bar.

    A part that cannot be tried does not end it: the caller shows what there is, then calls `require_all`. Raises
    Incomplete where there is nothing.
    """
    from harness import corpus
    from harness.matrix import Run

    run = Run(settings, output)
    steps = len(run.settings.models) + len(run.settings.part(corpus.batches(traits, run.settings.backends)))
    steps += len(run.settings.part(run.settings.backends)) if probes else 0
    with showing(run, steps) as advance:
        for name in run.settings.models:
            with run.going_on(name):
                run.model(name)
            advance()
        for _ in run.traits(traits):
            advance()
        for _ in run.probes() if probes else ():
            advance()
    if not run.records:
        run.require_all()
    return run


def write_report(folder: Path) -> None:
    """Write the report of a run, name its files, and append the run to the history where it belongs there."""
    from harness import report
    from harness.history import remember
    from harness.registry import ROOT

    click.echo("\n".join(str(path) for path in report.write_report(folder)))
    if (file := remember(folder, ROOT / "reports")) is not None:
        click.echo(f"{file}: `roundtrip history` shows the runs so far")


def show_cells(console, records: Sequence[Record], messages: bool = False) -> None:
    """A table a model, a row a cell; `messages`: then each message whole, with the cells that gave it and a remedy.

    Where a backend gave one answer under all conditions, its cells are one row. In a narrow terminal what happened is
    cut, and nothing else.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    cells = [record for record in records if record.kind == "cell"]
    colours = {"exact": "green", "close": "green", "partial": "yellow", "mismatch": "bold red"}
    for model in dict.fromkeys(record.model for record in cells):
        table = Table(title=model, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        of_model = [record for record in cells if record.model == model]
        timed = any(record.save_s or record.load_s for record in of_model)
        for name in ("backend", "condition", "outcome"):
            table.add_column(name, no_wrap=True)
        for name in ("save ms", "load ms") if timed else ():
            table.add_column(name, justify="right", no_wrap=True)
        # the one that gives way: columns that may not wrap do not
        table.add_column(Text("what happened", no_wrap=True, overflow="ellipsis"))
        for where, record in _rows(of_model):
            times = (_milliseconds(record.save_s), _milliseconds(record.load_s)) if timed else ()
            outcome = Text(record.outcome, colours.get(record.outcome, "red"))
            said = Text(_said(record).partition("\n")[0], no_wrap=True, overflow="ellipsis")
            table.add_row(record.backend, escape(where), outcome, *times, said)
        console.print(table)
    said: dict[tuple[str, str], list[Record]] = {}
    for record in cells if messages else ():
        if record.message:
            said.setdefault((record.outcome, _said(record)), []).append(record)
    for (outcome, message), found in said.items():
        places = escape("; ".join(_places(found, cells)))
        console.print(f"\n[{colours.get(outcome, 'red')}]{outcome}[/] {places}\n  {escape(message)}")
        console.print(f"  [dim]→ {escape(remedy(found[0]))}[/]")


def show_trend(console, points: Sequence, title: str, everything: bool = False) -> None:
    """A row a backend, a column a run: as many of the newest as the console has room for, or all of them.

    `points` are the history's. The newest run's intervals come last; below, what changed before a run that is shown.
    """
    from rich.measure import Measurement

    runs = list(dict.fromkeys(point.run_id for point in points))
    natural = console.options.update(max_width=1_000_000)
    fits = len(runs) if everything else min(len(runs), max(1, console.width // 6))  # a column takes six at least
    while not everything and fits > 1 and _width(console, points, runs[-fits:]) > console.width:
        fits -= 1
    table = _trend_table(points, runs[-fits:])
    table.title = title if fits == len(runs) else f"{title}; the newest {fits} of {len(runs)} runs (--all: every one)"
    console.width = max(console.width, Measurement.get(console, natural, table).maximum)
    console.print(table)
    for run in runs[-fits:]:
        point = next(point for point in points if point.run_id == run)
        if point.changed:
            console.print(f"{point.started} changed: {point.changed}", highlight=False, markup=False)


def _width(console, points: Sequence, runs: Sequence[str]) -> int:
    from rich.measure import Measurement

    options = console.options.update(max_width=1_000_000)
    return Measurement.get(console, options, _trend_table(points, runs)).maximum


def _trend_table(points: Sequence, runs: Sequence[str]):
    from rich import box
    from rich.table import Table

    found = {(point.backend, point.run_id): point for point in points}
    started = {point.run_id: point.started for point in points}
    table = Table(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("backend", no_wrap=True)
    for run in runs:
        table.add_column(started[run][5:16].replace(" ", "\n"), justify="right", no_wrap=True)  # month-day, hour:minute
    table.add_column("99 %\ninterval", no_wrap=True)
    for backend in sorted({point.backend for point in points}):
        ratios = [found.get((backend, run)) for run in runs]
        newest = ratios[-1]
        interval = f"{_times(newest.low)} to {_times(newest.high)}" if newest and newest.low is not None else ""
        table.add_row(
            backend, *(_times(one.ratio) if one and one.ratio is not None else "–" for one in ratios), interval
        )
    return table


def _times(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def _where(record: Record) -> str:
    return f"{record.condition}: {record.interpreter}" if record.interpreter else record.condition


def _rows(cells: Sequence[Record]) -> Iterator[tuple[str, Record]]:
    """Where, and a cell, for each row: one for a backend of one answer, else one for each cell."""
    for backend in dict.fromkeys(record.backend for record in cells):
        own = [record for record in cells if record.backend == backend]
        answers = {(record.outcome, _said(record)) for record in own}
        if len(own) > 1 and len(answers) == 1:
            yield f"all {len(own)}", next((record for record in own if record.load_s), own[0])
        else:
            yield from ((_where(record), record) for record in own)


def _places(found: Sequence[Record], cells: Sequence[Record]) -> Iterator[str]:
    """Where cells are, of all that there are: by backend."""
    for backend in dict.fromkeys(record.backend for record in found):
        own = [_where(record) for record in found if record.backend == backend]
        every = sum(record.backend == backend for record in cells)
        yield f"{backend} × {f'all {every}' if 1 < len(own) == every else ', '.join(own)}"


def _said(record: Record) -> str:
    return f"{record.stage}: {record.message}" if record.stage and record.message else record.message or ""


def show_counts(console, records: Sequence[Record], by_condition: bool = True) -> None:
    """A row a backend, and a condition where there are several, a column an outcome; how many loaded and are wrong.

    Not `by_condition`: a row is a backend, and the one that is exact most often comes first.
    """
    from rich import box
    from rich.table import Table

    records = sorted((record for record in records if record.kind == "cell"), key=lambda record: record.backend)
    several = by_condition and len({record.condition for record in records}) > 1

    def row(record: Record) -> tuple[str, ...]:
        return (record.backend, record.condition) if several else (record.backend,)

    counts = Counter((row(record), record.outcome) for record in records)
    shown = [outcome for outcome in OUTCOMES if any(key[1] == outcome for key in counts)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in ("backend", "condition") if several else ("backend",):
        table.add_column(name, no_wrap=True)
    for outcome in shown:
        table.add_column(outcome, justify="right", no_wrap=True)
    rows = list(dict.fromkeys(map(row, records)))
    if not by_condition:
        rows.sort(key=lambda one: [-counts[one, outcome] for outcome in OUTCOMES])
    for one in rows:
        table.add_row(*one, *(str(counts[one, outcome] or "") for outcome in shown))
    console.print()
    console.print(table)
    wrong = sum(record.outcome == "mismatch" for record in records)
    console.print(f"{wrong} {'cell loads and is' if wrong == 1 else 'cells load and are'} wrong.")


def _milliseconds(values: list[float]) -> str:
    return f"{sorted(values)[len(values) // 2] * 1e3:.1f}" if values else ""


@contextmanager
def showing(run: Run, total: int) -> Iterator[Callable[[], None]]:
    """A bar of the run; yields what advances it, and closes the run. One that is interrupted says what there is."""
    try:
        with progress(total) as (run.tick, advance):
            yield advance
    except KeyboardInterrupt:
        if run.records:
            told = f"{len(run.records)} records are in {run.folder}; their tables: roundtrip report {run.folder}"
            click.echo(told, err=True)
        raise
    finally:
        run.close()


@contextmanager
def progress(total: int) -> Iterator:
    """A bar on stderr that names what is going on; where stderr is no terminal, a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    if not Console(stderr=True).is_terminal:
        lines = _Lines(total)
        yield lines.tick, lines.advance
        lines.say(force=True)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=total)
        yield lambda text: progress.update(task, description=text), lambda: progress.advance(task)


class _Lines:
    """Progress in a log: how far, how long, and what is going on, every LINE_EVERY_S seconds."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done, self.text, self.clock = total, 0, "starting", clock
        self.began = self.said = clock()

    def tick(self, text: str) -> None:
        self.text = text
        self.say()

    def advance(self) -> None:
        self.done += 1
        self.say()

    def say(self, force: bool = False) -> None:
        now = self.clock()
        if force or now - self.said >= LINE_EVERY_S:
            self.said = now
            minutes, seconds = divmod(round(now - self.began), 60)
            click.echo(f"{self.done} of {self.total}, {minutes}:{seconds:02}: {self.text}", err=True)
