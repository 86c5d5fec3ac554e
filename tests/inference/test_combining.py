"""Callers that come while a round of work is under way are answered together by the next one."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from inference.combining import Combiner
from inference.database import combined

UNLUCKY = 1313


class Rounds:
    """Doubles numbers, round by round, once the gate is open; refuses those that are negative."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.taken: list[list[int]] = []

    def double(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.taken.append(list(numbers))
        if not self.gate.wait(timeout=10):
            raise TimeoutError
        if UNLUCKY in numbers:
            raise LookupError
        return [ValueError(str(number)) if number < 0 else 2 * number for number in numbers]


@pytest.fixture
def rounds() -> Rounds:
    return Rounds()


async def ask_during_a_round(combiner: Combiner[int, int], rounds: Rounds, *numbers: int) -> list[object]:
    first = asyncio.ensure_future(combiner.ask(0))
    while not rounds.taken:
        await asyncio.sleep(0)
    others = [asyncio.ensure_future(combiner.ask(number)) for number in numbers]
    await asyncio.sleep(0)
    rounds.gate.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


async def test_who_comes_during_a_round_is_taken_together_by_the_next(rounds: Rounds) -> None:
    assert await ask_during_a_round(combined(rounds.double), rounds, 1, 2, 3) == [0, 2, 4, 6]
    assert rounds.taken == [[0], [1, 2, 3]]


async def test_each_caller_has_an_answer_or_a_refusal_of_its_own(rounds: Rounds) -> None:
    answers = await ask_during_a_round(combined(rounds.double), rounds, 5, -7, 6)
    assert (answers[0], answers[1], answers[3]) == (0, 10, 12)
    assert isinstance(answers[2], ValueError)


async def test_a_round_that_fails_tells_its_callers_and_the_next_one_works(rounds: Rounds) -> None:
    combiner = combined(rounds.double)
    answers = await ask_during_a_round(combiner, rounds, UNLUCKY, 1)
    assert [type(answer) for answer in answers] == [int, LookupError, LookupError]
    assert await combiner.ask(4) == 8


async def test_who_left_before_the_round_is_not_taken(rounds: Rounds) -> None:
    combiner = combined(rounds.double)
    first = asyncio.ensure_future(combiner.ask(0))
    while not rounds.taken:
        await asyncio.sleep(0)
    gone, stays = asyncio.ensure_future(combiner.ask(1)), asyncio.ensure_future(combiner.ask(2))
    await asyncio.sleep(0)
    gone.cancel()
    rounds.gate.set()
    assert list(await asyncio.gather(first, stays)) == [0, 4]
    assert rounds.taken == [[0], [2]]


async def test_a_round_has_a_limit_and_nobody_is_left_over(rounds: Rounds) -> None:
    answers = await ask_during_a_round(combined(rounds.double), rounds, *range(1, 251))
    assert answers == [2 * number for number in range(251)]
    assert [len(taken) for taken in rounds.taken] == [1, 100, 100, 50]


def test_every_event_loop_has_rounds_of_its_own(rounds: Rounds) -> None:
    combiner = combined(rounds.double)
    rounds.gate.set()
    assert [asyncio.run(combiner.ask(number)) for number in (1, 2)] == [2, 4]
