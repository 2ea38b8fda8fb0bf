"""Live values as plain data, so that a model saved in one process and its copy in another can be compared.

The two never meet: they live in different processes, perhaps under different Pythons, perhaps without the user's
classes. A snapshot holds builtins only (dict, list, tuple, str, int, float, complex, bytes, bool, None), so it
unpickles anywhere, and it is flat, so that depth is no limit:

    {"version", "root_path", "root": reference, "nodes": [node, ...], "bytecode": which bytecode this Python has,
     "hashes": whether code or state have to do with hashes or sets, so that answers may hang on how texts hash}

A *reference* is a value of an exact atomic type (None, bool, int, float, complex, str, bytes), written as itself, or
a tuple `(place,)` into `nodes`. Sharing and cycles are thereby the structure of the graph. A *node* is a dict:

    kind       what describes it: sequence, mapping, set, object, module, tensor, array, function, class, ...
    type       the name of its class
    class      reference to the class, where it is the user's
    identity   True where it matters whether two places hold the same object; False for what cannot change
    facts      {word: plain value}, compared with ==; the word becomes the kind of the difference
    numbers    {"format", "bytes" | "sha256"}: the values of a tensor or array, in C order
    storage    [number, offset in bytes]: what memory it is a view of
    code       a function's code, see `describe_python.code_facts`
    groups     what it consists of: [{"by", "prefix", "word", "entries", ...}], made by the functions below

Names of modules that belong to the user's project (`own_modules`), and `__main__`, become `<own>`: a class that was
saved by value, renamed or moved within the project is still the user's.

What is not described: the order of attributes and of sets, the content of an opaque C++ object that neither pickles nor
has an entry in `describe_libraries` or `describe_live` (a socket, a stream: its type alone is compared), the code of
TorchScript, how a text file of the system's ends its lines, which of two `yield` in one line a generator waits at, how
often a lock is held, of a class its `__slots__` and what `dataclass` noted of its fields, and what torch rebuilds of
its own accord or notes for itself (`Module.compile`, what `torch.compile` wrapped, the code that a GraphModule writes
of its graph, what is noted on the graph's nodes). And, but where the user's code asks for them (`describe_asked`,
`atoms`): docstrings, annotations, subclasses, under what name a class is found, the level of a logger, what lies around
a view, whether processes share a tensor, whether two texts or numbers are one object.

Of what lies outside the model its state has the globals that the user's code names (`describe_globals`) or finds by a
text that is among the model's values (`describe_found`, `describe_paths`), what it set on libraries
(`describe_reached`, `library_settings`), variables of the environment that it set while it built the model, and
settings of the process (`describe_process`), whether the examples reach them or not. A difference there is a mismatch
even where no answer depends on it: a pure patch of a library's class, a filled cache among the globals. What
`functools.lru_cache` has remembered counts where computing it anew would give something else (`describe_caches`). That
the model has one object in common with its code, or with such a cache, counts where the source writes into it
(`describe_shared`).

Not seen, unless an output of the model's own examples changes by it:

- what hangs on the seed of texts' hashes without being kept (`hash(word) % n`, the order of a set): no reading of the
  code tells a text from a number, for whose hash the same words are right (of the examples, `hash_seeds` tries more);
- a global, variable, module or file whose name is put together when it is called (`globals()[a + b]`), but where it
  begins as a text that ends in `_`;
- what the program set in private names of a library's module, but for functions, classes and objects of its own in a
  register there; in torch's or NumPy's own namespaces; or in a library that the project imports only inside functions;
- that the model and its code have in common what is written only by way of a library that hands it on, see `written`;
- how the process was started (`sys.argv`), where it looks for modules (`sys.path`), what it may write (`os.umask`),
  how it starts others (`multiprocessing.set_start_method`) and when it collects garbage;
- which modules a package of the user's has, where the code lists them (`pkgutil.iter_modules`);
- which of two imports inside functions comes first, where the one registers what the other looks for;
- what the metaclass of a library (pydantic's) keeps of a class in names of two underscores;
- files elsewhere than in the project and among the temporary ones: they are there for the loading process too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from harness.snapshot import (
    addresses,
    atoms,
    describe_asked,
    describe_found,
    describe_libraries,
    describe_process,
    describe_python,
    describe_reached,
    describe_shared,
    describe_tables,
    describe_torch,
    library_settings,
    numbers_,
)
from harness.snapshot.graph import VERSION

KEEP_BYTES = 64 << 20
"""A tensor larger than this is kept as its SHA-256 only: a difference then has no size."""
KEEP_BYTES_IN_TOTAL = 1 << 30
"""So is every tensor once a snapshot holds as much as this. Bytes on one side and a digest on the other compare."""
_COMPARED = frozenset({"sequence", "set", "scalar"})
"""The kinds of what cannot change and may still be two."""
ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
MAIN = frozenset({"__main__", "__mp_main__", "notebook_cells"})
"""What the user's code is in that no import finds: a script's or a notebook's, and the module that json_spec carries of
a notebook's cells."""
_MOVED = {"pathlib._local": "pathlib", "pathlib._abc": "pathlib", "_collections": "collections"}
"""Where the standard library's classes say that they live, when that changed between Python versions."""
_PRIVATE = re.compile(r"^<(?:torch_package_\d+|json_spec_[0-9a-f]+)>\.")
"""What modules that run from an artifact's own source have before their names."""


def snapshot_value(value: Any, *, own_modules: Collection[str] = (), root: str = "output") -> dict:
    """Describe any value, a tap's output as a rule.

    Strides, storages and gradients are left out: in an output they are an accident of the kernel that made it, and no
    reader of the values can tell. Which *objects* are shared is described here too.
    """
    return Builder(own_modules, state=False).build(value, root)


def snapshot_model(
    model: Any,
    *,
    own_modules: Collection[str] = (),
    set_in_libraries: Collection[library_settings.Name] = (),
    imported: Collection[str] = (),
    is_expected: bool = True,
    importing: bool = True,
    of_another_python: bool = False,
    root: str = "model",
) -> dict:
    """Describe everything of a model that should come back: see `describe_torch.module`.

    `set_in_libraries`: names of what the program set there, as the process knows that built the model; `imported`, for
    a copy, and for the original once more: the user's modules that were imported when the original was described.
    `is_expected`: whether it is what others are compared with: it says what of it may be two where it is one.
    `importing`: whether modules may be imported that the code would import; where one would have to be and may not,
    WouldImport is raised. `of_another_python`: whether another Python, with bytecode of its own, has saved the model.

    Never raises for what the model holds: a part that cannot be read becomes a node of kind `unreadable`, which
    compares as a difference.
    """
    builder = Builder(own_modules, state=True)
    builder.set_in_libraries = set_in_libraries
    builder.imported = frozenset(imported)
    builder.is_expected = is_expected
    builder.importing = importing
    builder.of_another_python = of_another_python
    return builder.build(model, root)


class WouldImport(Exception):
    """To describe a model, a module of the user's would have to be imported: what that does, it does to the process."""


class Builder:
    """The nodes under construction. `describe_*` modules get it to refer to the parts of what they describe."""

    def __init__(self, own_modules: Collection[str], state: bool) -> None:
        self.own = frozenset(own_modules)
        self.state = state
        """A model's state, as opposed to a value: strides, storages, gradients, hooks of tensors count."""
        self.asked: set[str] = set()
        """What the user's code names, of `describe_asked.NAMES`."""
        self.later: list[tuple[frozenset[str], dict, Callable[[], dict]]] = []
        """(names, node, facts that it gets where code names one of them)."""
        self.watched: list[Any] = []
        """Texts and numbers that code compares by `is`."""
        self.compared: set[str] = set()
        """Attributes that it compares so."""
        self.compared_objects: list[Any] = []
        """Values of globals that it compares so and that cannot change: a tuple."""
        self.sought: set[str] = set()
        """Attributes that it looks for in a list, or compares by `==`: NaN is found as the object that it is."""
        self.compares_objects = False
        """Whether code compares by `is` what is neither a constant nor a class."""
        self.holds_decimals = False
        """Whether a `Decimal` was described."""
        self.recomputed: set[int] = set()
        """Tensors that are computed anew before they are used: how they were is no state."""
        self.set_in_libraries: Collection[library_settings.Name] = ()
        self.imported: frozenset[str] = frozenset()
        self.is_expected = True
        self.importing = True
        self.of_another_python = False
        self.libraries: set[str] = set()
        """The modules that the model's objects and the user's code come upon."""
        self.hashes = False
        self.read: set[str] = set()
        """Every name in the user's code."""
        self.functions: list[tuple[types.FunctionType, dict]] = []
        """The user's functions, with their nodes."""
        self.modules: list[tuple[types.ModuleType, dict]] = []
        """The user's modules that the model holds."""
        self.caches: list[tuple[dict, list[tuple[Any, Any]]]] = []
        """Nodes of functions with `functools.lru_cache`, and what these remember."""
        self.cells: list[tuple[dict, types.CellType]] = []
        """Nodes of cells of closures, with these."""
        self.rebound_cells: set[int] = set()
        """The addresses of those that code rebinds."""
        self.tables: describe_tables.Tables = []
        self.views: list[tuple[dict, dict]] = []
        """Nodes of views, and the dictionaries that they show."""
        self.variables: dict[tuple[int, str], Any] = {}
        """The globals that code rebinds, by namespace and name."""
        self.set_in_modules: dict[str, dict[str, Any]] = {}
        """By a library's module: what of the user's is in it."""
        self._kept_bytes = 0
        self._set_there: dict[type, dict[str, Any]] = {}
        self._is_own: dict[str | None, bool] = {}
        """By a module's name: asked for each attribute of each class."""
        self._nodes: list[dict] = []
        self._places: dict[int, int] = {}
        self._pending: list[tuple[int, Any]] = []
        self.arrays: list[tuple[int, int, list[int]]] = []
        """NumPy's: where the first byte lies and the last one ends, and `storage` of the node."""
        self._storages: dict[Any, int] = {}
        self._views_of: Counter[int] = Counter()
        self._pointers: dict[int, str] = {}
        self._described: list[Any] = []
        """The values of the nodes, in their order."""
        self._alive: list[Any] = []  # ids and addresses are only unique while their owners live

    def build(self, value: Any, root: str) -> dict:
        reference = self.refer(value)
        around = [self.named(describe_process.described(self), ".<process>")] if self.state else []
        self._describe_pending()
        if self.state:
            describe_found.add(self, self._nodes)
            while self._pending:
                self._describe_pending()
                describe_found.add(self, self._nodes)
            if self.holds_decimals:
                around.append(self.named(describe_reached.decimal_context(), ".<context>"))
                self._describe_pending()
            self._tell_pieces_apart()
            self._tell_cells_apart()
            self._tell_compared_apart()
            describe_shared.tell_apart(self, self._nodes, self._described)
            process = os.getpid() if "getpid" in self.read else None
            addresses.replace(self._nodes, self._alive, self._places, self._pointers, process)
            describe_tables.tell_apart(self.tables, self._nodes)
            atoms.replace(self._nodes, self.watched, self.compared, self.sought)
            describe_asked.add(self)
        if around and self._nodes:
            self._nodes[0].setdefault("groups", []).extend(around)
        bytecode = importlib.util.MAGIC_NUMBER.hex()
        about = {"version": VERSION, "root_path": root, "bytecode": bytecode, "hashes": self.hashes}
        return about | {"root": reference, "nodes": self._nodes}

    def _describe_pending(self) -> None:
        while self._pending:
            place, part = self._pending.pop()
            self._nodes[place] = self._describe(part)

    def is_described(self, value: Any) -> bool:
        """Whether the value has a node of its own by now."""
        return id(value) in self._places

    def refer(self, value: Any) -> Any:
        """The reference to a part. It is described later, from a worklist: nothing recurses."""
        if type(value) in ATOMS:
            return value
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = len(self._nodes)
            self._nodes.append({})
            self._alive.append(value)
            self._described.append(value)
            self._pending.append((place, value))
        return (place,)

    def _describe(self, value: Any) -> dict:
        if type(value) is describe_found.Variable:
            return describe_found.variable()
        try:
            for describe in (describe_torch.describe, describe_libraries.describe, describe_python.describe):
                node = describe(value, self)
                if node is not None:
                    return node
        except Exception as error:  # the user's or a library's code: a result, not an end
            return self.node("unreadable", value, facts={"unreadable": f"{type(error).__name__}: {error}"})
        raise AssertionError("describe_python describes everything")

    # --- what describers use

    def node(self, kind: str, value: Any, *groups: dict, identity: bool = True, **more: Any) -> dict:
        """A node of the class of `value`. Empty groups are left out, groups of one name are made one."""
        node = {"kind": kind, "type": self.type_name(type(value)), "identity": identity, **more}
        self.libraries.add(type(value).__module__)
        if self.is_own(type(value).__module__):  # two objects of one class must not come back with a class each
            node["class"] = self.refer(type(value))
        if self.state:
            self.tables += describe_tables.of_object(value, node)
        if set_there := self._set_on_class(type(value)):
            groups += (self.named(set_there, ".__class__"),)
        kept: dict[tuple, dict] = {}
        for group in groups:
            if group["entries"]:
                twin = kept.setdefault((group["by"], group["prefix"], group["word"]), group)
                if twin is not group:  # attributes from two sources
                    twin["entries"].update(group["entries"])
        if kept:
            node["groups"] = list(kept.values())
        return node

    def _set_on_class(self, cls: type) -> dict[str, Any]:
        if cls not in self._set_there:
            self._set_there[cls] = describe_reached.set_on_class(cls, self) if self.state else {}
        return self._set_there[cls]

    def named(self, parts: Mapping[str, Any], prefix: str = "", word: str | None = None, **more: Any) -> dict:
        """A group of parts with names: attributes. `word` replaces `missing` and `extra` in a difference."""
        return {"by": "name", "prefix": prefix, "word": word,
                "entries": {str(name): self.refer(part) for name, part in parts.items()}, **more}  # fmt: skip

    def indexed(self, parts: Iterable[Any], prefix: str = "", word: str = "length") -> dict:
        """A group of parts in a row. `word` is the kind of a difference in their number."""
        return {"by": "index", "prefix": prefix, "word": word, "entries": [self.refer(part) for part in parts]}

    def keyed(self, pairs: Iterable[tuple[Any, Any]], word: str | None = None) -> dict:
        """A group of pairs whose keys are values; their order counts."""
        entries = [(self.refer(key), self.refer(part)) for key, part in pairs]
        return {"by": "key", "prefix": "", "word": word, "entries": entries}

    def content(self, parts: Iterable[Any]) -> dict:
        """A group without an order: a set. Simple elements are sorted, so that equal sets make equal snapshots."""
        parts = sorted(parts, key=lambda part: (type(part).__name__, repr(part)) if type(part) in ATOMS else ("~", ""))
        return {"by": "content", "prefix": "", "word": None, "entries": [self.refer(part) for part in parts]}

    def numbers(self, data: bytes, format: str | None) -> dict:
        """Values of a known format, or opaque bytes (None): themselves, or their digest where there are too many."""
        data = numbers_.with_one_nan(data, format or "")
        if len(data) > KEEP_BYTES or self._kept_bytes + len(data) > KEEP_BYTES_IN_TOTAL:
            return {"format": format, "sha256": hashlib.sha256(data).hexdigest()}
        self._kept_bytes += len(data)
        return {"format": format, "bytes": data}

    def storage(self, key: Any, owner: Any) -> int:
        """The number of a piece of memory, in the order of first sight; `owner` keeps it from being reused."""
        self._alive.append(owner)
        number = self._storages.setdefault(key, len(self._storages))
        self._views_of[number] += 1
        self._pointers[key[1]] = f"the address of memory {number}"
        return number

    def _tell_pieces_apart(self) -> None:
        """NumPy arrays that are views of one array without a byte in common share nothing that the model could change.

        scikit-learn's LogisticRegression has coefficients and intercept so, and a pickle of it two arrays. Tensors do
        share a storage: who has the one can resize it, and reads the other by `set_`.
        """
        pieces: dict[int, list[tuple[int, int, list[int]]]] = defaultdict(list)
        for piece in self.arrays:
            pieces[piece[2][0]].append(piece)
        for number, members in pieces.items():
            if len(members) == self._views_of[number] > 1:
                members.sort(key=lambda piece: piece[:2])
                now, end = number, members[0][1]
                for low, high, storage in members[1:]:
                    if low >= end:
                        now = self._storages[low, number] = len(self._storages)
                    storage[0], end = now, max(end, high)

    def will_import(self, name: str) -> None:
        """To be told before a module of the user's is imported. Raises WouldImport where that may not be."""
        if not self.importing:
            raise WouldImport(name)

    def _tell_cells_apart(self) -> None:
        """Which functions share a cell of a closure, nobody can tell where no code writes to it."""
        if "cell_contents" not in self.read:
            for node, cell in self.cells:
                node["identity"] = id(cell) in self.rebound_cells

    def _tell_compared_apart(self) -> None:
        """It counts whether what cannot change is one object or two where code compares it by `is`."""
        parts = [self._places[id(value)] for value in self.compared_objects if id(value) in self._places]
        for node in self._nodes if self.compared else ():
            parts += [group["entries"][name][0] for group in node.get("groups", ()) if group["by"] == "name"
                      for name in self.compared & group["entries"].keys()
                      if isinstance(group["entries"][name], tuple)]  # fmt: skip
        for place in parts:
            if self._nodes[place]["kind"] in _COMPARED:
                self._nodes[place]["identity"] = True

    def is_own(self, name: str | None) -> bool:
        """Whether a module of this name is the user's."""
        if (known := self._is_own.get(name)) is None:
            bare = self.bare_name(name or "")
            known = bare in MAIN or any(bare == own or bare.startswith(f"{own}.") for own in self.own)
            self._is_own[name] = known
        return known

    def bare_name(self, name: str) -> str:
        """A module's name without what code from an artifact has before it."""
        return _PRIVATE.sub("", name)

    def is_of_an_artifact(self, name: str | None) -> bool:
        """Whether a module runs from an artifact's own source, under a name that no other has."""
        return _PRIVATE.match(name or "") is not None

    def module_name(self, name: str | None) -> str:
        if self.is_own(name):
            return "<own>"
        return _MOVED.get(name or "?", name or "?")

    def type_name(self, cls: type) -> str:
        module = self.module_name(type.__getattribute__(cls, "__module__"))
        return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"
