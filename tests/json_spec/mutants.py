"""Mutants of artifacts: what fuzzing.py changes in them, with digests that fit."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import crafting

from backends.json_spec.codecs import CODECS
from backends.json_spec.digests import sha256
from backends.json_spec.forms import FORMS
from backends.json_spec.sums import sums_text
from backends.json_spec.trust import allowed

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


SOURCE_NAMES = [
    "source/shop.py", "source/shop/__main__.py", "source/../shop/model.py", "source/os.py", "source/torch.py",
    "source//x.py", "source/shop/model/__init__.py", "source/shop/mod-el.py", "source/shop/model.pyc", "source",
    "/etc/passwd", "source/ü.py",
]  # fmt: skip
LINES = [
    "import shop.missing", "from . import missing", "from .... import x", "import shop.model", "from shop import *",
    "import os.path", "class Net: pass", "class Part(dict): pass", "Part = None", "raise OSError('no')", "x = (", "\t1",
    "def __getattr__(name): return name", "import json as shop", "__all__ = ['a']", "del __name__", "__path__ = 5",
]  # fmt: skip


def _mutate_source(target: Path, chance: random.Random) -> None:
    """Change the files of carried source, or the lines about them; SHA256SUMS fits but for one in eight."""
    sums = target / "SHA256SUMS"
    file = chance.choice(sorted(path for path in (target / "source").rglob("*") if path.is_file()))
    kind, before = chance.randrange(7), sums.read_bytes()
    if kind < 2:
        lines = file.read_text("utf-8").splitlines()
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(LINES))
        file.write_text("\n".join(lines) + "\n", "utf-8")
    elif kind == 2:
        file.write_bytes(_damaged(file.read_bytes(), chance))
    elif kind == 3:
        other = target / "source" / chance.choice(["other.py", "shop.py", "shop/x.py", "shop/__main__.py", "a/b/c.py"])
        other.parent.mkdir(parents=True, exist_ok=True)
        file.rename(other)
    elif kind == 4:
        file.unlink()
        if chance.random() < 0.7:
            chance.choice([file.mkdir, lambda: file.symlink_to("/etc/passwd"), lambda: os.mkfifo(file)])()
    _sum_up(target)
    if kind > 4:
        lines = sums.read_text("utf-8").splitlines()
        place = chance.randrange(len(lines))
        digest, _, name = lines[place].partition("  ")
        new = [
            f"{digest}  {chance.choice(SOURCE_NAMES)}",
            f"{digest}  {name}",
            "",
            lines[place][:-1],
            f"{'0' * 64}  {name}",
        ]
        lines[place : place + chance.randrange(2)] = [chance.choice(new)]
        sums.write_text("".join(f"{line}\n" for line in (sorted(lines, key=lambda x: x[66:]))), "utf-8")
    elif chance.random() < 0.125:
        sums.write_bytes(before)


def _sum_up(target: Path) -> None:
    """SHA256SUMS of all texts and all plain files of source."""
    files = [path for path in (*target.glob("*.json"), *(target / "source").rglob("*")) if path.is_file()]
    names = {path.relative_to(target).as_posix(): path for path in files if not path.is_symlink()}
    (target / "SHA256SUMS").write_bytes(sums_text({name: sha256(path.read_bytes()) for name, path in names.items()}))


CHANGES = [_replace, _nudge, _nudge, _rename, _drop, _repeat, _swap, _wrap, _name]


def write_mutant(seed: Path, target: Path, chance: random.Random) -> None:
    """A mutant of the artifact `seed` in the folder `target`, with digests that fit."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(seed, target)
    kind = chance.random()
    carried = (target / "source").is_dir()
    examples = (target / "examples.json").exists() and chance.random() < 0.8
    text, tensors = ("examples.json", "examples.safetensors") if examples else ("spec.json", "weights.safetensors")
    if carried and chance.random() < 0.7:
        return _mutate_source(target, chance)
    with contextlib.suppress(IndexError, KeyError):  # nothing left to change
        if kind < 0.72:
            _mutate_json(target / text, chance)
        elif kind < 0.75:
            _mutate_json(target / chance.choice(["definitions.json", "digests.json"]), chance)
        elif kind < 0.85:
            path = target / tensors
            data = path.read_bytes()
            start = 8 + int.from_bytes(data[:8], "little")
            header = json.loads(data[8:start])
            mutate(header, chance)
            text = json.dumps(header).encode()
            text += b" " * (-(8 + len(text)) % 64)
            length = len(text) if chance.random() < 0.9 else chance.choice([0, 1, 2**63, 2**64 - 1, len(data)])
            path.write_bytes(length.to_bytes(8, "little") + text + data[start:])
        else:
            path = target / chance.choice([tensors, text, tensors, "definitions.json"])
            path.write_bytes(_damaged(path.read_bytes(), chance))
    if carried:
        crafting.sign(target)
        _sum_up(target)
    elif chance.random() < 0.95:
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
