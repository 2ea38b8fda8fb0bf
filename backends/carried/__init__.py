"""Scripts that go into artifacts as they are: what a user of the framework would write by hand."""
