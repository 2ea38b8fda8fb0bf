"""`python -m harness` is `roundtrip`."""

from harness.cli import main

main(prog_name="roundtrip")
