"""Write `expected/BACKEND.csv` from a run's records: python tests/expected_from.py RUN [BACKEND ...]"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.conditions import default_names
from harness.records import read_records
from reference_models.catalog import CATALOG


def main(run: str, *backends: str) -> None:
    records = [record for record in read_records(Path(run)).records if record.kind == "cell"]
    found = {(record.backend, record.model, record.condition): record.outcome for record in records}
    for backend in backends or dict.fromkeys(record.backend for record in records):
        lines = [["model", *default_names()]]
        lines += [[model, *(found[backend, model, name] for name in default_names())] for model in CATALOG]
        path = Path(__file__).with_name("expected") / f"{backend}.csv"
        path.write_text("".join(f"{','.join(line)}\n" for line in lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
