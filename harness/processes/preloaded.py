"""Imported last by the server that workers are forked from: what it holds by then is made cheap to fork."""

from harness.system import huge_pages

huge_pages.gather()
