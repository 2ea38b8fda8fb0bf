"""Probes tell backends apart that differ in one thing, and what is planted really runs where it can."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import probes, tamper
from harness.cli import main

FAKES = Path(__file__).with_name("fakes.py")


@pytest.fixture
def artifact(tmp_path):
    folder = tmp_path / "artifact"
    folder.mkdir()
    return folder


def plant(artifact: Path, tmp_path: Path) -> tuple[list[tamper.Damage], Path]:
    marker = tmp_path / "marker"
    return list(tamper.planted(artifact, tmp_path / "copies", marker)), marker


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
    (damage,), marker = plant(artifact, tmp_path)
    assert "model.bin" in damage.what
    assert not marker.exists()
    pickle.loads(read((damage.folder / "model.bin").read_bytes()))
    assert marker.is_dir()
    assert (artifact / "model.bin").read_bytes() == data


def test_planted_python_runs_where_it_is_imported(artifact, tmp_path):
    (artifact / "handler.py").write_text('"""Doc."""\nfrom __future__ import annotations\nx = 1\n')
    (damage,), marker = plant(artifact, tmp_path)
    exec(compile((damage.folder / "handler.py").read_text(), "handler.py", "exec"), {})
    assert marker.is_dir()


def test_json_names_become_calls(artifact, tmp_path):
    (artifact / "graph.json").write_text(json.dumps({"a": {"call": "torch.nn.Linear", "in": 3}, "b": "torch:relu"}))
    damages, marker = plant(artifact, tmp_path)
    texts = [(damage.folder / "graph.json").read_text() for damage in damages]
    assert len(texts) == 3
    assert any('"os.mkdir"' in text and '"os:mkdir"' in text and str(marker) in text for text in texts)


def test_weights_are_no_carrier(artifact, tmp_path):
    (artifact / "weights.bin").write_bytes(bytes([0x80, 0x02]) + bytes(range(256)))
    assert plant(artifact, tmp_path)[0] == []


def test_digests_fit_again(artifact, tmp_path):
    import hashlib

    (artifact / "model.pkl").write_bytes(PICKLE)
    (artifact / "SHA256SUMS").write_text(f"{hashlib.sha256(PICKLE).hexdigest()}  model.pkl\n")
    (damage,), _ = plant(artifact, tmp_path)
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


def answers(backend: str) -> dict[str, str]:
    return {record.condition: record.facts["answer"] for record in probes.probe(backend, "test", lambda text: None)}


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


def test_answers_tell_backends_apart(tmp_path):
    file = tmp_path / "safe.py"
    file.write_text(SAFE)
    names = ("Honest", "Signed", "Rebuilds", "Salted", "InSetOrder")
    honest, signed, rebuilt, salted, ordered = (answers(f"{file}:{name}") for name in names)
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
