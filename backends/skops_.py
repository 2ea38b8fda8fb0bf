"""`skops`: scikit-learn's persistence without pickle, which audits the types before it constructs anything.

Writes one file, `model.skops`: a zip archive of a JSON tree of objects, with NumPy arrays as `.npy` files. It knows
scikit-learn's estimators, NumPy, SciPy and plain Python objects. It knows no tensors, so no `torch.nn.Module` that has
one can be saved: this row shows with which words.

Use it when the model is scikit-learn's.

Not when it is torch's.

Source: https://skops.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

from backends.base import Backend


class Skops(Backend):
    """`skops.io.dump`; at load, the types of the caller's own modules are trusted."""

    def save(self, model, directory):
        import skops.io

        skops.io.dump(model, directory / "model.skops")

    def load(self, directory, *, trusted_modules=()):
        import skops.io

        file = directory / "model.skops"
        trusted = [
            name for name in skops.io.get_untrusted_types(file=file) if name.partition(".")[0] in {*trusted_modules}
        ]
        return skops.io.load(file, trusted=trusted)
