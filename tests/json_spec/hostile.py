"""What the tests of hostile artifacts share: the audit hook that is on while they load, and what a refusal is.

Whatever comes of a load, no payload may run: the hook sees imports, opened files, compiled code, processes and
connections during every `attempt`. A test's module imports the fixture `watch`, which applies to all its tests.
"""

from __future__ import annotations

from collections.abc import Iterable

import fuzzing
import pandas  # noqa: F401  (imported before the hook is on: that a codec imports it is no finding)
import PIL.Image  # noqa: F401
import pytest
import tripwires
from crafting import HOLDER, holding

from backends.json_spec import ArtifactError, load
from backends.json_spec.trust import canonical_names

TRUST = ["json_spec_things", "tripwires", "tripwire_package"]
FILES = ["spec.json", "weights.safetensors", "digests.json", "SHA256SUMS"]
_watches: dict[str, fuzzing.Watch] = {}


@pytest.fixture(autouse=True)
def watch(tmp_path):
    """The audit hook; every test here ends with nothing seen and nothing fired."""
    if not _watches:
        load(holding(tmp_path / "first", {"$function": "torch:relu"}), trust=TRUST)  # reads the lists, once
        assert canonical_names()
        _watches["all"] = fuzzing.Watch(tmp_path)  # a hook stays for good
    seen = _watches["all"]
    seen.watch_only(tmp_path)
    tripwires.FIRED.clear()
    yield seen
    assert seen.seen == [] and tripwires.FIRED == []


def attempt(directory, trust: Iterable[str] = TRUST, verify=True):
    """`load` while the hook is on."""
    seen = _watches["all"]
    seen.on = True
    try:
        return load(directory, trust=trust, verify=verify)
    finally:
        seen.on = False


def refused(directory, match=None, trust: Iterable[str] = TRUST, kind=ArtifactError):
    """Both with digests and without, the artifact is refused by a documented error."""
    for verify in (True, False, "lazy"):
        with pytest.raises(kind, match=match):
            attempt(directory, trust, verify)


def everywhere(name: str) -> list:
    """Each place of the format in which a name may stand."""
    tensor = {"$tensor": "float32", "shape": [0]}
    return [
        {"$function": name}, {"$class": name}, {"$object": name}, {"$module": name, "training": True},
        {"$enum": name, "member": "A"}, {"$namedtuple": name, "items": []}, {**tensor, "class": {"$class": name}},
        {"$partial": {"$function": name}, "args": [], "keywords": {}}, {"$defaultdict": [{"$class": name}, []]},
        {"$method": {"$class": name}, "name": "x"}, {"$codec": name, "state": {}},
        {"$module": HOLDER, "training": True, "hooks": [{"on": "forward", "call": {"$function": name}}]},
    ]  # fmt: skip
