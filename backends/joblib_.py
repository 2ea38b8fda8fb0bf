"""`joblib` and `joblib_zlib`: pickle, with NumPy arrays laid out after one another in the same file.

Writes one file, `model.joblib`: a pickle, with NumPy arrays as raw bytes beside it. A tensor is not a NumPy array: it
goes through torch's own pickling, so of a model that holds tensors joblib makes a pickle, and loses what pickle loses:
lambdas and closures cannot be saved, classes are references to importable code. `joblib_zlib` compresses the whole
stream; zlib's checksum then finds damage.

Use it when the model is scikit-learn-like, with large NumPy arrays, or when a compressed file is worth the seconds.

Not when the file comes from elsewhere: loading runs whatever it says. Not where the source is absent.

Source: https://joblib.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

from backends.base import Backend


class Joblib(Backend):
    """`joblib.dump` with its default settings: not compressed."""

    compress: int | tuple[str, int] = 0

    def save(self, model, directory):
        import joblib

        joblib.dump(model, directory / "model.joblib", compress=self.compress)

    def load(self, directory):
        import joblib

        # Trust boundary: unpickling runs whatever the file says.
        return joblib.load(directory / "model.joblib")


class JoblibZlib(Joblib):
    """`joblib.dump(..., compress=("zlib", 3))`, the method and the level that `compress=True` means."""

    compress = ("zlib", 3)
