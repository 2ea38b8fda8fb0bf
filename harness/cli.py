"""The command line `roundtrip`: its commands are in `harness.commands`, which alone of the harness print or exit.

Imports are inside the commands, so that `--help` needs neither torch nor pandas.
"""

from __future__ import annotations

import signal
import threading

import click

from harness.commands import artifacts, instrument, over_time, running, telling
from harness.errors import RoundtripError


class Commands(click.Group):
    """A group whose commands answer a RoundtripError with its message, its hint and exit code 2."""

    def invoke(self, context: click.Context):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is told to end tidies up as after Ctrl-C
        try:
            return super().invoke(context)
        except RoundtripError as error:
            click.echo(f"Error: {error}", err=True)
            context.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="roundtrip-bench")
def main() -> None:
    """Which way should you save your PyTorch model, when the model is more than its weights?

    Every backend saves every reference model; a fresh process loads it; the tables say what came back.
    """


for command in (
    telling.list_, running.check, running.bench, running.traits, running.probe,
    telling.report, telling.recommend, telling.publish,
    over_time.history, over_time.compare, over_time.merge,
    artifacts.inspect, instrument.selftest, instrument.growth,
):  # fmt: skip
    main.add_command(command)
