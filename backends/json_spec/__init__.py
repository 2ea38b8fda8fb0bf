"""JSON-spec: save a model as a readable graph and its tensors; load it without running what the file says.

    from backends.json_spec import save, load

    save(model, "artifact")                          # spec.json, weights.safetensors, digests
    model = load("artifact", trust=["my_project"])   # your own classes come only from modules that you name

FORMAT.md is the specification.
"""

from backends.json_spec.errors import ArtifactError, Unsupported, UntrustedName
from backends.json_spec.loading import load
from backends.json_spec.saving import save

__all__ = ["ArtifactError", "Unsupported", "UntrustedName", "load", "save"]
