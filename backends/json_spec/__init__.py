"""JSON-spec: save a model as a readable graph and its tensors; load it without running what the file says.

    from backends.json_spec import save, load

    save(model, "artifact")                          # spec.json, weights.safetensors, digests
    model = load("artifact", trust=["my_project"])   # your own classes come only from modules that you name

With the calls that made a model noted, it can be made anew with other arguments:

    layer = spec(Layer)(n_hidden=256)                # or @spec above the class
    rebuild("artifact", {"layer.n_hidden": 512}, trust=["my_project"])

    print(inspect("artifact"))                       # what is in it; imports nothing that it names
    differences("artifact", "other")                 # what differs, by meaning

FORMAT.md is the specification.
"""

from backends.json_spec.calls import spec
from backends.json_spec.copying import FreshWeights
from backends.json_spec.differing import Difference, differences
from backends.json_spec.errors import (
    ArtifactError,
    ExampleMismatch,
    SourceDrift,
    SourceDriftWarning,
    Unsupported,
    UntrustedName,
)
from backends.json_spec.inspecting import Part, inspect
from backends.json_spec.loading import load
from backends.json_spec.rebuilding import rebuild
from backends.json_spec.saving import save

__all__ = [
    "ArtifactError",
    "Difference",
    "ExampleMismatch",
    "FreshWeights",
    "Part",
    "SourceDrift",
    "SourceDriftWarning",
    "Unsupported",
    "UntrustedName",
    "differences",
    "inspect",
    "load",
    "rebuild",
    "save",
    "spec",
]
