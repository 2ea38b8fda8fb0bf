"""A program: importing it runs it."""

raise SystemExit("the program ran")


class Thing:
    """What a file might name."""
