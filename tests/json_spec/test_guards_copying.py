"""Which saved values fit a model that was made anew, and what it cannot hold, by direct calls."""

from __future__ import annotations

import copy
import math
import warnings

import json_spec_things as things
import pytest
import torch
from torch import nn

from backends.json_spec import FreshWeights, load, rebuild, save
from backends.json_spec.copying import copy_weights


def test_saved_values_replace_those_of_parameters_and_buffers():
    saved, rebuilt = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.constant_(saved.weight, 3)
    saved.running_mean.fill_(5)
    with warnings.catch_warnings(action="error"):
        copy_weights(saved, rebuilt)
        assert rebuilt.weight.tolist() == [3, 3] and rebuilt.running_mean.tolist() == [5, 5]
        apart = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
        copy_weights(nn.Sequential(saved, saved), apart)  # of which the second has no name of its own
    assert apart[1].weight.tolist() == [3, 3] and apart[1].running_mean.tolist() == [5, 5]


FRESH = {
    "not saved": (nn.Linear(2, 1, bias=False), nn.Linear(2, 1), r"^1 tensors are fresh: bias \[1\] \(not saved\)$"),
    "a shape that would be spread": (
        nn.Linear(1, 1), nn.Linear(2, 1), r"^1 tensors are fresh: weight \[1, 2\] \(saved \[1, 1\]\)$"
    ),
    "another dtype": (
        nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False, dtype=torch.float64),
        r"^1 tensors are fresh: weight \[1, 2\] \(saved \[1, 2\] as torch\.float32\)$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FRESH)
def test_saved_values_that_do_not_fit(what):
    saved, rebuilt, message = FRESH[what]
    before = copy.deepcopy(rebuilt.weight)
    with pytest.warns(FreshWeights, match=message):
        copy_weights(saved, rebuilt)
    assert torch.equal(rebuilt.weight, saved.weight if what == "not saved" else before)


def test_values_that_a_constructor_ties_and_the_saved_model_held_apart(tmp_path):
    """The last name's values were in both, without a word."""
    model = things.Heads(2)
    save(model, tmp_path / "a")
    with pytest.raises(ValueError, match=r"^embed\.weight, head\.weight: .* in one place .* weights='fresh'"):
        rebuild(tmp_path / "a", {"tie": True}, trust=["json_spec_things"], weights="saved")
    model.head.weight.data.copy_(model.embed.weight)
    save(model, tmp_path / "a")
    with warnings.catch_warnings(action="error"):
        made = rebuild(tmp_path / "a", {"tie": True}, trust=["json_spec_things"], weights="saved")
    assert made.head.weight is made.embed.weight and torch.equal(made.head.weight, model.head.weight)
    made = rebuild(tmp_path / "a", {"tie": True}, trust=["json_spec_things"])
    assert not torch.equal(made.head.weight, load(tmp_path / "a", trust=["json_spec_things"]).head.weight)


def pair(one, other):
    """A module with two tensors: parameters as they are, others as buffers."""
    made = nn.Module()
    for name, value in (("one", one), ("other", other)):
        (made.register_parameter if isinstance(value, nn.Parameter) else made.register_buffer)(name, value)
    return made


def tied(value, view=lambda value: value):
    return pair(value, view(value))


NAN = torch.tensor([math.nan, 1.0])
SPARSE = torch.eye(2).to_sparse()
APART = {
    "another value": (pair(torch.ones(2), torch.zeros(2)), tied(torch.ones(2))),
    "another zero": (pair(torch.zeros(2), -torch.zeros(2)), tied(torch.ones(2))),
    "another NaN": (pair(NAN, -NAN), tied(torch.ones(2))),
    "another shape": (pair(torch.ones(2), torch.ones(2, 1)), tied(torch.zeros(2))),
    "another dtype": (pair(torch.zeros(2), torch.zeros(2, dtype=torch.int32)), tied(torch.ones(2))),
    "a parameter of the same memory": (
        pair(nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.zeros(3, 2))),
        tied(nn.Parameter(torch.ones(2, 3)), lambda value: nn.Parameter(value.data.t())),
    ),
    "a view of a part": (pair(torch.ones(4), torch.zeros(2)), tied(torch.ones(4), lambda value: value[1:3])),
    "sparse": (pair(SPARSE, SPARSE * 2), tied(SPARSE.clone())),
}


@pytest.mark.parametrize("what", APART)
def test_what_one_place_cannot_hold(what):
    saved, rebuilt = APART[what]
    with pytest.raises(ValueError, match=r"^one, other: the rebuilt model holds in one place"):
        copy_weights(saved, rebuilt)


ALIKE = {
    "the same values": (pair(torch.ones(2), torch.ones(2)), tied(torch.zeros(2))),
    "the same NaN": (pair(NAN, NAN.clone()), tied(torch.zeros(2))),
    "one number": (pair(torch.ones(()), torch.ones(())), tied(torch.zeros(()))),
    "tied before": (tied(NAN), tied(torch.zeros(2))),
    "sparse and tied before": (tied(SPARSE), tied(SPARSE * 2)),
    "conjugate": (tied(torch.ones(2) * 1j, torch.conj), tied(torch.zeros(2) * 1j, torch.conj)),
    "negative": (tied(torch.ones(2), torch._neg_view), tied(torch.zeros(2), torch._neg_view)),
    "parts of one memory": (pair(torch.ones(2), torch.zeros(2)), pair(*torch.full((4,), 5.0).chunk(2))),
    "repeated elements": (tied(torch.ones(2, 1).expand(2, 3)), tied(torch.zeros(2, 1).expand(2, 3))),
    "one element": (tied(torch.ones(1, 4)[:, ::4]), tied(torch.zeros(1, 4)[:, ::4])),
    "no elements": (pair(torch.ones(0, 2), torch.ones(0)), pair(torch.ones(1, 2)[:0], torch.ones(1).expand(0))),
}


@pytest.mark.parametrize("what", ALIKE)
def test_what_one_place_can_hold(what):
    saved, rebuilt = ALIKE[what]
    with warnings.catch_warnings(action="error"):
        copy_weights(saved, rebuilt)
    for name, value in saved.named_buffers(remove_duplicate=False):
        assert rebuilt.get_buffer(name).to_dense().tolist().__repr__() == value.to_dense().tolist().__repr__()


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantized_values_have_no_plain_bytes():
    saved = pair(*(torch.quantize_per_tensor(torch.ones(2), scale, 0, torch.qint8) for scale in (0.1, 0.2)))
    with pytest.raises(ValueError, match=r"^one, other: the rebuilt model holds in one place"):
        copy_weights(saved, tied(saved.one.clone()))
    copy_weights(tied(saved.one), tied(saved.other.clone()))


def test_a_repeated_element_has_one_value():
    with pytest.raises(ValueError, match=r"^one: the rebuilt model holds in one place"):
        copy_weights(pair(torch.tensor([1.0, 2.0]), None), pair(torch.zeros(1).expand(2), None))


def test_a_second_name_that_was_not_saved_is_not_fresh():
    rebuilt = tied(torch.zeros(2))
    with warnings.catch_warnings(action="error"):
        copy_weights(pair(torch.ones(2), None), rebuilt)
    assert rebuilt.other.tolist() == [1, 1]


def test_what_has_no_values_or_no_shape():
    copy_weights(tied(torch.ones(2, device="meta")), tied(torch.ones(2, device="meta")))
    for saved, rebuilt, told in [
        (torch.ones(2), torch.ones(2, device="meta"), r"one \[2\] \(saved \[2\] on cpu\)$"),
        (torch.ones(2, device="meta"), torch.ones(2), r"one \[2\] \(saved \[2\] on meta\)$"),
        (torch.ones(2), nn.UninitializedParameter(), r"one without a shape \(saved \[2\]\)$"),
    ]:
        with pytest.warns(FreshWeights, match=told):
            copy_weights(pair(saved, None), pair(rebuilt, None))
