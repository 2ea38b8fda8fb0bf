"""Artifacts that run in C++ and JavaScript are told from those that do not, and from those that answer otherwise."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness.calls import probe
from harness.safety import other_language, probes

FOUND, MISSING = other_language.runtimes()
needs_all = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))


class Doubles(torch.nn.Module):
    def preprocess(self, x):
        return torch.tensor([x])

    def forward(self, batch):
        return {"twice": batch * 2, "more": (batch + 1,)}


@pytest.fixture
def session():
    return SimpleNamespace(model=Doubles(), user_module=SimpleNamespace(examples=lambda: [1.5, 2.5]))


def test_an_answer_is_compared_with_the_originals(session, tmp_path):
    probe.forward_case(session, folder=str(tmp_path))
    assert torch.equal(torch.load(tmp_path / "input.torch", weights_only=True), torch.tensor([[1.5]]))

    def said(*leaves) -> str:
        torch.save(leaves, tmp_path / "output")
        return probe.forward_answer(session, folder=str(tmp_path), kind="torch")

    assert said(torch.tensor([[3.0]]), torch.tensor([[2.5]])).startswith("equal")
    assert said(torch.tensor([[3.0]]), torch.tensor([[2.6]])) == "different: the largest difference is 0.1"
    assert said(torch.tensor([[3.0]])).startswith("different: shapes")


def test_without_a_runtime_nothing_is_proved(monkeypatch, tmp_path):
    monkeypatch.setattr(other_language, "FOLDER", tmp_path / "nowhere")
    facts = other_language.tried(None, tmp_path, tmp_path / "case")
    assert facts["answer"] == "unavailable" and "proves" not in facts
    assert "make languages" in facts["evidence"]


@needs_all
@pytest.mark.parametrize(
    ("backend", "answer", "language"),
    [
        ("onnx_static", "runs", "JavaScript"),
        ("torchscript_trace", "runs", "C++"),
        ("pickle", "does not run", "C++"),
    ],
)
def test_what_runs_outside_python(backend, answer, language, monkeypatch):
    monkeypatch.setattr(probes, "PROBES", {"other_language": probes.PROBES["other_language"]})
    (record,) = probes.probe(backend, "test", lambda text: None)
    assert (record.facts["answer"], record.facts["proves"]) == (answer, {"other_language": answer == "runs"})
    assert record.facts["evidence"].startswith(language)


def test_what_a_runtime_says_is_told_without_this_machines_paths(tmp_path):
    says = "echo 'cannot read /no/such/folder/roundtrip-abcd_123/saved/model.pt' >&2; exit 1"
    runtime = other_language.Runtime("sh", ("sh", "-c", says, "sh"), "json")
    assert other_language._run(runtime, tmp_path / "model.pt", tmp_path, None) == "cannot read saved/model.pt"
