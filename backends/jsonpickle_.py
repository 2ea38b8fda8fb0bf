"""`jsonpickle` and `jsonpickle_keys`: the object graph of a pickle, written as JSON.

Writes one file, `model.json`. Objects become JSON objects that name their class; what has its own `__reduce__`, as
tensors do, becomes the calls that a pickle would make, with the bytes in base64. By default keys of dictionaries become
strings (`{0: "cat"}` comes back as `{"0": "cat"}`), functions without an importable name are dropped without a word,
and an object whose class is not importable comes back as a dictionary. `jsonpickle_keys` sets `keys=True`, which keeps
keys that are not strings, and registers the library's handlers for NumPy and pandas. The one for tables writes a
column's type as a code that it numbers in the order of a set of classes, which is that of their addresses: read in
another process, a column of float64 is float64 or object, as chance has it.

Use it when a person must be able to look into a graph of plain objects.

Not when the file comes from elsewhere, since loading runs what it says, `safe=True` included; not for large tensors;
not where a silent loss would matter.

Source: https://jsonpickle.readthedocs.io/en/latest/api.html
"""

from __future__ import annotations

from backends.base import Backend


class JsonPickle(Backend):
    """`jsonpickle.encode` with its default settings."""

    keys = False

    def save(self, model, directory):
        import jsonpickle

        (directory / "model.json").write_text(jsonpickle.encode(model, keys=self.keys), encoding="utf-8")

    def load(self, directory):
        import jsonpickle

        # Trust boundary: decoding imports and calls what the file names, as unpickling does.
        return jsonpickle.decode((directory / "model.json").read_text(encoding="utf-8"), keys=self.keys)


class JsonPickleKeys(JsonPickle):
    """`keys=True` on both sides, after the handlers for NumPy and, where it is in use, pandas are registered."""

    keys = True

    def save(self, model, directory):
        register_handlers()
        super().save(model, directory)

    def load(self, directory):
        register_handlers()
        return super().load(directory)


def register_handlers() -> None:
    """The handlers that come with the library; its module for pandas imports pandas, so only where that is there."""
    from importlib.util import find_spec

    import jsonpickle.ext.numpy

    jsonpickle.ext.numpy.register_handlers()
    if find_spec("pandas"):
        import jsonpickle.ext.pandas

        jsonpickle.ext.pandas.register_handlers()
