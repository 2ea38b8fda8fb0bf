"""`pytest benchmarks/`: the matrix as tests, with pytest-benchmark as its face.

The measuring is done by `harness.matrix.Run`, a model at a time, in processes of its own; the tests below show its
records. A cell that a backend fails is a result and not a red test; red means that the harness or a model is broken.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness.errors import RoundtripError
from harness.matrix import Run, Settings
from harness.records import Record

LETTERS = {
    "exact": ".",
    "close": "~",
    "partial": "p",
    "mismatch": "X",
    "unsupported": "u",
    "failed": "f",
    "crashed": "c",
    "unavailable": "?",
}
OPERATIONS = ("save", "load", "first_prediction")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("roundtrip")
    group.addoption("--backend", action="append", default=[], metavar="NAME", help="only this; repeatable; or all")
    group.addoption("--model", action="append", default=[], metavar="NAME", help="only this model; or file.py:BUILDER")
    group.addoption("--condition", action="append", default=[], metavar="NAME", help="only this; repeatable; or all")
    group.addoption("--interpreter", action="append", default=[], metavar="PATH", help="load under this Python too")
    group.addoption("--life", choices=("none", "quick", "full"), default="quick", help="life after load (quick)")
    group.addoption("--rounds", type=int, default=15, help="timed rounds of every backend, at most (default: 15)")
    group.addoption(
        "--budget",
        type=float,
        help="seconds for the rounds of one model (default: 0.25 a backend, to 2.5 where rounds are dear)",
    )
    group.addoption("--quick", action="store_true", help="small models, quick backends, three conditions, a few rounds")
    group.addoption(
        "--cold-starts", choices=("none", "some", "all"), default="none",
        help="three new interpreters a backend: none (default), some: of one model, all: of every model",
    )  # fmt: skip
    group.addoption("--output", type=Path, default=None, help="a new folder for the run (default: reports/runs/<id>)")


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is told to end tidies up as after Ctrl-C
    option = config.option
    settings = Settings(
        tuple(option.backend), tuple(option.model), tuple(option.condition), option.rounds, option.quick,
        budget_s=option.budget, life=option.life, interpreters=tuple(option.interpreter),
        cold_starts=option.cold_starts,
    )  # fmt: skip
    config.stash[NOTICE] = settings.notice()
    try:
        config.stash[SETTINGS] = settings.resolved()
    except RoundtripError as error:
        pytest.exit(f"Error: {error}", returncode=2)


SETTINGS = pytest.StashKey[Settings]()
NOTICE = pytest.StashKey[str]()
RUN = pytest.StashKey[Run]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    settings = metafunc.config.stash[SETTINGS]
    if "condition" in metafunc.fixturenames:
        metafunc.parametrize(
            "condition", [f"{name}: {other.label}" if other else name for name, other in settings.cells()]
        )
    if "operation" in metafunc.fixturenames:
        metafunc.parametrize("operation", OPERATIONS)
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", settings.backends)
    if "model" in metafunc.fixturenames:
        metafunc.parametrize("model", settings.models)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A model at a time: its cells, then its costs."""
    order: dict[str, int] = {}
    for item in items:
        order.setdefault(_model(item), len(order))
    items.sort(key=lambda item: order[_model(item)])


def _model(item: pytest.Item) -> str:
    return item.callspec.params.get("model", "") if hasattr(item, "callspec") else ""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The speed of json_spec takes minutes of its own: only where its file is named (`make bench-json-spec`)."""
    if collection_path.name == "test_json_spec_speed.py":
        return None if any(collection_path.name in argument for argument in config.args) else True
    return None


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> Run:
    config = request.config
    try:
        run = Run(config.stash[SETTINGS], config.option.output)
    except RoundtripError as error:
        pytest.exit(f"Error: {error}", returncode=2)
    config.stash[RUN] = run
    return run


@pytest.fixture(scope="session")
def cells(run: Run, request: pytest.FixtureRequest):
    """`cells(model)` -> {(backend, condition): Record}; runs the model's part of the matrix when it is first asked."""
    done: dict[str, dict] = {}
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tick(text: str) -> None:
        if reporter is not None and reporter.isatty:
            with capture.global_and_fixture_disabled():
                reporter.rewrite(f"{text[: reporter._tw.fullwidth - 1]:<{reporter._tw.fullwidth - 1}}")

    run.tick = tick

    def of(model: str) -> dict:
        if model not in done:
            cells = [record for record in run.model(model) if record.kind == "cell"]
            done[model] = {(record.backend, _condition(record)): record for record in cells}
        return done[model]

    return of


def _condition(record: Record) -> str:
    return f"{record.condition}: {record.interpreter}" if record.interpreter else record.condition


def pytest_report_teststatus(report: pytest.TestReport):
    """A cell's outcome in place of PASSED."""
    outcome = dict(report.user_properties).get("outcome")
    if report.when == "call" and report.passed and outcome is not None:
        colours = {"exact": {"green": True}, "close": {"green": True}}
        return "passed", LETTERS[outcome], (outcome.upper(), colours.get(outcome, {"yellow": True}))
    return None


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    run = config.stash.get(RUN, None)
    if run is None:
        return
    run.close()
    if not run.records:
        return
    from harness import tables
    from harness.history import remember
    from harness.registry import ROOT
    from harness.report import write_report

    written = write_report(run.folder)
    past = remember(run.folder, ROOT / "reports")
    terminalreporter.section("roundtrip")
    terminalreporter.write_line(tables.markdown(tables.choice(tables.frame(run.records))))
    terminalreporter.write_line("")
    terminalreporter.write_line(
        f"{len(run.records)} cells; letters: " + ", ".join(f"{v} {k}" for k, v in LETTERS.items())
    )
    terminalreporter.write_line(f"records: {run.folder / 'records.jsonl'}")
    terminalreporter.write_line(f"summary: {written[0]}")
    terminalreporter.write_line(f"page:    {written[1]}")
    terminalreporter.write_line(f"tables:  {run.folder / 'tables'}")
    if past is not None:
        terminalreporter.write_line(f"history: {past}")
    if config.stash[NOTICE]:
        terminalreporter.write_line(config.stash[NOTICE])
