"""A scenario, requests and attempts as a run would have written them down."""

from dataclasses import replace

from loadtest.storm.scenario import Scenario, scenarios
from loadtest.storm.witness import Attempt, Request

HANG = replace(scenarios()["hang"], before=2.0, trouble=2.0, after=4.0)


def request(number: int, began: float, *, seconds: float = 0.1, status: int = 200, post: bool = False) -> Request:
    return Request(number, 0, post, began, began + seconds, status)


def attempt(
    number: int, arrived: float, *, status: int = 200, post: bool = False, retry_after: int | None = None
) -> Attempt:
    """One that was worked on if it was answered 200."""
    done = arrived + 0.1 if status == 200 else None
    return Attempt(number, 0, 0, post, arrived, None if done is None else arrived, done, status, retry_after)


def steady(scenario: Scenario, every: float = 0.05) -> list[Request]:
    """One request each `every` seconds, all good."""
    return [request(number, number * every) for number in range(int(scenario.seconds / every))]
