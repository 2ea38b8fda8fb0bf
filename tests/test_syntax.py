"""Files are parsed one at a time, whatever threads ask."""

from __future__ import annotations

import ast
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

from harness.source import syntax


def test_threads_wait_for_each_other(tmp_path, monkeypatch):
    path = tmp_path / "a.py"
    path.write_text("x = 1\n", encoding="utf-8")
    alone, real = threading.Lock(), ast.parse

    def parse(text):
        assert alone.acquire(blocking=False), "two at once"
        time.sleep(0.01)
        alone.release()
        return real(text)

    monkeypatch.setattr(syntax, "ast", types.SimpleNamespace(parse=parse))  # pytest itself parses
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(syntax.parse, [path] * 8))
    assert {ast.unparse(tree) for tree in trees} == {"x = 1"}
