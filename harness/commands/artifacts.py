"""What an artifact of json_spec holds: `inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import RoundtripError


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.pass_context
def inspect(context: click.Context, artifact: Path, other: Path | None) -> None:
    """Show what is in ARTIFACT, a folder that json_spec wrote; with OTHER, what differs between the two.

    Nothing that the files name is imported. Exit status: 0, or 1 where the two differ, or 2 where one cannot be read.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.tree import Tree

    from backends import json_spec

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=1000)  # a line of the tree stays a line in a file
    try:
        if other is not None:
            found = json_spec.differences(artifact, other)
            for difference in found:
                console.print(escape(str(difference)), soft_wrap=True)
            context.exit(1 if found else 0)
        root = json_spec.inspect(artifact)
    except json_spec.ArtifactError as error:
        hint = "The command reads folders that json_spec wrote and nobody has changed since."
        raise RoundtripError(str(error), hint) from error
    tree = Tree(escape(root.line()))
    left = [(root, tree)]
    while left:
        part, branch = left.pop()
        left += [(inner, branch.add(escape(inner.line()))) for inner in part.parts]
    console.print(tree)
    tensors = [part for part in root.walk() if part.where]
    console.print(f"{len(tensors)} tensors and arrays, {sum(part.size_bytes for part in tensors)} bytes")
