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


def test_an_honest_copy_lives(tmp_path):
    assert life_of(f"{FAKES}:Honest", tmp_path) == dict.fromkeys(
        ("batch", "deepcopy", "state_dict", "train_step"), "equal"
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
    others = {name for name in found if name != check and (fake, name) != ("ScalesGradients", "deepcopy")}
    assert all(found[name] == "equal" for name in others), found


def test_what_the_original_does_not_bear_is_no_fault(tmp_path):
    text = (Path(__file__).parent.parent / "reference_models" / "nested_fruit.py").read_text()
    frozen = text.replace("return NestedFruit().eval()", "return NestedFruit().eval().requires_grad_(False)")
    (tmp_path / "frozen.py").write_text(frozen)
    found = life_of(f"{FAKES}:Honest", tmp_path, model=f"{tmp_path / 'frozen.py'}:build")
    assert found["train_step"] == "not applicable: the original raises ValueError: no parameter requires a gradient"
    assert found["batch"] == "equal"


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
