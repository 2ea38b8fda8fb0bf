"""The copy of the process that imports anew works beside the save, and none is left."""

from __future__ import annotations

import os

import json_spec_things as things
import pytest

from backends.base import UnsupportedModel
from backends.json_spec import save, saving

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the copy is a fork of the process")


@pytest.fixture
def children(monkeypatch):
    """`children()`: whether a process that was forked in this test is there still, running or not waited for.

    Others have children in this process too: forkservers of tests before.
    """
    forked = []
    fork = os.fork

    def remembering():
        forked.append(child := fork())
        return child

    def is_there(child: int) -> bool:
        try:
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    monkeypatch.setattr(os, "fork", remembering)
    return lambda: any(is_there(child) for child in forked)


@pytest.mark.parametrize("failing", [None, "spec_text", "verify_artifact"])
def test_no_copy_is_left(tmp_path, monkeypatch, children, failing):
    seen = []

    def fail(*_, **__):
        seen.append(children())
        raise UnsupportedModel("planted")

    if failing is None:
        save(things.Holder(part=things.Global()), tmp_path / "a")
    else:
        monkeypatch.setattr(saving, failing, fail)
        with pytest.raises(UnsupportedModel, match="planted"):
            save(things.Holder(part=things.Global()), tmp_path / "a")
        assert seen == [True]  # it was at work beside the save
    assert not children()
