"""`torchserve_mar`: TorchServe's archive: a handler, the model and the project's source in one zip file.

Writes `model.mar` with torch-model-archiver: `handler.py`, whose `preprocess`, `inference` and `postprocess` call the
model's; `model.pt`, which is `torch.save` of the whole model; the project's source files beside them. So classes are
found where the project is not, and lambdas and closures cannot be saved. It loads as TorchServe loads it, by
`BaseHandler.initialize`, which puts the model into eval mode; what is compared is the model that the handler holds.

Use it when TorchServe has to serve the model.

Not when you choose a server today: TorchServe is no longer maintained. Loading unpickles and runs the archive's source.

Source: https://docs.pytorch.org/serve/custom_service.html
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from unittest import mock

from backends.base import Backend
from backends.project import own_sources

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # TorchServe imports onnxruntime where it is installed
HANDLER = Path(__file__).with_name("carried") / "torchserve_handler.py"


class TorchServeMar(Backend):
    """`model_archiver` with a custom handler; loaded through `ts.torch_handler.base_handler.BaseHandler`."""

    def save(self, model, directory):
        import torch
        from model_archiver.model_archiver_config import ModelArchiverConfig
        from model_archiver.model_packaging import generate_model_archive

        with tempfile.TemporaryDirectory(dir=directory) as folder:
            sources = Path(folder) / "sources"
            sources.mkdir()
            for path in own_sources(model):
                copy = shutil.copytree if path.is_dir() else shutil.copy2
                copy(path, sources / path.name)
            torch.save(model, Path(folder) / "model.pt")
            config = ModelArchiverConfig(
                model_name="model",
                version="1.0",
                handler=str(HANDLER),
                serialized_file=f"{folder}/model.pt",
                extra_files=str(sources) if any(sources.iterdir()) else None,
                export_path=str(directory),
            )
            # the archiver gathers its files in the system's temporary folder, under the model's name
            with mock.patch.object(tempfile, "tempdir", folder):
                generate_model_archive(config)

    def load(self, directory):
        from ts.context import Context

        archive = directory / "model.mar"
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as file:
            file.extractall(folder)
            sys.path.insert(0, str(archive))  # a zip file is importable; TorchServe puts the unpacked folder there
            # Trust boundary: the archive's own source runs, and its model is unpickled.
            from torchserve_handler import Handler

            manifest = json.loads((Path(folder) / "MAR-INF" / "MANIFEST.json").read_text())
            handler = Handler()
            handler.initialize(Context("model", folder, manifest, 1, None, "1.0", model_yaml_config={}))
        return handler.model
