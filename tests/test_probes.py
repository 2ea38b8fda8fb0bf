"""Probes tell backends apart that differ in one thing, and what is planted really runs where it can."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.safety import plants, probes, tamper

FAKES = Path(__file__).with_name("fakes.py")


@pytest.fixture
def artifact(tmp_path):
    folder = tmp_path / "artifact"
    folder.mkdir()
    return folder


def plant(artifact: Path, tmp_path: Path, **more) -> tuple[dict[str, tamper.Damage], Path]:
    """The copies by the kind of what was planted."""
    marker = tmp_path / "marker"
    payload = plants.Payload(marker, "mine", **more)
    damages = tamper.planted(artifact, tmp_path / "copies", payload)
    return {damage.what.partition(":")[0]: damage for damage in damages}, marker


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_pkl", ".pkl"), data)
    return out.getvalue()


def tarred(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("inside.pkl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


PICKLE = pickle.dumps({"weight": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (PICKLE, lambda data: data),
        (zlib.compress(PICKLE), zlib.decompress),
        (zipped(data_pkl=PICKLE), lambda data: zipfile.ZipFile(io.BytesIO(data)).read("data.pkl")),
        (tarred(PICKLE), lambda data: tarfile.open(fileobj=io.BytesIO(data)).extractfile("inside.pkl").read()),
        (
            zipped(deep=tarred(PICKLE)),
            lambda data: (
                tarfile.open(fileobj=io.BytesIO(zipfile.ZipFile(io.BytesIO(data)).read("deep")))
                .extractfile("inside.pkl")
                .read()
            ),
        ),
    ],
    ids=["plain", "zlib", "zip", "tar.gz", "tar.gz in zip"],
)
def test_a_planted_pickle_runs_where_it_is_loaded(data, read, artifact, tmp_path):
    (artifact / "model.bin").write_bytes(data)
    damages, marker = plant(artifact, tmp_path)
    damage = damages["a pickle that calls os.mkdir"]
    assert "model.bin" in damage.what
    assert not marker.exists()
    pickle.loads(read((damage.folder / "model.bin").read_bytes()))
    assert marker.is_dir()
    assert (artifact / "model.bin").read_bytes() == data


def test_planted_python_runs_where_it_is_imported(artifact, tmp_path):
    (artifact / "handler.py").write_text('"""Doc."""\nfrom __future__ import annotations\nx = 1\n')
    damages, marker = plant(artifact, tmp_path)
    damage = damages["a line of Python"]
    exec(compile((damage.folder / "handler.py").read_text(), "handler.py", "exec"), {})
    assert marker.is_dir()


def test_json_names_become_calls(artifact, tmp_path):
    (artifact / "graph.json").write_text(json.dumps({"a": {"call": "torch.nn.Linear", "in": 3}, "b": "torch:relu"}))
    damages, marker = plant(artifact, tmp_path)
    texts = {kind: (damage.folder / "graph.json").read_text() for kind, damage in damages.items()}
    named = json.loads(texts["other names in the JSON"])
    assert named == {"a": {"call": "os.mkdir", "in": str(marker)}, "b": "os:mkdir"}
    through = json.loads(texts["names through the model's own module in the JSON"])
    assert through == {"a": {"call": "mine.torch.hub.os.mkdir", "in": str(marker)}, "b": "mine:torch.hub.os.mkdir"}


def test_weights_are_no_carrier(artifact, tmp_path):
    """They are only replaced whole, by a pickle."""
    (artifact / "weights.bin").write_bytes(bytes([0x80, 0x02]) + bytes(range(256)))
    assert list(plant(artifact, tmp_path)[0]) == ["a pickle in place of the binary files"]


@pytest.mark.parametrize("data", [b"mine:build\n", b'{"make": "mine:build"}', pickle.dumps("mine:build", protocol=2)])
def test_the_function_that_builds_the_model_becomes_another(data, artifact, tmp_path):
    (artifact / "constructor").write_bytes(data)
    damages, _ = plant(artifact, tmp_path)
    for kind, name in (("named as the function", b"os:abort"), ("named so through", b"mine:torch.hub.os.abort")):
        (damage,) = (damage for found, damage in damages.items() if kind in found)
        changed = (damage.folder / "constructor").read_bytes()
        assert name in changed and b"mine:build" not in changed
        if data[:1] == b"\x80":
            assert pickle.loads(changed) == name.decode()


def test_a_package_lets_its_own_list_import_what_is_planted(artifact, tmp_path):
    import torch

    with torch.package.PackageExporter(artifact / "model.pt") as exporter:
        exporter.save_pickle("model", "model.pkl", [1, 2])
    damages, marker = plant(artifact, tmp_path)
    folder = damages["a pickle that calls os.mkdir"].folder
    torch.package.PackageImporter(folder / "model.pt").load_pickle("model", "model.pkl")
    assert marker.is_dir()


def test_a_planted_torchscript_archive_writes_a_file(tmp_path):
    import torch

    from harness.calls import probe

    path, marker = tmp_path / "planted.pt", tmp_path / "marker"
    probe.plant_torchscript(None, path=str(path), marker=str(marker))
    assert not marker.exists()
    with pytest.warns(FutureWarning):
        torch.jit.load(path)
    assert marker.is_file()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler `cc`: Debian's package gcc has one")
def test_a_planted_nest_loads_a_library(artifact, tmp_path):
    """Why the `onnx` rows write the nest of outputs in words of their own."""
    from torch.utils import _pytree as pytree

    nest = pytree.treespec_dumps(pytree.tree_structure({"a": 1}))
    (artifact / "nests.json").write_text(json.dumps({"output": nest}))
    library = plants.shared_library(tmp_path, tmp_path / "marker")
    damages, marker = plant(artifact, tmp_path, library=library)
    folder = damages["a shared library named as the keys of a nest"].folder
    pytree.treespec_loads(json.loads((folder / "nests.json").read_text())["output"])
    assert marker.is_dir()


@pytest.mark.parametrize(
    ("backend", "answer"),
    [
        ("torch_package", "runs"),
        ("torchscript", "runs"),
        ("onnx_static", "does not run"),
        ("state_dict", "does not run"),
    ],
)
def test_what_is_known_of_real_backends(backend, answer, monkeypatch):
    monkeypatch.setattr(probes, "PROBES", {"planted_code": probes.PROBES["planted_code"]})
    (record,) = probes.probe(backend, "test", lambda text: None)
    assert record.facts["answer"] == answer, record.facts["planted"]
    assert len(record.facts["planted"]) == record.facts["tried"] > 0


def test_digests_fit_again(artifact, tmp_path):
    import hashlib

    (artifact / "model.pkl").write_bytes(PICKLE)
    (artifact / "SHA256SUMS").write_text(f"{hashlib.sha256(PICKLE).hexdigest()}  model.pkl\n")
    damages, _ = plant(artifact, tmp_path)
    damage = damages["a pickle that calls os.mkdir"]
    stated = (damage.folder / "SHA256SUMS").read_text().split()[0]
    assert stated == hashlib.sha256((damage.folder / "model.pkl").read_bytes()).hexdigest()


def test_one_bit_differs(artifact, tmp_path):
    (artifact / "large").write_bytes(bytes(1000))
    (artifact / "small").write_bytes(bytes(10))
    damages = list(tamper.flipped(artifact, tmp_path / "flips"))
    assert len(damages) == 4
    for damage in damages:
        data = (damage.folder / "large").read_bytes() + (damage.folder / "small").read_bytes()
        assert sum(byte.bit_count() for byte in data) == 1


@pytest.fixture
def answers(monkeypatch):
    """`answers(backend, probe, ...)` -> what these probes say of it."""
    known = probes.PROBES

    def asked(backend: str, *names: str) -> dict[str, str]:
        monkeypatch.setattr(probes, "PROBES", {name: known[name] for name in names})
        return {record.condition: record.facts["answer"] for record in probes.probe(backend, "test", lambda text: None)}

    return asked


SAFE = f"""
{FAKES.read_text()}

import hashlib
import json


class Signed(Honest):
    \"\"\"Notices every change, and tells its numbers.\"\"\"

    def save(self, model, directory):
        super().save(model, directory)
        data = (directory / "model.pkl").read_bytes()
        (directory / "key").write_bytes(bytes(byte ^ 90 for byte in hashlib.sha256(data).digest()))
        told = {{name: value for part in model.modules() for name, value in vars(part).items()
                if type(value) in (int, float, str)}}
        (directory / "readme.json").write_text(json.dumps({{"eps": 1e-5, "kernel_size": [3, 3], **told}}))

    def load(self, directory):
        data = (directory / "model.pkl").read_bytes()
        key = bytes(byte ^ 90 for byte in hashlib.sha256(data).digest())
        if (directory / "key").read_bytes() != key:
            raise ValueError("not what was saved")
        return super().load(directory)


class Rebuilds(Honest):
    \"\"\"Writes the same bytes wherever it runs.\"\"\"

    def save(self, model, directory):
        (directory / "name").write_text(type(model).__module__)

    def load(self, directory):
        import importlib

        return importlib.import_module((directory / "name").read_text()).build()


class InSetOrder(Rebuilds):
    def save(self, model, directory):
        super().save(model, directory)
        (directory / "order").write_text(" ".join({{f"name{{n}}" for n in range(20)}}))


class Salted(Rebuilds):
    def save(self, model, directory):
        super().save(model, directory)
        (directory / "salt").write_bytes(os.urandom(8))
"""


def test_answers_tell_backends_apart(answers, tmp_path):
    file = tmp_path / "safe.py"
    file.write_text(SAFE)
    honest, signed = (
        answers(f"{file}:{name}", "planted_code", "bit_flip", "truncation", "readable") for name in ("Honest", "Signed")
    )
    rebuilt, salted, ordered = (
        answers(f"{file}:{name}", "same_bytes") for name in ("Rebuilds", "Salted", "InSetOrder")
    )
    assert (honest["planted_code"], signed["planted_code"]) == ("runs", "does not run")
    assert (honest["bit_flip"], honest["truncation"]) == ("silent", "detected")
    assert (signed["truncation"], signed["readable"]) == ("detected", "some")
    assert honest["readable"] == "none"
    assert [found["same_bytes"] for found in (rebuilt, salted, ordered)] == ["same", "differs", "differs"]


def test_a_backend_that_brings_nothing_back(tmp_path):
    assert probes.probe(f"{FAKES}:Declines", "test", lambda text: None) == []


def test_the_command(tmp_path):
    result = CliRunner().invoke(main, ["probe", "--backend", "pickle", "--output", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "planted_code" in result.output
    lines = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"probe"}
    assert [line["condition"] for line in lines] == list(probes.PROBES)
