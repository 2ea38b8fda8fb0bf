"""Makes `json_spec_things` importable, as a user's module would be."""

from __future__ import annotations

import json
import linecache
import sys
from functools import cache
from pathlib import Path

import pytest

from harness.processes import source_tables

sys.path.insert(0, str(Path(__file__).parent))


@cache
def validator():
    """The JSON Schema of spec.json, which every artifact of the tests is held against."""
    import jsonschema

    import backends.json_spec

    schema = Path(backends.json_spec.__file__).parent / "spec.schema.json"
    return jsonschema.Draft202012Validator(json.loads(schema.read_text("utf-8")))


@cache
def wrong_in(text: bytes) -> str | None:
    """Where a spec.json is not of its schema; many tests write the same one."""
    wrong = next(validator().iter_errors(json.loads(text)), None)
    return wrong and f"{wrong.json_path}: {wrong.message[:300]}"


@pytest.fixture(autouse=True)
def nothing_noted_outside_the_model():
    """What hooks of one test noted in their module would have the next test's save refused."""
    import json_spec_things

    json_spec_things.CALLS.clear()
    yield
    json_spec_things.CALLS.clear()


@pytest.fixture(autouse=True)
def sources_are_read_once(monkeypatch):
    """As the corpus reads them: hundreds of tests save what one large file defines."""
    from backends.json_spec.sources import Source

    for name in source_tables.TABLES:
        monkeypatch.setattr(Source, name, vars(Source)[name])  # to be put back afterwards
    source_tables.keep()


@pytest.fixture(autouse=True)
def written_specs_are_of_the_schema(monkeypatch):
    """Whatever a test saves must pass the schema."""
    from backends.json_spec import saving

    render = saving.spec_text

    def checked(graph):
        text = render(graph)
        is_saved = sys._getframe(1).f_code.co_filename == saving.__file__ and list(graph) == saving.MEMBERS
        if is_saved and graph["format"] == "json-spec" and (wrong := wrong_in(text)) is not None:
            raise AssertionError(f"spec.json is not of its schema at {wrong}")
        return text

    monkeypatch.setattr(saving, "spec_text", checked)


@pytest.fixture
def again(tmp_path):
    """`again(attribute=value, ...)` -> the module that holds them, saved and loaded."""
    import json_spec_things

    from backends.json_spec import load, save

    def round_trip(**attributes):
        save(json_spec_things.Holder(**attributes), tmp_path / "artifact")
        return load(tmp_path / "artifact", trust=["json_spec_things"])

    return round_trip


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A notebook, in an empty folder: `kernel("x = 1", "print(x)")` runs cells."""
    from tests.json_spec.kernels import Kernel

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    cells = [name for name in linecache.cache if name.startswith("ipykernel_1/")]
    for name in cells:
        del linecache.cache[name]
    return Kernel(tmp_path, monkeypatch)
