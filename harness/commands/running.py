"""What runs models: `bench`, `check`, `traits` and `probe`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.terminal import run_all, show_cells, show_counts, showing, write_report
from harness.errors import ModelFileError

_backends = click.option(
    "--backend", "backends", multiple=True, metavar="NAME", help="Only this one; repeatable; or all."
)
_conditions = click.option(
    "--condition", "conditions", multiple=True, metavar="NAME", help="Only this; repeatable; or all."
)
_interpreters = click.option(
    "--interpreter", "interpreters", multiple=True, metavar="PATH",
    help="Load under this other Python too (it needs torch); repeatable.",
)  # fmt: skip
_life = click.option(
    "--life", type=click.Choice(["none", "quick", "full"]), default="quick", show_default=True,
    help="After loading: training, copying; full: saving again, torch.compile, torch.export.",
)  # fmt: skip


def _part(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    number, slash, count = value.partition("/")
    if not (slash and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise click.BadParameter(f"{value!r} is not of the form K/N with 1 <= K <= N, such as 2/3")
    return int(number), int(count)


@click.command()
@click.argument("model")
@_backends
@_conditions
@_interpreters
@_life
@click.option("--rounds", default=3, show_default=True, help="Timed rounds, at most.")
@click.option("--output", type=click.Path(path_type=Path), help="Keep the run in this new folder.")
def check(
    model: str,
    backends: tuple[str, ...],
    conditions: tuple[str, ...],
    interpreters: tuple[str, ...],
    life: str,
    rounds: int,
    output: Path | None,
) -> None:
    """Try MODEL (a name, or path/to/file.py:BUILDER) against every backend, and show the table.

    The file needs a function BUILDER that returns the model and a function `examples` that returns raw inputs.
    """
    import tempfile

    from rich.console import Console

    from harness.matrix import ALL, Settings

    with tempfile.TemporaryDirectory(prefix="roundtrip-") as temporary:
        run = run_all(
            Settings(backends or (ALL,), (model,), conditions, rounds, life=life, interpreters=interpreters),
            output or Path(temporary) / "run",
        )
        show_cells(Console(), run.records, messages=True)
        show_counts(Console(), run.records, by_condition=False)
        if output:
            click.echo(f"Records: {run.folder / 'records.jsonl'}")
    cells = [record for record in run.records if record.kind == "cell"]
    first = cells[0]
    if all(record.stage == "build" for record in cells):
        raise ModelFileError(f"{model} could not be built: {first.error_type}: {first.message}", first.traceback or "")


@click.command()
@_backends
@_conditions
@_interpreters
@_life
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only this one; repeatable; or file.py:BUILDER.")
@click.option("--rounds", default=15, show_default=True, help="Timed rounds, at most.")
@click.option(
    "--budget",
    "budget_s",
    type=float,
    help="Seconds for the rounds of one model [default: 0.25 a backend, to 2.5 where rounds are dear].",
)
@click.option("--quick", is_flag=True, help="Small models, quick backends, three conditions, a few rounds.")
@click.option(
    "--cold-starts", type=click.Choice(["none", "some", "all"]), default="none", show_default=True,
    help="Three new interpreters a backend: of one model (some) or of all.",
)  # fmt: skip
@click.option("--traits", is_flag=True, help="The corpus of tiny models too.")
@click.option("--probes", is_flag=True, help="Safety and transparency too: planted code, damage, same bytes.")
@click.option("--shard", metavar="K/N", default="1/1", callback=_part, help="Part K of N, for `roundtrip merge`.")
@click.option("--output", type=click.Path(path_type=Path), help="A new folder [default: reports/runs/<id>].")
def bench(
    models: tuple[str, ...],
    backends: tuple[str, ...],
    conditions: tuple[str, ...],
    interpreters: tuple[str, ...],
    life: str,
    rounds: int,
    budget_s: float | None,
    quick: bool,
    cold_starts: str,
    traits: bool,
    probes: bool,
    shard: tuple[int, int],
    output: Path | None,
) -> None:
    """Run the matrix and write records and tables, as `pytest benchmarks/` does without pytest's own table.

    Slow backends are left out, and named; --backend all has them too.
    """
    from rich.console import Console

    from harness import registry
    from harness.matrix import Settings

    names = registry.trait_names() if traits else ()
    settings = Settings(
        backends, models, conditions, rounds, quick, budget_s=budget_s, shard=shard,
        life=life, interpreters=interpreters, cold_starts=cold_starts,
    )  # fmt: skip
    run = run_all(settings, output, names, probes)
    cells = [record for record in run.records if record.kind == "cell"]
    show_cells(Console(), [record for record in cells if not record.model.startswith(registry.TRAIT_PREFIX)])
    show_counts(Console(), cells)
    write_report(run.folder)
    if settings.notice():
        click.echo(settings.notice())
    run.require_all()


@click.command()
@_backends
@_conditions
@_interpreters
@click.option("--family", "families", multiple=True, metavar="NAME", help="Only this kind of difficulty; repeatable.")
@click.option("--trait", "names", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option(
    "--distinct",
    "is_distinct",
    is_flag=True,
    help="The fewest that show every kind of answer of the published run, and what is new since.",
)
@click.option("--output", type=click.Path(path_type=Path), help="A new folder [default: reports/runs/<id>].")
def traits(
    backends: tuple[str, ...],
    conditions: tuple[str, ...],
    interpreters: tuple[str, ...],
    families: tuple[str, ...],
    names: tuple[str, ...],
    is_distinct: bool,
    output: Path | None,
) -> None:
    """Run the corpus: hundreds of tiny models, one difficulty each, against every backend.

    Shows how many came back, and every one that loads and is wrong; the run's tables have the rest.
    """
    from rich.console import Console

    from harness import corpus, registry
    from harness.findings.distinct import distinct
    from harness.matrix import ALL, Run, Settings
    from harness.publishing import PUBLISHED
    from harness.records import read_records

    wanted = [f"{registry.TRAIT_PREFIX}{name.removeprefix(registry.TRAIT_PREFIX)}" for name in names]
    wanted = every = wanted or registry.trait_names(families)
    if is_distinct:
        wanted = distinct(every, read_records(PUBLISHED).records)
        click.echo(f"{len(wanted)} of {len(every)} traits: every kind of answer is in one of them.")
    chosen = conditions or corpus.DEFAULT_CONDITIONS
    settings = Settings(backends or (ALL,), conditions=chosen, interpreters=interpreters)
    run = Run(settings, output)
    with showing(run, len(corpus.batches(wanted, run.settings.backends))) as advance:
        for _ in run.traits(wanted, run.settings.conditions):
            advance()
    if not run.records:  # what went wrong, then, and not that nothing is there to report
        run.require_all()
    show_counts(Console(), run.records)
    write_report(run.folder)
    run.require_all()


@click.command()
@_backends
@click.option("--output", type=click.Path(path_type=Path), help="A new folder [default: reports/runs/<id>].")
def probe(backends: tuple[str, ...], output: Path | None) -> None:
    """Try what artifacts do beyond coming back: planted code, flipped bits, a lost end, same bytes, readable text."""
    from rich.console import Console
    from rich.table import Table

    from harness.matrix import ALL, Run, Settings

    run = Run(Settings(backends or (ALL,)), output)
    with showing(run, len(run.settings.backends)) as advance:
        for _ in run.probes():
            advance()
    table = Table("backend", "model", "probe", "answer", "what happened")
    for record in run.records:
        table.add_row(
            record.backend, record.model, record.condition, record.facts["answer"], record.facts["evidence"][:200]
        )
    console = Console()
    console.print(table, markup=False)
    for name in run.settings.backends:
        if name not in {record.backend for record in run.records}:
            console.print(f"{name} brought none of the probed models back: nothing to probe.")
    click.echo(f"Records: {run.folder / 'records.jsonl'}")
    run.require_all()
