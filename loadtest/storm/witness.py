"""What both ends of a run write down: the clients about each request, the dependency about each attempt."""

from dataclasses import dataclass
from typing import NamedTuple

ID_HEADER = "x-storm-request"
"""All attempts of a request carry it, whoever makes them."""


@dataclass(slots=True)
class Request:
    """What a client asked for and got. Seconds from the start; `status` 0 is no answer in time."""

    number: int
    destination: int
    post: bool
    began: float
    ended: float = 0.0
    status: int = 0

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


class Attempt(NamedTuple):
    """An arrival at the dependency. Seconds from the start; `began` and `done` are of its work, None if there was none.

    `status` is what it was answered with, 0 if it was cut off or is not answered yet.
    """

    number: int
    destination: int
    endpoint: int
    post: bool
    arrived: float
    began: float | None
    done: float | None
    status: int
    retry_after: int | None
