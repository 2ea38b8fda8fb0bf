"""A notebook in the process of a test."""

from __future__ import annotations

import ast
import hashlib
import linecache
import sys
import types

from backends.json_spec import load

IMPORTS = "import torch\nfrom torch import nn\nfrom backends.json_spec import load, save"
NET = "class Net(nn.Module):\n    def forward(self, x):\n        return {}"
SAVE = "save(Net(), 'artifact', examples=[torch.ones(1, 2)], bundle_source=True)"


class Kernel:
    """A `__main__` without a file, whose cells run as IPython runs them: statement by statement, the lines where
    tracebacks look for them, under a name that is the cell's."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.main = types.ModuleType("__main__")
        self.other = sys.modules["__main__"]
        self.patch = monkeypatch
        self(IMPORTS)

    def __call__(self, *cells):
        with self.patch.context() as here:
            here.setitem(sys.modules, "__main__", self.main)
            for cell in cells:
                name = f"ipykernel_1/{hashlib.sha256(cell.encode()).hexdigest()[:9]}.py"
                linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
                for statement in ast.parse(cell).body:
                    exec(compile(ast.Module([statement], []), name, "exec", dont_inherit=True), vars(self.main))

    def loaded(self):
        """The model, where the notebook is not."""
        return load(self.folder / "artifact", trust="bundled", check=True)

    @property
    def source(self):
        return (self.folder / "artifact" / "source" / "notebook_cells.py").read_text("utf-8")
