"""Mutated artifacts with digests that fit: a program that loads them and reports everything but a documented error.

    python fuzzing.py FOLDER --seed 1 --count 300        # or --seconds 600
    python fuzzing.py FOLDER --replay                    # load what lies in FOLDER/current again

A mutation changes the parsed spec (values, keys, names, references, tags, whole branches), its text, the header of the
weights, or their bytes. Findings: an error that is not of ArtifactError's tree, a load that takes more than 20 s or
memory beyond a limit, and, by an audit hook of the interpreter, an import outside the allow-list, a file opened outside
the artifact, code compiled or executed, a process or a connection. The mutant in work lies in FOLDER/current, so that
a crash leaves it behind; those with findings are kept beside it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
import zoneinfo
from pathlib import Path
from typing import Any

import crafting
import torch
from seeds import SEEDS

from backends.json_spec import ArtifactError, load, save
from backends.json_spec.codecs import CODECS
from backends.json_spec.forms import FORMS
from backends.json_spec.trust import allowed

LIBRARIES = {
    "torch", "torchvision", "numpy", "pandas", "PIL", "sentencepiece", "pyarrow", "backends", "json_spec_things",
    "tripwires", "tripwire_package", "tzdata",
}  # fmt: skip
HERE = Path(__file__).parent
TRUSTED_SOURCES = ("json_spec_things.py", "tripwires.py", "tripwire_package")
"""What a loader may read to see whether trusted definitions have changed."""
FORBIDDEN = {"exec", "compile", "marshal.loads", "pickle.find_class", "ctypes.dlopen", "shutil", "socket", "subprocess"}
FORBIDDEN |= {"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.mkdir", "os.chmod"}
FORBIDDEN |= {"os.putenv", "os.kill", "urllib.Request", "webbrowser.open", "tempfile", "builtins.input"}
HANG_S = 20
MEMORY_BYTES = 3 << 30

NUMBERS = [0, 1, -1, 2, 63, 64, 255, 2**31, 2**32, 2**61, 2**62 - 1, 2**62, 2**63 - 1, -(2**63), 0.5, -0.0, 1e308]
TEXTS = [
    "", "$ref", "model", "a" * 300, "../x", "/etc/passwd", "\x00", "\x1b[2J", "nan", "float32", "qint8", "<f8", "|O",
    "quint4x2", "bits8", "U", "|V8", "<M8[D]", "cuda:0", "meta", "mps", "weight", "forward", "__class__", "__del__",
    "é", "(",
    "_parameters", "training", "1e999999999", "0x" + "f" * 20, "[a", "(?i)[a-\U0010ffff]", "Int64", "sparse_csr",
]  # fmt: skip
NAMES = [
    "os:system", "builtins:eval", "builtins:exec", "subprocess:Popen", "torch.hub:load", "torch:load", "pathlib:Path",
    "torch.serialization:pickle.loads", "json_spec_things:os.system", "json_spec_things.missing:X", "torch:Tensor",
    "json_spec_things:Holder", "json_spec_things:Point", "json_spec_things:Colour", "json_spec_things:Pair",
    "numpy:load",
    "json_spec_things.__main__:X", "numpy:ndarray", "torch.nn.parameter:Parameter", "__main__:main",
]  # fmt: skip
WRAPPINGS = [lambda x: [x], lambda x: {"$tuple": [x]}, lambda x: {"a": x}, lambda x: {"$set": [x]}]


class Hang(BaseException):
    """The alarm went off."""


def mutate(spec: Any, chance: random.Random) -> None:
    """Change the parsed spec in one to four places."""
    for _ in range(chance.choice([1, 1, 1, 2, 2, 4])):
        places = list(_places(spec))
        container, key = chance.choice(places)
        chance.choice(CHANGES)(container, key, places, chance)


def _places(node: Any) -> Any:
    left = [node]
    while left:
        container = left.pop()
        for key, item in container.items() if isinstance(container, dict) else enumerate(container):
            yield container, key
            if isinstance(item, dict | list):
                left.append(item)


def _replace(container: Any, key: Any, places: Any, chance: random.Random) -> None:
    container[key] = _anything(places, chance)


def _anything(places: Any, chance: random.Random) -> Any:
    kind = chance.randrange(8)
    if kind == 0:
        return chance.choice(NUMBERS)
    if kind == 1:
        return chance.choice(TEXTS)
    if kind == 2:
        return chance.choice([None, True, False, [], {}, [[]], {"": 1}])
    if kind == 3:
        return {chance.choice(list(FORMS)): chance.choice([_anything(places, chance), chance.choice(TEXTS), []])}
    if kind == 4:
        return {"$ref": chance.choice([key for _, key in places if isinstance(key, str)])}
    if kind == 5:
        tag = chance.choice(["$function", "$class", "$object", "$module", "$enum", "$namedtuple"])
        return {tag: chance.choice(NAMES + sorted(allowed()))}
    other, key = chance.choice(places)
    return json.loads(json.dumps(other[key]))


def _nudge(container: Any, key: Any, places: Any, chance: random.Random) -> None:
    item = container[key]
    if type(item) is int:
        container[key] = chance.choice([item + 1, item - 1, -item, item * 2, item ^ (1 << chance.randrange(62))])
    elif type(item) is str and item:
        place = chance.randrange(len(item))
        letter = chance.choice(["", chr(chance.randrange(32, 127)), chr(chance.randrange(0x110000)), item])
        container[key] = (item[:place] + letter + item[place + 1 :]).encode("utf-8", "ignore").decode()
    elif type(item) is bool:
        container[key] = not item
    else:
        _replace(container, key, places, chance)


def _rename(container: Any, key: Any, places: Any, chance: random.Random) -> None:
    if isinstance(container, dict):
        others = [other for _, other in places if isinstance(other, str)]
        new = chance.choice([chance.choice(others), chance.choice(list(FORMS)), chance.choice(TEXTS)])
        items = [(new if name == key else name, item) for name, item in container.items()]
        container.clear()
        container.update(items)
    else:
        _replace(container, key, places, chance)


def _drop(container: Any, key: Any, places: Any, chance: random.Random) -> None:
    del container[key]


def _repeat(container: Any, key: Any, places: Any, chance: random.Random) -> None:
    if isinstance(container, list):
        container[key:key] = [container[key]] * chance.choice([1, 3, 300])
    else:
        container[chance.choice(TEXTS)] = container[key]


def _swap(container: Any, key: Any, places: Any, chance: random.Random) -> None:
    other, place = chance.choice(places)
    container[key], other[place] = json.loads(json.dumps([other[place], container[key]]))


def _wrap(container: Any, key: Any, places: Any, chance: random.Random) -> None:
    item = container[key]
    for _ in range(chance.choice([1, 2, 150])):
        item = chance.choice(WRAPPINGS)(item)
    container[key] = item


def _name(container: Any, key: Any, places: Any, chance: random.Random) -> None:
    """Another name, codec, dtype or member where there is one already."""
    tagged = [(c, k) for c, k in places if isinstance(k, str) and k[:1] == "$" and isinstance(c[k], str)]
    if not tagged:
        return _replace(container, key, places, chance)
    container, key = chance.choice(tagged)
    container[key] = chance.choice([*NAMES, *sorted(allowed()), *CODECS, *TEXTS, *(c[k] for c, k in tagged)])
    return None


CHANGES = [_replace, _nudge, _nudge, _rename, _drop, _repeat, _swap, _wrap, _name]


def write_mutant(seed: Path, target: Path, chance: random.Random) -> None:
    """A mutant of the artifact `seed` in the folder `target`, with digests that fit."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(seed, target)
    kind = chance.random()
    with contextlib.suppress(IndexError, KeyError):  # nothing left to change
        if kind < 0.72:
            _mutate_json(target / "spec.json", chance)
        elif kind < 0.75:
            _mutate_json(target / chance.choice(["definitions.json", "digests.json"]), chance)
        elif kind < 0.85:
            path = target / "weights.safetensors"
            data = path.read_bytes()
            start = 8 + int.from_bytes(data[:8], "little")
            header = json.loads(data[8:start])
            mutate(header, chance)
            text = json.dumps(header).encode()
            text += b" " * (-(8 + len(text)) % 64)
            length = len(text) if chance.random() < 0.9 else chance.choice([0, 1, 2**63, 2**64 - 1, len(data)])
            path.write_bytes(length.to_bytes(8, "little") + text + data[start:])
        else:
            path = target / chance.choice(
                ["weights.safetensors", "spec.json", "weights.safetensors", "definitions.json"]
            )
            path.write_bytes(_damaged(path.read_bytes(), chance))
    if chance.random() < 0.95:
        digests = (target / "digests.json").read_bytes()
        crafting.sign(target)
        if chance.random() < 0.05:
            (target / "digests.json").write_bytes(_damaged(digests, chance))


def _mutate_json(path: Path, chance: random.Random) -> None:
    graph = json.loads(path.read_text("utf-8"))
    mutate(graph["objects"] if "objects" in graph and chance.random() < 0.95 else graph, chance)
    path.write_text(json.dumps(graph, ensure_ascii=chance.random() < 0.5), "utf-8", "replace")


def _damaged(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 3, 20])):
        place = chance.randrange(len(changed) + 1)
        what = chance.randrange(4)
        if what == 0:
            changed[place : place + 1] = bytes([chance.randrange(256)])
        elif what == 1:
            del changed[place : place + chance.choice([1, 8, 64])]
        elif what == 2:
            changed[place:place] = chance.choice([b"\xff", b"\0" * 8, b"[", b'"', b"1e9", changed[place : place + 40]])
        else:
            for near in range(place, min(place + 8, len(changed))):
                changed[near] ^= 1 << chance.randrange(8)
    return bytes(changed)


class Watch:
    """What the interpreter does while an artifact is being loaded, by its audit hook."""

    def __init__(self, folder: Path) -> None:
        self.on = False
        self.watch_only(folder)
        sys.addaudithook(self._hook)

    def watch_only(self, folder: Path) -> None:
        """Forget what was seen; files in `folder` may be opened from now on."""
        self.seen: list[str] = []
        self._allowed = (str(folder), "/proc/", "/sys/", *(str(HERE / name) for name in TRUSTED_SOURCES))

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        bad = event in FORBIDDEN or event.partition(".")[0] in FORBIDDEN
        if event == "compile":
            bad = arguments[1] != "<unknown>"  # ast.parse: what is only parsed cannot run
        elif event == "import":
            bad = arguments[0].partition(".")[0] not in LIBRARIES
        elif event == "open":
            bad = isinstance(arguments[0], str | bytes) and not os.fsdecode(arguments[0]).startswith(self._allowed)
            bad = bad and arguments[0] != os.devnull and "/zoneinfo/" not in os.fsdecode(arguments[0])
        if bad:
            self.seen.append(f"{event} {str(arguments)[:200]}")


def touch(value: Any, limit: int = 5000) -> None:
    """Read the ends of every tensor and array that can be reached, so that one outside its memory is noticed."""
    left: list[Any] = [value]
    seen: set[int] = set()
    while left and len(seen) < limit:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if type(one) is torch.Tensor and one.layout is torch.strided and one.numel() and one.device.type == "cpu":
            with contextlib.suppress(RuntimeError, NotImplementedError):
                one[(0,) * one.dim()].clone()
                one[(-1,) * one.dim()].clone()
        if type(one) is dict:
            left += one.values()
        elif type(one) in (list, tuple):
            left += one
        elif isinstance(getattr(one, "__dict__", None), dict):
            left += vars(one).values()


def attempt(folder: Path, watch: Watch, verify: Any) -> tuple[str, str]:
    """("loaded" | "refused" | a kind of finding, what came of it)."""
    watch.seen.clear()
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        watch.on = True
        try:
            model = load(folder, trust=crafting.TRUST, verify=verify)
        finally:
            watch.on = False
        touch(model)
        result = "loaded", ""
    except ArtifactError as error:
        result = "refused", f"{type(error).__name__}: {error}"
    except Hang:
        result = "hang", traceback.format_exc()
    except BaseException:
        result = "undocumented", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if watch.seen:
        return "forbidden", "; ".join(watch.seen)
    return result


def warm_up(folder: Path) -> list[Path]:
    """Save the seeds, load each, and import whatever the lists name: later imports are the mutants' doing."""
    for module in sorted({name.partition(":")[0] for name in allowed()}):
        importlib.import_module(module)
    zoneinfo.available_timezones()  # imports tzdata and what it takes to look into it
    seeds = []
    for name, build in SEEDS.items():
        save(build(), folder / "seeds" / name)
        for verify in (True, False, "lazy"):
            touch(load(folder / "seeds" / name, trust=crafting.TRUST, verify=verify))
        seeds.append(folder / "seeds" / name)
    return seeds


def main() -> int:
    """Run, print a summary as a line of JSON, and return how many findings there were."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=10**9)
    parser.add_argument("--replay", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, _alarm)
    seeds = warm_up(options.folder)
    watch = Watch(options.folder)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, resource.RLIM_INFINITY))
    current = options.folder / "current"
    if options.replay:
        for verify in (True, False, "lazy"):
            print(*attempt(current, watch, verify))
        return 0
    counts: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    findings, started, number = [], time.monotonic(), 0
    while number < options.count and time.monotonic() - started < options.seconds and len(findings) < 20:
        chance = random.Random(f"{options.seed}/{number}")
        write_mutant(chance.choice(seeds), current, chance)
        verify = chance.choice([True, False, False, "lazy"])
        outcome, what = attempt(current, watch, verify)
        counts[outcome] += 1
        if outcome == "refused":
            reasons[" ".join(word for word in what.split() if word.isalpha())[:60]] += 1
        elif outcome != "loaded":
            kept = options.folder / f"finding{len(findings)}"
            shutil.copytree(current, kept, dirs_exist_ok=True)
            found = {"number": number, "verify": verify, "outcome": outcome, "what": what[-1500:], "in": str(kept)}
            findings.append(found)
        number += 1
    spent = time.monotonic() - started
    print(json.dumps({"mutants": number, "seconds": spent, **counts, "findings": findings, "reasons": len(reasons)}))
    for reason, count in reasons.most_common(12):
        print(count, reason, file=sys.stderr)
    return min(len(findings), 100)


def _alarm(*_: Any) -> None:
    raise Hang


if __name__ == "__main__":
    sys.exit(main())
