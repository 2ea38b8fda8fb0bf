"""Which source files are the user's own: for the backends that take code along."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path


def own_modules(model):
    """The imported modules that lie beside the model's own source and are not installed packages."""
    top = type(model).__module__.partition(".")[0]
    origin = getattr(sys.modules.get(top), "__file__", None)
    if origin is None:
        return []
    project = Path(origin).parent
    if project.name == top:  # a package: its modules lie one level deeper
        project = project.parent
    installed = [Path(sysconfig.get_path(key)) for key in ("stdlib", "purelib", "platlib")]
    return [
        module
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None))
        and Path(file).is_relative_to(project)
        and not any(Path(file).is_relative_to(folder) for folder in installed)
        and module.__name__ != "__main__"
    ]
