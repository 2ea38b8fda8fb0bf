"""Life after load: what a loaded model does not bear is said; what the original does not bear either is no fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.matrix import Run, Settings

FAKES = Path(__file__).with_name("fakes.py")


def life_of(backend: str, folder: Path, level: str = "quick", model: str = "nested_fruit") -> dict[str, str]:
    run = Run(Settings((backend,), (model,), ("fresh_process",), rounds=0, life=level), folder / "run")
    (cell,) = [record for record in run.model(model) if record.kind == "cell"]
    run.close()
    return cell.life


ALSO = {("ScalesGradients", "deepcopy"), ("AnswersAlone", "forward_batch")}
"""What a fake does not bear beside what it is for."""


def test_an_honest_copy_lives(tmp_path):
    assert life_of(f"{FAKES}:Honest", tmp_path) == dict.fromkeys(
        ("forward_batch", "batch", "deepcopy", "state_dict", "train_step"), "equal"
    )


@pytest.mark.parametrize(
    ("fake", "check", "told"),
    [
        ("DetachesALayer", "train_step", "different: loss: was"),
        ("ScalesGradients", "train_step", "different: mix.weight.grad"),
        ("RefusesCopies", "deepcopy", "failed: TypeError: cannot be copied"),
        ("CopiesWrongly", "deepcopy", "different: copy: was as its source"),
        ("AnswersAlone", "batch", "different: batch: was as one by one"),
        ("RenamesInStateDict", "state_dict", "different: embedding.weight is gone"),
        ("DiesWhenTrained", "crashed", "failed: killed by SIGABRT"),
    ],
)
def test_what_a_copy_does_not_bear(tmp_path, fake, check, told):
    found = life_of(f"{FAKES}:{fake}", tmp_path)
    assert found[check].startswith(told)
    # hooks of tensors are not copied along with them
    others = {name for name in found if name != check and (fake, name) not in ALSO}
    assert all(found[name] == "equal" for name in others), found


def test_what_the_original_does_not_bear_is_no_fault(tmp_path):
    text = (Path(__file__).parent.parent / "reference_models" / "nested_fruit.py").read_text()
    frozen = text.replace("return NestedFruit().eval()", "return NestedFruit().eval().requires_grad_(False)")
    (tmp_path / "frozen.py").write_text(frozen)
    found = life_of(f"{FAKES}:Honest", tmp_path, model=f"{tmp_path / 'frozen.py'}:build")
    assert found["train_step"] == "not applicable: the original raises ValueError: no parameter requires a gradient"
    assert found["batch"] == "equal"


HEAD = """
import torch

class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 2)
        self.head = lambda batch: self.net(batch)

    def get_extra_state(self):
        return {"words": {"a", "b"}}

    def set_extra_state(self, state):
        pass

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch):
        return self.head(batch)

    def postprocess(self, output):
        return output.tolist()

def build():
    torch.manual_seed(0)
    return Head().eval()

def examples():
    return [[1.0, 2.0], [3.0, 4.0]]
"""


def test_the_original_is_trained_itself(tmp_path):
    """A deep copy of it would have a function that knows the original: no gradient reaches the copy's weights."""
    pytest.importorskip("dill")
    (tmp_path / "head.py").write_text(HEAD)
    found = life_of("dill", tmp_path, model=f"{tmp_path / 'head.py'}:build")
    assert found["train_step"] == "equal"


def test_what_a_state_dict_has_beside_tensors_is_compared(tmp_path):
    path = tmp_path / "head.py"
    path.write_text(HEAD.replace("self.head = lambda batch: self.net(batch)", "self.head = self.net"))
    found = life_of(f"{FAKES}:OtherExtraState", tmp_path, model=f"{path}:build")
    assert found["state_dict"].startswith("different: _extra_state: was ")
    assert life_of(f"{FAKES}:Honest", tmp_path / "honest", model=f"{path}:build")["state_dict"] == "equal"


LINEAR = """
import torch

class Linear(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 2)
        self.register_buffer("calls", torch.zeros(()))

    def preprocess(self, x):
        return torch.tensor(x)

    def forward(self, batch: torch.Tensor):
        return self.net(batch)

    def postprocess(self, output):
        return output.tolist()

def build():
    torch.manual_seed(0)
    return Linear().eval()

def examples():
    return [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
"""


def life_of_linear(backend: str, folder: Path, answer: str) -> dict[str, str]:
    """Of a model that answers so instead of `self.net(batch)`."""
    (folder / "linear.py").write_text(LINEAR.replace("return self.net(batch)", answer))
    return life_of(backend, folder, model=f"{folder / 'linear.py'}:build")


def test_a_loss_that_is_no_number_is_what_it_was(tmp_path):
    found = life_of_linear(f"{FAKES}:Honest", tmp_path, "return torch.log(self.net(batch) - 1e9)")
    assert found["train_step"] == "equal"


def test_a_copy_that_has_all_is_no_fault(tmp_path):
    """Of the original a deep copy lacks the gradients, which pickle has left out already."""
    trained = "model = Linear().eval(); model(torch.ones(1, 2)).sum().backward(); return model"
    text = LINEAR.replace("return Linear().eval()", trained)
    (tmp_path / "trained.py").write_text(text)
    assert life_of(f"{FAKES}:Honest", tmp_path, model=f"{tmp_path / 'trained.py'}:build")["deepcopy"] == "equal"


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated
def test_a_part_that_counts_its_calls_is_no_worse_for_what_it_cannot_do(tmp_path):
    """It is called less often than the original, whose batches go through all three stages."""
    found = life_of_linear("torchscript", tmp_path, "self.calls += 1; return self.net(batch) * self.calls")
    assert found["batch"].startswith("failed: MissingStage")
    assert {name: found[name] for name in ("state_dict", "train_step")} == {
        "state_dict": "equal",
        "train_step": "equal",
    }


@pytest.mark.parametrize(
    ("backend", "told"),
    [("torchscript_trace", "different: batch: was forward()[0]"), ("torch_export_static", "failed: AssertionError")],
)
@pytest.mark.filterwarnings("ignore")
def test_a_size_of_batch_that_a_graph_keeps(tmp_path, backend, told):
    """Batches of one and two go through a trace as through the model; of a third there was no example."""
    answer = "return self.net(batch) if len(batch) <= 2 else self.net(batch) * 2"
    assert life_of_linear(backend, tmp_path, answer)["forward_batch"].startswith(told)


def test_an_exported_program_is_trained(tmp_path):
    assert life_of_linear("torch_export", tmp_path, "return self.net(batch)")["train_step"] == "equal"


def test_no_life_when_not_asked(tmp_path):
    assert life_of(f"{FAKES}:Honest", tmp_path, "none") == {}


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("fake", "check", "told"),
    [
        ("Honest", "saves_again", "equal"),
        ("SavesOnce", "saves_again", "failed: ValueError: not twice"),
        ("WearsOff", "saves_again", "different: exact at first, then mismatch"),
        ("AnswersOtherwiseCompiled", "compile", "different: output: was as the model's, is now output"),
        ("RefusesExport", "export", "failed: ValueError: not to be exported"),
    ],
)
def test_full_life(tmp_path, fake, check, told):
    found = life_of(f"{FAKES}:{fake}", tmp_path, "full")
    assert found[check].startswith(told)
    # what is saved again here has hooks that are no importable functions
    others = {name for name in found if name not in (check, "saves_again")}
    assert all(found[name] == "equal" for name in others), found


@pytest.mark.nightly
@pytest.mark.parametrize("count", ["self.calls += 1", "global CALLS; CALLS += 1"])
def test_a_model_that_counts_is_saved_again_as_it_was_loaded(tmp_path, count):
    """Not as it is once it has answered."""
    text = (Path(__file__).parent.parent / "reference_models" / "nested_fruit.py").read_text()
    text = text.replace(
        "    def preprocess(self, x):\n", f"    calls = 0\n\n    def preprocess(self, x):\n        {count}\n", 1
    )
    assert count in text
    (tmp_path / "counts.py").write_text(text.replace("import torch\n", "import torch\n\nCALLS = 0\n", 1))
    found = life_of("cloudpickle_by_value", tmp_path, "full", f"{tmp_path / 'counts.py'}:build")
    assert found["saves_again"] == "equal"


@pytest.mark.nightly
def test_a_graph_is_saved_again_from_what_the_original_made_of_the_examples(tmp_path):
    (tmp_path / "linear.py").write_text(LINEAR)
    found = life_of("torch_export", tmp_path, "full", f"{tmp_path / 'linear.py'}:build")
    assert {name: found[name] for name in ("saves_again", "compile", "export")} == dict.fromkeys(
        ("saves_again", "compile", "export"), "equal"
    )
