"""A model as plain data: `builder` walks from it to all that it holds, each `describe_*` knows one kind of thing."""
