"""Which source files are the user's own: for the backends that take code along."""

from __future__ import annotations

import os
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
    inside = f"{project}{os.sep}"
    installed = tuple(f"{sysconfig.get_path(key)}{os.sep}" for key in ("stdlib", "purelib", "platlib"))
    folders = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))  # of other environments
    return [
        module
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None))
        and file.startswith(inside)
        and not file.startswith(installed)
        and not any(folder in file for folder in folders)
        and module.__name__ != "__main__"
    ]


def own_sources(model) -> list[Path]:
    """The files and package folders of `own_modules`, as one would copy them to take the project along."""
    tops = {module.__name__.partition(".")[0] for module in own_modules(model)}
    paths = [Path(sys.modules[top].__file__) for top in sorted(tops) if getattr(sys.modules.get(top), "__file__", None)]
    return [path.parent if path.name == "__init__.py" else path for path in paths]
