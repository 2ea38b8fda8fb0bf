"""Modules and tensors: every mutation is seen, where it is and of which kind, and nothing else."""

from __future__ import annotations

import array
import copy
import pickle
import types

import numpy as np
import pytest
import torch
from compare_things import Plain, clip, relu, seen
from torch import nn
from torch.nn.utils import prune

from harness.compare import compare
from harness.snapshot.builder import snapshot_model

# --- modules


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("passing", torch.arange(2.0), persistent=False)
        self.register_parameter("none", None)
        self.loose = torch.arange(8.0)
        self.view = self.loose[1:5]
        self.array = np.arange(8.0)
        self.slice = self.array[2:4]
        self.names = {0: "zero", 1: "one"}
        self.act = clip
        self.rnn = nn.GRU(2, 2)
        self.twice = self.a
        self.a.register_forward_hook(hook)
        self.state = 7

    def get_extra_state(self):
        return {"state": self.state}


def hook(module, arguments, output):
    return None


def other_hook(module, arguments, output):
    return output


def with_handle():
    net = Net()
    net.handle = net.a.register_forward_hook(hook)
    return net


@pytest.mark.parametrize(
    "keys", [None, str, lambda number: -number - 1], ids=["another table", "texts", "other numbers"]
)
def test_a_handle_that_takes_no_hook_off(keys):
    before, lost = with_handle(), with_handle()
    table = lost.a._forward_hooks
    if keys is None:
        lost.a._forward_hooks = type(table)(table)
    else:
        moved = {keys(number): one for number, one in table.items()}
        table.clear()
        table.update(moved)
    del table
    assert [path for path, _ in seen(before, lost)] == ["x.handle.takes off"]
    assert seen(before, pickle.loads(pickle.dumps(before))) == seen(before, with_handle()) == []


def untie(net):
    net.b.weight = nn.Parameter(net.b.weight.detach().clone())


def nudge(net):
    with torch.no_grad():
        weight = net.rnn.weight_ih_l0
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))


def stride(net):
    net.a.weight.data = net.a.weight.data.t().contiguous().t()


def swap_hook(net):
    net.a._forward_hooks.clear()
    net.a.register_forward_hook(other_hook)


def unhook(net):
    net.a._forward_hooks.clear()


def hook_with_kwargs(net):
    net.a._forward_hooks.clear()
    net.a.register_forward_hook(hook, with_kwargs=True)


def gradient(net):
    net.a.bias.grad = torch.zeros(3)


def to_buffer(net):
    value = net.a.bias.detach()
    del net.a.bias
    net.a.register_buffer("bias", value)


def to_tensor(net):
    value = net.a.bias
    del net.a.bias
    net.a.__dict__["bias"] = value


def share(net):
    net.passing = net.loose[6:]


def reorder(net):
    net._modules["a"] = net._modules.pop("a")


def set_(name, value):
    return lambda net: setattr(net, name, value(net) if callable(value) else value)


MODULES = [
    (untie, [("model.b.weight", "identity")]),
    (lambda net: net.b.weight.data.copy_(net.b.weight.data), []),
    (set_("view", lambda net: net.view.clone()), [("model.loose", "aliasing")]),
    (set_("view", lambda net: (net.loose[2:6].copy_(net.loose[1:5].clone()), net.loose[2:6])[1]),
     [("model.loose", "value"), ("model.loose", "aliasing")]),
    (share, [("model.passing", "value"), ("model.passing", "aliasing")]),
    (set_("slice", lambda net: net.slice.copy()), [("model.array", "aliasing")]),
    (set_("array", lambda net: net.array[::-1][::-1].copy()), [("model.array", "aliasing")]),
    (nudge, [("model.rnn.weight_ih_l0", "value")]),
    (stride, [("model.a.weight", "stride")]),
    (lambda net: net.a.train(False), [("model.a", "training")]),
    (lambda net: net.a.bias.requires_grad_(False), [("model.a.bias", "requires_grad")]),
    (lambda net: net._non_persistent_buffers_set.clear(), [("model.passing", "buffer_persistence")]),
    (lambda net: net._non_persistent_buffers_set.add("kept"), [("model.kept", "buffer_persistence")]),
    (lambda net: delattr(net, "kept"), [("model.kept", "missing")]),
    (lambda net: delattr(net, "none"), [("model.none", "missing")]),
    (lambda net: net.register_buffer("new", torch.zeros(1)), [("model.new", "extra")]),
    (set_("loose", None), [("model.loose", "type")]),
    (lambda net: delattr(net, "loose"), [("model.loose", "missing")]),
    (set_("names", lambda net: {"0": "zero", "1": "one"}), [("model.names[0]", "keys"), ("model.names[1]", "keys")]),
    (lambda net: net.names.pop(1), [("model.names[1]", "missing")]),
    (set_("act", None), [("model.act", "type")]),
    (lambda net: setattr(net, "act", relu), [("model.act", "code")]),
    (unhook, [("model.a._forward_hooks", "hooks")]),
    (swap_hook, [("model.a._forward_hooks[0]", "code")]),
    (hook_with_kwargs, [("model.a", "hooks")]),
    (lambda net: net.register_forward_pre_hook(hook), [("model._forward_pre_hooks", "hooks")]),
    (lambda net: net.register_full_backward_hook(hook), [("model", "hooks"), ("model._backward_hooks", "hooks")]),
    (lambda net: net.register_state_dict_post_hook(hook), [("model._state_dict_hooks", "hooks")]),
    (lambda net: net.register_load_state_dict_pre_hook(hook), [("model._load_state_dict_pre_hooks", "hooks")]),
    (lambda net: net.a.bias.register_hook(len), [("model.a.bias._backward_hooks", "hooks")]),
    (gradient, [("model.a.bias.grad", "grad")]),
    (to_buffer, [("model.a.bias", "role"), ("model.a.bias", "type"), ("model.a.bias", "requires_grad"),
                 ("model.a.bias", "parameter")]),
    (to_tensor, [("model.a.bias", "role")]),
    (set_("twice", lambda net: copy.deepcopy(net.a)), [("model.twice", "identity")]),
    (set_("kept", lambda net: net.kept.double()), [("model.kept", "dtype")]),
    (set_("state", 8), [("model.state", "value"), ("model.get_extra_state()['state']", "value")]),
    (reorder, [("model", "order")]),
    (lambda net: net._parameters.update(p=None), [("model.p", "extra")]),
    (lambda net: setattr(net, "forward", types.MethodType(hook, net)), [("model.forward", "extra")]),
]  # fmt: skip


@pytest.mark.parametrize("row", range(len(MODULES)))
def test_a_mutated_module_is_seen(row):
    change, expected = MODULES[row]
    before, after = Net(), Net()
    assert seen(before, after, snapshot_model) == []
    change(after)
    assert seen(before, after, snapshot_model) == expected


def test_a_view_of_a_compacted_storage_is_the_same_view():
    """A format may save only the part of a storage that is used: what counts is how tensors lie to each other."""

    def pair(lead):
        whole = torch.zeros(lead + 4)
        return Plain(a=whole[lead:], b=whole[lead + 1 :])

    assert seen(pair(0), pair(3), snapshot_model) == []


def test_a_tensor_and_an_array_that_share_memory():
    def pair(copied):
        array = np.arange(4.0)
        tensor = torch.from_numpy(array)
        return Plain(array=array, tensor=tensor.clone() if copied else tensor)

    assert seen(pair(False), pair(False), snapshot_model) == []
    assert seen(pair(False), pair(True), snapshot_model) == [("model.array", "aliasing")]


def test_pieces_of_one_array_that_have_no_byte_in_common():
    """A pickle of scikit-learn's LogisticRegression gives two arrays where it had two pieces of one."""
    whole = np.arange(6.0)
    low, high, middle, tensor = whole[:4], whole[4:], whole[3:5], torch.from_numpy(whole)[5:]
    reversed_ = low[::-1]

    def copied(part):
        if torch.is_tensor(part):
            return part.clone()
        return part.copy() if part.strides[0] > 0 else part[::-1].copy()[::-1]

    def found(*parts):
        copies = [copied(part) for part in parts]
        before, after = (Plain(**dict(zip("abc", those, strict=False))) for those in (parts, copies))
        assert seen(after, before, snapshot_model) == seen(before, after, snapshot_model)
        return seen(before, after, snapshot_model)

    assert found(low, high) == found(high, low) == found(reversed_, high) == []
    assert found(low, middle, high) == found(low, high, middle) == [("model.a", "aliasing")]
    assert found(low, high, whole) == found(high, low, tensor) == found(reversed_, middle) == [("model.a", "aliasing")]
    assert found(low[:1], low[1:], low[1:3]) == [("model.b", "aliasing")]


@pytest.mark.parametrize(
    "make", [bytearray, lambda data: array.array("B", data), lambda data: memoryview(bytearray(data))]
)
def test_a_tensor_and_a_buffer_that_share_memory(make):
    def pair(copied):
        buffer = make(bytes(range(8)))
        tensor = torch.frombuffer(buffer, dtype=torch.uint8)
        return Plain(buffer=buffer, tensor=tensor.clone() if copied else tensor)

    assert seen(pair(False), pair(False), snapshot_model) == []
    assert seen(pair(False), pair(True), snapshot_model) == [("model.buffer", "aliasing")]
    assert seen(pair(True), pair(True), snapshot_model) == []


def test_one_scalar_of_numpy_in_two_places_may_come_back_as_two():
    one = np.float32(0.1)
    assert seen(Plain(a=one, b=one), Plain(a=np.float32(0.1), b=np.float32(0.1)), snapshot_model) == []


def test_strides_and_storages_of_outputs_are_nobodys_affair():
    whole = torch.zeros(2, 3)
    assert seen([whole, whole.t()], [whole.t().contiguous().t(), whole.t().clone()]) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.LSTM(2, 2),
        lambda: nn.TransformerEncoderLayer(4, 2, 8),
        lambda: nn.LazyLinear(2),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)),
        lambda: nn.ModuleDict({"a-b": nn.ReLU(), "values-1": nn.Identity()}),
        lambda: nn.ParameterList([torch.ones(1)]),
        lambda: nn.Linear(2, 2, device="meta"),
        lambda: nn.DataParallel(nn.Linear(2, 2)),
        lambda: nn.Conv2d(1, 2, 3).to(memory_format=torch.channels_last),
    ],
)
def test_a_deep_copy_of_torchs_own_modules_is_equal(make):
    torch.manual_seed(0)
    model = make()
    assert seen(model, copy.deepcopy(model), snapshot_model) == []


def test_a_parametrised_weight_is_seen():
    torch.manual_seed(0)
    model = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    plain = copy.deepcopy(model)
    nn.utils.parametrize.remove_parametrizations(plain, "weight")
    assert ("model.parametrizations", "missing") in seen(model, plain, snapshot_model)


class Slotted(nn.Module):
    __slots__ = ("limit",)

    def __init__(self, limit):
        super().__init__()
        self.limit = limit


class Measured(torch.Tensor):
    __slots__ = ("unit",)


def measured(unit):
    tensor = torch.ones(2).as_subclass(Measured)
    tensor.unit = unit
    return tensor


def test_slots_of_a_module_and_of_a_tensor():
    assert seen(Slotted(1), Slotted(1), snapshot_model) == []
    assert seen(Slotted(1), Slotted(2), snapshot_model) == [("model.limit", "value")]
    assert seen(measured("m"), measured("m"), snapshot_model) == []
    assert seen(measured("m"), measured("ft"), snapshot_model) == [("model.unit", "value")]


class Loud(dict):
    pass


def test_a_table_of_a_module_that_is_of_a_class_of_the_users():
    before, after = nn.Linear(1, 1), nn.Linear(1, 1)
    before.load_state_dict(after.state_dict())
    assert seen(before, after, snapshot_model) == []
    before._buffers = Loud()
    assert seen(before, after, snapshot_model) == [("model", "tables")]


class Gate(nn.Module):
    def __init__(self, limit=1.0):
        super().__init__()
        self.limit = limit

    def forward(self, x):
        return torch.clamp(x, 0.0, self.limit)


def test_an_attribute_of_a_scripted_module():
    before, after = torch.jit.script(Gate()), torch.jit.script(Gate())
    assert seen(before, after, snapshot_model) == []
    after.limit = 2.0
    assert seen(before, after, snapshot_model) == [("model.limit", "value")]


def test_the_graph_of_a_traced_module():
    def traced(limit):
        made = torch.fx.symbolic_trace(Gate(limit))
        return torch.fx.GraphModule(nn.Module(), made.graph)

    def fetching(times):
        """`weight` is fetched once, or once for each use, as when the module's code is traced anew."""
        graph = torch.fx.Graph()
        total = graph.placeholder("x")
        fetched = [graph.get_attr("weight") for _ in range(times)]
        for place in range(2):
            total = graph.call_function(torch.add, (total, fetched[place % times]))
        graph.output(total)
        root = nn.Module()
        root.weight = nn.Parameter(torch.ones(2))
        return torch.fx.GraphModule(root, graph)

    assert seen(traced(1.0), traced(1.0), snapshot_model) == []
    assert seen(traced(1.0), traced(2.0), snapshot_model) == [("model.graph[1][2][2]", "value")]
    named = traced(1.0)
    named._graphmodule_cls_name = "Gate"  # as torch.package notes it
    assert seen(traced(1.0), named, snapshot_model) == []
    copied = pickle.loads(pickle.dumps(traced(1.0)))
    assert seen(traced(1.0), copied, snapshot_model) == []
    assert seen(fetching(1), fetching(2), snapshot_model) == []


def test_an_operator_of_a_traced_module_goes_by_its_name():
    """Its object remembers how it was called."""

    def traced(operator):
        graph = torch.fx.Graph()
        graph.output(graph.call_function(operator, (graph.placeholder("x"),)))
        return torch.fx.GraphModule(nn.Module(), graph)

    relu_, tanh_ = torch.ops.aten.relu.default, torch.ops.aten.tanh.default
    assert seen(traced(relu_), traced(tanh_), snapshot_model) == [("model.graph[1][1]", "value")]


def test_a_compiled_layer_that_came_through_pickle_is_the_same_layer():
    layer = torch.compile(nn.Linear(2, 2), backend="eager")
    copied = pickle.loads(pickle.dumps(layer))
    assert seen(layer, copied, snapshot_model) == []
    with torch.no_grad():
        copied.weight[0, 0] += 1
    assert {kind for _, kind in seen(layer, copied, snapshot_model)} == {"value"}


def test_by_what_a_recurrent_layer_sees_new_weights_is_its_own_affair():
    """tensorizer sets the weights anew; the layer looks at them when it is called, and makes its notes anew."""
    layer = nn.GRU(2, 2)
    before = snapshot_model(layer)
    for name, weight in list(layer.named_parameters()):
        setattr(layer, name, nn.Parameter(weight.detach().clone()))
    assert compare(before, snapshot_model(layer)) == []
    for name, weight in list(layer.named_parameters()):  # past the layer
        layer._parameters[name] = nn.Parameter(weight.detach().clone())
    assert compare(before, snapshot_model(layer)) == []
    layer(torch.zeros(1, 2))
    assert compare(before, snapshot_model(layer)) == []
    layer._flat_weights[0] = layer._flat_weights[0].detach().clone()
    assert compare(before, snapshot_model(layer)) != []


def test_what_each_call_computes_anew_may_need_a_gradient_or_not():
    model = prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=1)
    before = snapshot_model(model)
    with torch.no_grad():
        model(torch.ones(1, 2))
    assert compare(before, snapshot_model(model)) == []


class Rescales:
    """A hook that knows an attribute by its name, and leaves it as it is."""

    def __init__(self, name):
        self.name = name

    def __call__(self, module, args):
        return None


def test_a_hook_of_the_users_computes_no_attribute_anew():
    def made(requires_grad):
        net = nn.Module()
        net.scale = torch.ones(2, requires_grad=requires_grad)
        net.register_forward_pre_hook(Rescales("scale"))
        return net

    assert seen(made(True), made(True), snapshot_model) == []
    assert seen(made(True), made(False), snapshot_model) == [("model.scale", "requires_grad")]
