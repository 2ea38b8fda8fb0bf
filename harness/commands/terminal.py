"""What several commands share: a run with a bar, its report, and its cells as tables in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from harness.records import OUTCOMES, Record


def run_all(settings, output: Path | None, traits=(), probes: bool = False):
    """Run the matrix, then the named traits, then the probes, with a bar."""
    from harness import corpus
    from harness.matrix import Run

    run = Run(settings, output)
    steps = len(run.settings.models) + len(run.settings.part(corpus.batches(traits, run.settings.backends)))
    steps += len(run.settings.part(run.settings.backends)) if probes else 0
    with progress(steps) as (tick, advance):
        run.tick = tick
        for name in run.settings.models:
            run.model(name)
            advance()
        for _ in run.traits(traits):
            advance()
        for _ in run.probes() if probes else ():
            advance()
    run.close()
    return run


def write_report(folder: Path) -> None:
    """Write the report of a run, name its files, and append the run to the history where it belongs there."""
    from harness import report
    from harness.history import remember
    from harness.registry import ROOT

    click.echo("\n".join(str(path) for path in report.write_report(folder)))
    if (file := remember(folder, ROOT / "reports")) is not None:
        click.echo(f"{file}: `roundtrip history` shows the runs so far")


def show_cells(console, records: Sequence[Record]) -> None:
    """A row a cell."""
    from rich.table import Table

    table = Table("model", "backend", "condition", "outcome", "save ms", "load ms", "what happened")
    colours = {"exact": "green", "close": "green", "partial": "yellow", "mismatch": "bold red"}
    for record in (record for record in records if record.kind == "cell"):
        message = f"{record.stage}: {record.message}" if record.stage and record.message else record.message or ""
        table.add_row(
            record.model,
            record.backend,
            f"{record.condition}: {record.interpreter}" if record.interpreter else record.condition,
            f"[{colours.get(record.outcome, 'red')}]{record.outcome}[/]",
            _milliseconds(record.save_s),
            _milliseconds(record.load_s),
            message.splitlines()[0].replace("[", "\\[") if message else "",
        )
    console.print(table)


def show_counts(console, records: Sequence[Record]) -> None:
    """A row a backend and condition, a column an outcome; then the cells that loaded and are wrong."""
    from rich.table import Table

    records = [record for record in records if record.kind == "cell"]
    counts = Counter((record.backend, record.condition, record.outcome) for record in records)
    shown = [outcome for outcome in OUTCOMES if any(key[2] == outcome for key in counts)]
    table = Table("backend", "condition", *shown)
    for backend, condition in dict.fromkeys((record.backend, record.condition) for record in sorted(records, key=_row)):
        table.add_row(backend, condition, *(str(counts[backend, condition, outcome]) for outcome in shown))
    console.print(table)
    wrong = [record for record in records if record.outcome == "mismatch"]
    console.print(f"{len(wrong)} cells load and are wrong.")


def _row(record) -> tuple[str, str]:
    return record.backend, record.condition


def _milliseconds(values: list[float]) -> str:
    return f"{sorted(values)[len(values) // 2] * 1e3:.1f}" if values else ""


@contextmanager
def progress(total: int) -> Iterator:
    """A bar on stderr that names what is going on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=total)
        yield lambda text: progress.update(task, description=text), lambda: progress.advance(task)
