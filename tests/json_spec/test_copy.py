"""The copy of the process that imports anew works beside the save, and none is left."""

from __future__ import annotations

import os

import json_spec_things as things
import pytest

from backends.base import UnsupportedModel
from backends.json_spec import save, saving

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the copy is a fork of the process")


def children():
    """Whether this process has children that nobody waited for."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


@pytest.mark.parametrize("failing", [None, "spec_text", "verify_artifact"])
def test_no_copy_is_left(tmp_path, monkeypatch, failing):
    seen = []

    def fail(*_, **__):
        seen.append(children())
        raise UnsupportedModel("planted")

    assert not children()
    if failing is None:
        save(things.Holder(part=things.Global()), tmp_path / "a")
    else:
        monkeypatch.setattr(saving, failing, fail)
        with pytest.raises(UnsupportedModel, match="planted"):
            save(things.Holder(part=things.Global()), tmp_path / "a")
        assert seen == [True]  # it was at work beside the save
    assert not children()
