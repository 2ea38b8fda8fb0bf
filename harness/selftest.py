"""The instrument against what is known: does it find no difference where there is none, and what is there where it is?

aa          one backend under two names, in many pairs of fresh processes: intervals of the ratio hold 1
delay       pickle, and pickle with 1, 5 or 20 ms more: the difference of the same rounds is recovered
memory      pickle, and pickle with 64 MB more for a moment, anonymous or mapped: the peak is recovered
ranking     two runs of several backends: no pair is ordered one way by the first and the other way by the second
own_cost    a fresh process, and a cell of the matrix

Every check measures with what measures the matrix (`measure.interleave`). A check that a busy machine spoils is
`too noisy`, which is no pass; one that fails although its interval is narrow is a `fail`.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import intervals, measure, round_trip, selftest_backends
from harness.cell import saving
from harness.conditions import condition
from harness.costs.competitor import Competitor
from harness.costs.rounds import Plan
from harness.errors import MissingPackage, UnknownName
from harness.findings import rankings
from harness.measure import Floor
from harness.processes.process import Worker
from harness.project import synthetic
from harness.project.staging import stage
from harness.records import Record
from harness.system import proc

PASS, FAIL, TOO_NOISY, UNAVAILABLE = "pass", "fail", "too noisy", "unavailable"
PROMISED = 0.95
"""Part of the intervals that hold the truth."""
TOLERANCE = 0.10
"""A known delay or amount of memory is recovered to this part of it."""
FRESH_PROCESS_S = 0.060
TENSOR_BYTES, MODULES = 1 << 20, 10
COPIES = 8
"""Of one backend in a run of `aa`: so many processes to save and to load, compared in disjoint pairs."""
AA_RUNS, AA_ROUNDS = 10, 13
"""With 13 rounds a 99 % bootstrap interval of a median covers 98.3 % (simulated), so that 80 intervals with more than
4 that miss, which is less than PROMISED, are chance in one of 80 selftests."""
DELAY_ROUNDS, DELAY_CHUNKS = 30, 6
"""Rounds at a time, and how often they are repeated until every difference is known to half of TOLERANCE."""
RANKED = ("pickle", "dill", "cloudpickle", "json_spec")


@dataclass
class Check:
    """What one check found. `figures` hold names with units."""

    name: str
    verdict: str
    message: str
    figures: dict[str, Any] = field(default_factory=dict)
    group: str = ""
    """The name in CHECKS of what it belongs to."""


def chosen(names: Sequence[str] = ()) -> tuple[str, ...]:
    """The checks to run, all of them where none is named. Raises UnknownName, MissingPackage."""
    for name in names:
        if name not in CHECKS:
            raise UnknownName("check", name, CHECKS)
    if not intervals.can_bootstrap():
        raise MissingPackage("selftest compares intervals, and scipy is not installed", intervals.HOW_TO_INSTALL)
    return tuple(names) or tuple(CHECKS)


def run(tell: Callable[[str], None] = lambda _: None, names: Sequence[str] = ()) -> Iterator[Check]:
    """The checks, one after the other."""
    with tempfile.TemporaryDirectory(prefix="roundtrip-") as folder:
        bench = _Bench(Path(folder), tell)
        for name in names or CHECKS:
            for check in CHECKS[name](bench):
                yield dataclasses.replace(check, group=name)


def record(check: Check, run_id: str) -> Record:
    """A check as a line of a run."""
    return Record(
        run_id,
        backend="harness",
        model="synthetic",
        condition="fresh_process",
        kind="selftest",
        message=check.message,
        facts={"check": check.name, "verdict": check.verdict, **check.figures},
        rerun=f"roundtrip selftest --only {check.group}",
    )


def overall(checks: Sequence[Check]) -> str:
    """`fail` if any failed, else `too noisy` if any was, else `pass`."""
    verdicts = {check.verdict for check in checks}
    return FAIL if FAIL in verdicts else TOO_NOISY if TOO_NOISY in verdicts else PASS


# --- the checks -------------------------------------------------------------------------------------------------


def equal_backends(bench: _Bench) -> Iterator[Check]:
    """A/A: COPIES of one backend, AA_RUNS times in fresh processes, compared in disjoint pairs."""
    found = {"save_s": [], "load_s": []}
    waiting = proc.Waiting()
    for number in range(AA_RUNS):
        bench.tell(f"A/A, run {number + 1} of {AA_RUNS}")
        with bench.competitors(["pickle"] * COPIES) as copies:
            bench.measure(copies, AA_ROUNDS)
            for name in found:
                found[name] += [
                    _compared(one.costs[name], other.costs[name])
                    for one, other in zip(copies[::2], copies[1::2], strict=True)
                ]
    yield unless_busy(judge_equal(found), waiting.shares()[0])


def delays(bench: _Bench) -> Iterator[Check]:
    """Known delays, each against pickle in the same rounds."""
    classes = (selftest_backends.Delayed1, selftest_backends.Delayed5, selftest_backends.Delayed20)
    bench.tell("known delays")
    waiting = proc.Waiting()
    with bench.competitors(["pickle", *(known(one) for one in classes)]) as (plain, *delayed):
        for _ in range(DELAY_CHUNKS):
            bench.measure([plain, *delayed], DELAY_ROUNDS)
            checks = [
                judge_delay(name.removesuffix("_s"), one.delay_s, competitor.costs[name], plain.costs[name])
                for one, competitor in zip(classes, delayed, strict=True)
                for name in ("save_s", "load_s")
            ]
            if all(check.figures["high_s"] - check.figures["low_s"] <= TOLERANCE * check.figures["delay_s"]
                   for check in checks):  # fmt: skip
                break  # the width decides, never the verdict
    share, _ = waiting.shares()
    yield from (unless_busy(check, share) for check in checks)


def memory(bench: _Bench) -> Iterator[Check]:
    """Known memory, anonymous and mapped, against pickle."""
    bench.tell("known memory")
    names = ["pickle", known(selftest_backends.Holds), known(selftest_backends.Maps)]
    with bench.competitors(names) as (plain, holds, maps):
        bench.measure([plain, holds, maps], 1)
        for name, competitor in (
            ("peak_anon_bytes_save", holds),
            ("peak_anon_bytes_load", holds),
            ("peak_file_bytes_load", maps),
        ):
            yield judge_memory(name, competitor.costs[name], plain.costs[name])


def ranking(bench: _Bench) -> Iterator[Check]:
    """Two runs, each in its own fresh processes: what both order, they order alike."""
    runs = []
    for number in range(2):
        bench.tell(f"ranking, run {number + 1} of 2")
        with bench.competitors(RANKED) as ranked:
            bench.measure(ranked, AA_ROUNDS)
            runs.append({one.saved.backend: one.costs for one in ranked})
    yield judge_ranking(*runs)


def own_cost(bench: _Bench) -> Iterator[Check]:
    """What a fresh process and a cell cost the harness."""
    bench.tell("the harness itself")
    waiting, processes, cells = proc.Waiting(), [], []
    with Worker():  # the first one starts the server
        pass
    for _ in range(15):
        started = time.perf_counter()
        with Worker() as worker:
            worker.call("about")
            processes.append(time.perf_counter() - started)
    for _ in range(5):
        started = time.perf_counter()
        with bench.competitors(["pickle"]):
            cells.append(time.perf_counter() - started)
    share, _ = waiting.shares()
    yield judge_own_cost(processes, cells, share)


CHECKS: dict[str, Callable[[_Bench], Iterator[Check]]] = {
    "own_cost": own_cost,
    "memory": memory,
    "delays": delays,
    "ranking": ranking,
    "aa": equal_backends,
}


# --- the verdicts, on figures alone -----------------------------------------------------------------------------


def judge_equal(found: dict[str, list[intervals.Ratio]]) -> Check:
    """At least PROMISED of all intervals hold 1."""
    ratios = [ratio for one in found.values() for ratio in one]
    held = sum(ratio.low <= 1.0 <= ratio.high for ratio in ratios)
    width = statistics.median((ratio.high - ratio.low) / 2 / ratio.median for ratio in ratios)
    share = held / len(ratios)
    return Check(
        "aa",
        PASS if share >= PROMISED else FAIL,
        f"{held} of {len(ratios)} intervals hold 1 ({share:.1%}; half width {width:.0%} in the median)",
        {"intervals": len(ratios), "held": held, "half_width_share": width}
        | {
            f"{name.removesuffix('_s')}_ratios": [[ratio.low, ratio.median, ratio.high] for ratio in one]
            for name, one in found.items()
        },
    )


def judge_delay(what: str, delay_s: float, with_delay: Sequence[float], without: Sequence[float]) -> Check:
    """The median of the rounds' differences is the delay, to TOLERANCE of it."""
    differences = [long - short for long, short in zip(with_delay, without, strict=True)]
    middle = statistics.median(differences)
    low, high = intervals.sign_interval(differences, intervals.LEVEL) or (float("-inf"), float("inf"))
    allowed = (delay_s * (1 - TOLERANCE), delay_s * (1 + TOLERANCE))
    if allowed[0] <= middle <= allowed[1]:
        verdict = PASS
    else:
        verdict = TOO_NOISY if low <= allowed[1] and allowed[0] <= high else FAIL
    return Check(
        f"delay {delay_s * 1e3:g} ms, {what}",
        verdict,
        f"{middle * 1e3:.3g} ms found [{low * 1e3:.3g}, {high * 1e3:.3g}]",
        {"delay_s": delay_s, "found_s": middle, "low_s": low, "high_s": high, "rounds": len(differences)},
    )


def unless_busy(check: Check, waiting_share: float | None) -> Check:
    """A failure, but not where the machine was busy.

    Who slept then waits for a CPU, so that a delay is not what it should be; and rounds are no longer independent of
    one another, since a process stays for a while on the busier core, so that intervals cover less.
    """
    if check.verdict != FAIL or waiting_share is None or waiting_share <= measure.BUSY:
        return check
    message = f"{check.message}; some task waited for a CPU {waiting_share:.0%} of the time"
    return dataclasses.replace(check, verdict=TOO_NOISY, message=message)


def judge_memory(name: str, found: int | None, plain: int | None) -> Check:
    """The peak over pickle's own is HELD_BYTES, to TOLERANCE of it."""
    held = selftest_backends.HELD_BYTES
    what = name.removeprefix("peak_").replace("_bytes_", ", ")
    if found is None or plain is None:
        return Check(f"memory 64 MB, {what}", UNAVAILABLE, "this system does not tell a process's memory")
    more = found - plain
    return Check(
        f"memory 64 MB, {what}",
        PASS if abs(more - held) <= TOLERANCE * held else FAIL,
        f"{more / (1 << 20):.1f} MB found",
        {"known_bytes": held, "found_bytes": more},
    )


def judge_ranking(first: dict[str, dict], second: dict[str, dict]) -> Check:
    """No pair of backends that is told apart in both runs has another order in the second."""
    found = rankings.Ranking(0, 0, ())
    for metric in rankings.METRICS:
        found += rankings.compare(
            *({name: costs[metric] for name, costs in run.items()} for run in (first, second)), metric
        )
    verdict = FAIL if found.reordered else PASS if found.alike else TOO_NOISY
    return Check("ranking", verdict, found.text, dataclasses.asdict(found))


def judge_own_cost(processes: Sequence[float], cells: Sequence[float], waiting_share: float | None) -> Check:
    """A fresh process within FRESH_PROCESS_S, in the median."""
    process_s, cell_s = statistics.median(processes), statistics.median(cells)
    verdict = PASS
    if process_s > FRESH_PROCESS_S:
        verdict = TOO_NOISY if waiting_share is not None and waiting_share > measure.BUSY else FAIL
    waited = "" if waiting_share is None else f"; some task waited for a CPU {waiting_share:.0%} of the time"
    return Check(
        "own cost",
        verdict,
        f"{process_s * 1e3:.0f} ms a fresh process, {cell_s * 1e3:.0f} ms a cell with its two{waited}",
        {"fresh_process_s": process_s, "cell_s": cell_s, "waiting_share": waiting_share},
    )


def _compared(values: Sequence[float], others: Sequence[float]) -> intervals.Ratio:
    found = intervals.ratio(values, others)
    if found is None or found.low is None:
        raise ValueError("too few rounds to compare")
    return found


# --- the bench --------------------------------------------------------------------------------------------------


def known(backend: type) -> str:
    """The name by which a class of `selftest_backends` is loaded in a worker."""
    return f"{selftest_backends.__file__}:{backend.__name__}"


class _Bench:
    """One synthetic model, and competitors of it in fresh processes."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self._folder, self._count = folder, 0
        self._source = synthetic.write(folder / "model", TENSOR_BYTES, MODULES)
        self._staged = stage(self._source, folder / "staged")

    @contextmanager
    def competitors(self, backends: Sequence[str]) -> Iterator[list[Competitor]]:
        """Saved in processes of their own, which end with the context; a name may be there twice."""
        with ExitStack() as stack:
            found = []
            for backend in backends:
                self._count += 1
                saved = saving.save(backend, self._source.builder, self._staged, self._folder / f"cell{self._count}")
                stack.callback(saved.close)
                loaded = round_trip.load(saved, condition("fresh_process"))
                loaded.close()
                if loaded.result["outcome"] != "exact":
                    raise RuntimeError(f"{backend}: {loaded.result['outcome']}: {loaded.result['message']}")
                found.append(Competitor(saved, self._staged.own_modules))
            yield found

    def measure(self, competitors: Sequence[Competitor], rounds: int) -> Floor:
        """Exactly so many rounds."""
        plan = Plan(rounds=rounds, least=rounds, budget_s=1e6, cold=False)
        floor = measure.interleave(competitors, plan, self._folder / "rounds", lambda _: None, seed=self._count)
        for competitor in competitors:
            if competitor.died is not None:
                raise RuntimeError(f"{competitor.saved.backend}: {competitor.died}")
        return floor
