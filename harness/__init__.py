"""The harness: runs cells, compares, measures, tabulates. See CONTRIBUTING.md for how its modules fit together."""
