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

TABLES = ("tree", "tokens", "statements", "digest")
"""The attributes of `Source` that are remembered."""


def keep() -> None:
    """Have them remembered by the file's bytes, of which they are made; the digest of a name by that as well."""
    from backends.json_spec.sources import Source

    for name in TABLES:
        made = vars(Source)[name]
        is_property = isinstance(made, functools.cached_property)
        kept = _by_bytes(made.func if is_property else made, _found[name])
        setattr(Source, name, property(kept) if is_property else kept)


_found: dict[str, dict[tuple, Any]] = {name: {} for name in TABLES}


def _by_bytes(read: Callable[..., Any], found: dict[tuple, Any]) -> Callable[..., Any]:
    @functools.wraps(read)
    def kept(source: Source, *names: str) -> Any:
        if (key := (source.data, *names)) not in found:
            found[key] = read(source, *names)
        return found[key]

    return kept
