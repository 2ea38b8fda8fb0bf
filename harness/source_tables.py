"""What json_spec's digests need of a module's source and is the same for every model of it: read once a process.

Each save reads the syntax and the tokens of the whole file: as much as all else that it does, where the model is tiny
and its file holds dozens. For the corpus alone (see `warm`): whatever is timed reads them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.json_spec.sources import Source

TABLES = ("tree", "tokens")
"""The attributes of `Source` that are remembered."""


def keep() -> None:
    """Have `Source.tree` and `Source.tokens` remembered by the file's bytes, of which they are made."""
    from backends.json_spec.sources import Source

    for name in TABLES:
        setattr(Source, name, property(_by_bytes(vars(Source)[name].func, _found[name])))


_found: dict[str, dict[bytes, Any]] = {name: {} for name in TABLES}


def _by_bytes(read: Callable[[Source], Any], found: dict[bytes, Any]) -> Callable[[Source], Any]:
    @functools.wraps(read)
    def kept(source: Source) -> Any:
        if source.data not in found:
            found[source.data] = read(source)
        return found[source.data]

    return kept
