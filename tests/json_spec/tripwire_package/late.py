"""A module that is trusted, in a file that names something else that is not."""


class Thing:
    """What a file names."""
