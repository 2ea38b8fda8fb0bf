"""Mutated artifacts with digests that fit: a program that loads them and reports everything but a documented error.

    python fuzzing.py FOLDER --seed 1 --count 300        # or --seconds 600
    python fuzzing.py FOLDER --replay                    # load what lies in FOLDER/current again

A mutation changes the parsed spec or examples (values, keys, names, references, tags, whole branches), their text, the
header of a file of tensors, or its bytes; of carried source also which files there are, what they are called, what
SHA256SUMS says of them, and their lines. Examples are run (`check=True`), carried source from the artifact alone, and a
tokenizer that loads is asked to encode a text.

Findings: an error that is not of ArtifactError's tree, a load that takes more than 20 s or memory beyond a limit, and,
by an audit hook of the interpreter, an import outside the allow-list, a file opened outside the artifact, code compiled
or executed that is not carried, a process or a connection. The mutant in work lies in FOLDER/current, so that a crash
leaves it behind; those with findings are kept beside it.
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
import sysconfig
import time
import traceback
import warnings
import zoneinfo
from pathlib import Path
from typing import Any

import crafting
import json_spec_things as things
import torch
from mutants import write_mutant
from seeds import SEEDS, tokenizer

from backends.json_spec import ArtifactError, load, save
from backends.json_spec.trust import allowed

LIBRARIES = {
    "torch", "torchvision", "numpy", "pandas", "PIL", "sentencepiece", "pyarrow", "backends", "json_spec_things",
    "tripwires", "tripwire_package", "tzdata",
}  # fmt: skip
HERE = Path(__file__).parent
CARRIED = {
    "shop/__init__.py": "from shop.parts import Part\n",
    "shop/model.py": """\
import math
import shop.parts as parts
from torch import nn
from . import Part

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.part = nn.Linear(2, 1), Part(3)

    def forward(self, batch):
        return parts.scaled(self.net(batch), self.part) + math.pi
""",
    "shop/parts.py": """\
class Part:
    def __init__(self, by):
        self.by = by

def scaled(x, part):
    return x * part.by
""",
}
"""A project whose source travels; nothing of it is importable while mutants load."""
TRUSTED_SOURCES = ("json_spec_things.py", "tripwires.py", "tripwire_package")
"""What a loader may read to see whether trusted definitions have changed."""
FORBIDDEN = {"exec", "compile", "marshal.loads", "pickle.find_class", "ctypes.dlopen", "shutil", "socket", "subprocess"}
FORBIDDEN |= {"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.mkdir", "os.chmod"}
FORBIDDEN |= {"os.putenv", "os.kill", "urllib.Request", "webbrowser.open", "tempfile", "builtins.input"}
INSTALLED = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
HANG_S = 20
MEMORY_BYTES = 3 << 30


class Hang(BaseException):
    """The alarm went off."""


class Watch:
    """What the interpreter does while an artifact is being loaded, by its audit hook."""

    def __init__(self, folder: Path) -> None:
        self.on = self.runs_source = False
        self.watch_only(folder)
        sys.addaudithook(self._hook)

    def watch_only(self, folder: Path) -> None:
        """Forget what was seen; files in `folder` may be opened from now on."""
        self.seen: list[str] = []
        self._allowed = (str(folder), "/proc/", "/sys/", *(str(HERE / name) for name in TRUSTED_SOURCES))

    def _is_carried(self, file: Any) -> bool:
        """Whether a file is carried source, or a library's, which that may import."""
        carried = (f"{self._allowed[0]}/current/source/", *(INSTALLED if self.runs_source else ()))
        return isinstance(file, str) and (file.startswith(carried) or (self.runs_source and "/site-packages/" in file))

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        bad = event in FORBIDDEN or event.partition(".")[0] in FORBIDDEN
        if event == "compile":
            bad = arguments[1] != "<unknown>" and not self._is_carried(arguments[1])  # ast.parse cannot run anything
        elif event == "exec":
            bad = not self._is_carried(getattr(arguments[0], "co_filename", None))
        elif event == "ctypes.dlopen":
            bad = str(arguments[0]) != "libnvidia-ml.so.1"  # torch asks whether there is a GPU whose state to keep
        elif event == "import":
            top = arguments[0].partition(".")[0]  # trusted source imports what it says, but for what it brings itself
            bad = top == "shop" if self.runs_source else top not in LIBRARIES
        elif event == "open":
            bad = isinstance(arguments[0], str | bytes) and not os.fsdecode(arguments[0]).startswith(self._allowed)
            bad = bad and arguments[0] != os.devnull and "/zoneinfo/" not in os.fsdecode(arguments[0])
            bad = bad and not (self.runs_source and self._is_carried(os.fsdecode(arguments[0])))
        elif event == "marshal.loads":
            bad = not self.runs_source  # of a library's compiled file
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
    watch.runs_source = bundled = (folder / "source").is_dir()
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        watch.on = True
        try:
            trust = "bundled" if bundled else crafting.TRUST
            model = load(folder, trust=trust, verify=verify, check=(folder / "examples.json").exists())
        finally:
            watch.on = False
        touch(model)
        for value in getattr(model, "__dict__", {}).values():
            if type(value).__name__ == "SentencePieceProcessor" and type(value).__module__ == "sentencepiece":
                with contextlib.suppress(RuntimeError):
                    value.encode("an apple ")
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
    for name, model, given in (("staged", things.Staged(), ["abc", "ga"]), ("tokenizer", tokenizer(), None)):
        save(model, folder / "seeds" / name, examples=given)
        seeds += [folder / "seeds" / name] * 2
    seeds += [_carrying(folder)] * 2
    return seeds


def _carrying(folder: Path) -> Path:
    """An artifact with source, of a project that is then gone."""
    for name, text in CARRIED.items():
        path = folder / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    sys.path.insert(0, str(folder / "project"))
    importlib.invalidate_caches()
    net = importlib.import_module("shop.model").Net()
    target = folder / "seeds" / "carried"
    save(net, target, examples=[torch.ones(1, 2)], bundle_source=True)
    sys.path.remove(str(folder / "project"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]
    shutil.rmtree(folder / "project")
    touch(load(target, trust="bundled", check=True))
    return target


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
    of_seeds: collections.Counter[str] = collections.Counter()
    findings, started, number = [], time.monotonic(), 0
    while number < options.count and time.monotonic() - started < options.seconds and len(findings) < 20:
        chance = random.Random(f"{options.seed}/{number}")
        seed = chance.choice(seeds)
        write_mutant(seed, current, chance)
        verify = chance.choice([True, False, False, "lazy"])
        outcome, what = attempt(current, watch, verify)
        counts[outcome] += 1
        of_seeds[f"{seed.name} {'ran' if what.startswith('ExampleMismatch') else outcome}"] += 1
        if outcome == "refused":
            reasons[" ".join(word for word in what.split() if word.isalpha())[:60]] += 1
        elif outcome != "loaded":
            kept = options.folder / f"finding{len(findings)}"
            shutil.copytree(current, kept, dirs_exist_ok=True)
            found = {"number": number, "verify": verify, "outcome": outcome, "what": what[-1500:], "in": str(kept)}
            findings.append(found)
        number += 1
    spent = time.monotonic() - started
    told = {"mutants": number, "seconds": spent, **counts, "findings": findings, "reasons": len(reasons)}
    print(json.dumps({**told, "of_seeds": of_seeds}))
    for reason, count in reasons.most_common(12):
        print(count, reason, file=sys.stderr)
    return min(len(findings), 100)


def _alarm(*_: Any) -> None:
    raise Hang


if __name__ == "__main__":
    sys.exit(main())
