"""`torch_package`: a zip archive of the pickled model, its tensors and the source of the project's own modules.

Writes one file, `model.pt`. The project's modules are *interned*: their source goes along and is imported from the
archive at load, under names of its own, so that neither an absent nor an edited source matters. Every other module is
*extern*: a reference to what is installed. Lambdas and closures cannot be saved; what lives in `__main__` is not found
at load; a dataclass in a module with postponed annotations cannot be made again. The classes that come back are not
the ones that the application would import: `isinstance` says no.

Use it when a model must run where its source is not, on any Python that can run that source.

Not when the file comes from elsewhere: loading runs its code and its pickle.

Source: https://docs.pytorch.org/docs/stable/package.html
"""

from __future__ import annotations

from backends.base import Backend
from backends.project import own_modules

PACKAGE = "saved-model"
"""Where in the archive the pickle is: a name that no module of the project's can have, as `model` it well may."""


class TorchPackage(Backend):
    """`PackageExporter`: the project's modules interned, all others extern."""

    def save(self, model, directory):
        from torch.package import PackageExporter

        own = sorted({module.__name__.partition(".")[0] for module in own_modules(model)})
        with PackageExporter(directory / "model.pt") as exporter:
            if own:
                exporter.intern([f"{name}.**" for name in own])  # `name.**` is `name` and all below it
            exporter.extern("**")
            exporter.save_pickle(PACKAGE, "model.pkl", model)

    def load(self, directory):
        from torch.package import PackageImporter

        # Trust boundary: the archive's code is imported, and unpickling runs whatever the file says.
        return PackageImporter(directory / "model.pt").load_pickle(PACKAGE, "model.pkl")
