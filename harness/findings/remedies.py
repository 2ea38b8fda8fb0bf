"""What to do about a cell that is not exact: one sentence, chosen by what the record says. No torch, no pandas.

The first rule that fits speaks. A rule knows the outcome, the stage, the error and the message, never the backend's
name: what helps follows from what happened.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from harness.records import Record


@dataclass(frozen=True)
class Rule:
    """When `fits`, say `advice`."""

    fits: Callable[[Record], bool]
    advice: str


def _at(stage: str, pattern: str = "", outcome: str = "failed") -> Callable[[Record], bool]:
    def fits(record: Record) -> bool:
        told = f"{record.error_type}: {record.message}"
        return record.outcome == outcome and stage in ("", record.stage) and bool(re.search(pattern, told))

    return fits


def _wrong(pattern: str) -> Callable[[Record], bool]:
    def fits(record: Record) -> bool:
        return record.outcome == "mismatch" and bool(re.search(pattern, record.message or ""))

    return fits


def _moved(record: Record) -> bool:
    names = r"Can't get attribute|module '.*' has no attribute|cannot import name"
    return record.condition == "class_moved" and record.outcome == "failed" and bool(re.search(names, record.message))


def _another_python(record: Record) -> bool:
    if record.interpreter is None or record.outcome not in ("crashed", "failed"):
        return False
    return record.stage == "load" or (record.stage != "save" and record.error_type in _OF_VERSIONS)


_OF_VERSIONS = ("WorkerDied", "AttributeError", "TypeError", "ImportError", "ModuleNotFoundError")
"""What other versions of libraries raise where a model is used."""
_BY_NAME = "Give the function or class a module-level name, or use a format that stores functions by value."
_STAGES = "Keep the missing stages as code beside the artifact, with tests of their own, or use a format that has them."
_SOURCE = "Load the source that was saved, or say at load that the change is meant."
_FILES = "Read the file when the model is built and keep what it says in the model: code that travels leaves it behind."
_READS_LATER = (
    "Outputs are right. Read the files in a function that builds the model: code that travels leaves them behind, a "
    "method that reads them too."
)
_NOT_COPIED = (
    "Name the file by a text in the code, or a folder that it is in: nothing else beside the code comes along."
)
_NO_WORKERS = "Preprocess in the process that loaded the model (num_workers=0), or load the artifact in each worker."
RULES = (
    Rule(_at("save", r"no GPU here", "unavailable"), "Try it on a machine with a GPU."),
    Rule(_at("build", r"^\w+: this model .*in (?:a )?spawned worker", "unavailable"), _NO_WORKERS),
    Rule(
        lambda record: record.outcome == "unavailable" and record.stage == "build",
        "The condition does not suit the model's code, whatever the method: see what the message names.",
    ),
    Rule(lambda record: record.outcome == "unavailable", "Install what the message names."),
    Rule(lambda record: record.outcome == "unsupported", "Change the named part of the model as the message says."),
    Rule(lambda record: record.outcome == "partial", _STAGES),
    Rule(_at("preprocess", r"has no preprocess"), _STAGES),
    Rule(lambda record: record.outcome == "close", "Nothing, if the model's tolerance is yours."),
    Rule(
        lambda record: record.outcome == "crashed" and record.interpreter is not None,
        "Load under the Python that saved it: by-value code is bytecode of one Python version.",
    ),
    Rule(lambda record: record.outcome == "crashed", "Load untried files in a process that may die, with a timeout."),
    Rule(lambda record: record.code_ran == "refused", _SOURCE),
    Rule(_at("load", r"^[^:]*: the source has changed"), _SOURCE),
    Rule(
        lambda record: record.code_ran == "edited",
        "Tag the source with the artifact's version, or use a format that notices or carries the source.",
    ),
    Rule(_at("save", r"[Ll]ambda|<locals>|local object|not the same object|attribute lookup"), _BY_NAME),
    Rule(
        _at("save", r"cannot (be )?pickle|can't pickle"),
        "Make the object in preprocess, or drop it in __getstate__ and make it again in __setstate__.",
    ),
    Rule(
        _at("save", r"parametrized modules"),
        "Take the parametrization off before the save (torch.nn.utils.parametrize), or store the state dict alone.",
    ),
    Rule(_at("save", r"construct TensorBase"), "Use a format that stores tensors: this one does not."),
    Rule(
        lambda record: record.stage in ("save", "load") and _at("", r"__init__\(\) (takes|missing|got)")(record),
        "Give the constructor arguments that a configuration can hold, and take them by name.",
    ),
    Rule(
        _at("load", r"^RecursionError"),
        "Let __getattr__ raise AttributeError for what it needs itself: it is asked before the state is there.",
    ),
    Rule(
        _at("save", r"^RecursionError"),
        "Break the circle, or flatten what is nested deep: this format follows references one inside the other.",
    ),
    Rule(_moved, "Leave an import of what moved under its old name, so that artifacts find it there."),
    Rule(_at("load", r"<locals>"), _BY_NAME),
    Rule(
        _at("load", r"__main__|Can't get attribute|module '.*' has no attribute"),
        "Define the classes in a module that the training script imports, instead of in the script.",
    ),
    Rule(
        _at("load", r"ModuleNotFoundError|No module named"),
        "Ship the source under the name that it had, or use a format that carries it.",
    ),
    Rule(
        _at("", r"ModuleNotFoundError|No module named"),
        "Ship the modules that the functions import, or import them at the top, where a format sees them.",
    ),
    Rule(
        _at("load", r"CUDA"),
        "Move the model to the CPU before the save, or load with map_location where the method takes one.",
    ),
    Rule(
        _at("load", r"Missing key|Unexpected key|size mismatch"),
        "Build the same modules under the same names before the weights are loaded.",
    ),
    Rule(
        _at("load", r"Weights only load failed"),
        "Keep what is not a tensor out of the state dict, or allow its class (torch.serialization.add_safe_globals).",
    ),
    Rule(_at("load", r"Unknown builtin op"), "Import the library that registers the operator before the load."),
    Rule(_at("", r"num_workers=0"), _NO_WORKERS),
    Rule(_at("load", r"[Uu]ntrusted|not trusted"), "Name your own module at load, if you trust the file's origin."),
    Rule(
        _at("", r"NameError"),
        "Let the format follow a function's globals (recurse=True), or import inside the function.",
    ),
    Rule(_at("build", r"FileNotFoundError|NotADirectoryError"), _NOT_COPIED),
    Rule(_at("", r"FileNotFoundError|NotADirectoryError"), _FILES),
    Rule(_wrong(r"^outputs equal.*(\.beside\[|\.exists\(\))"), _READS_LATER),
    Rule(_wrong(r"\.beside\[|\.exists\(\)"), _FILES),
    Rule(
        _wrong(r"^in a spawned worker: outputs equal"),
        "Keep it in an attribute that pickles, or set it by worker_init_fn: a worker gets a pickle of the model alone.",
    ),
    Rule(
        _wrong(r"model\.<(process|libraries|context)>"),
        "Set it in the process that loads, before the load, or keep it in an attribute: artifacts hold none of it.",
    ),
    Rule(
        _wrong(r"^where texts hash otherwise"),
        "Sort what comes of a set, and number texts by a table or a digest (zlib.crc32) instead of hash().",
    ),
    Rule(
        _another_python,
        "Try it under the versions that saved it: where it works there, keep both on one version of Python and torch.",
    ),
    Rule(
        _wrong(r"bytecode is of another Python"),
        "Give the function or class a module-level name, so that code travels by name, or keep both on one version.",
    ),
    Rule(
        _wrong(r"hooks that the next ones replace"),
        "Register that hook again after every load: torch numbers hooks anew in each process.",
    ),
    Rule(
        _wrong(r"(__class__|__globals__).* same object as|same object as \S*(__class__|__globals__)"),
        "Reach what the model shares with its code in one way, by an attribute: code comes back as it is imported.",
    ),
    Rule(
        _wrong(r"shared one storage|aliasing|share memory|same object as"),
        "Share again after loading what was one object or one memory, or use a format that keeps it.",
    ),
    Rule(
        _wrong(r"__class__|__globals__"),
        "Keep what changes at run time in attributes of the model: code comes back as it is imported.",
    ),
    Rule(
        _wrong(r"grad\b|_backward_hooks|inference"),
        "Set it again after loading: gradients and hooks of tensors are seldom stored.",
    ),
    Rule(
        _wrong(r"^outputs equal"),
        "Outputs are right: set the named attribute after loading if training or a later save needs it.",
    ),
    Rule(_wrong(r""), "Do not use it for this model: compare outputs on known inputs after every load."),
    Rule(
        _at("build"),
        "The model could not be built where it was tried, whatever the method: see what the message names.",
    ),
    Rule(_at("save"), "Change what the message names, or use another format for this model."),
    Rule(
        _at("load"),
        "Change what the message names before the save, or use another format: loading it again will not help.",
    ),
    Rule(_at(""), "Run the model once after every load, before it serves: this error comes only when it is called."),
)


def remedy(record: Record) -> str:
    """A sentence for a cell that is not exact; empty for one that is."""
    return next((rule.advice for rule in RULES if rule.fits(record)), "")
