"""The instrument itself, and what it takes long for: `selftest` and `growth`."""

from __future__ import annotations

from pathlib import Path

import click

_folder = click.Path(path_type=Path)
EXIT_CODES = {"pass": 0, "fail": 1, "too noisy": 3}


@click.command()
@click.option("--output", type=_folder, help="A new folder for the records [default: reports/runs/<id>].")
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check; repeatable: own_cost, memory, ...")
@click.pass_context
def selftest(context: click.Context, output: Path | None, only: tuple[str, ...]) -> None:
    """Measure what is known, and see whether it is found: equal backends, known delays, known memory, rankings.

    Exit code 0: pass; 1: a check failed; 3: the machine was too busy to tell.
    """
    from rich.console import Console
    from rich.table import Table

    from harness import selftest as checks
    from harness.commands.terminal import progress
    from harness.matrix import Run, Settings
    from harness.registry import ROOT

    names = checks.chosen(only)
    run = Run(Settings(), output)
    found = []
    with progress(len(names)) as (tick, advance):
        for check in checks.run(tick, names):
            found.append(check)
            run.keep([checks.record(check, run.run_id)])
            if check.group not in {one.group for one in found[:-1]}:  # a name has several checks
                advance()
    run.close()
    table = Table("check", "verdict", "what was found")
    colours = {"pass": "green", "fail": "bold red"}
    for check in found:
        table.add_row(check.name, f"[{colours.get(check.verdict, 'yellow')}]{check.verdict}[/]", _plain(check.message))
    Console().print(table)
    verdict = checks.overall(found)
    click.echo(f"{verdict}; records: {_shown(run.folder / 'records.jsonl', ROOT)}")
    context.exit(EXIT_CODES[verdict])


class Size(click.ParamType):
    """Bytes, such as 64MB or 4GB (powers of two), or a plain number."""

    name = "size"

    def convert(self, value, parameter, context):
        text = str(value).upper().removesuffix("B")
        unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
        number = text.rstrip("KMG")
        if not number.isdigit():
            self.fail(f"{value!r} is no size; say 64MB or 4GB", parameter, context)
        return int(number) * unit


@click.command()
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option("--max-bytes", type=Size(), default="256MB", show_default=True, help="The largest model, up to 4GB.")
@click.option("--max-modules", type=int, default=10_000, show_default=True, help="The most modules.")
@click.option("--budget-s", type=float, default=300.0, show_default=True, help="Seconds to begin new points in.")
@click.option("--output", type=_folder, help="A folder, new or of a growth run to go on with [default: a new one].")
def growth(backends: tuple[str, ...], max_bytes: int, max_modules: int, budget_s: float, output: Path | None) -> None:
    """Measure how save, load and memory grow with a model's bytes and with its number of modules.

    Ends with the budget and goes on, with the same --output, where it ended. Looks for room on the disk and in memory
    before it writes.
    """
    from rich.console import Console

    from harness.commands.terminal import progress, write_report
    from harness.costs import growth as sweeps
    from harness.matrix import ALL, Run, Settings
    from harness.tables import growth_curves

    run = Run(Settings(backends or (ALL,)), output, resume=True)
    wanted = sweeps.points(max_bytes, max_modules)
    todo = sweeps.missing(wanted, run.settings.backends, run.records)
    with progress(len(todo)) as (tick, advance):
        for record in sweeps.run(todo, run.run_id, budget_s, tick):
            run.keep([record])
            advance()
    run.close()
    _show_curves(Console(), growth_curves(run.records))
    measured = sum(record.kind == "growth" for record in run.records)
    if left := len(sweeps.missing(wanted, run.settings.backends, run.records)):
        click.echo(f"{left} points are left; the same command with --output {run.folder} goes on")
    if measured:
        write_report(run.folder)


def _show_curves(console, curves) -> None:
    from rich.table import Table

    table = Table("backend", "sweep", "cost", "exponent", "leaves the floor at", "up to", "cost there")
    for row in curves.itertuples(index=False):
        exponent = "–" if row[3] != row[3] or row[3] is None else f"{row[3]:.2f} ± {row[4]:.2f}"
        unit = "" if row.sweep == "modules" else " MB"
        scale = 1 if row.sweep == "modules" else 1 << 20
        leaves = "–" if row[5] is None or row[5] != row[5] else f"{row[5] / scale:g}{unit}"
        cost = f"{row[8] * 1e3:.3g} ms" if row.cost.endswith("_s") else f"{row[8] / (1 << 20):.4g} MB"
        table.add_row(row.backend, row.sweep, row.cost, exponent, leaves, f"{row.largest / scale:g}{unit}", cost)
    console.print(table)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def _shown(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
