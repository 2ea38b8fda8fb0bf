"""Processes that cells run in: fresh, forked from one that did some work, or another Python's."""
