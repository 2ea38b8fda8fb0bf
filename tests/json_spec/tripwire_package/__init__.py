"""A user's package with a program in it."""
