"""Nodes as short texts for people, in Python's notation where there is one. Nothing is imported for them."""

from __future__ import annotations

import math
from typing import Any

from backends.json_spec.forms import tag_of

LENGTH = 100
"""Characters of a value on one line."""
TENSORS = ("$tensor", "$sparse", "$quantized")
_BRACKETS = {
    "$tuple": ("(", ")"),
    "$list": ("[", "]"),
    "$set": ("{", "}"),
    "$frozenset": ("frozenset({", "})"),
    "$namedtuple": ("(", ")"),
}
_PAIRS = {"$dict": "", "$ordereddict": "OrderedDict", "$counter": "Counter"}


def shown(node: Any, length: int = LENGTH) -> str:
    """The value of a node; longer than `length` characters, it is cut and says how much there is."""
    text = _text(node, length + 1)
    if len(text) <= length:
        return text
    items = _items(node)
    more = f" ({items} items)" if items is not None else ""
    return text[: max(length - len(more) - 3, 1)] + "..." + more


def printable(text: str) -> str:
    """A text from a file without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def class_name(name: str) -> str:
    """`Linear` for torch's own classes, `my_project:Net` for others."""
    name = printable(name)
    module, _, qualname = name.partition(":")
    return qualname if module.startswith(("torch.nn.modules.", "builtins")) else name


def tensor_text(node: dict[str, Any]) -> str:
    """dtype, shape, and what is unusual: `float32 [3, 5] parameter`."""
    tag = tag_of(node)
    dtype = node[tag] if tag != "$ndarray" else f"numpy {node[tag]}"
    parts = [str(dtype), str(node.get("shape", ""))]
    if node.get("parameter"):
        parts.append("parameter" if node.get("requires_grad", True) else "parameter, frozen")
    elif node.get("requires_grad"):
        parts.append("requires_grad")
    for field in ("stride", "strides"):
        if field in node:
            parts.append(f"{field} {node[field]}")
    parts += [field for field in ("conj", "neg", "coalesced", "read_only") if node.get(field)]
    if "class" in node:
        parts.append(shown(node["class"]))
    parts += [f"{field} {node[field]}" for field in ("scale", "zero_point", "axis") if field in node]
    if "device" in node:
        parts.append(f"on {node['device']}")
    return printable(" ".join(part for part in parts if part))


def _text(node: Any, room: int) -> str:
    if isinstance(node, str):
        return repr(node)
    if isinstance(node, list):
        return _joined("[", node, "]", room)
    if not isinstance(node, dict):
        return repr(node)
    tag = tag_of(node)
    if tag is None:
        return _joined_pairs("{", list(node.items()), "}", room)
    payload = node[tag]
    if tag == "$ref":
        return f"→ {printable(payload)}"
    if tag in ("$class", "$function", "$module", "$object"):
        return class_name(str(payload))
    if tag in TENSORS or tag == "$ndarray":
        return tensor_text(node)
    if tag in _BRACKETS:
        opening, closing = _BRACKETS[tag]
        items = node["items"] if tag == "$namedtuple" else payload
        if tag == "$namedtuple":
            opening = class_name(str(payload)) + opening
        if tag == "$set" and not items:
            return "set()"
        closing = ",)" if tag == "$tuple" and len(items) == 1 else closing
        return _joined(opening, items, closing, room)
    if tag in _PAIRS:
        name = _PAIRS[tag]
        return _joined_pairs(f"{name}({{" if name else "{", payload, "})" if name else "}", room)
    if tag == "$defaultdict":
        return _joined_pairs(f"defaultdict({_text(payload[0], room)}, {{", payload[1], "})", room)
    if tag == "$deque":
        return _joined("deque([", payload[1], f"], maxlen={payload[0]})", room)
    if tag == "$enum":
        members = node.get("members", [node.get("member")])
        return f"{class_name(str(payload))}.{printable('|'.join(members))}"
    if tag == "$npscalar":
        return f"numpy {payload} {printable(str(node.get('reads', node['bytes'])))}"
    if tag == "$method":
        return f"{_text(payload, room)}.{printable(str(node['name']))}"
    if tag == "$partial":
        given = [_text(item, room) for item in node["args"]]
        given += [f"{printable(key)}={_text(item, room)}" for key, item in node["keywords"].items()]
        return f"partial({', '.join([_text(payload, room), *given])})"
    if tag == "$handle":
        return f"handle of {node['on']} hook {node['place']}" if "on" in node else "handle of a hook that is gone"
    if tag == "$objectarray":
        return _joined(f"array {payload} of [", node["items"], "]", room)
    if tag == "$codec":
        return f"{printable(str(payload))}(...)"
    if tag == "$blob":
        return f"{payload} bytes"
    if tag == "$float":
        return str(payload)
    if tag == "$int":
        return str(int(payload, 16)) if len(payload) < 50 else payload
    return f"{tag[1:]} {_text(payload, room)}"


def _joined(opening: str, items: list[Any], closing: str, room: int) -> str:
    texts, used = [], 0
    for item in items:
        texts.append(_text(item, room))
        used += len(texts[-1]) + 2
        if used > room:
            break
    return opening + ", ".join(texts) + closing


def _joined_pairs(opening: str, pairs: list[Any], closing: str, room: int) -> str:
    texts, used = [], 0
    for key, item in pairs:
        texts.append(f"{_text(key, room)}: {_text(item, room)}")
        used += len(texts[-1]) + 2
        if used > room:
            break
    return opening + ", ".join(texts) + closing


def _items(node: Any) -> int | None:
    if isinstance(node, dict):
        tag = tag_of(node)
        node = node[tag] if tag is not None else node
    return len(node) if isinstance(node, list | dict) else None


def size_text(size_bytes: int) -> str:
    """`60 B`, `1.2 kB`, `46.8 MB`."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    power = min(int(math.log(size_bytes, 1000)), 4)
    return f"{size_bytes / 1000**power:.1f} {['B', 'kB', 'MB', 'GB', 'TB'][power]}"
