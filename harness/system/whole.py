"""Files that several processes or threads write and read: who reads finds all of one, or none."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Write a file in one step, by way of another beside it; the folder is there. Raises OSError."""
    written = path.with_name(f"{path.name}-{os.urandom(8).hex()}")
    written.write_bytes(data)
    written.replace(path)
