"""Messages as a person elsewhere can read and compare them."""

from __future__ import annotations

import re

from harness.registry import ROOT


def everywhere(text: str) -> str:
    """A message or traceback that is the same on every machine: files from where they are installed, no addresses; and
    without a terminal's colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"""(?<![^\s"'(\[=])/[^\s"']*/(site-packages|python3\.\d+|project)/""", r"\1/", text)
    text = re.sub(r"""/[^\s"']*/roundtrip-\w{8}/""", "", text)  # a run's own temporary folders
    return re.sub(r"\b(at:?) 0x[0-9a-f]{6,}", r"\1 0x...", text.replace(f"{ROOT}/", ""))
