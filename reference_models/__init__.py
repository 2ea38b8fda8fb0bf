"""Reference models: files as a user would write them, each chosen for a difficulty.

A model's file is self-contained. It is copied into a temporary project, imported there as the user's own top-level
module, and kept, removed, renamed or edited as the condition says; so it imports nothing of this project. It has

    def build() -> torch.nn.Module:
        \"\"\"The model, trained or seeded, in eval mode: the same weights to the bit whenever it is called, however
        many threads torch may use. It leaves the random states and the number of threads as they were. A second at
        most, since some backends watch how it is built.\"\"\"

    def examples() -> list:
        \"\"\"Two or more raw inputs, as `preprocess` takes them, made of the standard library's and libraries' types
        (they travel to processes in which this file does not exist).\"\"\"

and, where it applies,

    def construct() -> torch.nn.Module:
        \"\"\"The model in eval mode before it is trained, of any weights: what formats that hold weights alone call at
        load. Without it they call `build`, whose training then counts as loading.\"\"\"

    def score(predict) -> dict[str, float]:
        \"\"\"Figures such as {"accuracy": 0.98} on held-out data. `predict` takes a list of raw inputs and returns
        the list of what `postprocess` gave. Computed at save and again after each load.\"\"\"

    TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}   # what `close` means for this model; this is the default

The model follows the convention of the series: `preprocess(x)` gives a tree (nested list, tuple, dict, namedtuple) of
tensors and numbers for *one* data point, without a batch dimension; `forward(batch)` takes that tree with a batch
dimension added at every leaf; `postprocess(output)` takes one data point's part of the output and returns what a
person or program can read.

A file may hold several builders (`file.py:build_lambda`, with `construct_lambda`); they share `examples` and `score`.
"""
