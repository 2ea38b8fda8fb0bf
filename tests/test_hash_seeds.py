"""Texts hash otherwise where an artifact is loaded than where it was saved, as in production; the same in each run.

And where that seed happens to give the same, under more seeds.
"""

from __future__ import annotations

import json

import pytest

from harness.cell import hash_seeds
from harness.processes import interpreters
from harness.processes.process import HASH_SEED, Worker

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


IN_ORDER = """
import torch

class InOrder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.labels = LABELS

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return batch * 2

    def postprocess(self, output):
        return [(label, value) for label, value in zip(ORDER, output.tolist())]

def build():
    return InOrder()

def examples():
    return [[1.0, 2.0]]
"""


@pytest.fixture
def in_order(tmp_path):
    def written(labels, order="self.labels"):
        path = tmp_path / "in_order.py"
        path.write_text(IN_ORDER.replace("LABELS", labels).replace("ORDER", order))
        return f"{path}:build"

    return written


@pytest.mark.parametrize("wanted", ["same_process", "fresh_process", "other_interpreter"])
def test_a_set_that_happens_to_keep_its_order_is_asked_for_under_more_seeds(wanted, run_cell, in_order):
    other = interpreters.ours() if wanted == "other_interpreter" else None
    record = run_cell("dill", in_order("{'cat', 'ant'}"), wanted, other)
    if wanted == "same_process":
        assert record.outcome == "exact", record.message
    else:
        assert record.outcome == "mismatch"
        assert record.message.startswith("where texts hash otherwise, as in each new process: postprocess(examples[0])")
        assert (record.taps["preprocess"], record.taps["postprocess"]) == ("equal", "different")


@pytest.mark.parametrize(
    ("labels", "order"), [("{'cat', 'ant'}", "sorted(self.labels)"), ("{'cat': 1, 'ant': 2}", "self.labels")]
)
def test_what_is_put_in_order_is_not_blamed(labels, order, run_cell, in_order):
    assert run_cell("pickle", in_order(labels, order), "fresh_process").outcome == "exact"


def test_that_the_hash_is_the_cause_is_said(run_cell, tmp_path):
    path = tmp_path / "buckets.py"
    path.write_text(MODEL.replace("BUCKET", "hash(word) % 1000"))
    record = run_cell("pickle", f"{path}:build", "fresh_process")
    assert record.message.startswith("where texts hash otherwise, as in each new process: preprocess(examples[0])")


def test_that_edited_code_ran_has_no_stages_to_ask_for(run_cell, in_order):
    record = run_cell("pickle", in_order("{'cat', 'ant'}", "sorted(self.labels)"), "source_edited")
    assert (record.outcome, record.code_ran) == ("mismatch", "edited")


EQUAL = {"preprocess": "equal", "forward": "equal", "postprocess": "equal"}


def cell(outcome, message=None, stage=None, **taps):
    return {"outcome": outcome, "message": message, "stage": stage, "taps": EQUAL | taps}


def test_the_answer_of_one_method_is_taken_by_the_others(tmp_path):
    kept, asked = tmp_path / "reference.seeds", []
    other = {seed: cell("exact") for seed in hash_seeds.OTHERS}
    other[hash_seeds.OTHERS[1]] = cell("mismatch", "preprocess(examples[0]): it differs", preprocess="different")

    def examined(seed):
        asked.append(seed)
        return other[seed]

    part = cell("partial", preprocess="absent")
    assert hash_seeds.judged(part, kept, examined) == {} and not asked  # what has no such stage cannot tell
    first = hash_seeds.judged(cell("exact"), kept, examined)
    assert sorted(asked) == list(hash_seeds.OTHERS)
    assert (first["outcome"], first["taps"]["preprocess"], first["taps"]["forward"]) == (
        "mismatch",
        "different",
        "equal",
    )
    assert hash_seeds.judged(cell("close"), kept, examined) == first and len(asked) == len(hash_seeds.OTHERS)
    assert hash_seeds.judged(part, kept, examined) == {}
    assert hash_seeds.judged(cell("partial", postprocess="absent"), kept, examined)["outcome"] == "mismatch"
    assert hash_seeds.judged(cell("failed", "load: no"), kept, examined) == {}


def test_a_graph_is_not_blamed_for_what_follows_from_a_stage_that_it_has_not(tmp_path):
    differs = cell("mismatch", "preprocess(examples[0]): it differs", preprocess="different", forward="different")
    assert hash_seeds.judged(cell("exact"), tmp_path / "seeds", lambda seed: differs)["outcome"] == "mismatch"
    graph = cell("partial", preprocess="absent", postprocess="absent")
    assert hash_seeds.judged(graph, tmp_path / "seeds", lambda seed: pytest.fail("not asked")) == {}
    (tmp_path / "seeds").write_text(json.dumps({"forward": "forward(examples[0]): it differs"}))
    assert hash_seeds.judged(graph, tmp_path / "seeds", lambda seed: pytest.fail("not asked"))["outcome"] == "mismatch"


def test_a_model_that_raises_under_another_seed(tmp_path):
    def examined(seed):
        return cell("failed", "KeyError: 'ant'", "postprocess", forward="equal")

    judged = hash_seeds.judged(cell("exact"), tmp_path / "seeds", examined)
    assert (judged["outcome"], judged["taps"]["postprocess"]) == ("mismatch", "different")
    assert "KeyError" in judged["message"]


def test_an_artifact_that_does_not_load_there_says_nothing_of_the_model(tmp_path):
    examined = lambda seed: {"outcome": "crashed", "stage": "load", "message": "killed"}  # noqa: E731
    assert hash_seeds.judged(cell("exact"), tmp_path / "seeds", examined) == {}
    assert json.loads((tmp_path / "seeds").read_text()) == {}


def test_a_difference_that_the_saving_processes_seed_does_not_mend_has_another_cause(tmp_path):
    wrong = cell("mismatch", "forward(examples[0]): it differs", forward="different")
    asked = []
    assert hash_seeds.judged(wrong, tmp_path / "seeds", lambda seed: asked.append(seed) or wrong) == {}
    assert asked == [HASH_SEED]
    state = cell("mismatch", "outputs equal, state differs: model.x: is gone")
    assert hash_seeds.judged(state, tmp_path / "seeds", lambda seed: pytest.fail("not asked")) == {}
