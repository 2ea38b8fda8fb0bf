"""Makes artifacts that later versions must read: tests/golden/v<VERSION>/<name>, one of each model of seeds.py.

    python -m tests.json_spec.golden

An artifact that is there is never written again: it is what a version of this package wrote, once. After a release, a
change of the format raises its version and adds a folder; a new model in seeds.py adds an artifact, and one that has an
artifact is not edited (test_golden.py compares them). Until version 1 is released, delete the folder to make it anew.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import torch

HERE = Path(__file__).parent
FOLDER = HERE.parent / "golden"
sys.path.insert(0, str(HERE))


MORE = {
    "with_source_and_examples": {"examples": [torch.tensor([1, 2])], "bundle_source": True},
    "with_blake3": {"digest": "blake3"},
}
"""Artifacts of one more model, and the arguments of `save`."""


def main() -> list[Path]:
    """Write what is missing; returns the new folders."""
    import seeds
    from json_spec_things import fixed_model

    from backends.json_spec import save
    from backends.json_spec.writer import VERSION

    made = []
    for name, build in {**seeds.SEEDS, **dict.fromkeys(MORE, fixed_model)}.items():
        target = FOLDER / f"v{VERSION}" / name
        if target.exists():
            continue
        save(build(), target, **MORE.get(name, {}))
        made.append(target)
    return made


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for path in main():
        sys.stdout.write(f"{path.relative_to(FOLDER.parent.parent)}\n")
