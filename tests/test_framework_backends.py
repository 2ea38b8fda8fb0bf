"""The framework packages, used as their users use them: the framework's own prediction equals `predict`."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

import pytest
import torch

from backends.project import own_modules, own_sources
from harness import inference, registry
from harness.project.staging import stage
from tests import programs


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that stages a reference model, imports it and returns (its module, the model)."""

    def imported(name: str):
        source = registry.model_source(name)
        staged = stage(source, tmp_path / "stage")
        monkeypatch.syspath_prepend(str(staged.folder))
        module = importlib.import_module(staged.module)
        return module, getattr(module, source.builder)()

    before = set(sys.modules)
    yield imported
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


def saved(name, model, directory):
    directory.mkdir()
    backend = registry.load_backend(name)
    backend.save(model, directory)
    return backend


def test_installed_packages_are_not_the_users_own(project):
    """Neither this environment's nor another's, as where one environment sees another's packages."""
    _, model = project("nested_fruit")
    assert [path.name for path in own_sources(model)] == ["nested_fruit.py"]
    assert own_modules(torch.nn.Sequential()) == own_sources(torch.nn.Sequential()) == []


@pytest.mark.parametrize("name", ["mlflow_pyfunc", "mlflow_pyfunc_from_code", "bentoml", "torchserve_mar", "onnx"])
def test_nothing_is_left_in_the_home_or_where_the_program_runs(name, tmp_path):
    """Stores, caches, telemetry: a save and a load write into the artifact alone."""
    home, here, artifact = (tmp_path / folder for folder in ("home", "here", "artifact"))
    for folder in (home, here, artifact):
        folder.mkdir()
    code = f"""
import os, pathlib, torch, warnings
os.environ.clear()
os.environ.update({{"HOME": {str(home)!r}, "PATH": {os.environ["PATH"]!r}}})
warnings.simplefilter("ignore")
from harness import inference, registry
backend, directory = registry.load_backend({name!r}), pathlib.Path({str(artifact)!r})
model = torch.nn.Sequential(torch.nn.Linear(2, 2)).eval()
batches = {{"batches": (torch.zeros(1, 2), torch.zeros(2, 2))}} if {name!r} == "onnx" else {{}}
backend.save(model, directory, **batches)
loaded = backend.load(directory)
loaded.forward(torch.zeros(1, 2))
"""
    programs.run(code, folder=here)
    assert [*home.rglob("*"), *here.rglob("*")] == []


@pytest.mark.parametrize("name", ["mlflow_pyfunc", "mlflow_pyfunc_from_code"])
def test_mlflow_predicts(name, project, tmp_path, monkeypatch):
    import mlflow.pyfunc

    module, model = project("nested_fruit")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    saved(name, model, tmp_path / "artifact")
    served = mlflow.pyfunc.load_model(str(tmp_path / "artifact" / "model"))
    assert served.predict(module.examples()) == [inference.predict(model, x) for x in module.examples()]
    assert not list((tmp_path / "elsewhere").iterdir()), "nothing is written where the program runs"


def test_torchserve_handler_answers(project, tmp_path, monkeypatch):
    """Through `handle`, as the server calls it: two requests, as bytes and as text."""
    module, model = project("sentiment_gru")
    saved("torchserve_mar", model, tmp_path / "artifact")
    with zipfile.ZipFile(tmp_path / "artifact" / "model.mar") as archive:
        archive.extractall(tmp_path / "served")
    assert {path.name for path in (tmp_path / "served").iterdir()} == {
        "MAR-INF", "model.pt", "sentiment_gru.py", "torchserve_handler.py",
    }  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path / "served"))
    from torchserve_handler import Handler
    from ts.context import Context, RequestProcessor
    from ts.metrics.metrics_store import MetricsStore

    manifest = json.loads((tmp_path / "served" / "MAR-INF" / "MANIFEST.json").read_text())
    context = Context("model", str(tmp_path / "served"), manifest, 1, None, "1.0", model_yaml_config={})
    context.metrics, context.request_processor = MetricsStore({}, "model"), [RequestProcessor({})] * 2
    handler = Handler()
    handler.initialize(context)
    first, second = module.examples()[:2]
    answers = handler.handle([{"body": first.encode()}, {"data": second}], context)
    assert answers == [inference.predict(model, first), inference.predict(model, second)]


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("java") is None, reason="TorchServe's frontend needs Java")
def test_torchserve_answers_over_http(project, tmp_path):
    module, model = project("sentiment_gru")
    saved("torchserve_mar", model, tmp_path / "artifact")
    ports = [free_port() for _ in range(3)]
    names = ("inference_address", "management_address", "metrics_address")
    (tmp_path / "config.properties").write_text(
        "".join(f"{name}=http://127.0.0.1:{port}\n" for name, port in zip(names, ports, strict=True))
        + "default_workers_per_model=1\n"
    )
    command = [
        sys.executable, "-m", "ts.model_server", "--start", "--foreground", "--disable-token-auth",
        "--model-store", str(tmp_path / "artifact"), "--models", "sentiment=model.mar",
        "--ts-config", str(tmp_path / "config.properties"),
    ]  # fmt: skip
    log = open(tmp_path / "server.log", "w")
    server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        text = module.examples()[0]
        request = urllib.request.Request(
            f"http://127.0.0.1:{ports[0]}/predictions/sentiment",
            data=text.encode(),
            headers={"Content-Type": "text/plain"},
        )
        answer = when_ready(request, server, (tmp_path / "server.log"))
    finally:
        end(server)
    assert answer == inference.predict(model, text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def when_ready(request, server, log, patience_s: float = 300.0):
    """The JSON answer, as soon as the server gives one."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    raise AssertionError(f"no answer; the server said: {log.read_text()[-3000:]}")


def end(server) -> None:
    """The launcher and the Java process that it started, by their group."""
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(30)
