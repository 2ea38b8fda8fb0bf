"""A user's project on disk: staged, run as a notebook, edited between save and load, made up in a wanted size."""
