"""Each guard of arrays alone, by a direct call, so that no other guard can stand in for it."""

from __future__ import annotations

import numpy as np
import pytest

from backends.json_spec import leaves
from backends.json_spec.errors import ArtifactError, Unsupported


def test_arrays():
    for shape, offset in [([-1], 0), ([2.0], 0), ([0], -1), ([0] * 65, 0)]:
        with pytest.raises(ArtifactError, match="a size that is not one"):
            leaves.read_array({"$ndarray": "<f4", "shape": shape, "offset": offset}, None)
    assert leaves.read_array({"$ndarray": "<f4", "shape": [0] * 64}, None).ndim == 64
    none = leaves.read_array({"$ndarray": "|S0", "shape": [1 << 36]}, None)
    assert none.dtype.itemsize == none.nbytes == 0 and none.shape == (1 << 36,)
    with pytest.raises(Unsupported, match=r"has the dtype .*: save its fields as arrays"):
        leaves.dtype_node(np.dtype({"names": ["a"], "formats": ["<f4"], "offsets": [4]}), "model.x")
