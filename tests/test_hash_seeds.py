"""Texts hash otherwise where an artifact is loaded than where it was saved, as in production; the same in each run."""

from __future__ import annotations

import pytest

from harness import interpreters
from harness.process import Worker

MODEL = """
import torch

class Buckets(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.EmbeddingBag(1000, 4, mode="sum")

    def preprocess(self, x):
        return torch.tensor([BUCKET for word in x.split()])

    def forward(self, batch):
        return self.embedding(batch)

    def postprocess(self, output):
        return output.tolist()

def build():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return Buckets().eval()

def examples():
    return ["a word or two", "another four words here"]
"""


@pytest.mark.parametrize(
    ("wanted", "outcome"), [("same_process", "exact"), ("fresh_process", "mismatch"), ("spawned_workers", "mismatch")]
)
def test_buckets_of_texts_hashes_do_not_survive(wanted, outcome, run_cell, tmp_path):
    path = tmp_path / "buckets.py"
    path.write_text(MODEL.replace("BUCKET", "hash(word) % 1000"))
    record = run_cell("pickle", f"{path}:build", wanted)
    assert record.outcome == outcome, record.message
    if outcome == "mismatch":
        assert record.taps["preprocess"] == "different"


def test_buckets_of_a_digest_do(run_cell, tmp_path):
    path = tmp_path / "buckets.py"
    path.write_text("import zlib\n" + MODEL.replace("BUCKET", "zlib.crc32(word.encode()) % 1000"))
    assert run_cell("pickle", f"{path}:build", "fresh_process").outcome == "exact"


def test_each_kind_of_process_has_its_seed_whatever_the_caller_has(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    seeds = {}
    for name, interpreter in (("saves", None), ("loads", interpreters.ours())):
        found = set()
        for _ in range(2):
            with Worker(interpreter) as worker:
                found.add(worker.call("about")["text_hash"])
        (seeds[name],) = found
    assert seeds["saves"] != seeds["loads"]
