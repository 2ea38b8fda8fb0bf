"""Forked processes: each its own, its crash and its hang still seen, nothing in it that should not be."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backends import BackendEntry
from backends.json_spec.sources import Source
from harness import registry, round_trip
from harness.cell import saving
from harness.conditions import condition
from harness.processes import interpreters, source_tables, templates
from harness.processes.process import Worker, WorkerDied, WorkerFailed
from harness.processes.templates import Original
from harness.processes.warm import WARM
from harness.project.staging import stage
from harness.system import forking
from tests import programs

SPOILERS = """
import os, time
import torch
from backends.pickle_ import Pickle

class Changes(Pickle):
    def save(self, model, directory):
        super().save(model, directory)
        with torch.no_grad():
            next(model.parameters()).add_(1)

class Dies(Pickle):
    def save(self, model, directory):
        os.abort()

class Hangs(Pickle):
    def save(self, model, directory):
        time.sleep(600)
"""
MODELS = Path(__file__).parent.parent / "reference_models"

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to know that forking is safe")


def staged(tmp_path, text: str | None = None):
    """The project of `nested_fruit`, or of a changed copy of it."""
    path = MODELS / "nested_fruit.py"
    if text is not None:
        path = tmp_path / "nested_fruit.py"
        path.write_text(text)
    return stage(registry.model_source(f"{path}:build"), tmp_path / "stage")


@pytest.fixture
def original(tmp_path):
    made = Original("build", staged(tmp_path), tmp_path / "original", life=False)
    assert made.forkable
    yield made
    made.close()


@pytest.fixture
def spoilers(tmp_path):
    (tmp_path / "spoilers.py").write_text(SPOILERS)
    return tmp_path / "spoilers.py"


def test_what_a_backend_does_to_the_model_the_next_does_not_see(original, spoilers, tmp_path):
    with original.fork() as untouched:
        digest = untouched.call("state_digest")
    found = []
    for number, backend in enumerate((f"{spoilers}:Changes", "pickle")):
        saved = saving.save(backend, "build", original.stage, tmp_path / str(number), original=original)
        assert saved.described == original.reference
        found.append((bool(saved.facts["changed_original"]), saved.worker.call("state_digest") == digest))
        saved.close()
    assert found == [(True, False), (False, True)]


def test_a_fork_of_the_original_makes_a_cell(original, tmp_path):
    saved = saving.save("pickle", "build", original.stage, tmp_path / "cell", original=original)
    with round_trip.out_of_reach(original.stage.folder):
        loaded = round_trip.load(saved, condition("fresh_process"), project=staged(tmp_path / "again"))
    saved.close(), loaded.close()
    assert loaded.result["outcome"] == "exact"


def test_a_crash_in_a_fork_is_told_by_its_signal(original, spoilers, tmp_path):
    saved = saving.save(f"{spoilers}:Dies", "build", original.stage, tmp_path / "cell", original=original)
    saved.close()
    assert saved.stopped["outcome"] == "crashed"
    assert saved.stopped["message"].startswith("killed by SIGABRT; Fatal Python error: Aborted; File")
    with original.fork() as other:  # and the template lives
        assert other.call("state_digest")


def test_a_fork_that_is_killed_from_outside_is_known_at_once(original):
    with original.fork() as one:
        os.kill(one._process.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            one.call("about")


def test_a_hang_in_a_fork_is_ended(original, spoilers, tmp_path):
    with original.fork() as one:
        with pytest.raises(WorkerDied, match="no answer within 1 s; killed"):
            one.call("save", backend=f"{spoilers}:Hangs", directory=str(tmp_path / "h"), timeout_s=1.0)
        assert not one._process.is_alive()
        assert not Path(f"/proc/{one._process.pid}").exists()


def test_ends_that_interrupt_each_other_are_all_told(monkeypatch):
    """The end of one process is told while that of another is being told, as signals may have it."""
    reading, writing = os.pipe()
    monkeypatch.setattr(forking, "_reports", {11: writing, 12: os.dup(writing)})
    ends, waited = {11: 0, 12: 9}, []

    def waitpid(pid, options):
        waited.append(pid)
        if len(waited) == 1:
            forking._report()
        if pid not in ends:
            raise ChildProcessError
        return pid, ends.pop(pid)

    monkeypatch.setattr(os, "waitpid", waitpid)
    forking._report()
    assert not forking._reports
    assert [forking.NUMBER.unpack(os.read(reading, 8))[0] for _ in range(2)] == [0, -9]
    os.close(reading)


def test_many_ends_at_once_leave_the_template_alive():
    with Worker() as template:
        forks = [Worker(template=template) for _ in range(30)]
        for one in forks:
            os.kill(one._process.pid, signal.SIGKILL)
        for one in forks:
            with pytest.raises(WorkerDied, match="SIGKILL"):
                one.call("about")
            one.close()
        with Worker(template=template) as last:
            assert last.call("about")


def test_where_the_template_is_gone_a_process_imports_it_itself(monkeypatch):
    template = Worker()
    os.kill(template._process.pid, signal.SIGKILL)
    monkeypatch.setattr(templates, "library", lambda backend, interpreter: template)
    with template, templates.with_library("pickle") as one:
        assert one.call("about")


def test_where_the_original_is_gone_each_builds_for_itself(original, tmp_path):
    os.kill(original._worker._process.pid, signal.SIGKILL)
    saved = saving.save("pickle", "build", original.stage, tmp_path / "cell", original=original)
    assert saved.stopped is None and saved.described is None
    saved.close()


def test_a_template_that_is_gone_is_told():
    template = Worker()
    os.kill(template._process.pid, signal.SIGKILL)
    with template, pytest.raises(WorkerDied, match="SIGKILL"):
        Worker(template=template)


def test_a_model_that_starts_a_thread_is_built_by_each(tmp_path):
    text = (MODELS / "nested_fruit.py").read_text()
    threaded = text.replace(
        "return NestedFruit().eval()",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "    return NestedFruit().eval()",
    )
    assert threaded != text
    made = Original("build", staged(tmp_path, threaded), tmp_path / "original")
    assert not made.forkable
    assert made.reference.exists()
    saved = saving.save("pickle", "build", made.stage, tmp_path / "cell", original=made)
    assert saved.stopped is None
    assert saved.described is None
    saved.close()


def test_a_model_that_has_a_file_open_is_built_by_each(tmp_path):
    """Forks would write where another has written."""
    text = (MODELS / "nested_fruit.py").read_text()
    writing = text.replace(
        "return NestedFruit().eval()",
        "import tempfile; model = NestedFruit().eval(); model.file = tempfile.TemporaryFile(); return model",
    )
    assert writing != text
    made = Original("build", staged(tmp_path, writing), tmp_path / "original")
    assert not made.forkable
    assert made.reference.exists()


def test_a_model_that_cannot_be_built_fails_for_each_with_its_words(tmp_path):
    made = Original("absent", staged(tmp_path), tmp_path / "original")
    saved = saving.save("pickle", "absent", made.stage, tmp_path / "cell", original=made)
    saved.close()
    assert (saved.stopped["outcome"], saved.stopped["stage"]) == ("failed", "build")
    assert "absent" in saved.stopped["message"]


def test_a_backend_that_watches_the_building_builds_for_itself(original, tmp_path):
    saved = saving.save("aijson", "build", original.stage, tmp_path / "cell", original=original)
    saved.close()
    assert saved.described is None


@pytest.fixture
def heavy(monkeypatch):
    """A row whose library is named to be imported once."""
    row = BackendEntry("backends.joblib_:Joblib", ("joblib",), "joblib", preload=("joblib",))
    monkeypatch.setitem(registry.BUILT_IN, "joblib", row)
    templates.close()
    yield "joblib"
    templates.close()


def test_a_librarys_fork_has_the_library_and_neither_torchs_neighbours_nor_the_users_module(heavy):
    with Worker() as plain, templates.with_library(heavy) as one, templates.with_library(heavy) as other:
        before, after = (set(worker.call("about")["modules"]) for worker in (plain, one))
        assert "joblib" in after - before
        assert not {"pandas", "nested_fruit", "pytest", "reference_models"} & (after - before)
        assert one.imports_s == other.imports_s > 0
        assert plain.imports_s == 0


def test_the_first_load_counts_the_imports(heavy, tmp_path):
    project = staged(tmp_path)
    saved = saving.save(heavy, "build", project, tmp_path / "cell")
    loaded = round_trip.load(saved, condition("fresh_process"))
    saved.close(), loaded.close()
    assert loaded.result["outcome"] == "exact"
    assert loaded.result["first_load_s"] > templates.library(heavy, interpreters.ours()).imports_s


def test_a_library_that_cannot_be_imported_is_left_to_the_cell(monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN, "pickle", BackendEntry("backends.pickle_:Pickle", preload=("no_such",)))
    templates.close()
    assert templates.library("pickle") is None
    with templates.with_library("pickle") as worker:
        assert worker.call("about")["modules"]
    templates.close()


def test_templates_are_made_side_by_side_and_each_once(monkeypatch):
    """Two libraries are imported at a time; who asks for one that is being imported waits for it."""
    for name in ("skops", "huggingface_hub"):
        pytest.importorskip(name)
    together, made = threading.Barrier(2, timeout=20), []

    def imported(modules, interpreter, parent):
        made.append(modules)
        together.wait()

    monkeypatch.setattr(templates, "_imported", imported)
    templates.close()
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(templates.library, ["skops", "hf_mixin", "skops", "hf_mixin"]))
    finally:
        templates.close()
    assert len(made) == len(set(made)) == 2


def test_a_fork_may_not_be_asked_for_what_is_no_call(original):
    with original.fork() as one, pytest.raises(WorkerFailed, match="KeyError"):
        one.call("no_such_call")


KEPT_TABLES = """
import torch
from torch._export import utils
from torch.export import decomp_utils, exported_program
from torch._subclasses.fake_impls import op_implementations_dict
from torch.onnx._internal.exporter import _decomp
from torch.onnx._internal.exporter._registration import ONNXRegistry
from harness.processes.export_tables import keep

CIA = torch._C.DispatchKey.CompositeImplicitAutograd

def registered():
    functions = ONNXRegistry.from_torchlib(opset_version=20).functions
    return {name: [found.onnx_function.__name__ for found in several] for name, several in functions.items()}

def composed():
    found = [module._collect_all_valid_cia_ops() for module in (decomp_utils, exported_program, utils)]
    assert found[0] == found[1] == found[2]
    return {operator.name() for operator in found[0]}

def implemented():
    operator = torch.ops.aten.linear.default
    kernels = dict(operator.py_kernels)
    operator.py_kernels.clear()
    operator.py_impl(torch._C.DispatchKey.AutogradXLA)(registered)
    try:
        operator.py_impl(torch._C.DispatchKey.AutogradXLA)(registered)
    except RuntimeError as error:
        refused = str(error)
    found = dict(operator.py_kernels)
    operator.py_kernels.clear()
    operator.py_kernels.update(kernels)
    operator._dispatch_cache.clear()
    return found, refused

def decomposed():
    implemented = set(_decomp.get_onnx_implemented_overloads(ONNXRegistry.from_torchlib(opset_version=20)))
    table = dict(_decomp.create_onnx_friendly_decomposition_table(implemented))
    composed, rest = exported_program._split_decomp_table_to_cia_and_python_decomp(table)
    assert rest is table
    return composed, rest

def names():
    return [{operator.name(): getattr(f, "__name__", "") for operator, f in part.items()} for part in decomposed()]

def overridden(composed):
    kept = {operator: dict(operator.py_kernels) for operator in composed}
    with exported_program._override_composite_implicit_decomp(composed):
        inside = {
            operator.name(): (set(operator.py_kernels), operator.py_kernels[CIA] is composed[operator])
            for operator in composed if operator in op_implementations_dict
        }
        for operator in composed:  # what ran meanwhile is forgotten
            operator._dispatch_cache[CIA] = None
    assert kept == {operator: dict(operator.py_kernels) for operator in composed}
    assert not any(operator in op_implementations_dict or operator._dispatch_cache for operator in composed)
    return inside

plain = registered(), composed(), implemented()
plainly = names(), overridden(decomposed()[0])
assert len(plainly[1]) > 200 and all(is_there for _, is_there in plainly[1].values())
builds = []
build = ONNXRegistry.from_torchlib
ONNXRegistry.from_torchlib = lambda opset_version: builds.append(opset_version) or build(opset_version)
keep()
assert (registered(), composed(), implemented()) == plain and len(plain[0]) > 400 and len(plain[1]) > 400
assert decomposed()[0] == decomposed()[0], "found once"
assert (names(), overridden(decomposed()[0])) == plainly
one = next(iter(decomposed()[0]))
assert overridden({one: registered})[one.name()][1]  # another kernel than the one that is kept
decomposed()[1].clear()
assert names() == plainly[0]
ONNXRegistry.from_torchlib(20).functions.clear()
before = len(builds)
assert registered() == plain[0] and len(builds) == before, builds

library = torch.library.Library("of_the_model", "FRAGMENT")
library.define("twice(Tensor x) -> Tensor")
library.impl("twice", lambda x: x * 2, "CompositeImplicitAutograd")
torch.ops.of_the_model.twice
assert composed() - plain[1] == {"of_the_model::twice"}
assert registered() == plain[0] and len(builds) == before + 1, builds
"""


def test_kept_tables_are_those_of_a_plain_export(tmp_path):
    """What the corpus keeps for exports to ONNX is what torch builds; a model's own operators have it built anew."""
    pytest.importorskip("onnxscript")
    programs.run(KEPT_TABLES, folder=tmp_path)


def test_kept_sources_are_those_of_a_plain_save(tmp_path, monkeypatch):
    """Of equal bytes alone: an edited file is read again."""
    texts = [b"def f():\n    return 1\n", b"def f():\n    return 2\n"]

    def digests():
        return [Source("user", tmp_path / "user.py", text, False).digest("f") for text in texts * 2]

    plain = digests()
    for name in source_tables.TABLES:
        monkeypatch.setattr(Source, name, vars(Source)[name])
    source_tables.keep()
    assert digests() == plain and plain[0] != plain[1]
    kept = [Source("user", tmp_path / "user.py", text, False) for text in texts * 2]
    assert kept[0].tokens is kept[2].tokens and kept[1].tree is kept[3].tree


KEPT_LOOKUPS = """
import importlib.metadata, importlib_metadata, typing
from torch._export.serde import schema, serialize
from harness.processes.library_tables import keep_schema, keep_versions

def hints():
    found = [serialize.typing.get_type_hints(cls, globalns=vars(schema)) for cls in (schema.Node, schema.Argument)]
    return [{name: str(hint) for name, hint in one.items()} for one in found]

def versions():
    return importlib.metadata.version("torch"), importlib_metadata.version("cloudpickle")

plain = hints(), versions()
keep_schema(), keep_versions()
assert (hints(), versions()) == plain == (hints(), versions()) and len(plain[0][0]) > 3
assert typing.get_type_hints is not serialize.typing.get_type_hints  # nobody else's
for package in ("no_such_package", "no_such_package"):
    try:
        importlib_metadata.version(package)
    except importlib_metadata.PackageNotFoundError as error:
        print(error.name)
"""


def test_kept_lookups_are_those_of_a_plain_process(tmp_path):
    pytest.importorskip("mlflow")
    assert programs.run(KEPT_LOOKUPS, folder=tmp_path) == "no_such_package\n" * 2


def test_a_warm_process_has_more_than_what_is_timed(monkeypatch):
    """`WARM` is for the corpus: the processes of the timed rounds import what a user's would."""
    monkeypatch.setitem(templates.WARM, "pickle", ("tabnanny", "gc:collect"))
    with templates.fresh("pickle") as warm, templates.with_library("pickle") as timed:
        assert "tabnanny" in warm.call("about")["modules"]
        assert "tabnanny" not in timed.call("about")["modules"]
    monkeypatch.setitem(templates.WARM, "pickle", ("tabnanny", "no_such_module:table"))
    with templates.fresh("pickle") as cold:  # what cannot be made warm is not
        assert "tabnanny" not in cold.call("about")["modules"]


def test_a_template_ends_with_the_server_that_it_came_from(run_cell):
    """The server's folder is gone, and with it the files that a backend opens when it is used."""
    ours = interpreters.ours()
    before = templates.library("json_spec", ours)
    assert before.is_alive()
    assert templates.library("json_spec", ours) is before
    interpreters.close()
    assert not before.is_alive()
    record = run_cell("json_spec", "nested_fruit")
    assert record.outcome == "exact", record.message
    assert templates.library("json_spec", ours).is_alive()


REHEARSED = sorted(
    name for name, warm in WARM.items() if any(step.startswith("harness.processes.rehearsal:") for step in warm)
)


@pytest.mark.parametrize("backend", REHEARSED)
def test_what_was_rehearsed_can_be_forked(backend):
    """Else the corpus would do without all that is warm, and say nothing."""
    entry = registry.backend_entry(backend)
    if registry.how_to_install(entry):
        pytest.skip(registry.how_to_install(entry))
    with Worker() as worker:
        answer = worker.call("preload", modules=(entry.target.partition(":")[0], *entry.preload, *WARM[backend]))
    assert answer["forkable"]
