"""The command line `roundtrip`. The only place of the harness that prints or exits.

Imports are inside the commands, so that `--help` needs neither torch nor pandas.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from harness.commands import artifacts, instrument, over_time
from harness.errors import ModelFileError, RoundtripError


class Commands(click.Group):
    """A group whose commands answer a RoundtripError with its message, its hint and exit code 2."""

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except RoundtripError as error:
            click.echo(f"Error: {error}", err=True)
            context.exit(2)


_backends = click.option("--backend", "backends", multiple=True, metavar="NAME", help="Only this one; repeatable.")
_conditions = click.option("--condition", "conditions", multiple=True, metavar="NAME", help="Only this; repeatable.")
_interpreters = click.option(
    "--interpreter", "interpreters", multiple=True, metavar="PATH",
    help="Load under this other Python too (it needs torch); repeatable.",
)  # fmt: skip


def _part(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    number, slash, count = value.partition("/")
    if not (slash and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise click.BadParameter(f"{value!r} is not of the form K/N with 1 <= K <= N, such as 2/3")
    return int(number), int(count)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="roundtrip-bench")
def main() -> None:
    """Which way should you save your PyTorch model, when the model is more than its weights?

    Every backend saves every reference model; a fresh process loads it; the tables say what came back.
    """


@main.command("list")
def list_() -> None:
    """List backends, reference models and conditions."""
    from rich.console import Console
    from rich.table import Table

    from harness import registry
    from harness.conditions import CONDITIONS

    console = Console()
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
    console.print(f"And {len(registry.trait_names())} tiny models with one difficulty each: --model trait/NAME")
    console.print("Your own: --model path/to/file.py:BUILDER, --backend path/to/file.py:CLASS")


@main.command()
@click.argument("model")
@_backends
@_conditions
@_interpreters
@click.option("--rounds", default=3, show_default=True, help="Timed rounds, at most.")
@click.option("--output", type=click.Path(path_type=Path), help="Keep the run in this new folder.")
def check(
    model: str,
    backends: tuple[str, ...],
    conditions: tuple[str, ...],
    interpreters: tuple[str, ...],
    rounds: int,
    output: Path | None,
) -> None:
    """Try MODEL (a name, or path/to/file.py:BUILDER) against every backend, and show the table.

    The file needs a function BUILDER that returns the model and a function `examples` that returns raw inputs.
    """
    import tempfile

    from rich.console import Console

    from harness.matrix import Settings

    with tempfile.TemporaryDirectory(prefix="roundtrip-") as temporary:
        run = _run(
            Settings(backends, (model,), conditions, rounds, interpreters=interpreters),
            output or Path(temporary) / "run",
        )
        _show(Console(), run.records)
        if output:
            click.echo(f"Records: {run.folder / 'records.jsonl'}")
    first = run.records[0]
    if all(record.stage == "build" for record in run.records):
        raise ModelFileError(f"{model} could not be built: {first.error_type}: {first.message}", first.traceback or "")


@main.command()
@_backends
@_conditions
@_interpreters
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only this one; repeatable; or file.py:BUILDER.")
@click.option("--rounds", default=15, show_default=True, help="Timed rounds, at most.")
@click.option("--quick", is_flag=True, help="Small models and a few rounds.")
@click.option("--traits", is_flag=True, help="The corpus of tiny models too.")
@click.option("--probes", is_flag=True, help="Safety and transparency too: planted code, damage, same bytes.")
@click.option("--shard", metavar="K/N", default="1/1", callback=_part, help="Part K of N, for `roundtrip merge`.")
@click.option("--output", type=click.Path(path_type=Path), help="A new folder [default: reports/runs/<id>].")
def bench(
    models: tuple[str, ...],
    backends: tuple[str, ...],
    conditions: tuple[str, ...],
    interpreters: tuple[str, ...],
    rounds: int,
    quick: bool,
    traits: bool,
    probes: bool,
    shard: tuple[int, int],
    output: Path | None,
) -> None:
    """Run the matrix and write records and tables, as `pytest benchmarks/` does without pytest's own table."""
    from rich.console import Console

    from harness import registry
    from harness.matrix import Settings

    names = registry.trait_names() if traits else ()
    settings = Settings(backends, models, conditions, rounds, quick, shard=shard, interpreters=interpreters)
    run = _run(settings, output, names, probes)
    cells = [record for record in run.records if record.kind == "cell"]
    _show(Console(), [record for record in cells if not record.model.startswith(registry.TRAIT_PREFIX)])
    _show_counts(Console(), cells)
    _report(run.folder)


@main.command()
@_backends
@_conditions
@click.option("--family", "families", multiple=True, metavar="NAME", help="Only this kind of difficulty; repeatable.")
@click.option("--trait", "names", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option("--output", type=click.Path(path_type=Path), help="A new folder [default: reports/runs/<id>].")
def traits(
    backends: tuple[str, ...],
    conditions: tuple[str, ...],
    families: tuple[str, ...],
    names: tuple[str, ...],
    output: Path | None,
) -> None:
    """Run the corpus: hundreds of tiny models, one difficulty each, against every backend.

    Shows how many came back, and every one that loads and is wrong; the run's tables have the rest.
    """
    from rich.console import Console

    from harness import corpus, registry
    from harness.matrix import Run, Settings

    wanted = [f"{registry.TRAIT_PREFIX}{name.removeprefix(registry.TRAIT_PREFIX)}" for name in names]
    wanted = wanted or registry.trait_names(families)
    run = Run(Settings(tuple(backends)), output)
    with _progress(len(corpus.batches(wanted, run.settings.backends))) as (tick, advance):
        run.tick = tick
        for _ in run.traits(wanted, conditions):
            advance()
    run.close()
    _show_counts(Console(), run.records)
    _report(run.folder)


@main.command()
@_backends
@click.option("--output", type=click.Path(path_type=Path), help="A new folder [default: reports/runs/<id>].")
def probe(backends: tuple[str, ...], output: Path | None) -> None:
    """Try what artifacts do beyond coming back: planted code, flipped bits, a lost end, same bytes, readable text."""
    from rich.console import Console
    from rich.table import Table

    from harness.matrix import Run, Settings

    run = Run(Settings(tuple(backends)), output)
    with _progress(len(run.settings.backends)) as (tick, advance):
        run.tick = tick
        for _ in run.probes():
            advance()
    run.close()
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


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Make all tables of RUN (its folder) again from its records."""
    _report(run)


@main.command()
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
    from harness.needs import all_needs
    from harness.records import read_records
    from harness.registry import ROOT
    from harness.report import read_environment

    folder = folder or recommend.latest_run(ROOT / "reports")
    records = read_records(folder).records
    python = str((read_environment(folder)[0] or {}).get("python", ""))
    if not needs and not prefer:
        width = max(len(need.id) for need in all_needs(records))
        click.echo("Needs:\n" + "\n".join(f"  {need.id:<{width}}  {need.asks}" for need in all_needs(records)))
        click.echo("Costs to prefer: load, save, size, memory\n")
    wanted = recommend.choice(needs, prefer, records)
    if model is not None:
        records = recommend.of_model([*records, *_try_now(model, records)], model)
    click.echo(
        "\n".join(recommend.lines(recommend.recommend(records, wanted, python), records, None if everything else 3))
    )
    click.echo(f"\nFrom {len(records)} records of {folder}.")


def _try_now(model: str, records) -> list:
    """The cells of a model that the records do not hold."""
    import tempfile

    from harness.matrix import Settings

    if any(record.model == model for record in records):
        return []
    with tempfile.TemporaryDirectory(prefix="roundtrip-") as temporary:
        return _run(Settings(models=(model,), rounds=3), Path(temporary) / "run").records


main.add_command(artifacts.inspect)
main.add_command(over_time.history)
main.add_command(over_time.compare)
main.add_command(over_time.merge)
main.add_command(instrument.selftest)


def _run(settings, output: Path | None, traits=(), probes: bool = False):
    """Run the matrix, then the named traits, then the probes, with a bar."""
    from harness import corpus
    from harness.matrix import Run

    run = Run(settings, output)
    steps = len(run.settings.models) + len(run.settings.part(corpus.batches(traits, run.settings.backends)))
    steps += len(run.settings.part(run.settings.backends)) if probes else 0
    with _progress(steps) as (tick, advance):
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


def _report(folder: Path) -> None:
    from harness.history import remember
    from harness.registry import ROOT
    from harness.report import write_report

    click.echo("\n".join(str(path) for path in write_report(folder)))
    if (file := remember(folder, ROOT / "reports")) is not None:
        click.echo(f"{file}: `roundtrip history` shows the runs so far")


def _show(console, records) -> None:
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


def _show_counts(console, records) -> None:
    """A row a backend and condition, a column an outcome; then the cells that loaded and are wrong."""
    from collections import Counter

    from rich.table import Table

    from harness.records import OUTCOMES

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
def _progress(total: int) -> Iterator:
    """A bar on stderr that names what is going on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=total)
        yield lambda text: progress.update(task, description=text), lambda: progress.advance(task)
