"""The corpus of traits: tiny models with one difficulty each, to see what a way of saving keeps, refuses or changes.

A file `trait_*.py` holds the models of one family. It is a model's file as any other: self-contained, staged alone as
a user's top-level module (with the folder `trait_*_data` beside it, where there is one), and written as a user would
write it. Each trait is one builder in it, a function without arguments that is annotated `-> nn.Module`; the models
of a file share its `examples`. The difficulty shows in what a model answers wherever it can, and otherwise in its
state. Some traits are controls: nothing in them should trouble anyone, and a backend that fails there fails at the
convention itself. Their row begins with "control:".

What the program changed while it ran (a global, a class, a patched method) is changed inside the builder, so that a
fresh import of the file does not have it. Builders leave the global random state as it was. Models that draw numbers
predict the same twice when `random`, `torch` and `numpy.random` are seeded before each data point.

To add one: write the builder into the file of its family, and its row into `rows_python.py`, `rows_torch.py` or
`rows_outside.py`.

Left out: jagged nested tensors and `torch.export` programs, whose making takes seconds, and what needs a process group
or a GPU (DistributedDataParallel, pinned memory, CUDA graphs). Quantisation from `torch.ao` is deprecated and still
there (torch 2.14); torchao is not among the dependencies.

This module needs neither torch nor the files: the table is data.
"""

from __future__ import annotations

from dataclasses import dataclass

from reference_models.catalog import ModelEntry
from reference_models.traits import rows_outside, rows_python, rows_torch


@dataclass(frozen=True, kw_only=True)
class Trait(ModelEntry):
    """One tiny model: `builder` in `file`, and the one difficulty that it `exercises`."""

    family: str
    """What kind of difficulty: one word or two, the same for all traits of a file."""
    source: str
    """Where the difficulty comes from: a documentation, an issue, an error message, a measurement, a short reason."""

    @property
    def is_control(self) -> bool:
        """Whether nothing in it should trouble anyone."""
        return self.exercises.startswith("control:")


TRAITS: dict[str, Trait] = {
    builder: Trait(file=f"traits/{file}", builder=builder, exercises=exercises, family=family, source=source)
    for rows in (rows_python.ROWS, rows_torch.ROWS, rows_outside.ROWS)
    for (file, family), models in rows.items()
    for builder, (exercises, source) in models.items()
}
"""Name -> trait. The name is the builder's."""
