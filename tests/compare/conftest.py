"""Makes `compare_things` importable, as a user's module would be, and models of their texts."""

from __future__ import annotations

import importlib
import pickle
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

sys.path.insert(0, str(Path(__file__).parent))

HEAD = """
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from random import shuffle
import numpy as np
import pandas as pd
import torch
from scipy.interpolate import interp1d
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from torch import nn
"""


@pytest.fixture
def parted(tmp_path, monkeypatch):
    """`parted(source)`: whether a copy made by pickle, beside the code of the original, differs from it.

    With the names of other modules of the user's, which lie beside it.
    """
    names = []

    def ask(source: str, others: Sequence[str] = ()) -> list[str]:
        name = f"shared_{len(names)}"
        (tmp_path / f"{name}.py").write_text(HEAD + textwrap.dedent(source))
        monkeypatch.syspath_prepend(tmp_path)
        names.append(name)
        model = importlib.import_module(name).Model()
        own = [name, *others]
        before = snapshot_model(model, own_modules=own)
        copy = pickle.loads(pickle.dumps(model))
        return [one.path for one in compare(before, snapshot_model(copy, own_modules=own, imported=[name]))]

    yield ask
    for name in names:
        sys.modules.pop(name, None)
