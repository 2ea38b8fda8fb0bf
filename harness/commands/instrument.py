"""The instrument itself: `selftest`."""

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
    from harness.matrix import Run, Settings
    from harness.registry import ROOT

    names = checks.chosen(only)
    run = Run(Settings(), output)
    console = Console(stderr=True)
    found = []
    with console.status("starting") as status:
        for check in checks.run(status.update, names):
            found.append(check)
            run.keep([checks.record(check, run.run_id)])
    run.close()
    table = Table("check", "verdict", "what was found")
    colours = {"pass": "green", "fail": "bold red"}
    for check in found:
        table.add_row(check.name, f"[{colours.get(check.verdict, 'yellow')}]{check.verdict}[/]", _plain(check.message))
    Console().print(table)
    verdict = checks.overall(found)
    click.echo(f"{verdict}; records: {_shown(run.folder / 'records.jsonl', ROOT)}")
    context.exit(EXIT_CODES[verdict])


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def _shown(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
