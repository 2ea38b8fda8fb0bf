"""Tables that two objects have in common: seen on either side."""

from __future__ import annotations

import copy
import pickle
import weakref

from compare_things import Plain, seen
from torch import nn

from harness.snapshot.builder import snapshot_model


def two_layers():
    return nn.Sequential(nn.Softsign(), nn.Softsign())


def test_tables_that_two_modules_have_in_common():
    """A shallow copy of a layer has them so: a weight that is put into the one is in the other too."""

    def made(name):
        net = two_layers()
        net[1].__dict__[name] = net[0].__dict__[name]
        return net

    shallow = two_layers()
    shallow[1] = copy.copy(shallow[0])
    assert seen(shallow, copy.deepcopy(shallow), snapshot_model) == []
    for name in ("_parameters", "_forward_hooks", "_non_persistent_buffers_set"):
        assert seen(made(name), made(name), snapshot_model) == []
        paths = [(f"model.{place}.<tables>.{name}", "identity") for place in (0, 1)]
        assert seen(made(name), two_layers(), snapshot_model) == paths
        assert seen(two_layers(), made(name), snapshot_model) == paths


class Settings(dict):
    """The idiom: its entries are its attributes."""

    def __init__(self, **entries):
        super().__init__(entries)
        self.__dict__ = self


def test_attributes_that_two_objects_have_in_common():
    def made(shared):
        first, second = Plain(x=1), Plain(x=1)
        if shared:
            second.__dict__ = first.__dict__
        return [first, second]

    assert seen(made(True), made(True), snapshot_model) == []
    assert seen(made(True), made(False), snapshot_model) == [
        (f"model[{place}].<tables>.__dict__", "identity") for place in (0, 1)
    ]
    assert seen(Settings(x=1), Settings(x=1), snapshot_model) == []
    copied = pickle.loads(pickle.dumps(Settings(x=1)))
    assert {kind for _, kind in seen(Settings(x=1), copied, snapshot_model)} == {"identity"}


def hook(module, arguments, output):
    return None


def test_a_handle_that_takes_its_hook_off_another_table():
    def made():
        net = nn.Softsign()
        net.handle = net.register_forward_hook(hook)
        return net

    assert seen(made(), made(), snapshot_model) == []
    after = made()
    table = after._forward_hooks.copy()
    after.handle.hooks_dict_ref = weakref.ref(table)
    paths = {path for path, _ in seen(made(), after, snapshot_model)}
    assert paths == {"model.<tables>._forward_hooks", "model.handle.<tables>.hooks_dict_ref()"}
