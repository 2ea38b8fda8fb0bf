"""What tells of runs and of what there is: `list`, `report` and `recommend`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import click

from harness.commands.terminal import run_all, write_report


@click.command("list")
@click.option("--traits", is_flag=True, help="List the tiny models instead, by the kind of their difficulty.")
def list_(traits: bool) -> None:
    """List backends, reference models and conditions."""
    from rich.console import Console
    from rich.table import Column, Table

    from harness import registry
    from harness.conditions import CONDITIONS

    console = Console()
    if traits:
        table = Table("kind", Column("trait", overflow="fold"), "exercises")
        for family, several in groupby(registry.TRAITS.values(), lambda trait: trait.family):
            table.add_section()
            for place, trait in enumerate(several):
                table.add_row("" if place else family, trait.builder, trait.exercises)
        console.print(table)
        return
    backends = Table("backend", "class", "installed?", title="Backends", title_justify="left")
    for name in registry.backend_names():
        entry = registry.backend_entry(name)
        backends.add_row(name, entry.target, registry.how_to_install(entry) or "yes")
    models = Table("model", "exercises", title="Reference models", title_justify="left")
    for name in registry.model_names():
        models.add_row(name, registry.model_source(name).exercises)
    conditions = Table("condition", "question", "when", title="Conditions", title_justify="left")
    for condition in CONDITIONS.values():
        conditions.add_row(condition.name, condition.question, "in every run" if condition.default else "when asked")
    for table in (backends, models, conditions):
        console.print(table)
    console.print(f"And {len(registry.trait_names())} tiny models with one difficulty each: roundtrip list --traits")
    console.print("Your own: --model path/to/file.py:BUILDER, --backend path/to/file.py:CLASS")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Make all tables of RUN (its folder) again from its records."""
    write_report(run)


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
def publish(run: Path) -> None:
    """Make RUN (its folder) the published one: reports/published, and the README's table. For maintainers."""
    from harness.publishing import publish
    from harness.registry import ROOT

    for path in publish(run):
        click.echo(path.relative_to(ROOT))


@click.command()
@click.option("--need", "needs", multiple=True, metavar="NAME", help="What must hold; repeatable. Without: the list.")
@click.option("--prefer", multiple=True, metavar="COST", help="load, save, size or memory; repeatable, first first.")
@click.option("--model", metavar="NAME", help="For this model; one that RUN does not hold is tried now.")
@click.option("--run", "folder", type=click.Path(path_type=Path), help="A run's folder [default: the newest].")
@click.option("--all", "everything", is_flag=True, help="Every backend, not the first three.")
def recommend(
    needs: tuple[str, ...], prefer: tuple[str, ...], model: str | None, folder: Path | None, everything: bool
) -> None:
    """Say which backend fits what you need, why, and which comes next: the ranking of the report's page."""
    from harness import recommend
    from harness.environment import read_environment
    from harness.findings.needs import all_needs
    from harness.records import read_records
    from harness.registry import ROOT

    newest, folder = folder is None, folder or recommend.latest_run(ROOT / "reports")
    records = read_records(folder).records
    borrowed = recommend.borrowed(records, ROOT / "reports" / "published") if newest else []
    records = [*records, *borrowed]
    python = str((read_environment(folder)[0] or {}).get("python", ""))
    if not needs and not prefer:
        width = max(len(need.id) for need in all_needs(records))
        click.echo("Needs:\n" + "\n".join(f"  {need.id:<{width}}  {need.asks}" for need in all_needs(records)))
        click.echo("Costs to prefer: load, save, size, memory\n")
    wanted = recommend.choice(needs, prefer, records)
    if model is not None:
        tried_now = _try_now(model, records, recommend.conditions_of(wanted, records))
        records = recommend.of_model([*records, *tried_now], model)
    click.echo(
        "\n".join(recommend.lines(recommend.recommend(records, wanted, python), records, None if everything else 3))
    )
    probed = f", {len(borrowed)} of them probes of reports/published" if borrowed else ""
    click.echo(f"\nFrom {len(records)} records of {folder}{probed}.")


def _try_now(model: str, records, conditions: tuple[str, ...]) -> list:
    """The cells of a model that the records do not hold, under these conditions, with every backend."""
    import tempfile

    from harness.matrix import ALL, Settings

    if any(record.model == model for record in records):
        return []
    with tempfile.TemporaryDirectory(prefix="roundtrip-") as temporary:
        return run_all(Settings((ALL,), (model,), conditions, rounds=3), Path(temporary) / "run").records
