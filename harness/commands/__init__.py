"""The command line's commands, by what they are about; `harness.cli` puts them together.

A command's own imports are inside it, so that `--help` needs neither torch nor pandas.
"""
