"""Several runs: `history`, `compare` and `merge`."""

from __future__ import annotations

import statistics
from pathlib import Path

import click

from harness.commands.terminal import show_trend

_folder = click.Path(path_type=Path)
PROBLEMS_SHOWN = 5


@click.command()
@click.option("--add", "runs", multiple=True, type=_folder, help="Append this run's folder; repeatable.")
@click.option("--metric", type=click.Choice(["load", "save"]), default="load", show_default=True, help="Which cost.")
@click.option("--model", metavar="NAME", help="Of this model [default: the one that most backends have].")
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Every run, however wide [default: the newest that fit].")
@click.option("--page", type=_folder, help="Write the trend page to this file.")
@click.option("--file", type=_folder, help="The database [default: reports/history.db].")
def history(
    runs: tuple[Path, ...],
    metric: str,
    model: str | None,
    backends: tuple[str, ...],
    everything: bool,
    page: Path | None,
    file: Path | None,
) -> None:
    """Show how each backend's cost, as a multiple of the floor, went from run to run; the newest comes last.

    Runs in reports/runs are appended when they end; other folders with --add.
    """
    from rich.console import Console

    from harness import history as past
    from harness.records import read_records
    from harness.registry import ROOT

    db = past.open_history(file or ROOT / "reports" / past.FILE)
    for run in runs:
        click.echo(f"Added {past.add(db, run)}.")
        for problem in read_records(run).in_short(PROBLEMS_SHOWN):
            click.echo(f"Note: {run}: {problem}")
    model = model or past.common_model(db, metric)
    points = past.trend(db, metric, model, backends) if model else []
    if not points:
        click.echo("No costs there yet: `roundtrip bench` appends its run, `roundtrip history --add RUN` another one.")
        return
    show_trend(Console(), points, f"{model}: {metric}, × floor", everything)
    if page is not None:
        from harness.page.trend import render

        page.write_text(render(db), encoding="utf-8")
        click.echo(f"Page: {page}")


@click.command()
@click.argument("first", type=_folder)
@click.argument("second", type=_folder)
@click.option("--fail-on", type=click.Choice(["regression"]), help="Exit with 1 if anything got worse.")
@click.option("--all", "everything", is_flag=True, help="What got better too.")
@click.pass_context
def compare(context: click.Context, first: Path, second: Path, fail_on: str | None, everything: bool) -> None:
    """List what changed from run FIRST to run SECOND (folders): outcomes that got worse, then costs.

    A cost counts when it moved by 10 % or more and by more than chance moves any of all those compared; a backend's
    models are also looked at together. What all backends and the floor share, the machine, is taken out, and so is how
    far costs move between runs of the same code. The last lines say how large a slowdown these runs would show.
    """
    from harness.findings import rankings
    from harness.findings.changes import compare_runs
    from harness.records import read_records

    read = {folder: read_records(folder) for folder in (first, second)}
    for folder, found in read.items():
        for problem in found.in_short(PROBLEMS_SHOWN):
            click.echo(f"Note: {folder}: {problem}")
    runs = [read[folder].records for folder in (first, second)]
    changes = compare_runs(*runs)
    for note in changes.notes:
        click.echo(f"Note: {note}.")
    for change in changes.outcomes:
        if change.worse or everything:
            word = "WORSE " if change.worse else "better"
            click.echo(f"{word} {change.backend} × {change.model} × {change.condition}: {change.was} → {change.now}")
            if change.worse:
                click.echo(
                    f"         {change.message.splitlines()[0] if change.message else ''}\n         {change.rerun}"
                )
    for place in changes.gone:
        click.echo(f"GONE   {place}")
    for change in changes.backends:
        if change.worse or everything:
            click.echo(
                f"{_word(change)} {change.backend}: {change.metric} {change.change:+.0%} over {change.models} models "
                f"({change.low:+.0%} to {change.high:+.0%})"
            )
    for change in changes.costs:
        if change.worse or everything:
            click.echo(
                f"{_word(change)} {change.backend} × {change.model}: {change.metric} {change.change:+.0%}, "
                f"{_interval(change.was)} → {_interval(change.now)}\n         {change.rerun}"
            )
    told = [*changes.outcomes, *changes.backends, *changes.costs]
    worse = sum(change.worse for change in told) + len(changes.gone)
    better = len(told) + len(changes.gone) - worse
    click.echo(
        f"{worse} worse, {better} better, {changes.new} new cells; "
        f"{changes.compared_cells} cells and {changes.compared_costs} costs compared."
    )
    if changes.least_slowdowns:
        least = statistics.median(changes.least_slowdowns)
        click.echo(
            f"Half of the costs would show a slowdown of {least:.0%}; a smaller one needs more, or quieter, rounds."
        )
    if changes.least_over_models:
        least = statistics.median(changes.least_over_models)
        click.echo(f"Half of the backends would show one of {least:.0%} over all models.")
    click.echo(f"Rankings: {rankings.compare_runs(*runs).text}.")
    if fail_on and changes.is_regression:
        context.exit(1)


def _word(change) -> str:
    return "SLOWER" if change.worse else "faster"


def _interval(found) -> str:
    return f"{found.median * 1e3:.3g} ms ({found.low * 1e3:.3g} to {found.high * 1e3:.3g})"


@click.command()
@click.argument("runs", nargs=-1, required=True, type=_folder)
@click.option("--output", type=_folder, help="The new folder [default: reports/runs/<id>].")
@click.option("--replace", is_flag=True, help="What two folders measured is taken from the later one.")
@click.option("--keep-costs", is_flag=True, help="Then times, sizes and memory stay those of the earlier one.")
def merge(runs: tuple[Path, ...], output: Path | None, replace: bool, keep_costs: bool) -> None:
    """Put the parts of a sharded run (folders) together into one run, and make its report.

    With --replace, newer parts go into an older run: `roundtrip merge OLD NEW --replace`. Where the newer machine was
    slower or busier, --keep-costs takes from it what came back, and not how long it took.
    """
    from harness.merging import merge_runs
    from harness.report import write_report

    folder, notes = merge_runs(runs, output, replace, keep_costs)
    for note in notes:
        click.echo(f"Note: {note}")
    click.echo("\n".join(str(path) for path in write_report(folder)))
