"""Whether what a model answers hangs on how texts hash, which is otherwise in each process that Python starts.

A process that loads has another seed than the one that saved (`interpreters`). By those two alone a set of two texts
keeps its order half of the time, and `hash(word) % 2` is the same. So where a model came back equal, and its code or
state has to do with hashes or sets (`bytecode.hashes`), it is examined under more seeds. That is a question to the
model, not to the method: once it is answered for one that came back whole, the other methods' cells take the answer.

And where the answers differ while the state is the same, they are asked for under the seed that saved: if that mends
it, the message says so.

The seed: https://docs.python.org/3/using/cmdline.html#envvar-PYTHONHASHSEED
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.processes.process import HASH_SEED
from harness.system import whole

OTHERS = ("4", "5", "6")
"""Two texts in a set keep their order under all of these, and the one of any load, once in 16 times."""
_IN_ORDER = ("preprocess", "forward", "postprocess")
_WHOLE = ("exact", "close")
_RIGHT = ("equal", "close")
_LEAD = "where texts hash otherwise, as in each new process: "

Examined = Callable[[str], dict[str, Any]]
"""Hash seed -> the fields of the record, of the same artifact loaded in the same world under that seed."""


def judged(result: dict[str, Any], kept: Path, examined: Examined) -> dict[str, Any]:
    """What to put over the fields of a cell's record. `kept`: the file that holds the answer for this model."""
    taps = result.get("taps", {})  # none where edited code ran: that is told before anything is compared
    if result["outcome"] == "mismatch" and result["message"].startswith(tuple(f"{tap}(" for tap in taps)):
        if examined(HASH_SEED)["outcome"] in _WHOLE:
            return {"message": _LEAD + result["message"]}
    elif result["outcome"] in (*_WHOLE, "partial"):
        if not kept.exists() and result["outcome"] in _WHOLE:
            whole.write(kept, json.dumps(_asked(examined)).encode())  # another backend's cell may be reading it
        told = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        wrong = [tap for tap in told if result["taps"].get(tap) in _RIGHT]
        first = next((tap for tap in _IN_ORDER if tap in told), None)
        if wrong and result["taps"].get(first) != "absent":  # else a graph's own stages got what was saved
            taps = result["taps"] | dict.fromkeys(wrong, "different")
            return {"outcome": "mismatch", "message": _LEAD + told[wrong[0]], "taps": taps}
    return {}


def _asked(examined: Examined) -> dict[str, str]:
    """Tap -> what it answers otherwise, or raises, under another seed."""
    found: dict[str, str] = {}
    with ThreadPoolExecutor(len(OTHERS)) as pool:  # three interpreters start side by side
        for result in pool.map(examined, OTHERS):
            wrong = [tap for tap, verdict in result.get("taps", {}).items() if verdict == "different"]
            wrong = wrong or [result["stage"]] if result["stage"] in _IN_ORDER else wrong
            for tap in wrong:
                found.setdefault(tap, result["message"])
    return found
