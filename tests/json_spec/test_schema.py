"""spec.schema.json is a JSON Schema, knows every tag, and accepts what is written and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import json_spec_things as things
import jsonschema
import pytest
import test_inspect
import test_modules
import test_values
import torch
from torch import nn

import backends.json_spec
from backends.json_spec import save
from backends.json_spec.forms import FORMS, HOOK
from backends.json_spec.tensors import DTYPES

SCHEMA = json.loads((Path(backends.json_spec.__file__).parent / "spec.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def everything():
    """A model with as many kinds of things as the other tests have."""
    hooked = nn.Linear(2, 1)
    for register, (hook, options) in test_modules.HOOKS.items():
        getattr(hooked, register)(hook, **options)
    eye = torch.eye(4)
    handle = hooked.register_forward_hook(things.add_one)
    return things.Holder(
        values=dict(test_values.VALUES), hooked=hooked, handle=handle, called=test_inspect.model(),
        parametrized=nn.ModuleList(make() for make in test_modules.PARAMETRIZED.values()),
        layouts=[eye.to_sparse(), eye.to_sparse_csr(), eye.to_sparse_bsc((2, 2)), torch.ones(2).cfloat().conj(),
                 torch.quantize_per_tensor(eye, 0.1, 0, torch.qint8), torch.empty(2, device="meta")],
    )  # fmt: skip


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema") / "a"
    save(everything(), folder)
    return json.loads((folder / "spec.json").read_text("utf-8"))


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_it_has_the_grammar_of_the_reader():
    for tag, form in FORMS.items():
        shown = SCHEMA["$defs"][f"{tag[1:]}_value"]
        assert set(shown["required"]) == {tag, *form.needed}, tag
        assert set(shown["properties"]) == {tag, *form.needed, *form.optional}, tag
    assert set(SCHEMA["$defs"]["object"]["dependentSchemas"]) == set(FORMS)
    assert set(SCHEMA["$defs"]["hook"]["properties"]) == set(HOOK)


def test_it_accepts_what_is_written(spec):
    assert [error.message[:200] for error in VALIDATOR.iter_errors(spec)] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(version="1-draft"),
        lambda spec: spec.update(more=1),
        lambda spec: spec.pop("root"),
        lambda spec: spec.update(root={"$unknown": 1}),
        lambda spec: spec.update(root={"$ref": "a", "more": 1}),
        lambda spec: spec["objects"].update(a={"$module": "a:B"}),
        lambda spec: spec["objects"].update(a={"$tensor": "float32", "shape": [-1]}),
        lambda spec: spec["objects"].update(a={"$tuple": [{"$float": "1.0"}]}),
        lambda spec: spec["objects"].update(a={"key": [{"$class": "no name"}]}),
    ],
)
def test_it_refuses_what_is_not_of_the_format(spec, change):
    spec = json.loads(json.dumps(spec))
    change(spec)
    assert not VALIDATOR.is_valid(spec)


def test_the_specification_names_every_tag_and_every_codec_with_its_members():
    from backends.json_spec.codecs import CODECS

    text = (Path(backends.json_spec.__file__).parent / "FORMAT.md").read_text("utf-8")
    assert not [tag for tag in FORMS if f"`{tag}`" not in text and tag != "$ref"]
    rows = {cell: row for row in text.splitlines() if row.startswith("| `") for cell in row.split(" | ")[0].split("`")}
    for name, codec in CODECS.items():
        members = [] if codec.fields is None else list(codec.fields)
        if "the same" not in rows[name]:
            assert not [member for member in members if f"`{member}`" not in rows[name]], name


def test_the_specification_names_every_dtype_with_its_bytes():
    text = (Path(backends.json_spec.__file__).parent / "FORMAT.md").read_text("utf-8")
    text = re.sub(r"`(u?int)1` to `u?int7`", lambda found: " ".join(f"`{found[1]}{n}`" for n in range(1, 8)), text)
    bytes_of, entry_of = {}, {}
    for sizes, entries, names in re.findall(r"^\| ([\d, ]+) \| (.*) \| (.*) \|$", text, re.MULTILINE):
        found = re.findall(r"`(\w+)`", names)
        bytes_of |= dict.fromkeys(found, int(sizes))
        entry_of |= dict(zip(found, re.findall(r"`(\w+)`", entries), strict=False)) if "in `U8`" not in entries else {}
    dtypes = {dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}
    made = {str(dtype).removeprefix("torch."): dtype for dtype in dtypes}
    assert {name: dtype.itemsize for name, dtype in made.items() if name[:1] != "q"} == {
        name: size for name, size in bytes_of.items() if name in made
    }
    assert entry_of == DTYPES
