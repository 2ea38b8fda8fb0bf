"""When rounds stop, on a simulated clock: nothing here waits or depends on the machine."""

from __future__ import annotations

import pytest

from harness import measure
from harness.costs import rounds
from harness.costs.rounds import Plan, Task


class Clock:
    """A clock that goes on when somebody works."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Simulated:
    """A task whose turns take given seconds, and whose ratios are given."""

    def __init__(self, clock: Clock, seconds: float, ratio_of_turn) -> None:
        self.clock, self.seconds, self.ratio_of_turn = clock, seconds, ratio_of_turn
        self.found: list[float] = []
        self.task = Task("simulated", self.turn, lambda: self.found)

    def turn(self) -> None:
        self.clock.now_s += self.seconds
        self.found.append(self.ratio_of_turn(len(self.found)))


def steady(turn: int) -> float:
    return 2.0 + 0.01 * (turn % 3)


def wild(turn: int) -> float:
    return (1.0, 2.0, 3.0, 4.0)[turn % 4]


def test_a_steady_ratio_stops_after_the_least_rounds():
    clock = Clock()
    one = Simulated(clock, 0.01, steady)
    assert rounds.run([one.task], [], Plan(rounds=15, least=7), clock=clock) == 7
    assert one.task.stopped == rounds.NARROW


def test_a_wild_ratio_has_all_its_rounds():
    clock = Clock()
    one = Simulated(clock, 0.01, wild)
    assert rounds.run([one.task], [], Plan(rounds=15), clock=clock) == 15
    assert one.task.stopped == rounds.ROUNDS


def test_what_is_wild_goes_on_alone_and_the_floor_with_it():
    clock = Clock()
    calm, noisy, floor = Simulated(clock, 0.01, steady), Simulated(clock, 0.01, wild), []
    rounds.run([calm.task, noisy.task], [lambda: floor.append(clock())], Plan(rounds=12), clock=clock)
    assert (calm.task.turns, noisy.task.turns, len(floor)) == (7, 12, 12)


def test_the_budget_ends_what_is_not_narrow():
    clock = Clock()
    one = Simulated(clock, 1.0, wild)
    plan = Plan(rounds=100, least=3, budget_s=10.0)
    assert rounds.run([one.task], [], plan, clock=clock) == 10
    assert one.task.stopped == rounds.BUDGET


def test_the_floors_time_counts_too():
    clock = Clock()
    one = Simulated(clock, 0.5, wild)

    def floor() -> None:
        clock.now_s += 0.5

    assert rounds.run([one.task], [floor], Plan(rounds=100, least=3, budget_s=10.0), clock=clock) == 10


def test_a_dear_task_leaves_the_others_their_time():
    clock = Clock()
    dear, cheap = Simulated(clock, 3.0, wild), Simulated(clock, 0.5, wild)
    rounds.run([dear.task, cheap.task], [], Plan(rounds=15, budget_s=20.0), clock=clock)
    assert (dear.task.turns, dear.task.stopped) == (1, rounds.BUDGET)
    assert (cheap.task.turns, cheap.task.stopped) == (15, rounds.ROUNDS)


def test_a_budget_gives_the_least_rounds_to_as_many_as_it_can():
    """Of one round's 10 s, 7 rounds of all would take 70: the dearest end until the rest has its 7."""
    clock = Clock()
    sizes = (4.0, 3.0, 2.0, 0.6, 0.4)
    many = [Simulated(clock, seconds, wild) for seconds in sizes]
    rounds.run([one.task for one in many], [], Plan(rounds=7, budget_s=30.0), clock=clock)
    assert [one.task.turns for one in many] == [1, 1, 7, 7, 7]
    assert [one.task.stopped for one in many] == [rounds.BUDGET] * 2 + [rounds.ROUNDS] * 3
    assert clock() <= 30.0


@pytest.mark.parametrize(
    ("turn_s", "turns"),
    [
        (1.0, 10),  # 7 rounds take less than the budget: it is spent
        (2.0, 7),  # 7 take 14, which it may grow to
        (5.0, 1),  # 7 would take 35, and 20 are the most
    ],
)
def test_the_budget_grows_with_what_a_round_takes(turn_s, turns):
    clock = Clock()
    one = Simulated(clock, turn_s, wild)
    assert rounds.run([one.task], [], Plan(rounds=100, least=7, budget_s=10.0, most_s=20.0), clock=clock) == turns


def test_what_a_dear_round_adds_to_the_budget_goes_to_those_that_are_left():
    clock = Clock()
    dear, cheap = Simulated(clock, 5.0, wild), Simulated(clock, 1.0, wild)
    rounds.run([dear.task, cheap.task], [], Plan(rounds=100, least=7, budget_s=10.0, most_s=20.0), clock=clock)
    assert (dear.task.turns, cheap.task.turns, clock()) == (1, 15, 20.0)


def test_one_round_is_always_run():
    clock = Clock()
    one = Simulated(clock, 1000.0, steady)
    assert rounds.run([one.task], [], Plan(budget_s=1.0), clock=clock) == 1


def test_a_failed_task_takes_no_further_part():
    clock = Clock()
    one = Simulated(clock, 0.01, steady)

    def broken() -> None:
        task.stop()

    task = Task("broken", broken, list)
    rounds.run([one.task, task], [], Plan(rounds=9, least=9), clock=clock)
    assert (one.task.turns, task.turns, task.stopped) == (9, 1, None)


def test_every_round_has_another_order():
    seen: list[list[str]] = []

    def task(name: str) -> Task:
        return Task(name, lambda: seen[-1].append(name), list)

    rounds.run([task(name) for name in "abcdefg"], [], Plan(rounds=6), tick=lambda number: seen.append([]))
    assert len({tuple(order) for order in seen}) > 1
    assert all(sorted(order) == list("abcdefg") for order in seen)


@pytest.mark.parametrize(
    ("factor", "noisy"),
    [
        (lambda turn: 1.0 + 0.02 * (turn % 3 - 1), False),
        (lambda turn: 1.2 + 0.02 * (turn % 3), True),  # always slower than its twin
        (lambda turn: (0.5, 1.0, 2.0)[turn % 3], True),  # equal on average, and told apart in no round
    ],
)
def test_equal_floors_tell_a_noisy_machine(factor, noisy):
    floor = measure.Floor()
    for name in ("floor_write_s", "floor_read_s"):
        floor.twin[name] = [1e-3] * 12
        floor.times[name] = [1e-3 * factor(turn) for turn in range(12)]
    assert bool(measure.too_noisy(floor)) is noisy


@pytest.mark.parametrize(
    ("rounds", "waiting", "noisy"), [(2, 0.8, True), (2, 0.1, False), (12, 0.8, False), (2, None, False)]
)
def test_few_rounds_beside_other_work_are_noise(rounds, waiting, noisy):
    """Twins that are equal in many rounds say that the rounds can be used all the same."""
    floor = measure.Floor(waiting_share=waiting)
    for name in ("floor_write_s", "floor_read_s"):
        floor.twin[name] = floor.times[name] = [1e-3] * rounds
    assert bool(measure.too_noisy(floor)) is noisy
