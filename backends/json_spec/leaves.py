"""How arrays and NumPy scalars are described in the spec."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from backends.json_spec.errors import ArtifactError, refuse
from backends.json_spec.forms import numpy_dtype
from backends.json_spec.layouts import contiguous, is_sizes
from backends.json_spec.regions import View, view_of_array
from backends.json_spec.tensors import Weights, check_letters

ARRAY_KINDS = "?biufcmMSU"
FIELD_KINDS = "iufcSmM"
"""Of the fields of records: truth values and text would need a check of every element."""


def array_node(array: np.ndarray, name: str, views: list[View], inside: Any, path: str) -> dict[str, Any]:
    """Describe an array and note its memory in `views`."""
    if array.dtype.kind == "O":
        if not (array.flags.writeable and array.flags.c_contiguous):
            refuse(path, "an array of objects that is read-only or not in the order of its indices", "make it a copy()")
        items = [inside(item, f".flat[{n}]") for n, item in enumerate(array.ravel())]
        return {"$objectarray": list(array.shape), "items": items}
    node: dict[str, Any] = {"$ndarray": dtype_node(array.dtype, path), "shape": list(array.shape)}
    if array.size and array.itemsize:
        if not array.flags.c_contiguous:
            node["strides"] = list(array.strides)
        views.append(view_of_array(array, name, node))
    if not array.flags.writeable:
        node["read_only"] = True
    return node


def dtype_node(dtype: np.dtype, path: str) -> Any:
    """A dtype as its short text, or for records a list of [field, short text]."""
    if dtype.names is not None:
        fields = [list(field) for field in dtype.descr]
        plain = all(len(field) == 2 and type(field[1]) is str and field[1][1] in FIELD_KINDS for field in fields)
        same = plain and np.dtype([tuple(field) for field in fields]) == dtype and dtype.metadata is None
        if same and numpy_dtype(fields):
            return fields
    elif dtype.kind in ARRAY_KINDS.replace("?", "b") + "O" and numpy_dtype(dtype.str):
        return dtype.str
    return refuse(path, f"or has the dtype {dtype}", "save its fields as arrays of their own")


def read_array(node: dict[str, Any], weights: Weights) -> np.ndarray:
    """The array of a description. Raises ArtifactError where the description makes no sense."""
    shape, offset = node["shape"], node.get("offset", 0)
    dtype = read_dtype(node["$ndarray"])
    if dtype.kind == "O":  # its elements would be pointers of the file's choosing
        raise ArtifactError("an array in the weights cannot hold objects")
    if not is_sizes(shape) or not is_sizes([offset]) or len(shape) > 64:
        raise ArtifactError("an array's description has a size that is not one")
    if "entry" in node:
        strides = node.get("strides", [step * dtype.itemsize for step in contiguous(shape)])
        array = weights.array(node["entry"], dtype, shape, strides, offset)
    elif 0 in shape or dtype.itemsize == 0:
        array = np.ndarray(shape, dtype)  # np.empty would make elements of one byte of those of none
    else:
        raise ArtifactError("an array's description names no entry of the weights")
    if node.get("read_only"):
        array.flags.writeable = False
    return array


def read_dtype(form: Any) -> np.dtype:
    """A dtype from its short text, e.g. `<f8`, or a list of [field, short text]."""
    try:
        dtype = np.dtype([(name, text) for name, text in form] if isinstance(form, list) else form)
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{str(form)[:100]!r} is not a dtype of NumPy") from error
    kinds = FIELD_KINDS if dtype.names else ARRAY_KINDS + "O"
    if any(
        part.kind not in kinds or part.names for part in ([dtype[n] for n in dtype.names] if dtype.names else [dtype])
    ):
        raise ArtifactError(f"{str(form)[:100]!r} is not a plain dtype of NumPy")
    return dtype


def numpy_scalar(value: np.generic, inside: Any, path: str) -> dict[str, Any]:
    """A NumPy scalar as its dtype and its bytes; numbers that read well are shown beside them."""
    data = value.tobytes()[: value.dtype.itemsize]  # of an empty text NumPy gives a NUL
    if value.dtype.kind in "SU" and data and not data[-4 if value.dtype.kind == "U" else -1 :].strip(b"\0"):
        refuse(path, "a text of NumPy that ends in NUL, which NumPy takes away", "keep it as str or bytes")
    node = {"$npscalar": dtype_node(value.dtype, path), "bytes": base64.b64encode(data).decode("ascii")}
    if value.dtype.kind in "biufUS" and value.itemsize <= 64:
        node["reads"] = str(value)
    return node


def read_scalar(node: dict[str, Any]) -> np.generic:
    """The scalar of a description; `reads` is for people."""
    dtype = read_dtype(node["$npscalar"])
    data = base64.b64decode(node["bytes"], validate=True)
    if dtype.kind == "O" or len(data) != dtype.itemsize:
        raise ArtifactError("a NumPy scalar's bytes do not fit its dtype")
    if dtype.itemsize == 0:
        return dtype.type()
    if dtype.kind == "b" and data not in (b"\0", b"\1"):
        raise ArtifactError("a truth value of NumPy is neither 0 nor 1")
    if dtype.kind == "U":
        check_letters(np.frombuffer(data, dtype.byteorder + "u4"))
    value = np.frombuffer(data, dtype)[0]
    if "reads" in node and not _reads(value, node["reads"]):
        raise ArtifactError(f"a NumPy scalar reads {node['reads'][:50]!r} and is another")
    return value


def _reads(value: np.generic, text: str) -> bool:
    """Whether a text for people tells the truth; how many digits NumPy writes is its own affair."""
    if value.dtype.kind in "US":
        return str(value) == text
    return np.array(text).astype(value.dtype).tobytes() == value.tobytes() or str(value) == text
