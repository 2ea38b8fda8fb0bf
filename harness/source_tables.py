"""What json_spec's digests need of a module's source and is the same for every model of it: read once a process.

Each save reads the syntax and the tokens of the whole file: as much as all else that it does, where the model is tiny
and its file holds dozens. For the corpus alone (see `warm`): whatever is timed reads them.
"""

from __future__ import annotations

import functools


def keep() -> None:
    """Have `Source.tree` and `Source.tokens` remembered by the file's bytes, of which they are made."""
    from backends.json_spec.sources import Source

    for name in ("tree", "tokens"):
        setattr(Source, name, property(_by_bytes(vars(Source)[name].func)))


def _by_bytes(read):
    found = {}

    @functools.wraps(read)
    def kept(source):
        if source.data not in found:
            found[source.data] = read(source)
        return found[source.data]

    return kept
