"""By what means code looks something up, and the texts by which it may: `globals()["SCALE"]`, `import_module(name)`.

Read from bytecode alone, whatever the code would do with them.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Iterable

from harness.source import bytecode

_BUILTIN_WAYS = frozenset("globals vars getattr eval exec __import__".split())  # noqa: SIM905
ENVIRONMENT = frozenset({"environ", "getenv", "environb", "expandvars"})
_OTHER_WAYS = ENVIRONMENT | {"__globals__", "import_module", "getmodule", "attrgetter"}
EVALUATES = frozenset({"eval", "exec"})
_OF_WORDS = EVALUATES | {"attrgetter"}
"""Ways of which a text has several names."""
IMPORTS = frozenset({"import_module", "__import__"})
TO_MODULES = IMPORTS | {"modules", "getmodule"}
"""Ways to one of the user's modules that is no global of the code."""
TO_GLOBALS = EVALUATES | {"globals", "__globals__"}
"""Ways to a global of the code, wherever its module is: a copy by value has globals of its own."""
_WORD = re.compile(r"\w+")


@functools.lru_cache(maxsize=4096)
def ways(code: types.CodeType) -> frozenset[str]:
    """What in the code looks something up by a text; `self.eval()` and `self.modules()` are none of it."""
    loaded = bytecode.read(code, "LOAD_GLOBAL") | bytecode.read(code, "LOAD_NAME")
    names = {name for part in bytecode.with_inner(code) for name in part.co_names}
    found = (loaded & _BUILTIN_WAYS) | (names & _OTHER_WAYS)
    return found | ({"modules"} if "modules" in loaded or {"sys", "modules"} <= names else set())


def texts(code: types.CodeType) -> set[str]:
    """The texts in code that may look something up by them, and the words of those that are code."""
    means = ways(code)
    if not means:
        return set()
    found = {text for part in bytecode.with_inner(code) for text in part.co_consts if isinstance(text, str)}
    return found | (words(found) if means & _OF_WORDS else set())


def words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in _WORD.findall(text)}


def beginnings(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts by which names begin, to which the code adds the rest: those that end in `_`."""
    return tuple(text for text in texts if len(text) > 1 and text.endswith("_") and not text.startswith("_"))
