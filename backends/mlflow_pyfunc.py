"""`mlflow_pyfunc` and `mlflow_pyfunc_from_code`: MLflow's directory for a model that is more than a network.

Writes the folder `model`: `MLmodel` and the environment's description in YAML, copies of the project's source files
(`code_paths`), and either the model inside a `PythonModel` as a cloudpickle, or a script that MLflow runs at load
(models from code) with the model beside it as a `torch.save` artifact: a script cannot know how a given object was
made. MLflow itself offers only `predict`; what is compared here is the model that the loaded `PythonModel` holds.
Classes of the project are stored by reference and found in the copied source; lambdas and closures only by the first
row. Loading unpickles, and runs the copied source.

Use it when models are tracked, versioned and deployed with MLflow.

Not when the artifact comes from somebody you do not trust, or the environment at load may not hold MLflow.

Source: https://mlflow.org/docs/latest/ml/traditional-ml/tutorials/creating-custom-pyfunc/
"""

from __future__ import annotations

import functools
import os
import runpy
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from backends.base import Backend
from backends.project import own_sources

SCRIPT = Path(__file__).with_name("carried") / "mlflow_model.py"
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@functools.cache
def _requirements() -> tuple[str, ...]:
    """What a load needs, in the versions that are here; to look for these takes a tenth of a small model's save."""
    return tuple(f"{name}=={version(name)}" for name in ("mlflow-skinny", "torch", "cloudpickle"))


class MlflowPyfunc(Backend):
    """`mlflow.pyfunc.save_model` of a `PythonModel` object, which MLflow pickles with cloudpickle."""

    def save(self, model, directory):
        # run, not imported: cloudpickle then takes the class by value, as it does for one of a user's notebook
        self.write(model, directory, python_model=runpy.run_path(str(SCRIPT))["Served"](model))

    def write(self, model, directory, **what):
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(
            directory / "model",
            code_paths=[str(path) for path in own_sources(model)] or None,
            pip_requirements=list(_requirements()),
            **what,
        )

    def load(self, directory):
        import mlflow.pyfunc

        # Trust boundary: it unpickles, and runs the source that lies in the folder.
        return mlflow.pyfunc.load_model(str(directory / "model")).unwrap_python_model().model


class MlflowPyfuncFromCode(MlflowPyfunc):
    """`mlflow.pyfunc.save_model` of a script, and of the model as its artifact."""

    def save(self, model, directory):
        import torch

        with TemporaryDirectory(dir=directory) as folder:
            file = Path(folder) / "model.pt"
            torch.save(model, file)
            self.write(model, directory, python_model=str(SCRIPT), artifacts={"model": str(file)})
